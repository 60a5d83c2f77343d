"""The report of a few-shot run: the adaptation curve, transductive and inductive, with baselines."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meta_rl.config import TrainConfig
from meta_rl.evaluation import markdown
from meta_rl.runs.log import training_seconds

SYNTHETIC = "The ratings are synthetic: these numbers prove that the code works, and nothing about recommendation."


def report_fewshot(config: TrainConfig, run_dir: Path, result: dict[str, Any]) -> str:
    """The report in Markdown; scores with half widths of their 95 % intervals over episodes."""
    shown, both = scores_shown(result), result["batch_statistics"]
    seconds = training_seconds(run_dir, result["iteration"])
    lines = [
        f"# {config.recipe} on {config.env}, seed {config.seed}",
        "",
        f"{result['iteration']} iterations of {config.meta_batch_size} tasks in {seconds:,.0f} s; evaluated on "
        f"{result['tasks']} {result['split']} episodes.",
        "",
    ]
    cells = [["adaptation steps", *(f"{name}, {kind}" for name, kind in shown)]]
    for stage in result["stages"]:
        cells.append([str(stage["adaptation_steps"]), *(show(name, stage[kind][name]) for name, kind in shown)])
    for label, scores in result["baselines"].items():
        cells.append([label, *(show(name, scores[name]) for name, _ in shown)])
    lines += markdown.table(cells)
    how = (
        "The network normalises over its batch: transductive scores see all queries of an episode at once, inductive "
        "ones each query alone beside the support."
        if both
        else "The network treats every query alone: transductive and inductive scores are the same."
    )
    lines += ["", f"Episodes depend on evaluation seed {result['protocol']['evaluation_seed']} alone, the same for "
              f"every learner; +- is 1.96 sd / sqrt(episodes). {how}"]  # fmt: skip
    if config.env.startswith("synthetic"):
        lines += ["", SYNTHETIC]
    return "\n".join([*lines, *closing(run_dir, result)])


def scores_shown(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each score of an evaluation with each kind of it that tells something, ``transductive`` or ``inductive``."""
    kinds = ("transductive", "inductive") if result["batch_statistics"] else ("inductive",)
    return [(name, kind) for name in result["stages"][0]["transductive"] for kind in kinds]


def closing(run_dir: Path, result: dict[str, Any]) -> list[str]:
    """The end of every report: what it was made with, and the command that makes the run again."""
    command = ["meta-rl", "train", "--config", str(run_dir / "config.json"), "--run-dir", "NEW_FOLDER"]
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
    return ["", f"Versions: {versions}.", "", f"Again: `{shlex.join(command)}`", ""]


def show(name: str, value: dict[str, float]) -> str:
    """A score with its interval: accuracy in per cent."""
    if name == "accuracy":
        return f"{100 * value['mean']:.2f} +- {100 * value['interval']:.2f} %"
    return f"{value['mean']:.3f} +- {value['interval']:.3f}"
