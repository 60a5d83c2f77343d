"""How good a run was while it trained: every checkpoint that it keeps, judged on the same test tasks.

One table (``evaluations/curve.md``), its numbers (``curve.json``) and a picture of it (``curve.png``). The evaluations
themselves stay beside it, so the next curve only does what is new.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meta_rl.config import EvaluateConfig, load_config, to_dict
from meta_rl.errors import Say
from meta_rl.evaluation import markdown
from meta_rl.evaluation.compare import write_summary
from meta_rl.evaluation.forms import write_record
from meta_rl.evaluation.record import evaluations, files
from meta_rl.evaluation.report import evaluate_run, is_of
from meta_rl.evaluation.scores import Record, Score, show, ways_in_words
from meta_rl.runs.checkpoint import CheckpointWarning
from meta_rl.runs.display import Display, Part
from meta_rl.runs.durable import CheckpointError
from meta_rl.runs.folder import iterations

WHEN = ("before", "after")
"""Adaptation."""


@dataclass(frozen=True)
class Point:
    """A checkpoint with its evaluation, and where that lies in the run's folder."""

    evaluation: str
    record: Record

    def scores(self, names: Sequence[str]) -> list[dict[str, Score]]:
        """The scores called `names` by name and way, in words, before adaptation and after it; only the first where
        nothing was adapted."""
        record, words = self.record, ways_in_words(self.record.ways)
        ends = (record.stages[0], *record.stages[1:][-1:])
        return [
            {f"{name}{word}": stage.scores[way][name] for name in names for way, word in words.items()}
            for stage in ends
        ]


@dataclass(frozen=True)
class Curve:
    """The kept checkpoints of a run.

    Attributes:
        protocol: by which all were judged.
        damaged: iterations whose checkpoints cannot be read.
    """

    run: str
    recipe: str
    env: str
    seed: int
    split: str
    protocol: EvaluateConfig
    damaged: list[int]
    points: list[Point]

    @property
    def names(self) -> list[str]:
        """The scores that all points have: success may be unknown at some."""
        records = [point.record for point in self.points]
        return [name for name in records[0].names if all(name in record.names for record in records)]

    @property
    def acts(self) -> bool:
        """Whether training takes env steps; few-shot tasks have none."""
        return any(point.record.train_env_steps for point in self.points)


def evaluate_kept(
    run_dir: Path, protocol: EvaluateConfig, command: str, say: Say = print, split: str = "test", data: str = ""
) -> Curve:
    """Evaluate every kept checkpoint of a run that was not evaluated so before, say the table of all, and write it.

    A damaged checkpoint is left out, with a `CheckpointWarning`.

    Args:
        command: what makes the table, for its last line.
        data: where the data of a few-shot run lies, if it has moved.
    Returns:
        What ``curve.json`` holds.
    Raises:
        ConfigError: there is no checkpoint.
        CheckpointError: all of them are damaged.
    """
    points, damaged, display = [], [], Display.of(say)
    for iteration, path in iterations(run_dir).items():
        try:
            points.append(_point(run_dir, iteration, path, protocol, split, display, data))
        except CheckpointError as error:
            damaged.append(iteration)
            warnings.warn(f"{error}; left out of the curve", CheckpointWarning, stacklevel=2)
    if not points:
        raise CheckpointError(f"no sound checkpoint in {run_dir}")
    config = load_config(run_dir / "config.json")
    curve = Curve(run_dir.name, config.recipe, config.env, config.seed, split, protocol, damaged, points)
    parts, out = curve_parts(curve), files(run_dir, 0).evaluation.with_name("curve")
    text = markdown.document(parts)
    display.document(parts, text)
    write_summary(_json(curve), text, out, command, lambda picture: plot_curve(curve, picture))
    display.place("curve", out.with_suffix(".md"))
    return curve


