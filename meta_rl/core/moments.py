"""Running mean and standard deviation as tensors that a checkpoint can hold."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor

from meta_rl.core import parallel


class Moments(NamedTuple):
    """Statistics of all values seen so far; float64 scalars."""

    seen: Tensor
    mean: Tensor
    square: Tensor
    """Sum of squared deviations from the mean."""

    @classmethod
    def empty(cls) -> Self:
        """Nothing seen: mean 0, standard deviation 1."""
        return cls(*(torch.zeros((), dtype=torch.float64) for _ in cls._fields))

    @property
    def std(self) -> Tensor:
        """Standard deviation, 1 before anything was seen; never below 1e-6."""
        spread = (self.square / self.seen.clamp(min=1)).sqrt().clamp(min=1e-6)
        return torch.where(self.seen > 0, spread, torch.ones_like(spread))

    def update(self, values: Tensor, weight: Tensor) -> Moments:
        """With `values` where `weight` (same shape) is 1, of all processes that share the update, merged as by Chan,
        Golub and LeVeque (1979)."""
        values, weight = values.double(), weight.double()
        count, mean = parallel.sums([weight.sum(), (values * weight).sum()])
        mean = mean / count
        square = parallel.sum_of(((values - mean).square() * weight).sum())
        total, shift = self.seen + count, mean - self.mean
        return Moments(
            total, self.mean + shift * count / total, self.square + square + shift.square() * self.seen * count / total
        )
