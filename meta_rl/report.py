"""Evaluate a run and say it: ``evaluation.json``, ``report.md``, what the terminal shows, and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import envs
from meta_rl.agent import Agent, load
from meta_rl.algorithms.fewshot import FewShotLearner
from meta_rl.checkpoint import replace_durably
from meta_rl.config import RECIPES, EvaluateConfig, TrainConfig, to_dict
from meta_rl.evaluate import evaluate
from meta_rl.evaluate_fewshot import evaluate_fewshot
from meta_rl.logging import read_rows
from meta_rl.recording import Recorder, Recording, about, replayed
from meta_rl.report_fewshot import closing, report_fewshot
from meta_rl.sources.fewshot import open_tasks
from meta_rl.train import versions, write_json

Say = Callable[[str], None]


def evaluate_run(
    run_dir: Path, protocol: EvaluateConfig, say: Say = print, split: str = "test", page: bool = False
) -> dict[str, Any]:
    """Evaluate the newest checkpoint of a run and write ``evaluation.json`` and ``report.md`` into its folder.

    Args:
        page: also write ``report.html``.
    Returns:
        The contents of ``evaluation.json``.
    """
    agent = load(run_dir)
    say(f"evaluating iteration {agent.iteration} on {agent.config.env}, {split} tasks")
    judge, describe = _KINDS[RECIPES[agent.config.recipe].learns]
    found, details, played = judge(agent, protocol, split, say, page)
    result = {
        "run": run_dir.name,
        "iteration": agent.iteration,
        "split": split,
        "protocol": to_dict(protocol),
        "versions": versions(),
        **found,
    }
    write_json(run_dir / "evaluation.json", {**result, "per_task": details})
    text = describe(agent.config, run_dir, result)
    replace_durably(run_dir / "report.md", text.encode())
    say(text)
    if page:
        say_page([run_dir], run_dir / "report.html", say, {} if played is None else {run_dir: played})
    else:
        say(f"report: {run_dir / 'report.md'}")
    return result


def say_page(run_dirs: Sequence[Path], out: Path, say: Say, played: Mapping[Path, Recording]) -> None:
    """Write the page of evaluated runs, and where it is; see `meta_rl.visualise.page.write_page`."""
    from meta_rl.visualise.page import write_page

    say(f"report: {write_page(run_dirs, out, say, played)}")


def _judge_policy(
    agent: Agent, protocol: EvaluateConfig, split: str, say: Say, page: bool
) -> tuple[dict[str, Any], Any, Recording | None]:
    distribution = envs.make(agent.config.env, split)
    recorder = Recorder(replayed(distribution, protocol)) if page else None
    evaluation = evaluate(agent.learner, agent.params, distribution, protocol, watch=recorder)
    played = recorder.recording(about(agent, protocol, split), evaluation) if recorder else None
    found = {
        "deterministic_episodes": distribution.deterministic,
        "task_distribution": distribution.fingerprint(),
        **evaluation.summary(),
        "stock": None,
    }
    if protocol.stock_goals:
        from meta_rl.stock_evaluation import stock_evaluation

        say("running Meta-World's own evaluator on the same policy")
        found["stock"] = stock_evaluation(agent, protocol, protocol.stock_goals)
    return found, evaluation.details(), played


def _judge_examples(
    agent: Agent, protocol: EvaluateConfig, split: str, say: Say, page: bool
) -> tuple[dict[str, Any], Any, None]:
    tasks, learner = open_tasks(agent.config, split), cast(FewShotLearner, agent.learner)
    evaluation = evaluate_fewshot(learner, agent.params, tasks, agent.config, protocol, split)
    network = {"batch_statistics": learner.policy.batch_statistics}
    found = {"task_distribution": tasks.fingerprint(), **network, **evaluation.summary()}
    return found, evaluation.details(), None


def report(config: TrainConfig, run_dir: Path, result: dict[str, Any]) -> str:
    """The report in Markdown."""
    rows = read_rows(run_dir / "metrics.jsonl")
    timing = read_rows(run_dir / "timing.jsonl")
    stages = result["stages"]
    lines = [
        f"# {config.recipe} on {config.env}, seed {config.seed}",
        "",
        f"{result['iteration']} iterations, {rows[-1]['env_steps'] if rows else 0:,.0f} env steps of training"
        + (f" in {sum(t['time/iteration'] for t in timing):,.0f} s" if timing else "")
        + f"; evaluated on {result['tasks']} {result['split']} tasks, {result['env_steps']:,} env steps.",
        "",
        "| adaptation steps | success (95 % interval) | return (95 % interval) | return, IQM |",
        "|---|---|---|---|",
    ]
    for stage in stages:
        low, high = stage["success_interval"]
        bottom, top = stage["return_interval"]
        lines.append(
            f"| {stage['adaptation_steps']} | {stage['success']:.1%} ({low:.1%} to {high:.1%}) "
            f"| {stage['return']:.2f} ({bottom:.2f} to {top:.2f}) | {stage['return_iqm']:.2f} |"
        )
    lines += ["", f"Before adaptation -> after: success {stages[0]['success']:.1%} -> {stages[-1]['success']:.1%}, "
              f"return {stages[0]['return']:.2f} -> {stages[-1]['return']:.2f}."]  # fmt: skip
    if len(stages[0]["success_by_family"]) > 1:
        lines += ["", "| family | success before | success after |", "|---|---|---|"]
        for family, before in stages[0]["success_by_family"].items():
            lines.append(f"| {family} | {before:.1%} | {stages[-1]['success_by_family'][family]:.1%} |")
    if result["stock"]:
        stock = result["stock"]
        lines += [
            "",
            "| after adaptation | ours (unbiased, per goal) | Meta-World's own evaluator (biased upward) |",
            "|---|---|---|",
            f"| success | {stages[-1]['success']:.1%} on {result['tasks']} goals "
            f"| {stock['success']:.1%} on {stock['goals_per_family']} goals per family |",
        ]
    protocol = result["protocol"]
    lines += [
        "",
        f"Protocol: {protocol['adaptation_episodes']} adaptation episodes per step with sampled actions, then "
        + ("1 episode" if result["deterministic_episodes"] else f"{protocol['evaluation_episodes']} episodes")
        + " with mode actions; success at any step of an episode; every task starts from the meta-parameters.",
        *closing(run_dir, result),
    ]
    return "\n".join(lines)


_KINDS = {
    "rl": (_judge_policy, report),
    "examples": (_judge_examples, report_fewshot),
    "classes": (_judge_examples, report_fewshot),
}
