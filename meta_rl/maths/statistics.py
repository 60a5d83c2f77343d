"""Summary statistics of evaluations (Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice")."""

from __future__ import annotations

import math
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
    """Quantile of Student's t distribution with a whole number of degrees of freedom.

    By bisection of its distribution function, which is a finite sum then (Abramowitz and Stegun 26.7.3 and 26.7.4).

    Args:
        probability: at least 0.5, below 1.
    """
    low, high = 0.0, 1.0
    while _student_below(high, freedom) < probability:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _student_below(middle, freedom) < probability else (low, middle)
    return high


def _student_below(t: float, freedom: int) -> float:
    """Probability of a value below `t`, which is not negative."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine, odd = math.cos(angle), freedom % 2
    term = cosine if odd else 1.0
    terms = []
    for k in range(2 + odd, freedom, 2):  # each term by its factor from the one before
        terms.append(term)
        term *= cosine**2 * (k - 1) / k
    if freedom > 1:
        terms.append(term)
    inside = math.sin(angle) * math.fsum(terms)
    return 0.5 + (angle + inside) / math.pi if odd else 0.5 + inside / 2
