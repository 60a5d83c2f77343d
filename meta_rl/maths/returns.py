"""Returns and advantages over the last axis (time).

Padding after the end of an episode must hold reward 0 and value 0; then no mask is needed. Termination and
truncation differ only in `bootstrap`, the value of the state after the last valid step: 0 when the episode
terminated, or when the objective is the finite-horizon return (as MAML and its linear baseline have it).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from meta_rl.maths.sequences import last_steps


def discounted_returns(reward: Tensor, discount: float) -> Tensor:
    """``G_t = r_t + discount * G_{t+1}``; `reward` and result ``[..., time]``."""
    returns = torch.empty_like(reward)
    running = torch.zeros_like(reward[..., 0])
    for t in range(reward.shape[-1] - 1, -1, -1):
        running = reward[..., t] + discount * running
        returns[..., t] = running
    return returns


SLOPE = 1e-3
"""Slope that `compress` has at least (Kapturowski et al. 2019)."""


def compress(value: Tensor) -> Tensor:
    """``h(x) = sign(x) (sqrt(|x| + 1) - 1) + SLOPE x`` (Pohlen et al. 2018, proposition A.2): 1,000 becomes 32, and 10
    becomes 2.3, so that a network which errs by as much on both errs on the small one by less. float64."""
    return value.sign() * ((value.abs() + 1).sqrt() - 1) + SLOPE * value


def expand(value: Tensor) -> Tensor:
    """The inverse of `compress`. float64."""
    root = (1 + 4 * SLOPE * (value.abs() + 1 + SLOPE)).sqrt()
    return value.sign() * (((root - 1) / (2 * SLOPE)).square() - 1)


def gae(reward: Tensor, value: Tensor, valid: Tensor, bootstrap: Tensor, discount: float, gae_lambda: float) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16).

    Args:
        reward, value: ``[..., time]``.
        valid: bool ``[..., time]``, a prefix of each episode.
        bootstrap: ``[...]``, value after the last valid step.
        discount, gae_lambda: in [0, 1].
    Returns:
        Advantages ``[..., time]``, 0 where not valid.
    """
    next_value = torch.cat([value[..., 1:], torch.zeros_like(value[..., :1])], -1)
    next_value = torch.where(last_steps(valid), bootstrap.unsqueeze(-1), next_value)
    delta = torch.where(valid, reward + discount * next_value - value, torch.zeros_like(reward))
    return discounted_returns(delta, discount * gae_lambda)


def normalise(advantage: Tensor, valid: Tensor, total: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
    """Zero mean and unit standard deviation over ``[env, time]`` of each task; 0 where not valid.

    Args:
        advantage, valid: ``[task, env, time]``.
        total: maps the sum over this process to the sum over all that share the mean (`parallel.sum_of`).
    """
    weight = valid.to(advantage.dtype)
    count = total(weight.sum((-2, -1), keepdim=True))
    mean = total((advantage * weight).sum((-2, -1), keepdim=True)) / count
    centred = (advantage - mean) * weight
    std = (total(centred.square().sum((-2, -1), keepdim=True)) / count).sqrt()
    return centred / (std + 1e-8)
