"""Long lines for a page: smoothed, and thinned to what a picture can show."""

from __future__ import annotations

import itertools
from collections.abc import Sequence, Sized

import numpy as np
from numpy.typing import ArrayLike

from meta_rl.maths.statistics import FloatArray

LEAST_SMOOTHED = 20
"""Shorter lines are not smoothed."""
SMOOTHING_SPAN = 0.05
"""Share of a line over which its moving average reaches, at least `LEAST_SPAN` values."""
LEAST_SPAN = 5
LINE_POINTS = 300
"""Points of a line."""


def smoothed(values: ArrayLike) -> FloatArray:
    """The exponential moving average of values ``[..., time]``, each weighed less by the same factor than the one after
    it. It begins with the first value, and passes over what is not finite."""
    found = np.array(values, np.float64)
    keep = 1 - 2 / (max(SMOOTHING_SPAN * found.shape[-1], LEAST_SPAN) + 1)
    total, weight = np.zeros(found.shape[:-1]), np.zeros(found.shape[:-1])
    for i in range(found.shape[-1]):
        here = np.isfinite(found[..., i])
        total = keep * total + (1 - keep) * np.where(here, found[..., i], 0)
        weight = keep * weight + (1 - keep) * here
        found[..., i] = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)
    return found


def is_smoothed(values: Sized) -> bool:
    """Whether a line is long enough to be smoothed."""
    return len(values) >= LEAST_SMOOTHED


def thinned(values: Sequence[float] | FloatArray, most: int = LINE_POINTS) -> list[int]:
    """Places that show a line: all, or of each of equal stretches the lowest and the highest value; both ends."""
    found, count = np.asarray(values, np.float64), len(values)
    if count <= most:
        return list(range(count))
    cuts = np.linspace(0, count, most // 2 + 1).astype(int)
    kept = {0, count - 1}
    for start, end in itertools.pairwise(cuts.tolist()):
        kept |= {start + int(np.argmin(found[start:end])), start + int(np.argmax(found[start:end]))}
    return sorted(kept)
