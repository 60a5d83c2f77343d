"""What learners by soft actor-critic from a replay share: what they train beside the policy, and how they take steps.

Critics, their targets and the temperature teach the policy, and nobody who acts needs them. So they are extras of a
state, while the parameters of whoever acts are its `params`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from meta_rl.config.off_policy import OffPolicyConfig
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.state import TrainState
from meta_rl.core.types import MetaBatch, Metrics, Params
from meta_rl.maths import soft_actor_critic
from meta_rl.maths.gradient_step import Adam

CRITICS, TARGETS, TEMPERATURE = "critics.", "targets.", "log_temperature"
"""Names of what is learned beside the policy: parameters of critics and their targets begin so."""

StepGradient = Callable[[Params, Params, np.random.Generator], tuple[list[Tensor], Metrics]]
"""(all that is learned, targets under the names of the critics, what draws the data) -> gradient and metrics."""


def set_apart(params: Params, config: OffPolicyConfig) -> tuple[Params, dict[str, Tensor]]:
    """Parameters of who acts, and the extras of a new state: critics, targets equal to them, and the temperature.

    Args:
        params: of a policy with critics.
    """
    acting = {name: p for name, p in params.items() if not name.startswith(CRITICS)}
    extras = {name: p for name, p in params.items() if name.startswith(CRITICS)}
    extras |= {_target(name): p.clone() for name, p in extras.items()}
    extras[TEMPERATURE] = torch.tensor(math.log(config.temperature))
    return acting, extras


def is_finite(batch: MetaBatch) -> bool:
    """Whether all numbers of what was played are finite."""
    played: list[Any] = torch.utils._pytree.tree_leaves((*batch.support, batch.query))
    return all(bool(x.isfinite().all()) for x in played)


def improve(
    state: TrainState, gradient: StepGradient, config: OffPolicyConfig, learning_rate: float, max_grad_norm: float
) -> Metrics:
    """Gradient steps on draws from the replay, each from a derived seed of its own; the targets follow after each.

    Changes the parameters, the optimizer and the extras of `state`; none of them if a number is not finite.

    Returns:
        Means over the steps, and the guard.
    """
    learned = {name: p for name, p in state.extras.items() if name.startswith(CRITICS) or name == TEMPERATURE}
    targets = {name: state.extras[_target(name)] for name in learned if name.startswith(CRITICS)}
    adam = Adam(state.params | learned, state.optimizer, learning_rate)
    rows = []
    for number in range(config.update_steps):
        rng = generator(0, Purpose.REPLAY, state.iteration, stage=number)  # what is drawn from differs by seed
        found, row = gradient(adam.params, targets, rng)
        rows.append(row | {"update/gradient_norm": adam.step(found, max_grad_norm)})
        targets = soft_actor_critic.follow(targets, adam.params, config.target_rate)
    metrics = {name: float(np.mean([float(row[name]) for row in rows])) for name in rows[0]}
    if not np.isfinite(list(metrics.values())).all():
        return metrics | {"guard/non_finite_gradient": 1.0}
    after = adam.result()
    state.params, state.optimizer = {name: after[name] for name in state.params}, adam.state()
    state.extras = state.extras | {name: after[name] for name in learned}
    state.extras |= {_target(name): p for name, p in targets.items()}
    return metrics | {"guard/non_finite_gradient": 0.0}


def _target(critic: str) -> str:
    """The name of the target of a critic's parameter."""
    return TARGETS + critic.removeprefix(CRITICS)
