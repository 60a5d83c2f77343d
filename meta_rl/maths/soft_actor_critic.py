"""Soft actor-critic (Haarnoja et al. 2018a, 2018b): targets and losses of entropy-regularised learning from replay.

With two critics Q_k, their slow copies Q'_k and a temperature alpha:

    y        = r + discount (1 - d) (min_k Q'_k(s', a') - alpha log pi(a'|s')),   a' ~ pi(s')   (2018b, eqs. 2, 3)
    critics:   mean sum_k (Q_k(s, a) - y)^2                                                     (2018b, eq. 5)
    actor:     mean alpha log pi(a|s) - min_k Q_k(s, a),   a ~ pi(s) by its noise               (2018b, eq. 9)
    alpha:     mean -alpha (log pi(a|s) + target entropy)                                       (2018b, eq. 18)
    Q'_k    <- Q'_k + rate (Q_k - Q'_k)

Every mean is over steps with weight 1; shapes are ``[..., step]``, with the critics as a first axis ``[critic, ...]``.
d is 1 in a terminal state alone: an episode that was cut off at the horizon would have gone on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from meta_rl.core.types import Params
from meta_rl.maths.losses import weighted_mean


def soft_target(
    reward: Tensor, terminated: Tensor, next_value: Tensor, next_log_prob: Tensor, temperature: Tensor, discount: float
) -> Tensor:
    """y of the formula above.

    Args:
        reward: r, ``[...]``.
        terminated: d, ``[...]``.
        next_value: Q'_k(s', a'), ``[critic, ...]``.
        next_log_prob: of a' in s', ``[...]``.
        temperature: alpha, a scalar.
    """
    going_on = next_value.min(0).values - temperature * next_log_prob
    return reward + discount * (1 - terminated) * going_on


def critic_loss(value: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Squared errors of values ``[critic, ...]``, summed over critics: a mean over steps."""
    return weighted_mean((value - target).square().sum(0), weight)


def actor_loss(log_prob: Tensor, value: Tensor, temperature: Tensor, weight: Tensor) -> Tensor:
    """What the actor minimises; `value` ``[critic, ...]`` depends on it through its actions."""
    return weighted_mean(temperature * log_prob - value.min(0).values, weight)


def temperature_loss(log_temperature: Tensor, log_prob: Tensor, target_entropy: float, weight: Tensor) -> Tensor:
    """Loss that raises the temperature while the entropy is below its target, and lowers it else. `log_prob` is a
    constant to it."""
    return -log_temperature.exp() * weighted_mean(log_prob.detach() + target_entropy, weight)


@torch.no_grad()
def follow(target: Params, source: Params, rate: float) -> Params:
    """`target`, moved towards `source` by a share `rate` of the way."""
    return {name: p.lerp(source[name], rate) for name, p in target.items()}
