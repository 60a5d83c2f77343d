"""Policy losses over a `Batch`, all means over its valid steps.

`likelihood_ratio` is the objective that both levels of MAML differentiate. With the recorded log-probabilities in
the denominator its first derivative is the policy gradient and its second derivative keeps the product of the two
score functions, step by step: the low-variance curvature form of ProMP (Rothfuss et al. 2019, eq. 6), which the
plain ``log_prob * advantage`` objective loses (its second derivative is biased).
"""

from __future__ import annotations

from torch import Tensor

from meta_rl.core.distributions import Distribution
from meta_rl.core.types import Batch


def weighted_mean(value: Tensor, weight: Tensor) -> Tensor:
    """Mean of `value` over positions with weight 1."""
    return (value * weight).sum() / weight.sum()


def likelihood_ratio(distribution: Distribution, batch: Batch) -> Tensor:
    """``-mean(pi(a|s) / pi_recorded(a|s) * A)``."""
    ratio = (distribution.log_prob(batch.action) - batch.log_prob).exp()
    return -weighted_mean(ratio * batch.advantage, batch.weight)
