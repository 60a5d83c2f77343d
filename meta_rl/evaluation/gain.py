"""What adaptation changed: differences of the same tasks before and after, and whether they are more than chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from meta_rl.core.seeding import Purpose, generator
from meta_rl.evaluation.scores import Score
from meta_rl.maths.statistics import FloatArray, bootstrap_interval

MORE_IS_BETTER = ("return", "success", "accuracy", "ndcg")
LESS_IS_BETTER = ("mse", "rmse", "mae")
BETTER, WORSE, UNCLEAR = "better", "worse", "no clear difference"
SAME, UNKNOWN = "no difference on any task", "too few tasks to say"


class Gain(NamedTuple):
    """A change with its 95 % interval; no interval (None) where tasks are too few for one."""

    change: float
    interval: tuple[float, float] | None

    def verdict(self, name: str) -> str:
        """Better, worse, or no (clear) difference, for a score called `name`. Higher or lower
        for a score of which nothing is known."""
        if self.interval is None:
            return UNKNOWN
        low, high = self.interval
        if low <= 0 <= high:
            return UNCLEAR if low < high else SAME
        if name in MORE_IS_BETTER:
            return BETTER if low > 0 else WORSE
        if name in LESS_IS_BETTER:
            return WORSE if low > 0 else BETTER
        return "higher" if low > 0 else "lower"


def bootstrap_gain(
    before: FloatArray, after: FloatArray, families: Sequence[str], statistic: Callable[[FloatArray], float]
) -> Gain:
    """How `statistic` changes over tasks ``[n]``. Tasks are drawn anew within families, each with both its numbers."""
    change = statistic(after) - statistic(before)
    if len(set(families)) == len(families):
        return Gain(change, None)
    both = np.stack([before, after], 1)
    rng = generator(0, Purpose.BOOTSTRAP)
    low_high = bootstrap_interval(both, families, rng, lambda v: statistic(v[:, 1]) - statistic(v[:, 0]))
    return Gain(change, low_high)


def normal_gain(before: FloatArray, after: FloatArray) -> Gain:
    """The mean change over episodes ``[n]``, with a normal interval of the differences."""
    score = Score.normal(after - before)
    return Gain(score.mean, (score.low, score.high) if len(before) > 1 else None)


def within_families(values: FloatArray, families: Sequence[str]) -> FloatArray:
    """FloatArray ``[task, ...]`` scaled so that the lowest of each family is 0 and its highest 1; families of different
    scale then count alike. All 0 where a family has but one value."""
    scaled = np.zeros_like(values, dtype=np.float64)
    for family in dict.fromkeys(families):
        rows = [i for i, other in enumerate(families) if other == family]
        low, high = values[rows].min(), values[rows].max()
        scaled[rows] = (values[rows] - low) / (high - low) if high > low else 0.0
    return scaled


def best(scores: Sequence[float], name: str) -> int:
    """Position of the best of `scores`, the first one of equals."""
    return int(np.argmin(scores) if name in LESS_IS_BETTER else np.argmax(scores))
