"""Products of Gaussians: what several independent pieces of evidence say together.

    prod_n N(z; mu_n, s_n^2)  is proportional to  N(z; mu, s^2)
    1 / s^2 = sum_n 1 / s_n^2,    mu = s^2 sum_n mu_n / s_n^2

The two sums are all there is to keep, so evidence comes in pieces, in any order.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from meta_rl.maths.distributions import DiagonalGaussian


class Evidence(NamedTuple):
    """The two sums over factors, ``[..., dim]`` each; zeros without any."""

    precision: Tensor
    """Sum of 1 / s_n^2."""
    weighted: Tensor
    """Sum of mu_n / s_n^2."""

    @classmethod
    def none(cls, *shape: int) -> Evidence:
        """No factor so far."""
        return cls(torch.zeros(shape), torch.zeros(shape))

    @classmethod
    def of(cls, factors: DiagonalGaussian, weight: Tensor) -> Evidence:
        """The evidence of `factors` ``[..., n, dim]`` with `weight` ``[..., n]``; those of weight 0 do not count."""
        precision = torch.exp(-2 * factors.log_std) * weight.unsqueeze(-1)  # [..., n, dim]
        return cls(precision.sum(-2), (factors.mean * precision).sum(-2))

    def plus(self, other: Evidence) -> Evidence:
        """The evidence of both."""
        return Evidence(self.precision + other.precision, self.weighted + other.weighted)

    def product(self) -> DiagonalGaussian:
        """The product of the factors, normalised; the unit Gaussian where there are none."""
        seen = self.precision > 0
        precision = torch.where(seen, self.precision, torch.ones_like(self.precision))
        return DiagonalGaussian(torch.where(seen, self.weighted / precision, 0.0), -0.5 * precision.log())


def unit_gaussian(like: DiagonalGaussian) -> DiagonalGaussian:
    """Mean 0 and standard deviation 1, in the shape of another one."""
    return DiagonalGaussian(torch.zeros_like(like.mean), torch.zeros_like(like.log_std))
