"""Summary statistics of evaluations (Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice")."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def interquartile_mean(values: FloatArray) -> float:
    """Mean of the middle half; at the quartiles, values count by the share that lies inside."""
    ordered = np.sort(values.ravel())
    n = len(ordered)
    # Value i covers the interval [i, i + 1] of a total n; the middle half is [n/4, 3n/4].
    edges = np.arange(n + 1)
    inside = np.clip(np.minimum(edges[1:], 0.75 * n) - np.maximum(edges[:-1], 0.25 * n), 0, None)
    return float((ordered * inside).sum() / inside.sum())


def bootstrap_interval(
    values: FloatArray,
    strata: Sequence[str],
    rng: np.random.Generator,
    statistic: Callable[[FloatArray], float] = lambda v: float(v.mean()),
    resamples: int = 2000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of `statistic` under resampling with replacement within strata.

    Args:
        values: one number per task ``[n]``.
        strata: the family of each task; each keeps its number of tasks in every resample.
    """
    labels = np.asarray(strata)
    groups = [np.flatnonzero(labels == label) for label in dict.fromkeys(strata)]
    draws = np.concatenate([group[rng.integers(len(group), size=(resamples, len(group)))] for group in groups], 1)
    estimates = np.array([statistic(values[draw]) for draw in draws])
    tail = (1 - confidence) / 2
    low, high = np.quantile(estimates, [tail, 1 - tail])
    return float(low), float(high)


def student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t distribution with that many degrees of freedom."""
    from scipy import stats  # a third of a second

    return float(stats.t.ppf(probability, freedom))
