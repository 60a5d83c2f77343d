"""Recurrent policies: they read what they did before and what followed.

At every step the network reads ``[observation, previous action, previous reward, previous done]``. The last three are
called the *recall* of the previous step; the previous observation comes before them if the config says so. At the first
step of a trial the recall is zeros. The network has an optional multi-layer perceptron as encoder, one recurrent layer,
an action head, a value head and, if asked for, a head that predicts rewards.

The recurrent layer is one of `meta_rl.networks.memory`, the head that predicts rewards `meta_rl.networks.reward_head`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import gymnasium as gym
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from meta_rl.config import NetworkConfig
from meta_rl.core import normaliser
from meta_rl.core.types import Params
from meta_rl.errors import ConfigError
from meta_rl.maths.distributions import DiagonalGaussian
from meta_rl.networks import functional
from meta_rl.networks.initial import drawn_from
from meta_rl.networks.memory import CELLS
from meta_rl.networks.mlp import ACTIVATIONS, mlp
from meta_rl.networks.policy import flat_width, policy_for
from meta_rl.networks.reward_head import RewardHead

_P = TypeVar("_P", bound="RecurrentPolicy")


class Unrolled(NamedTuple):
    """Outputs of a recurrent policy on whole sequences."""

    distribution: Any
    """Action distributions ``[row, time]``."""
    value: Tensor
    """``[row, time]``, in standard deviations of the returns."""
    predicted: Tensor | None
    """What the policy predicts besides, if anything: the output of the reward head, ``[row, time, 1 + obs, width]``; of
    an `AdaptivePolicy` what it takes the task for, ``[row, time, latent_size]``."""
    state: Tensor
    """Recurrent state ``[row, state_size]`` after the last step."""
    belief: DiagonalGaussian | None = None
    """Belief about the task ``[row, time, latent]``, of policies that have one."""


class RecurrentPolicy(nn.Module):
    """Action distribution and value from all that was observed so far.

    Attributes:
        noise_shape, noise_kind: noise that one action takes (see `meta_rl.maths.distributions`).
        recall_size: width of the recall: action + 2, plus that of an observation if it is recalled, plus 2 if the
            clock is read.
        state_size: width of the recurrent state.
        normalised: numbers of an observation, if they are normalised before the policy reads them; else 0.
        head: the action head; None if the policy acts on rewards.
        recurrent: the memory.
        reward: the reward head, if there is one.
        seed: of the initial parameters.
    """

    head: nn.Module | None
    reward: RewardHead | None
    seed: int = 0

    def __init__(self, observation_dim: int, action_space: gym.spaces.Space[Any], config: NetworkConfig) -> None:
        super().__init__()
        *hidden, units = config.hidden
        self._actions = int(action_space.n) if isinstance(action_space, gym.spaces.Discrete) else 0
        self._observation_dim = observation_dim
        self.normalised = observation_dim if config.normalise_observations else 0
        self._recalled = observation_dim if config.recall_observation else 0
        self._clock = config.clock_steps
        self._clock_size = 2 if self._clock else 0
        self._action_size = self._actions or gym.spaces.flatdim(action_space)
        self.recall_size = self._recalled + self._action_size + 2 + self._clock_size
        sizes = [observation_dim + self.recall_size, *hidden]
        self.encoder = nn.Sequential()
        if hidden:
            self.encoder = nn.Sequential(mlp(sizes, config.activation), ACTIVATIONS[config.activation]())
        self.recurrent = CELLS[config.cell](sizes[-1], units, config)
        self._add_heads(action_space, sizes[-1], config)
        self.reward = None
        self.state_size = self.recurrent.state_size

    def _add_heads(self, action_space: gym.spaces.Space[Any], width: int, config: NetworkConfig) -> None:
        """Add what reads the memory, and maybe its input of that `width`."""
        widths = self.widths(self.recurrent.units, width, config)
        self.head = head = policy_for(action_space, widths[0], replace(config, hidden=config.head_hidden))
        self.value = mlp([widths[1], *config.critic_hidden, 1], config.activation, final_gain=0.1)
        self._sees_again = bool(config.head_hidden), bool(config.critic_hidden)
        self.noise_shape, self.noise_kind = head.noise_shape, head.noise_kind

    @property
    def rows_on_cpu(self) -> int:
        """See `meta_rl.networks.memory.MemoryLayer`."""
        return self.recurrent.rows_on_cpu

    def widths(self, units: int, encoded: int, config: NetworkConfig) -> tuple[int, int]:
        """Numbers that the action head and the value head read, from those of the memory and those that it reads."""
        return units + (encoded if config.head_hidden else 0), units + (encoded if config.critic_hidden else 0)

    def statistics(self) -> Params:
        """Statistics of observations before the first step (see `meta_rl.core.normaliser`); empty if not normalised."""
        return normaliser.empty(self.normalised) if self.normalised else {}

    def recall(self, observation: Tensor, action: Tensor, reward: Tensor, done: Tensor, clock: Tensor) -> Tensor:
        """The recall of a step ``[..., recall_size]``, which the next step reads.

        Args:
            observation: ``[..., obs]``; used if the config recalls it.
            action: ``[..., action]``, or numbers of discrete actions ``[...]``, which become one-hot.
            reward: ``[...]``.
            done: ``[...]``, 1 if the episode is over after the step, else 0.
            clock: ``[..., 2]``, the time of the next step (see `tick`); used if the config reads it.
        """
        step = [self.numbers(action).to(reward.dtype), reward.unsqueeze(-1), done.unsqueeze(-1)]
        if self._clock:
            step.append(self._read(clock).to(reward.dtype))
        return torch.cat([observation, *step] if self._recalled else step, -1)  # [..., recall_size]

    def numbers(self, action: Tensor) -> Tensor:
        """An action as numbers ``[..., action]``: numbers of discrete actions ``[...]`` become one-hot."""
        return one_hot(action, self._actions) if self._actions else action

    def _read(self, clock: Tensor) -> Tensor:
        """The clock as the network reads it ``[..., 2]``: time in units of `clock_steps`, and n / (n + 1) for episode n
        (counted from 0)."""
        time, episode = clock.unbind(-1)  # [...] each
        return torch.stack([time / self._clock, episode / (episode + 1)], -1)

    def add_reward_head(self, act_on_rewards: bool = False, everywhere: bool = False) -> None:
        """Add a head that predicts rewards; see `RewardHead`.

        Args:
            act_on_rewards: choose actions by their expected rewards and doubts instead of by `head`.
            everywhere: make the predictions linear in the observation too.
        Raises:
            ConfigError: `act_on_rewards`, but actions are not discrete.
        """
        if act_on_rewards and not self._actions:
            raise ConfigError("--act-on-rewards: for discrete actions only; valid here: False")
        self.reward = RewardHead(
            self.recurrent.units,
            self._observation_dim if everywhere else 0,
            self._actions,
            self._action_size,
            act_on_rewards,
            next(self.parameters()).dtype,
        )
        if act_on_rewards:
            self.head = None

    def _value(self, features: Tensor, encoded: Tensor) -> Tensor:
        seen = torch.cat([features, encoded], -1) if self._sees_again[1] else features
        return self.value(seen).squeeze(-1)  # type: ignore[no-any-return]  # [..., 1] -> [...]

    def _distribution(
        self, features: Tensor, encoded: Tensor, inputs: Tensor, rewards: Tensor | None, value: Tensor | None
    ) -> Any:
        """Action distribution from features ``[..., units]`` and what the recurrent layer read last ``[..., width]``;
        without an action head from `rewards`, the output of the reward head, and the value ``[...]``."""
        if self.head is not None:
            return self.head(torch.cat([features, encoded], -1) if self._sees_again[0] else features)
        assert self.reward is not None
        assert rewards is not None
        assert value is not None
        return self.reward.distribution(rewards, self.observation(inputs), value)

    def inputs(self, observation: Tensor, recall: Tensor) -> Tensor:
        """Inputs of the network ``[..., in]``, from ``[..., obs]`` and the recall of the previous step."""
        return torch.cat([observation, recall], -1)

    def observation(self, inputs: Tensor) -> Tensor:
        """The observation ``[..., obs]`` in the inputs of the network."""
        return inputs[..., : self._observation_dim]

    @property
    def observation_dim(self) -> int:
        """Numbers of an observation."""
        return self._observation_dim

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Any, Tensor]:
        """One step of acting, with the module's own parameters.

        Args:
            inputs: ``[n, in]``.
            state: ``[n, state_size]``.
        Returns:
            Distribution ``[n]`` and the next state.
        """
        encoded = self.encoder(inputs)
        state = self.recurrent.step(encoded, state)
        features = self.recurrent.output(state)
        rewards = value = None
        if self.head is None and self.reward is not None:
            rewards, value = self.reward(features), self._value(features, encoded)
        return self._distribution(features, encoded, inputs, rewards, value), state

    def forward(self, inputs: Tensor, state: Tensor) -> Unrolled:
        """Run whole sequences; see `unroll`, which takes the parameters as an argument."""
        encoded = self.encoder(inputs)
        features, state = self.recurrent.unroll(encoded, state)
        rewards, value = None if self.reward is None else self.reward(features), self._value(features, encoded)
        return Unrolled(self._distribution(features, encoded, inputs, rewards, value), value, rewards, state)

    def unroll(self, params: Params, inputs: Tensor, state: Tensor) -> Unrolled:
        """Run whole sequences under `params` (the module's own are not used).

        Args:
            inputs: ``[row, time, in]``.
            state: ``[row, state_size]``, before the first step.
        """
        return functional.call(self, params, inputs, state)  # type: ignore[no-any-return]


def tick(clock: Tensor, done: Tensor) -> Tensor:
    """The time of the next step.

    Args:
        clock: ``[..., 2]`` of a step: steps of the episode and episodes of the trial before it.
        done: ``[...]``, 1 where the episode is over after the step.
    """
    time, episode = clock.unbind(-1)
    return torch.stack([(time + 1) * (1 - done), episode + done], -1)


def ticks(done: Tensor) -> Tensor:
    """The time of the step after each one, ``[trial, time, 2]``, from ``[trial, time]``: `tick` of whole trials."""
    number = torch.arange(1, done.shape[1] + 1, dtype=done.dtype, device=done.device).expand_as(done)
    began = (number * done).cummax(1).values
    return torch.stack([number - began, done.cumsum(1)], -1)


def make_recurrent_policy(
    observation_space: gym.spaces.Box, action_space: gym.spaces.Space[Any], config: NetworkConfig, seed: int
) -> RecurrentPolicy:
    """The recurrent policy that fits the spaces (flat observations; Box or Discrete actions).

    Its initial parameters are a function of `seed` alone; torch's global generator is left untouched.

    Raises:
        ConfigError: no layer at all.
    """
    return make_with(RecurrentPolicy, observation_space, action_space, config, seed)


def make_with(
    kind: type[_P],
    observation_space: gym.spaces.Box,
    action_space: gym.spaces.Space[Any],
    config: NetworkConfig,
    seed: int,
) -> _P:
    """A recurrent policy of a class of its own; see `make_recurrent_policy`."""
    width = flat_width(observation_space)
    if not config.hidden:
        raise ConfigError("--hidden: a recurrent policy needs at least one layer, its cell")
    with drawn_from(seed):
        policy = kind(width, action_space, config)
    policy.seed = seed
    return policy
