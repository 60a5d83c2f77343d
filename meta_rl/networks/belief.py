"""Policies that act on the observation and on a belief about the task, and what the belief is taught by.

The belief is a diagonal Gaussian over a few numbers m that stand for the task. A memory reads the trial so far, as that
of `meta_rl.networks.recurrent` does, and says mean and log-variance. The action head and the value head read the
observation, the belief and, if there is one, the clock, but nothing else of the memory.

The decoder says what a step of the task gives if m is true. It is of use while learning alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import torch
from torch import Tensor, nn

from meta_rl.config import NetworkConfig
from meta_rl.core.types import Params
from meta_rl.maths.distributions import DiagonalGaussian
from meta_rl.networks.mlp import mlp
from meta_rl.networks.recurrent import RecurrentPolicy, Unrolled, make_with


class BeliefPolicy(RecurrentPolicy):
    """Action distribution and value from the observation, the belief and, with `clock_steps`, the clock.

    Attributes:
        taught_by_policy: whether gradients of actions and values reach the belief; else they stop there.
    """

    _HEADS = ("head.", "value.")

    def __init__(self, observation_dim: int, action_space: gym.spaces.Space[Any], config: NetworkConfig) -> None:
        super().__init__(observation_dim, action_space, config)
        self.latent_size = config.latent_size
        self.belief = mlp([self.recurrent.units, 2 * self.latent_size], config.activation)
        self.taught_by_policy = False

    def widths(self, units: int, encoded: int, config: NetworkConfig) -> tuple[int, int]:
        """Numbers that the heads read: the observation, mean and log-variance, and the clock if it is read."""
        width = self._observation_dim + 2 * config.latent_size + self._clock_size
        return width, width

    def heads(self, params: Params) -> Params:
        """The part of `params` that is of the heads; the rest makes the belief."""
        return {name: p for name, p in params.items() if name.startswith(self._HEADS)}

    def decoder(self, hidden: tuple[int, ...], states: bool) -> Decoder:
        """A decoder of this policy's beliefs; see `Decoder`."""
        return Decoder(self.latent_size, self._observation_dim, self._action_size, hidden, states)

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Any, Tensor]:
        """See `RecurrentPolicy.step`."""
        state = self.recurrent.step(self.encoder(inputs), state)
        return self._head(self._seen(inputs, self._believe(self.recurrent.output(state)))), state

    def forward(self, inputs: Tensor, state: Tensor) -> Unrolled:
        """See `RecurrentPolicy.unroll`."""
        features, state = self.recurrent.unroll(self.encoder(inputs), state)
        belief = self._believe(features)
        seen = self._seen(inputs, belief)
        return Unrolled(self._head(seen), self.value(seen).squeeze(-1), None, state, belief)

    def _head(self, seen: Tensor) -> Any:
        assert self.head is not None
        return self.head(seen)

    def _believe(self, features: Tensor) -> DiagonalGaussian:
        mean, log_variance = self.belief(features).chunk(2, -1)  # [..., latent] each
        return DiagonalGaussian(mean, log_variance / 2)

    def _seen(self, inputs: Tensor, belief: DiagonalGaussian) -> Tensor:
        """What the heads read ``[..., obs + 2 * latent + clock]``."""
        said = torch.cat([belief.mean, 2 * belief.log_std], -1)
        clock = inputs[..., inputs.shape[-1] - self._clock_size :]  # the recall ends with it
        return torch.cat([self.observation(inputs), said if self.taught_by_policy else said.detach(), clock], -1)


class Decoded(NamedTuple):
    """What the decoder expects of steps: means of Gaussians."""

    reward: Tensor
    """``[..., belief, step]``."""
    change: Tensor | None
    """Change of the observation ``[..., belief, step, obs]``; None if states are not decoded."""


class Decoder(nn.Module):
    """Expects the reward of a step ``r(s, a, s', m)``, and optionally the change of the observation, ``s' - s`` from
    ``(s, a, m)``.

    Args:
        latent: numbers of m.
        observation_dim: numbers of s.
        action_dim: numbers of a; one per discrete action.
        hidden: units of each hidden layer, at least one.
        states: whether to decode states.
    """

    def __init__(
        self, latent: int, observation_dim: int, action_dim: int, hidden: tuple[int, ...], states: bool
    ) -> None:
        super().__init__()
        self.reward = PairNetwork(latent, 2 * observation_dim + action_dim, hidden, 1)
        self.change = PairNetwork(latent, observation_dim + action_dim, hidden, observation_dim) if states else None

    def forward(self, latent: Tensor, observation: Tensor, action: Tensor, following: Tensor) -> Decoded:
        """What is expected of every step at every m.

        Args:
            latent: m, ``[..., belief, latent]``.
            observation, action, following: s, a and s' of steps, ``[..., step, n]`` each.
        """
        reward = self.reward(latent, torch.cat([observation, action, following], -1)).squeeze(-1)
        if self.change is None:
            return Decoded(reward, None)
        return Decoded(reward, self.change(latent, torch.cat([observation, action], -1)))


class PairNetwork(nn.Module):
    """A multi-layer perceptron on all pairs of an m and a step. Its first layer is a sum of two, one of each, so that
    most of its work is done once per m and once per step, not once per pair."""

    def __init__(self, latent: int, step: int, hidden: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        first = mlp([latent + step, hidden[0]], "relu")[0]
        assert isinstance(first, nn.Linear)
        self.weight, self.bias = first.weight, first.bias
        self.rest = mlp([*hidden, outputs], "relu")

    def forward(self, latent: Tensor, step: Tensor) -> Tensor:
        """``[..., belief, step, outputs]`` from ``[..., belief, latent]`` and ``[..., step, n]``."""
        of_latent, of_step = torch.split(self.weight, [latent.shape[-1], step.shape[-1]], 1)
        first = (latent @ of_latent.mT + self.bias).unsqueeze(-2) + (step @ of_step.mT).unsqueeze(-3)
        return self.rest(torch.relu(first))  # type: ignore[no-any-return]  # [..., belief, step, hidden]


def make_belief_policy(
    observation_space: gym.spaces.Box, action_space: gym.spaces.Space[Any], config: NetworkConfig, seed: int
) -> BeliefPolicy:
    """The policy with a belief that fits the spaces; as `meta_rl.networks.recurrent.make_recurrent_policy`."""
    return make_with(BeliefPolicy, observation_space, action_space, config, seed)
