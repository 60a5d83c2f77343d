"""The page of a policy: scores in environments, with every task's own line."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl.config import TrainConfig
from meta_rl.core.seeding import Purpose, generator
from meta_rl.evaluation.gain import best, bootstrap_gain, within_families
from meta_rl.evaluation.playing import Shown
from meta_rl.evaluation.record import Evaluated
from meta_rl.evaluation.scores import (
    MODE,
    SAMPLED,
    Record,
    Score,
    every_way,
    family_cells,
    score_cells,
    show_below,
)
from meta_rl.evaluation.words import StageNames, counted
from meta_rl.maths.statistics import bootstrap_interval, interquartile_mean
from meta_rl.visualise.page.charts import Series
from meta_rl.visualise.page.curves import Lines
from meta_rl.visualise.page.headline import share, stat, with_digits_of
from meta_rl.visualise.page.pairs import Pairs
from meta_rl.visualise.page.tables import fact_table, page_table, words

BOTH = "The headline is that of mode actions; sampled ones are judged beside them, as many published tables have it."
STOCK = "Meta-World's evaluator counts the first episodes to finish, and successes finish early: it reads too high."
SCALES = "Returns of different families are scaled alike: the lowest of each family is 0, its highest 1"
MIXED = "A return here is the mean over families of different scale; see those of each family below."


class PolicyPage:
    """A kind of learner on the page: its words, charts and tables."""

    def names(self, shown: Shown) -> StageNames:
        """Adaptation steps, or episodes of a trial."""
        run = shown.run
        if not shown.played:  # the run has gone on since its evaluation, and the episodes are not at hand
            return StageNames(run.config.algorithm.remembers, run.record.protocol["adaptation_episodes"])
        return shown.played[run.record.split].recording.stage_names

    def lede(self, run: Evaluated, names: StageNames) -> str:
        """Say what training took, and what was judged when."""
        record = run.record
        stages = list(dict.fromkeys(names.name(stage.steps) for stage in (record.stages[0], record.stages[-1])))
        return (
            f"{counted(record.iteration, 'iteration')}, {counted(record.train_env_steps, 'env step')} of training. "
            f"Judged on {counted(record.tasks, f'{record.split} task')}, each from the meta-parameters: "
            f"{' and '.join(stages)}."
        )

    def stats(self, run: Evaluated, names: StageNames) -> list[dict[str, Any]]:
        """Success, where the tasks have it, and the interquartile mean of the return, at the first stage and at the
        one that training aimed at."""
        record = run.record
        last = aimed_at(run.config, record)
        stats = []
        if record.has_success:
            values = record.values[MODE]["success"].mean(-1)
            stats.append(self._stat(record, names, "Success", "success", values, last, _mean))
        returns, title = record.values[MODE]["return"].mean(-1), "Return, interquartile mean"
        if several(record):
            returns, title = within_families(returns, record.families), "Return within its family, interquartile mean"
        return [*stats, self._stat(record, names, title, "return", returns, last, interquartile_mean)]

    def _stat(
        self,
        record: Record,
        names: StageNames,
        title: str,
        name: str,
        values: NDArray[np.float64],
        last: int,
        statistic: Any,
    ) -> dict[str, Any]:
        """A large number of `values` ``[task, stage]``."""
        every = [statistic(column) for column in values.T]
        say = share if name == "success" else with_digits_of(*every)
        gain = bootstrap_gain(values[:, 0], values[:, last], record.families, statistic) if last else None
        top = best(every, name)
        called = [names.name(stage.steps) for stage in record.stages]
        aim = "" if last == len(every) - 1 else ", as many as in training"
        note = [
            f"{called[0]}, then {called[last]}{aim}" if last else called[0],
            f"over {counted(record.tasks, 'task')}",
        ]
        if top not in (0, last):
            note.append(f"highest {called[top]}: {say(every[top])}")
        if name == "success" and SAMPLED in record.ways:
            sampled = [share(record.values[SAMPLED][name][:, k].mean()) for k in sorted({0, last})]
            note.append(f"with sampled actions {', then '.join(sampled)}")
        scales = f" {SCALES}." if name == "return" and several(record) else ""
        return stat(title, name, (every[0], every[last]), gain, say, f"{'; '.join(note)}.{scales}")

    def charted(self, record: Record) -> list[str]:
        """The return, which all tasks have, first."""
        return record.names[::-1]

    def lines(self, record: Record, name: str, names: StageNames) -> Lines:
        """A thin line per task (success: per family), the mean bold, its interval as a band; of two stages the tasks in
        pairs."""
        values, families = record.values[MODE][name].mean(-1), record.families  # [task, stage]
        xs = [names.along(stage.steps) for stage in record.stages]
        scores, note = [stage.scores[MODE][name] for stage in record.stages], ""
        thin = {f"{family}, task {i}": row for i, (family, row) in enumerate(zip(families, values, strict=True))}
        if name == "success" and several(record):
            every = dict.fromkeys(families)
            thin = {f: values[[g == f for g in families]].mean(0) for f in every}
        elif several(record):
            values, note = within_families(values, families), f". {SCALES}"
            scores = [_score(column, families, stage) for stage, column in enumerate(values.T)]
            thin = dict(zip(thin, values, strict=True))
        what = "family" if name == "success" and several(record) else "task"
        tasks, pairs = counted(record.tasks, f"{record.split} task"), None
        if len(xs) == 2:
            before, after = (names.name(stage.steps) for stage in record.stages)
            first, last = ([float(row[k]) for row in thin.values()] for k in (0, 1))
            pairs = Pairs([*thin], first, last, what, (scores[0], scores[1]), (before, after), tasks)
        if name == "success" and what == "task":
            thin = {}  # lines between 0 and 1 that hide each other
        series = [Series(xs, line.tolist(), "thin", label) for label, line in thin.items()]
        series.append(Series.of(xs, scores, "after", f"mean {name}", n=tasks))
        legend = [("after", "mean over tasks, 95 % interval"), *([("thin", f"one {what}")] if thin else [])]
        return Lines(series, legend, f"{tasks}{note}", True, names.axis, pairs)

    def tables(self, run: Evaluated, names: StageNames) -> list[dict[str, Any]]:
        """Scores at every stage and by family, Meta-World's own number, the protocol, the environment."""
        record = run.record
        last, called = aimed_at(run.config, record), [names.name(stage.steps) for stage in record.stages]
        cells = score_cells(record, "stage", called, every_way(record.stages), show_below)
        found = [page_table("Numbers", cells, MIXED if several(record) else "")]
        if families := family_cells(record, [called[0], called[last]], last):
            found.append(page_table("By family", families))
        if stock := record.stock:
            row = ["success", f"{record.stages[-1].scores[MODE]['success'].mean:.1%}", f"{stock['success']:.1%}"]
            heads = ["after adaptation", "ours", "Meta-World's own evaluator"]
            found.append(page_table("Beside the usual number", [heads, row], STOCK))
        protocol = fact_table("Protocol", protocol_rows(record, names), BOTH if SAMPLED in record.ways else "")
        return [*found, protocol, fact_table("Environment", words(record.task_distribution))]


