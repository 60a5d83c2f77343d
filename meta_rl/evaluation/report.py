"""Evaluate a run and say it: ``evaluation.json``, ``report.md`` and what the terminal shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import envs
from meta_rl.agents.agent import Agent, load
from meta_rl.algorithms.supervised import FewShotLearner
from meta_rl.config import RECIPES, EvaluateConfig, TrainConfig, load_config, to_dict
from meta_rl.evaluation import markdown
from meta_rl.evaluation.episodes import evaluate
from meta_rl.evaluation.examples import evaluate_fewshot
from meta_rl.evaluation.record import files, judged_sampled, ways_judged
from meta_rl.evaluation.recording import Recorder, Recording, about, replayed
from meta_rl.evaluation.report_fewshot import closing, report_fewshot
from meta_rl.fewshot.tasks import open_tasks
from meta_rl.runs.durable import replace_durably
from meta_rl.runs.folder import versions, write_json
from meta_rl.runs.log import training_seconds

Say = Callable[[str], None]


def evaluate_run(
    run_dir: str | Path,
    protocol: EvaluateConfig | None = None,
    say: Say = print,
    split: str = "test",
    iteration: int | None = None,
) -> dict[str, Any]:
    """Evaluate the newest checkpoint of a run and write ``evaluation.json`` and ``report.md`` into its folder, or
    into the one in an exported agent that is for results.

    Args:
        protocol: how it is judged; default: as its config says.
        say: told in lines what happens and what came of it.
        iteration: evaluate the checkpoint of this iteration instead, and write ``evaluations/ITERATION.json`` and
            ``.md``, so that the run's own evaluation stays that of its last checkpoint.
    Returns:
        The contents of the JSON file, without what it says of each task.
    """
    run_dir = Path(run_dir)
    protocol = protocol or load_config(run_dir / "config.json").evaluate
    result, _ = evaluate_and_record(run_dir, protocol, say, split, iteration, record=False)
    say(f"report: {files(run_dir, iteration).report}")
    return result


def evaluate_and_record(
    run_dir: Path,
    protocol: EvaluateConfig,
    say: Say = print,
    split: str = "test",
    iteration: int | None = None,
    record: bool = True,
) -> tuple[dict[str, Any], Recording | None]:
    """As `evaluate_run`, with a recording of the episodes that a page shows; None where none was asked for, and for
    labelled examples, which have no episodes."""
    agent = load(run_dir, iteration)
    say(f"evaluating iteration {agent.iteration} on {agent.config.env}, {split} tasks")
    judge, describe = _KINDS[RECIPES[agent.config.recipe].learns]
    found, details, played = judge(agent, protocol, split, say, record)
    result = {
        "run": run_dir.name,
        "iteration": agent.iteration,
        "train_env_steps": agent.env_steps,
        "split": split,
        "protocol": to_dict(protocol),
        "versions": versions(),
        **found,
    }
    place = files(run_dir, iteration)
    place.evaluation.parent.mkdir(parents=True, exist_ok=True)
    write_json(place.evaluation, {**result, "per_task": details})
    text = describe(agent.config, run_dir, result)
    replace_durably(place.report, text.encode())
    say(text)
    return result, played


def is_evaluated(run_dir: Path, protocol: EvaluateConfig) -> bool:
    """Whether the folder holds the evaluation of its newest checkpoint on the test tasks under `protocol`, and the
    page of it. Each must be younger than what it tells of: the evaluation than the last iteration, the page than both.
    """
    evaluation = files(run_dir).evaluation
    paths = [run_dir / "metrics.jsonl", evaluation, run_dir / "report.html"]
    if not all(path.exists() for path in paths):
        return False
    written = [path.stat().st_mtime_ns for path in paths]
    if written != sorted(written):
        return False
    return is_of(json.loads(evaluation.read_text()), load(run_dir).iteration, protocol, "test")


def is_of(result: Mapping[str, Any], iteration: int, protocol: EvaluateConfig, split: str) -> bool:
    """Whether an evaluation is that of an iteration, under `protocol`, on the tasks of a split."""
    wanted = {"iteration": iteration, "split": split, "protocol": to_dict(protocol)}
    return {key: result.get(key) for key in wanted} == wanted


def _judge_policy(
    agent: Agent, protocol: EvaluateConfig, split: str, say: Say, record: bool
) -> tuple[dict[str, Any], Any, Recording | None]:
    distribution = envs.make(agent.config.env, split)
    recorder = Recorder(replayed(distribution, protocol)) if record else None
    evaluation = evaluate(agent.learner, agent.weights, distribution, protocol, watch=recorder)
    played = recorder.recording(about(agent, protocol, distribution), evaluation) if recorder else None
    found = {
        "deterministic_episodes": distribution.deterministic,
        "has_success": distribution.has_success,
        "task_distribution": distribution.fingerprint(),
        **evaluation.summary(),
        "stock": None,
    }
    if protocol.stock_goals:
        from meta_rl.evaluation.metaworld import stock_evaluation

        say("running Meta-World's own evaluator on the same policy")
        found["stock"] = stock_evaluation(agent, protocol, protocol.stock_goals)
    return found, evaluation.details(), played


def _judge_examples(
    agent: Agent, protocol: EvaluateConfig, split: str, say: Say, record: bool
) -> tuple[dict[str, Any], Any, None]:
    tasks, learner = open_tasks(agent.config, split), cast(FewShotLearner, agent.learner)
    evaluation = evaluate_fewshot(learner, agent.weights, tasks, agent.config, protocol, split)
    network = {"batch_statistics": learner.policy.batch_statistics}
    found = {"task_distribution": tasks.fingerprint(), **network, **evaluation.summary()}
    return found, evaluation.details(), None


def stage_cells(result: dict[str, Any], first: str, names: Sequence[str]) -> list[list[str]]:
    """A table of all stages, heads first: their names, success (where the tasks have one) and return, by mode actions
    and, where they were judged, by sampled actions."""
    shown = ("success", "return") if result["has_success"] else ("return",)
    ways = ways_judged(result["stages"])
    columns = [(prefix, name) for name in shown for prefix in ways]
    rows = [[first, *(f"{name}{ways[prefix]} (95 % interval)" for prefix, name in columns), f"return{ways['']}, IQM"]]
    for name, stage in zip(names, result["stages"], strict=True):
        cells = [markdown.score(stage, prefix, column) for prefix, column in columns]
        rows.append([name, *cells, f"{stage['return_iqm']:.2f}"])
    return rows


def family_cells(result: dict[str, Any], heads: Sequence[str]) -> list[list[str]]:
    """A table of each family's success at the first and the last stage, heads first; empty where there is but one
    family, or no success."""
    stages, ways = (result["stages"][0], result["stages"][-1]), ways_judged(result["stages"])
    families = list(stages[0]["success_by_family"])
    if not result["has_success"] or len(families) < 2:
        return []
    columns = [stage[f"{prefix}success_by_family"] for prefix in ways for stage in stages]
    return [
        ["family", *(f"{head}{way}" for way in ways.values() for head in heads)],
        *([family, *(f"{column[family]:.1%}" for column in columns)] for family in families),
    ]


def report(config: TrainConfig, run_dir: Path, result: dict[str, Any]) -> str:
    """The report in Markdown."""
    seconds = training_seconds(run_dir, result["iteration"])
    stages = result["stages"]
    lines = [
        f"# {config.recipe} on {config.env}, seed {config.seed}",
        "",
        f"{result['iteration']} iterations, {result['train_env_steps']:,} env steps of training"
        + (f" in {seconds:,.0f} s" if seconds else "")
        + f"; evaluated on {result['tasks']} {result['split']} tasks, {result['env_steps']:,} env steps.",
        "",
        *markdown.table(stage_cells(result, "adaptation steps", [str(stage["adaptation_steps"]) for stage in stages])),
    ]
    solved = f"success {stages[0]['success']:.1%} -> {stages[-1]['success']:.1%}, " if result["has_success"] else ""
    lines += ["", f"Before adaptation -> after: {solved}"
              f"return {stages[0]['return']:.2f} -> {stages[-1]['return']:.2f}"
              + (" (mode actions)." if judged_sampled(stages) else ".")]  # fmt: skip
    if families := family_cells(result, ["success before", "success after"]):
        lines += ["", *markdown.table(families)]
    if result["stock"]:
        stock = result["stock"]
        ours = f"{stages[-1]['success']:.1%} on {result['tasks']} goals"
        theirs = f"{stock['success']:.1%} on {stock['goals_per_family']} goals per family"
        heads = ["after adaptation", "ours (unbiased, per goal)", "Meta-World's own evaluator (biased upward)"]
        lines += ["", *markdown.table([heads, ["success", ours, theirs]])]
    return "\n".join([*lines, "", _protocol(result), *closing(run_dir, result)])


def _protocol(result: dict[str, Any]) -> str:
    """The protocol of an evaluation, in a sentence."""
    protocol, both = result["protocol"], judged_sampled(result["stages"])
    episodes = "1 episode" if result["deterministic_episodes"] else f"{protocol['evaluation_episodes']} episodes"
    sampled = (
        f" (the headline), and {protocol['evaluation_episodes']} with sampled actions, as many published tables have it"
    )
    return (
        f"Protocol: {protocol['adaptation_episodes']} adaptation episodes per step with sampled actions, then "
        + f"{episodes} with mode actions{sampled if both else ''}; "
        + ("success at any step of an episode; " if result["has_success"] else "")
        + "every task starts from the meta-parameters."
    )


_KINDS = {
    "rl": (_judge_policy, report),
    "examples": (_judge_examples, report_fewshot),
    "classes": (_judge_examples, report_fewshot),
}
