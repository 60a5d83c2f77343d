"""Policy losses over a `Batch`, all weighted means over its steps; last, the supervised losses over `Examples`.

The three inner objectives have the same first derivative where the policy is the one that acted, the policy gradient
``-mean(grad log pi(a_t|s_t) * A_t)``. They differ in the second derivative, which second-order MAML needs:

* `likelihood_ratio` (recipes: lvc) keeps, step by step, the product of the two score functions: the low-variance
  curvature of ProMP (Rothfuss et al. 2019, eq. 6). It drops the cross terms between different steps.
* `dice` has every term: unbiased at any order (Foerster et al. 2018; with advantages, Farquhar et al. 2019, eq. 9),
  at a higher variance that grows with the horizon.
* `score`, plain ``log pi * A``, has none of them and is biased: what automatic differentiation gives by default.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from meta_rl.core.types import Batch, Examples
from meta_rl.maths.distributions import Distribution

PolicyLoss = Callable[[Distribution, Batch], Tensor]
SupervisedLoss = Callable[[Tensor, Examples], Tensor]


def weighted_mean(value: Tensor, weight: Tensor) -> Tensor:
    """Mean of `value` under `weight`; 0 if all weights are 0, as for a task that has no steps in a minibatch, or a user
    without ratings in one."""
    total = weight.sum()
    return (value * weight).sum() / torch.where(total > 0, total, 1)


def likelihood_ratio(distribution: Distribution, batch: Batch) -> Tensor:
    """``-mean(pi(a|s) / pi_recorded(a|s) * A)``."""
    ratio = (distribution.log_prob(batch.action) - batch.log_prob).exp()
    return -weighted_mean(ratio * batch.advantage, batch.weight)


def dice(distribution: Distribution, batch: Batch) -> Tensor:
    """``-mean((box(sum_{s<=t} log pi_s) - box(sum_{s<t} log pi_s)) * A_t)`` with ``box(x) = exp(x - stop(x))``, whose
    value is 1 and whose derivatives are those of the likelihood ratio of the whole past."""
    log_prob = distribution.log_prob(batch.action) * (batch.weight > 0)
    through = log_prob.cumsum(-1)
    before = through - log_prob
    difference = (through - through.detach()).exp() - (before - before.detach()).exp()
    return -weighted_mean(difference * batch.advantage, batch.weight)


OF_WHOLE_EPISODES: tuple[PolicyLoss, ...] = (dice,)
"""Losses in which a step counts by all steps before it: they cannot be read off some steps of an episode."""


def score(distribution: Distribution, batch: Batch) -> Tensor:
    """``-mean(log pi(a|s) * A)``."""
    return -weighted_mean(distribution.log_prob(batch.action) * batch.advantage, batch.weight)


def clipped(distribution: Distribution, batch: Batch, clip_eps: float) -> Tensor:
    """PPO's pessimistic surrogate (Schulman et al. 2017, eq. 7)."""
    ratio = (distribution.log_prob(batch.action) - batch.log_prob).exp()
    bounded = ratio.clamp(1 - clip_eps, 1 + clip_eps)
    return -weighted_mean(torch.minimum(ratio * batch.advantage, bounded * batch.advantage), batch.weight)


def divergence(distribution: Distribution, batch: Batch, clip_eps: float) -> tuple[Tensor, Tensor]:
    """How far a policy is from the one that acted: an estimate of the KL divergence from the latter, in nats, and the
    share of the steps whose ratio `clipped` cuts off; scalars.

    The estimate is the mean of ``r - 1 - log r`` over the actions taken, r the ratio: unbiased and never negative
    (Schulman 2020, "Approximating KL divergence").
    """
    log_ratio = distribution.log_prob(batch.action) - batch.log_prob
    kl = weighted_mean(log_ratio.exp() - 1 - log_ratio, batch.weight)
    return kl, weighted_mean((log_ratio.exp() - 1).abs().gt(clip_eps).float(), batch.weight)


def cross_entropy(logits: Tensor, examples: Examples) -> Tensor:
    """Mean over examples of ``-log softmax(logits)[target]``; logits ``[example, class]``."""
    # Not F.cross_entropy: gather differentiates twice under vmap whatever the batch.
    log_probs = F.log_softmax(logits, -1).gather(-1, examples.target.unsqueeze(-1)).squeeze(-1)
    return -weighted_mean(log_probs, examples.weight)


def squared_error(output: Tensor, examples: Examples) -> Tensor:
    """Mean over examples of ``(output - target)^2``; output ``[example, 1]``."""
    return weighted_mean((output.squeeze(-1) - examples.target).square(), examples.weight)
