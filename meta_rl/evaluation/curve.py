"""How good a run was while it trained: every checkpoint that it keeps, judged on the same test tasks.

One table (``evaluations/curve.md``), its numbers (``curve.json``) and a picture of it (``curve.png``). The evaluations
themselves stay beside it, so the next curve only does what is new.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from meta_rl.config import RECIPES, EvaluateConfig, load_config, to_dict
from meta_rl.evaluation import markdown
from meta_rl.evaluation.compare import write_summary
from meta_rl.evaluation.record import evaluations, files, ways_judged
from meta_rl.evaluation.report import evaluate_run, is_of
from meta_rl.evaluation.report_fewshot import scores_shown, show
from meta_rl.runs.checkpoint import CheckpointWarning
from meta_rl.runs.durable import CheckpointError
from meta_rl.runs.folder import iterations

Say = Callable[[str], None]
Result = Mapping[str, Any]
WHEN = ("before", "after")
"""Adaptation."""


class Score(NamedTuple):
    """A mean with its 95 % interval, and both in words."""

    mean: float
    low: float
    high: float
    text: str


def evaluate_kept(
    run_dir: Path, protocol: EvaluateConfig, command: str, say: Say = print, split: str = "test"
) -> dict[str, Any]:
    """Evaluate every kept checkpoint of a run that was not evaluated so before, say the table of all, and write it.

    A damaged checkpoint is left out, with a `CheckpointWarning`.

    Args:
        command: what makes the table, for its last line.
    Returns:
        The contents of ``curve.json``.
    Raises:
        ConfigError: there is no checkpoint.
        CheckpointError: all of them are damaged.
    """
    points, damaged = [], []
    for iteration, path in iterations(run_dir).items():
        try:
            points.append(_point(run_dir, iteration, path, protocol, split, say))
        except CheckpointError as error:
            damaged.append(iteration)
            warnings.warn(f"{error}; left out of the curve", CheckpointWarning, stacklevel=2)
    if not points:
        raise CheckpointError(f"no sound checkpoint in {run_dir}")
    config = load_config(run_dir / "config.json")
    summary = {
        "run": run_dir.name,
        "recipe": config.recipe,
        "env": config.env,
        "seed": config.seed,
        "split": split,
        "protocol": to_dict(protocol),
        "damaged": damaged,
        "points": points,
    }
    text, out = table(summary), files(run_dir, 0).evaluation.with_name("curve")
    say(text)
    write_summary(summary, text, out, command, lambda picture: plot(summary, picture))
    say(f"curve: {out.with_suffix('.md')}")
    return summary


def _point(
    run_dir: Path, iteration: int, checkpoint: Path, protocol: EvaluateConfig, split: str, say: Say
) -> dict[str, Any]:
    """The evaluation of one checkpoint, found or made, without what it says of each task."""
    for place, found in evaluations(run_dir, iteration):
        newer = place.evaluation.stat().st_mtime_ns >= checkpoint.stat().st_mtime_ns
        if newer and is_of(found, iteration, protocol, split):
            say(f"iteration {iteration} was evaluated before: {place.evaluation}")
            return _kept(run_dir, place.evaluation, found)
    say(f"evaluating iteration {iteration}, {split} tasks")
    result = evaluate_run(run_dir, protocol, lambda _: None, split, iteration=iteration)
    return _kept(run_dir, files(run_dir, iteration).evaluation, result)


def _kept(run_dir: Path, evaluation: Path, result: Result) -> dict[str, Any]:
    """A point of the curve: an evaluation without what the curve says itself, and without the numbers of each task."""
    left = ("run", "split", "protocol", "per_task")
    rest = {key: value for key, value in result.items() if key not in left}
    return {"evaluation": str(evaluation.relative_to(run_dir)), **rest}


def scores(summary: Result, point: Result) -> list[dict[str, Score]]:
    """The scores of a point by name, before adaptation and after it; only the first where nothing was adapted."""
    judged = _KINDS[RECIPES[summary["recipe"]].learns]
    stages = point["stages"]
    return [judged(point, stage) for stage in (stages[0], *stages[1:][-1:])]


def _acting(point: Result, stage: Result) -> dict[str, Score]:
    names = ("success", "return") if point["has_success"] else ("return",)
    found = {}
    for name in names:
        for prefix, way in ways_judged(point["stages"]).items():
            low, high = stage[f"{prefix}{name}_interval"]
            found[f"{name}{way}"] = Score(stage[prefix + name], low, high, markdown.score(stage, prefix, name))
    return found


def _predicting(point: Result, stage: Result) -> dict[str, Score]:
    found = {}
    for name, kind in scores_shown(point):
        value = stage[kind][name]
        mean, half = value["mean"], value["interval"]
        found[f"{name}, {kind}"] = Score(mean, mean - half, mean + half, show(name, value))
    return found


_KINDS: dict[str, Callable[[Result, Result], dict[str, Score]]] = {
    "rl": _acting,
    "examples": _predicting,
    "classes": _predicting,
}


def table(summary: Result) -> str:
    """The curve in Markdown: a row per checkpoint."""
    points = summary["points"]
    acts = any(point["train_env_steps"] for point in points)  # few-shot tasks have no env steps
    rows = []
    for point in points:
        stages = scores(summary, point)
        counters = [str(point["iteration"]), *([f"{point['train_env_steps']:,}"] if acts else [])]
        rows.append([*counters, *(stage[name].text for name in stages[0] for stage in stages)])
    heads = ["iteration", *(["env steps"] if acts else [])]
    heads += [f"{name}, {when}" for name in stages[0] for when in WHEN[: len(stages)]]
    steps = points[-1]["stages"][-1]["adaptation_steps"]
    lines = [
        f"{summary['recipe']} on {summary['env']}, seed {summary['seed']}: kept checkpoints on {points[-1]['tasks']} "
        f"{summary['split']} tasks, before and after adaptation (steps: {steps}); means with 95 % intervals",
        "",
        *markdown.table([heads, *rows]),
    ]
    if summary["damaged"]:
        lines += ["", f"Left out, because damaged: iteration {', '.join(map(str, summary['damaged']))}."]
    return "\n".join(lines)


def plot(summary: Result, path: Path) -> None:
    """A panel per score against env steps (few-shot: iterations): a colour per way of judging, dashed before
    adaptation, with 95 % intervals."""
    from matplotlib import pyplot as plt

    points = summary["points"]
    along = "train_env_steps" if any(point["train_env_steps"] for point in points) else "iteration"
    xs = [point[along] for point in points]
    curves = [scores(summary, point) for point in points]  # [point][stage][name]
    names = list(curves[0][0])
    titles = list(dict.fromkeys(name.partition(",")[0] for name in names))
    size = (4.5 * len(titles), 3.6)
    figure, axes = plt.subplots(1, len(titles), figsize=size, dpi=80, constrained_layout=True, squeeze=False)
    for axis, title in zip(axes[0], titles, strict=True):
        for colour, name in enumerate(name for name in names if name.partition(",")[0] == title):
            for stage in range(len(curves[0])):
                values = [curve[stage][name] for curve in curves]
                style = {"color": f"C{colour}", "linestyle": ("--", "-")[stage], "marker": "o", "markersize": 4}
                axis.plot(xs, [value.mean for value in values], label=f"{name}, {WHEN[stage]}", **style)
                low, high = [value.low for value in values], [value.high for value in values]
                axis.fill_between(xs, low, high, color=f"C{colour}", alpha=0.12, linewidth=0)
        axis.set(title=title, xlabel="env steps" if along == "train_env_steps" else "iteration")
        axis.legend(fontsize=7)
    figure.suptitle(f"{summary['env']}, {summary['split']} tasks: mean and 95 % interval", fontsize=9)
    figure.savefig(path)
    plt.close(figure)
