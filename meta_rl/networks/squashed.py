"""Recurrent policies for soft actor-critic: squashed actions and twin critics on one memory.

    m_t = memory of the trial up to the observation o_t         (`meta_rl.networks.recurrent`)
    a_t ~ pi(. | m_t, e_t),    Q_k(m_t, e_t, a_t),  k = 1, 2     e_t: what the memory read last

Whoever acts needs no critic, so critics are no part of the policy. The memory reads actions in half-widths of their
box.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import gymnasium as gym
import torch
from torch import Tensor

from meta_rl.config import NetworkConfig
from meta_rl.core.types import Params
from meta_rl.errors import ConfigError
from meta_rl.maths.distributions import SquashedGaussian
from meta_rl.networks import functional
from meta_rl.networks.initial import drawn_from
from meta_rl.networks.recurrent import RecurrentPolicy, make_with
from meta_rl.networks.soft_actor_critic import ActionBox, SquashedActor, TwinCritics, require_bounded


class HeadInputs(NamedTuple):
    """What the heads read ``[row, time, width]``: the memory, and with hidden layers what it read last too."""

    acting: Tensor
    """The actor."""
    judging: Tensor
    """The critics, beside the action."""


class SquashedPolicy(RecurrentPolicy):
    """Distribution of squashed actions from all that was observed so far, and what critics read of it."""

    head: SquashedActor
    box: ActionBox

    def _add_heads(self, action_space: gym.spaces.Space[Any], width: int, config: NetworkConfig) -> None:
        """See `RecurrentPolicy`."""
        assert isinstance(action_space, gym.spaces.Box)
        acting, judging = self.widths(self.recurrent.units, width, config)
        self.box = ActionBox(action_space)
        self.head = SquashedActor(acting, action_space, replace(config, hidden=config.head_hidden))
        self._judging = judging, action_space, replace(config, hidden=config.critic_hidden)
        self._sees_again = bool(config.head_hidden), bool(config.critic_hidden)
        self.noise_shape, self.noise_kind = action_space.shape, "normal"

    def numbers(self, action: Tensor) -> Tensor:
        """Actions in half-widths around the middle of their box."""
        return self.box(action)  # type: ignore[no-any-return]

    def make_critics(self) -> TwinCritics:
        """Critics for this policy: a function of its seed."""
        with drawn_from(self.seed, stage=1):
            return TwinCritics(*self._judging)

    def remember(self, params: Params, inputs: Tensor, state: Tensor) -> tuple[HeadInputs, Tensor]:
        """The memory of whole sequences under `params`: what heads read at every step, and the state after the last.

        Args:
            inputs: ``[row, time, in]``.
            state: ``[row, state_size]``, before the first step.
        """
        encoded = functional.call(self.encoder, functional.part_of(params, "encoder"), inputs)
        features, state = functional.call(self.recurrent, functional.part_of(params, "recurrent"), encoded, state)
        return self._seen(features, encoded), state

    def distribution(self, params: Params, acting: Tensor) -> SquashedGaussian:
        """Actions ``[...]`` from what the actor reads ``[..., width]``."""
        found: SquashedGaussian = functional.call(self.head, functional.part_of(params, "head"), acting)
        return found

    def _value(self, features: Tensor, encoded: Tensor) -> Tensor:
        """Zeros: values are of actions, and critics say them."""
        return features.new_zeros(features.shape[:-1])

    def _seen(self, features: Tensor, encoded: Tensor) -> HeadInputs:
        both = torch.cat([features, encoded], -1)
        acting, judging = (both if again else features for again in self._sees_again)
        return HeadInputs(acting, judging)


def make_squashed_policy(
    observation_space: gym.spaces.Box, action_space: gym.spaces.Space[Any], config: NetworkConfig, seed: int
) -> SquashedPolicy:
    """The recurrent policy for critics that fits the spaces (flat observations, actions in a bounded box); as
    `meta_rl.networks.recurrent.make_recurrent_policy`.

    Raises:
        ConfigError: actions are discrete or have no bounds; no layer for the memory, or none for the critics.
    """
    space = require_bounded(action_space, "rl2-sac")
    if not config.critic_hidden:
        raise ConfigError("--critic-hidden: values of an action need at least one hidden layer, got none")
    return make_with(SquashedPolicy, observation_space, space, config, seed)
