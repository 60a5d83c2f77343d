"""Tasks before and after adaptation, two dots each: for evaluations of two stages, between which a line says little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from meta_rl.evaluation.scores import Score
from meta_rl.visualise.page.charts import Series, chart

PAIRS = 120
"""Pairs in a picture."""


class Pairs(NamedTuple):
    """The same tasks (or families, or episodes) at two stages.

    Attributes:
        names: of each.
        what: one of them in a word.
        means: at both stages, with intervals.
        stages: what these are called.
        n: what the means are over.
    """

    names: Sequence[str]
    before: Sequence[float]
    after: Sequence[float]
    what: str
    means: tuple[Score, Score]
    stages: tuple[str, str]
    n: str


def pairs_chart(
    pairs: Pairs, name: str, show: Callable[[float], str], y_range: tuple[float, float] | None, log: bool = False
) -> Markup:
    """The pairs from the largest fall to the largest rise of the score `name`, of many evenly some; and the means."""
    gains = np.asarray(pairs.after) - np.asarray(pairs.before)
    order = np.lexsort((np.asarray(pairs.before), gains))
    order = order[np.unique(np.linspace(0, len(order) - 1, min(PAIRS, len(order))).round().astype(int))]
    xs, series = list(range(len(order))), []
    for style, values, called in zip(("before", "after"), (pairs.before, pairs.after), pairs.stages, strict=True):
        series.append(Series(xs, [float(values[i]) for i in order], f"{style} dots", called))
    ends = [-0.5, len(order) - 0.5]
    for style, mean, called in zip(("before", "after"), pairs.means, pairs.stages, strict=True):
        band = [mean.low] * 2, [mean.high] * 2
        series.append(Series(ends, [mean.mean] * 2, f"{style} mean", f"mean {called}", band, n=pairs.n, dash="6 4"))
    some = f"{len(order)} of {len(pairs.names)} " if len(order) < len(pairs.names) else ""
    plural = "families" if pairs.what == "family" else f"{pairs.what}s"
    label, names = f"{some}{plural}, sorted by what adaptation changes", [pairs.names[i] for i in order]
    return chart(series, label, name, show, y_range=y_range, log=log, names=names, joined=True)
