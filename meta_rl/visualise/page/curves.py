"""Curves on the page of a run: adaptation on test tasks, training, and what else training measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from meta_rl.evaluation.gain import LESS_IS_BETTER
from meta_rl.evaluation.scores import RATES
from meta_rl.evaluation.words import StageNames
from meta_rl.runs.log import Row
from meta_rl.visualise.page.charts import SMALL_FRAME, Series, chart, number, percent
from meta_rl.visualise.page.pairs import Pairs, pairs_chart
from meta_rl.visualise.page.smoothing import is_smoothed, smoothed, thinned

RANGES = {"success": (0.0, 1.0)}
"""Scores whose axis shows all values that there are."""
SMOOTH = "line: moving average; faint: each iteration"
SMALL_POINTS = 120
"""Points of a line in a small chart."""


class Lines(NamedTuple):
    """An adaptation chart.

    Attributes:
        legend: classes of the style sheet with what they stand for.
        whole_x: ticks at every adaptation step.
        axis: what stages are plotted against.
        pairs: drawn in place of the lines, where there are two stages.
    """

    series: list[Series]
    legend: list[tuple[str, str]]
    note: str
    whole_x: bool
    axis: str
    pairs: Pairs | None = None


def titled(name: str) -> str:
    """A score in a title: short names are acronyms."""
    return name if len(name) > 4 else name.upper()


def axis_words(name: str) -> Callable[[float], str]:
    """How an axis says a value of a score."""
    return percent if name in RATES else number


def with_scales(name: str, values: Sequence[float], draw: Callable[[bool], Markup]) -> dict[str, Any]:
    """A chart that `draw` draws with a linear y axis; of losses that differ by more than ten times with a logarithmic
    one too, which a reader can choose."""
    low, high = min(values), max(values)
    wide = name in LESS_IS_BETTER and low > 0 and high > 10 * low
    return {"svg": draw(False), "log_svg": draw(True) if wide else None}


def adaptation_chart(name: str, lines: Lines) -> dict[str, Any]:
    """The chart of a score over stages, for `assets/page.html`."""
    pairs, legend, note = lines.pairs, lines.legend, lines.note
    if pairs:
        legend = [("before dots", pairs.stages[0]), ("after dots", pairs.stages[1])]
        legend.append(("after mean", "means, 95 % interval"))
        values = [*pairs.before, *pairs.after, *(mean.low for mean in pairs.means)]
    else:
        values = [value for s in lines.series for edge in s.edges for value in edge]

    def draw(log: bool) -> Markup:
        if pairs:
            return pairs_chart(pairs, titled(name), axis_words(name), RANGES.get(name), log)
        return chart(lines.series, lines.axis, titled(name), axis_words(name), lines.whole_x, RANGES.get(name), log)

    found = {"id": f"adaptation-{name}", "title": f"Adaptation: {titled(name)}", "note": note, "legend": legend}
    return found | with_scales(name, values, draw)


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


def first_and_last(row: Row, name: str) -> list[int]:
    """The first stage of training and the last, of a score; one where they are the same."""
    stages = [int(key.rsplit("_", 1)[1]) for key in row if key.startswith(f"{name}/stage_")]
    return sorted({min(stages), max(stages)})


def training_line(xs: Sequence[float], ys: Sequence[float], style: str, label: str, most: int = 300) -> Series:
    """A metric while training: long ones smoothed, with the values behind; values that are not finite are left out."""
    kept = [i for i, y in enumerate(ys) if math.isfinite(y)]
    xs, ys = [xs[i] for i in kept], [ys[i] for i in kept]
    shown = thinned(ys, most)
    smooth = smoothed(ys) if is_smoothed(ys) else np.asarray(ys, float)
    raw = [ys[i] for i in shown] if is_smoothed(ys) else None
    return Series([xs[i] for i in shown], [float(smooth[i]) for i in shown], style, label, raw=raw)


def _stages(rows: Sequence[Row], name: str, names: StageNames) -> dict[str, Any]:
    """A line per stage of meta-training: the first and the last."""
    shown = first_and_last(rows[0], name)
    xs = [row["env_steps"] for row in rows]
    styles = dict(zip(shown, ("before", "after"), strict=False))
    words = {stage: names.name(stage) for stage in shown}
    series = [training_line(xs, [row[f"{name}/stage_{s}"] for row in rows], styles[s], words[s]) for s in shown]
    svg = chart(series, "env steps", name, axis_words(name), False, RANGES.get(name))
    note = "sampled actions, training tasks of each iteration"
    return _training(name, note, rows) | {"svg": svg, "legend": [(styles[stage], words[stage]) for stage in shown]}


def _answers(rows: Sequence[Row], name: str) -> dict[str, Any]:
    """The line of a score on the query examples."""
    xs, ys = ([row[key] for row in rows] for key in ("iteration", f"query/{name}"))
    line = training_line(xs, ys, "after", f"training {name}")
    scales = with_scales(
        name,
        [*line.ys, *(line.raw or ())],
        lambda log: chart([line], "iteration", titled(name), axis_words(name), True, log=log),
    )
    return _training(name, "query examples of each iteration's tasks", rows) | scales


def _training(name: str, note: str, rows: Sequence[Row]) -> dict[str, Any]:
    note = f"{note}; {SMOOTH}" if is_smoothed(rows) else note
    return {"id": f"training-{name}", "title": f"Training: {titled(name)}", "note": note}


def diagnostics(rows: Sequence[Row], timing: Sequence[Row], names: Sequence[str]) -> list[dict[str, Any]]:
    """Small charts of all other metrics, those that ever change; seconds and env steps per second are from `timing`.

    Args:
        names: scores, which have charts of their own.
    """
    own = ("iteration", "env_steps", *(f"{name}/" for name in names), "query/")
    found = [(key, rows) for key in (rows[0] if rows else ()) if not key.startswith(own)]
    found += [(key, timing) for key in (timing[0] if timing else ()) if key.startswith("time/")]
    charts = [_small(key, [row for row in source if key in row]) for key, source in found]
    return [each for each in charts if each]


def _small(key: str, rows: Sequence[Row]) -> dict[str, Any] | None:
    """A small chart of a metric; None where it never changes."""
    values = [row[key] for row in rows]
    finite = {value for value in values if math.isfinite(value)}
    if len(finite) < 2:
        return None
    group, _, name = key.partition("/")
    called = name.replace("_", " ") or group
    line = training_line([row["iteration"] for row in rows], values, "after", called, SMALL_POINTS)
    return {"title": called, "note": group, "svg": chart([line], "iteration", called, whole_x=True, frame=SMALL_FRAME)}