def _point(
    run_dir: Path, iteration: int, checkpoint: Path, protocol: EvaluateConfig, split: str, display: Display, data: str
) -> Point:
    """The evaluation of one checkpoint, found or made."""
    for place, found in evaluations(run_dir, iteration):
        newer = place.evaluation.stat().st_mtime_ns >= checkpoint.stat().st_mtime_ns
        if newer and is_of(found, iteration, protocol, split):
            display(f"iteration {iteration} was evaluated before: {place.evaluation}")
            return Point(str(place.evaluation.relative_to(run_dir)), found)
    display(f"evaluating iteration {iteration}, {split} tasks")
    record = evaluate_run(run_dir, protocol, replace(display, say=lambda _: None), split, iteration, data=data)
    return Point(str(files(run_dir, iteration).evaluation.relative_to(run_dir)), record)


def _json(curve: Curve) -> dict[str, Any]:
    """The contents of ``curve.json``: of every point its evaluation without what the curve says itself, and without the
    numbers of each task."""
    left = ("run", "split", "protocol", "per_task")
    points = [
        {"evaluation": point.evaluation}
        | {key: value for key, value in write_record(point.record).items() if key not in left}
        for point in curve.points
    ]
    return vars(curve) | {"protocol": to_dict(curve.protocol), "points": points}


def curve_parts(curve: Curve) -> list[Part]:
    """The curve as a document: a row per checkpoint."""
    rows = []
    for point in curve.points:
        stages = point.scores(curve.names)
        counters = [str(point.record.iteration), *([f"{point.record.train_env_steps:,}"] if curve.acts else [])]
        rows.append([*counters, *(show(_name(name), stage[name]) for name in stages[0] for stage in stages)])
    heads = ["iteration", *(["env steps"] if curve.acts else [])]
    heads += [f"{name}, {when}" for name in stages[0] for when in WHEN[: len(stages)]]
    last = curve.points[-1].record
    title = (
        f"{curve.recipe} on {curve.env}, seed {curve.seed}: kept checkpoints on {last.tasks} {curve.split} tasks, "
        f"before and after adaptation (steps: {last.stages[-1].steps}); means with 95 % intervals"
    )
    parts = [Part(title, role="bold"), Part(cells=[heads, *rows])]
    if curve.damaged:
        parts.append(Part(f"Left out, because damaged: iteration {', '.join(map(str, curve.damaged))}."))
    return parts


def _name(column: str) -> str:
    """The name of a score without its way."""
    return column.partition(",")[0]


def plot_curve(curve: Curve, path: Path) -> None:
    """A panel per score against env steps (few-shot: iterations): a colour per way of judging, dashed before
    adaptation, with 95 % intervals."""
    from matplotlib import pyplot as plt

    records = [point.record for point in curve.points]
    xs = [record.train_env_steps if curve.acts else record.iteration for record in records]
    curves = [point.scores(curve.names) for point in curve.points]  # [point][stage][name]
    names = list(curves[0][0])
    titles = list(dict.fromkeys(map(_name, names)))
    size = (4.5 * len(titles), 3.6)
    figure, axes = plt.subplots(1, len(titles), figsize=size, dpi=80, constrained_layout=True, squeeze=False)
    for axis, title in zip(axes[0], titles, strict=True):
        for colour, name in enumerate(name for name in names if _name(name) == title):
            for stage in range(len(curves[0])):
                values = [scores[stage][name] for scores in curves]
                style = {"color": f"C{colour}", "linestyle": ("--", "-")[stage], "marker": "o", "markersize": 4}
                axis.plot(xs, [value.mean for value in values], label=f"{name}, {WHEN[stage]}", **style)
                low, high = [value.low for value in values], [value.high for value in values]
                axis.fill_between(xs, low, high, color=f"C{colour}", alpha=0.12, linewidth=0)
        axis.set(title=title, xlabel="env steps" if curve.acts else "iteration")
        axis.legend(fontsize=7)
    figure.suptitle(f"{curve.env}, {curve.split} tasks: mean and 95 % interval", fontsize=9)
    figure.savefig(path)
    plt.close(figure)
