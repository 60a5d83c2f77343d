"""Curves on the page of a run: adaptation on test tasks, and training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from meta_rl.evaluation.scores import RATES
from meta_rl.evaluation.words import StageNames
from meta_rl.runs.log import Row
from meta_rl.visualise.page.charts import Series, chart, number, percent

RANGES = {"success": (0.0, 1.0)}
"""Scores whose axis shows all values that there are."""


class Lines(NamedTuple):
    """An adaptation chart.

    Attributes:
        legend: classes of the style sheet with what they stand for.
        whole_x: ticks at every adaptation step.
        axis: what stages are plotted against.
    """

    series: list[Series]
    legend: list[tuple[str, str]]
    note: str
    whole_x: bool
    axis: str


def adaptation_chart(name: str, lines: Lines) -> dict[str, Any]:
    """The chart of a score over stages, for `assets/page.html`."""
    return {
        "id": f"adaptation-{name}",
        "title": f"Adaptation: {name}",
        "note": lines.note,
        "legend": lines.legend,
        "svg": chart(lines.series, lines.axis, name, _in_words(name), lines.whole_x, RANGES.get(name)),
    }


def training_charts(rows: Sequence[Row], names: Sequence[str], memory: bool) -> list[dict[str, Any]]:
    """Charts of the metrics of training: of the scores `names` of a policy at each stage, and of all scores of labelled
    examples.

    Args:
        memory: whether a stage is an episode that is remembered (see `StageNames`).
    """
    keys = sorted(rows[0]) if rows else []
    staged = [name for name in names if f"{name}/stage_0" in keys]
    answered = [key.removeprefix("query/") for key in keys if key.startswith("query/")]
    return [*(_stages(rows, name, StageNames(memory)) for name in staged), *(_answers(rows, name) for name in answered)]


def _stages(rows: Sequence[Row], name: str, names: StageNames) -> dict[str, Any]:
    """A line per stage of meta-training: the first and the last."""
    stages = sorted(int(key.rsplit("_", 1)[1]) for key in rows[0] if key.startswith(f"{name}/stage_"))
    shown = [stages[0], *([stages[-1]] if len(stages) > 1 else [])]
    xs = [row["env_steps"] for row in rows]
    styles = dict(zip(shown, ("before", "after"), strict=False))
    words = {stage: names.name(stage) for stage in shown}
    series = [Series(xs, [row[f"{name}/stage_{s}"] for row in rows], styles[s], words[s]) for s in shown]
    svg = chart(series, "env steps", name, _in_words(name), False, RANGES.get(name))
    note = "sampled actions, training tasks of each iteration"
    return _training(name, note, svg) | {"legend": [(styles[stage], words[stage]) for stage in shown]}


def _answers(rows: Sequence[Row], name: str) -> dict[str, Any]:
    """The line of a score on the query examples."""
    xs, ys = ([row[key] for row in rows] for key in ("iteration", f"query/{name}"))
    svg = chart([Series(xs, ys, "after", f"training {name}")], "iteration", name, _in_words(name))
    return _training(name, "query examples of each iteration's tasks", svg)


def _training(name: str, note: str, svg: str) -> dict[str, Any]:
    return {"id": f"training-{name}", "title": f"Training: {name}", "note": note, "svg": svg}


def _in_words(name: str) -> Any:
    """How an axis says a value of a score."""
    return percent if name in RATES else number
