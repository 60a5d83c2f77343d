"""The evidence lower bound of a belief that is revised at every step (Zintgraf et al. 2020, equations 7 to 9).

    ELBO_t = E_(m ~ q_t)[sum over all steps i of the trial, past and future, of log p(step i | m)]
             - kl_weight * KL(q_t || prior_t)

The prior at t is the belief a step before, at the first step the unit Gaussian.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from meta_rl.maths.distributions import DiagonalGaussian


def revision(belief: DiagonalGaussian, sequential: bool) -> Tensor:
    """``KL(q_t || prior_t)`` in nats ``[row, time]``.

    Args:
        belief: q, ``[row, time, latent]``.
        sequential: the prior is the belief a step before; else it is the unit Gaussian at every step.
    """
    # The unit Gaussian has mean 0 and log-deviation 0.
    before = (torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1) for x in belief)  # [row, time, latent] each
    return belief.kl(DiagonalGaussian(*before) if sequential else DiagonalGaussian(*map(torch.zeros_like, belief)))


def log_likelihood(expected: Tensor, seen: Tensor, std: float) -> Tensor:
    """Log-density ``[...]`` of `seen` under a Gaussian around `expected`, ``[..., n]``, with a fixed deviation."""
    return DiagonalGaussian(expected, torch.full_like(expected, math.log(std))).log_prob(seen)


def lower_bound(likelihood: Tensor, weight: Tensor, length: Tensor, kl: Tensor, kl_weight: float) -> Tensor:
    """ELBO of beliefs ``[row, belief]`` in nats, its sum over steps estimated from some of them without bias.

    Args:
        likelihood: ``[row, belief, step]``, log-densities of the steps given a sample of each belief.
        weight: ``[row, step]``, 1 for the steps that count.
        length: ``[row]``, steps of the trial, of which those that count are drawn.
        kl: ``[row, belief]``.
        kl_weight: weight of `kl`.
    """
    factor = length / weight.sum(1).clamp(min=1)  # [row]
    return (likelihood * weight.unsqueeze(1)).sum(-1) * factor.unsqueeze(1) - kl_weight * kl
