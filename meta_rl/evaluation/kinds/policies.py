"""Policies: judged by their episodes in environments, with bootstrap intervals within families."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl.agents.agent import Agent
from meta_rl.agents.opening import open_distribution
from meta_rl.config import EvaluateConfig
from meta_rl.core.seeding import Purpose, generator
from meta_rl.errors import Say
from meta_rl.evaluation.episodes import evaluate, test_tasks
from meta_rl.evaluation.kinds import plots
from meta_rl.evaluation.kinds.base import Comparison, Group, Table
from meta_rl.evaluation.playing import replayed
from meta_rl.evaluation.practice import PracticeRecorder
from meta_rl.evaluation.record import Evaluated
from meta_rl.evaluation.recording import Recorder, Recording, about
from meta_rl.evaluation.scores import MODE, SAMPLED, Column, Record, Score, Stage, family_cells
from meta_rl.evaluation.words import counted
from meta_rl.maths.statistics import bootstrap_interval
from meta_rl.runs.display import Display, Part
from meta_rl.runs.log import Row, read_rows

SEEN = (
    "Test tasks are the training tasks, as the benchmark has it: the numbers say what was learned, not how it does on "
    "tasks that are new."
)


class PolicyKind:
    """A kind of learner: how it is judged, and what its reports and comparisons have beside the scores.

    Attributes:
        keys: fields of a `Comparison` that its table as JSON has, in order.
        group_keys: fields of a `Group` there.
        heads: of the columns left and right of the scores in a comparison.
    """

    keys = ("env", "tasks", "task_distribution", "versions", "has_success", "groups")
    group_keys = (
        "seeds",
        "iterations",
        "train_env_steps",
        "protocol",
        "stages",
        "stock_success_by_seed",
    )
    heads = (
        ("group", "seeds", "train env steps", "adaptation steps", "practice episodes"),
        ("return by seed",),
    )

    def judge(
        self, agent: Agent, protocol: EvaluateConfig, split: str, say: Say, record: bool
    ) -> tuple[dict[str, Any], Recording | None]:
        """Play every task, and Meta-World's own evaluator where `protocol` asks for it: the fields of a `Record` that
        tell what came of it, and a recording if `record` asks for one."""
        distribution, display = open_distribution(agent, split), Display.of(say)
        shown = replayed(distribution, protocol)
        recorder, practice = (Recorder(shown), PracticeRecorder(shown)) if record else (None, None)
        tasks = test_tasks(distribution, protocol.test_tasks, protocol.evaluation_seed)
        with display.bar("evaluating", len(tasks) * (protocol.adaptation_steps + 1)) as bar:
            evaluation = evaluate(
                agent.learner, agent.weights, distribution, protocol, None, recorder, tasks, bar.advance, practice
            )
        if evaluation.missing_success:
            display(f"{agent.config.env}: {evaluation.missing_success}")
        told = about(agent, protocol, distribution, evaluation.missing_success)
        played = recorder.recording(told, evaluation.tasks, practice) if recorder else None
        stock = None
        if protocol.stock_goals:
            from meta_rl.evaluation.metaworld import stock_evaluation

            display("running Meta-World's own evaluator on the same policy")
            with display.bar("its evaluator plays"):
                stock = stock_evaluation(agent, protocol, protocol.stock_goals)
        found = {
            "task_distribution": distribution.fingerprint(),
            "tasks": len(evaluation.tasks),
            "stages": evaluation.stages(),
            "values": evaluation.values(),
            "families": [task.family for task in evaluation.tasks],
            "vectors": [list(task.vector) for task in evaluation.tasks],
            "has_success": distribution.has_success and not evaluation.missing_success,
            "deterministic_episodes": distribution.deterministic,
            "env_steps": evaluation.env_steps,
            "practice_returns": evaluation.practice_returns.mean(0).tolist(),
            "stock": stock,
        }
        return found, played

    def opening(self, run: Evaluated, seconds: float) -> str:
        """Say what training and the evaluation took."""
        record = run.record
        took = f" in {seconds:,.0f} s" if seconds else ""
        return (
            f"{counted(record.iteration, 'iteration')}, {counted(record.train_env_steps, 'env step')} of "
            f"training{took}; evaluated on {counted(record.tasks, f'{record.split} task')}, "
            f"{counted(record.env_steps, 'env step')}."
        )

    def remarks(self, record: Record) -> list[Part]:
        """Say what adaptation gains, in all and by family, and how it was judged."""
        after, way = record.stages[-1].scores[MODE], f" ({MODE})" if SAMPLED in record.ways else ""
        adapts = len(record.stages) > 1
        ends = list(dict.fromkeys((0, len(record.stages) - 1)))
        gain = "return " + " -> ".join(f"{record.stages[i].scores[MODE]['return'].mean:z.2f}" for i in ends)
        if record.has_success:
            rates = " -> ".join(f"{record.stages[i].scores[MODE]['success'].mean:.1%}" for i in ends)
            gain = f"success {rates}, {gain}"
        what = "Before adaptation -> after" if adapts else "Without adaptation"
        parts = [Part(f"{what}: {gain}{way}.", role="bold")]
        if record.task_distribution.get("multitask"):
            parts.append(Part(SEEN))
        if families := family_cells(record, ["before", "after"]):
            parts.append(Part(cells=families))
        if stock := record.stock:
            ours = f"{after['success'].mean:.1%} on {record.tasks} goals"
            theirs = f"{stock['success']:.1%} on {stock['goals_per_family']} goals per family"
            heads = ["after adaptation", "ours (unbiased, per goal)", "Meta-World's own evaluator (biased upward)"]
            parts.append(Part(cells=[heads, ["success", ours, theirs]]))
        return [*parts, Part(_protocol(record))]

    def judged_on(self, run: Evaluated) -> list[Any]:
        """Tasks, and the number of episodes that judge each stage.

        The number of adaptations and their episodes may differ between recipes, because learners adapt in different
        ways: one gradient step on ten episodes is compared with ten episodes remembered one by one.
        """
        record = run.record
        return [*zip(record.families, record.vectors, strict=True), record.values[MODE]["return"].shape[-1]]

    def shared(self, comparison: Comparison) -> list[Any]:
        """What runs have in common that stand in one table: the tasks, and the number of episodes of each."""
        names = ("test_tasks", "evaluation_seed", "evaluation_episodes")
        protocols = {tuple(group.protocol.get(name) for name in names) for group in comparison.groups.values()}
        return [comparison.env, comparison.tasks, comparison.task_distribution, comparison.has_success, protocols]

    def over_seeds(self, values: NDArray[np.float64], families: Sequence[str], stage: int) -> Score:
        """The mean over seeds and tasks; both are drawn anew within families."""
        every = [family for _ in values for family in families]
        rng = generator(0, Purpose.BOOTSTRAP, stage=stage)
        return Score(float(values.mean()), *bootstrap_interval(values.ravel(), every, rng))

    def practice(self, record: Record, stage: Stage) -> int:
        """Adaptation episodes until a stage."""
        return stage.steps * int(record.protocol["adaptation_episodes"])

    def group(self, runs: Sequence[Evaluated]) -> dict[str, Any]:
        """Env steps, protocol, Meta-World's own number and the curves of training."""
        return {
            "train_env_steps": round(float(np.mean([run.record.train_env_steps for run in runs]))),
            "protocol": runs[0].record.protocol,
            "stock_success_by_seed": [run.record.stock["success"] if run.record.stock else None for run in runs],
            "training_curves": [_curve(run) for run in runs],
        }

    def title(self, comparison: Comparison) -> str:
        """Name the tasks."""
        return f"{comparison.env}, {comparison.tasks} test tasks"

    def columns(self, comparison: Comparison) -> list[Column]:
        """All scores by mode actions, which are the headline, and the first of them by sampled actions."""
        first, *others = comparison.names
        return [*((first, way) for way in comparison.ways), *((name, MODE) for name in others)]

    def cells(self, label: str, group: Group, stage: Stage) -> tuple[list[str], list[str]]:
        """What was learned, from how many env steps and adaptation episodes; the returns of the seeds."""
        practice = "" if stage.practice is None else str(stage.practice)
        before = [label, str(len(group.seeds)), f"{group.train_env_steps:,.0f}", str(stage.steps), practice]
        return before, [", ".join(f"{value:.1f}" for value in stage.scores[MODE]["return"].by_seed)]

    def further(self, comparison: Comparison) -> list[Table]:
        """Success when fully adapted: in the last tenth of training, on test tasks, and by Meta-World's own evaluator.
        Only groups that it evaluated; no table if there is none."""
        rows = [["group", "training tasks, last tenth of training", "test tasks", "Meta-World's own evaluator"]]
        for label, group in comparison.groups.items():
            stock = [value for value in group.stock_success_by_seed if value is not None]
            if len(stock) < len(group.seeds):
                continue
            curves = [np.array(curve[-max(1, len(curve) // 10) :])[:, -1] for curve in group.training_curves if curve]
            training = f"{np.mean(np.concatenate(curves)):.1%}" if curves else ""
            ours = group.stages[-1].scores[MODE]["success"].mean
            rows.append([label, training, f"{ours:.1%}", f"{float(np.mean(stock)):.1%}"])
        title = "Success after adaptation, ours and by Meta-World's own evaluator (biased upward):"
        return [Table(title, rows)] if len(rows) > 1 else []

    def plot(self, comparison: Comparison, path: Path) -> None:
        """Draw training curves, and adaptation on test tasks."""
        plots.plot_policies(comparison, path)


def _curve(run: Evaluated) -> list[list[float]]:
    """Env steps and `stage_values` of each iteration up to the one that was judged; the run may have gone on."""
    rows = [row for row in read_rows(run.folder / "metrics.jsonl") if row["iteration"] <= run.record.iteration]
    return [[row["env_steps"], *stage_values(row)] for row in rows]


def stage_values(row: Row) -> list[float]:
    """Returns, then successes, of the stages in a row of metrics; 0 where it has no success."""
    stages = range(sum(key.startswith("return/stage_") for key in row))
    return [row.get(f"{group}/stage_{stage}", 0.0) for group in ("return", "success") for stage in stages]


def _protocol(record: Record) -> str:
    """The protocol of an evaluation, in a sentence."""
    protocol = record.protocol
    episodes = counted(1 if record.deterministic_episodes else protocol["evaluation_episodes"], "episode")
    sampled = (
        f" (the headline), and {protocol['evaluation_episodes']} with sampled actions, as many published tables have it"
    )
    practice = f"{counted(protocol['adaptation_episodes'], 'adaptation episode')} per step with sampled actions, then "
    return (
        f"Protocol: {practice if len(record.stages) > 1 else ''}"
        + f"{episodes} with mode actions{sampled if SAMPLED in record.ways else ''}; "
        + ("success at any step of an episode; " if record.has_success else "")
        + ("every task starts from the meta-parameters." if len(record.stages) > 1 else "nothing is adapted.")
    )
