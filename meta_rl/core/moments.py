"""Running mean and standard deviation as tensors that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self

import torch
from torch import Tensor

from meta_rl.core import parallel


class Moments(NamedTuple):
    """Statistics of all values seen so far, of one number or of several side by side; float64."""

    seen: Tensor
    """How many values, a scalar."""
    mean: Tensor
    """``[...]``."""
    square: Tensor
    """Sum of squared deviations from the mean, ``[...]``."""

    @classmethod
    def empty(cls, *shape: int) -> Self:
        """Statistics of no values: mean 0, standard deviation 1.

        Args:
            shape: of the numbers side by side.
        """
        return cls(*(torch.zeros(size, dtype=torch.float64) for size in ((), shape, shape)))

    @classmethod
    def of(cls, extras: Mapping[str, Tensor]) -> Self:
        """Statistics among the extras of a `meta_rl.core.state.TrainState`, where `_asdict` has put them."""
        return cls(*(extras[name] for name in cls._fields))

    @classmethod
    def among(cls, extras: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of `of`, or none where there are no such statistics."""
        return {name: tensor for name, tensor in extras.items() if name in cls._fields}

    @property
    def std(self) -> Tensor:
        """Standard deviation, 1 before anything was seen; never below 1e-6."""
        spread = (self.square / self.seen.clamp(min=1)).sqrt().clamp(min=1e-6)
        return torch.where(self.seen > 0, spread, torch.ones_like(spread))

    def merge(self, other: Moments) -> Moments:
        """Statistics of the values of both (Chan, Golub and LeVeque 1979). The order matters in the last digits."""
        count, shift = other.seen, other.mean - self.mean
        total = (self.seen + count).clamp(min=1)
        return Moments(
            self.seen + count,
            self.mean + shift * count / total,
            self.square + other.square + shift.square() * self.seen * count / total,
        )

    def update(self, values: Tensor, weight: Tensor) -> Moments:
        """Statistics that also cover the `values` with `weight` (same shape) 1, of all processes that share the update.
        For one number only."""
        values, weight = values.double(), weight.double()
        count, mean = parallel.sums([weight.sum(), (values * weight).sum()])
        mean = mean / count
        square = parallel.sum_of(((values - mean).square() * weight).sum())
        return self.merge(Moments(count, mean, square))