def protocol_rows(record: Record, names: StageNames) -> list[list[str]]:
    """What happened at the evaluation, in words."""
    protocol, steps, families = record.protocol, record.stages[-1].steps, len(set(record.families))
    practice = counted(names.episodes, "episode")
    if not steps:
        practice = "none"
    elif names.memory:
        practice = f"{counted(names.along(steps), 'episode')} with sampled actions, each remembered in those after it"
    else:
        practice = f"{practice} with sampled actions before each of {counted(steps, 'adaptation step')}"
        practice = practice.replace("each of 1 adaptation step", "the adaptation step")
    judged = f"{counted(record.values[MODE]['return'].shape[-1], 'episode')} with mode actions at each stage"
    if record.deterministic_episodes:
        judged += " (the environment is deterministic)"
    if SAMPLED in record.ways:
        judged += f", and {record.values[SAMPLED]['return'].shape[-1]} with sampled actions"
    rows = [
        ["tasks", counted(record.tasks, f"{record.split} task") + (f" of {families} families" if families > 1 else "")],
        ["practice", practice],
        ["judged by", judged],
        ["begins with", "the meta-parameters, for every task anew"],
    ]
    if record.has_success:
        rows.append(["success", "at any step of an episode"])
    if protocol.get("stock_goals"):
        rows.append(
            ["beside it", f"Meta-World's own evaluator on {counted(protocol['stock_goals'], 'goal')} per family"]
        )
    if "evaluation_seed" in protocol:
        rows.append(["seed", f"{protocol['evaluation_seed']}, of tasks and noise; the same for all runs"])
    return rows


def aimed_at(config: TrainConfig, record: Record) -> int:
    """The stage of an evaluation that training aimed at: after as many adaptation steps as an update takes, if it has
    any and they were judged; else the last one."""
    steps = [stage.steps for stage in record.stages]
    trained = getattr(config.algorithm, "inner_steps", 0)
    return steps.index(trained) if trained and trained in steps else len(steps) - 1


def several(record: Record) -> bool:
    """Whether the tasks are of several families, whose returns have scales of their own."""
    return len(set(record.families)) > 1


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean())


def _score(values: NDArray[np.float64], families: list[str], stage: int) -> Score:
    rng = generator(0, Purpose.BOOTSTRAP, stage=stage)
    return Score(float(values.mean()), *bootstrap_interval(values, families, rng))
