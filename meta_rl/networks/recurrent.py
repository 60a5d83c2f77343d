"""Recurrent policies: they read what they did before and what followed.

At every step the network reads ``[observation, previous action, previous reward, previous done]``. The last three are
called the *recall* of the previous step; the previous observation comes before them if the config says so. At the first
step of a trial the recall is zeros. The network has an optional multi-layer perceptron as encoder, one recurrent layer,
an action head, a value head and, if asked for, a head that predicts rewards.

A recurrent layer keeps its whole state in one tensor ``[n, state_size]``. It is stepped while acting and unrolled over
whole sequences while learning, by the same operations of torch.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, NamedTuple

import gymnasium as gym
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from meta_rl.config import NetworkConfig
from meta_rl.core import normaliser
from meta_rl.core.seeding import Purpose, integer
from meta_rl.core.types import Params
from meta_rl.errors import ConfigError
from meta_rl.maths.distributions import Categorical
from meta_rl.networks import functional
from meta_rl.networks.mlp import ACTIVATIONS, mlp
from meta_rl.networks.policy import Policy, policy_for

# Parameters are tensors of their own everywhere here; cuDNN copies them together at each call, a few megabytes.
warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")


class Recurrent(nn.Module):
    """One recurrent layer, with the weights of torch's layers of the same name: gates stacked ``[gates * units, in]``.

    Input weights are Xavier-uniform and recurrent ones orthogonal, gate by gate; biases are zero, or those of
    `NetworkConfig.memory_steps`.

    Attributes:
        state_size: width of the state.
        rows_on_cpu: sequences that one thread unrolls together when gradients are taken on a CPU; the fastest number by
            measurement. Fewer keep all that one time step touches in the cache; more need fewer operations.
    """

    gates: int
    rows_on_cpu: int

    def __init__(self, inputs: int, units: int, memory_steps: int = 0) -> None:
        super().__init__()
        self.units = self.state_size = units
        self.weight_ih = nn.Parameter(torch.empty(self.gates * units, inputs))
        self.weight_hh = nn.Parameter(torch.empty(self.gates * units, units))
        self.bias_ih = nn.Parameter(torch.zeros(self.gates * units))
        self.bias_hh = nn.Parameter(torch.zeros(self.gates * units))
        for gate in range(self.gates):
            rows = slice(gate * units, (gate + 1) * units)
            nn.init.xavier_uniform_(self.weight_ih.data[rows])
            nn.init.orthogonal_(self.weight_hh.data[rows])
        if memory_steps:  # in both cells the second gate keeps what is remembered
            self.bias_ih.data[units : 2 * units].uniform_(1, memory_steps - 1).log_()

    @property
    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The weights in the order that torch's functions take them."""
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """The state ``[n, state_size]`` after reading ``[n, in]``."""
        raise NotImplementedError

    def unroll(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs ``[n, time, units]`` on ``[n, time, in]`` from `state`, and the state after them."""
        raise NotImplementedError

    def output(self, state: Tensor) -> Tensor:
        """The part of a state that the heads read: ``[n, units]``."""
        return state[..., : self.units]


class Lstm(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000): the state is ``[hidden, cell]``.

    The bias of the forget gate starts at 1, so that memories last (Jozefowicz et al. 2015). With `memory_steps` it
    starts as `Recurrent` sets it, and the bias of the input gate at minus that.
    """

    gates = 4
    rows_on_cpu = 20  # oneDNN: the whole sequence is one operation

    def __init__(self, inputs: int, units: int, memory_steps: int = 0) -> None:
        super().__init__(inputs, units, memory_steps)
        self.state_size = 2 * units
        gates = self.bias_ih.data[: 2 * units].chunk(2)
        if memory_steps:
            gates[0].copy_(-gates[1])
        else:
            gates[1].fill_(1)

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """See `Recurrent.step`."""
        return torch.cat(torch.lstm_cell(inputs, state.chunk(2, -1), *self.weights), -1)

    def unroll(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `Recurrent.unroll`."""
        start = [part.unsqueeze(0).contiguous() for part in state.chunk(2, -1)]
        outputs, hidden, cell = torch.lstm(
            inputs, start, self.weights, True, 1, 0.0, torch.is_grad_enabled(), False, True
        )
        return outputs, torch.cat([hidden, cell], -1).squeeze(0)


class Gru(Recurrent):
    """Gated recurrent unit (Cho et al. 2014), in the variant of torch and cuDNN."""

    gates = 3
    rows_on_cpu = 100  # torch: several operations per time step

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """See `Recurrent.step`."""
        return torch.gru_cell(inputs, state, *self.weights)

    def unroll(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `Recurrent.unroll`."""
        outputs, hidden = torch.gru(
            inputs, state.unsqueeze(0), self.weights, True, 1, 0.0, torch.is_grad_enabled(), False, True
        )
        return outputs, hidden.squeeze(0)


CELLS: dict[str, type[Recurrent]] = {"lstm": Lstm, "gru": Gru}


GREED = 8.0
"""Weight of the expected reward in the logit of an action, if the policy acts on rewards; see `OPTIMISM`."""
OPTIMISM = 2.5
"""Weight of the doubt: ``logit = GREED * expected + OPTIMISM * max(0, 2 + value) * doubt``, the value in standard
deviations of the returns. So the doubt counts for nothing at a value of -2, which is near that of the last steps of a
trial. Both weights suit rewards whose standard deviation over tasks is about 1. They are constants because agents that
learned the optimism ended with too little of it."""


class RewardHead(nn.Linear):
    """Predicts the reward of every action from the features, and optionally its own absolute error, the doubt. All
    predictions are zero at first.

    The expected reward is linear in the action: one number for each discrete action; an offset and a slope in every
    dimension for continuous ones. It may be linear in the observation too; then one memory predicts the rewards at any
    observation.

    Args:
        observation_dim: numbers of an observation that predictions are linear in; 0 if features alone determine them.
        actions: number of discrete actions; 0 if actions are continuous.
        action_dim: numbers of an action; one per discrete action.
        doubts: whether to predict doubts; for discrete actions only.
    """

    def __init__(
        self, units: int, observation_dim: int, actions: int, action_dim: int, doubts: bool, dtype: torch.dtype
    ) -> None:
        numbers = action_dim + (actions == 0)
        with torch.random.fork_rng(devices=[]):  # its initial values are not drawn
            super().__init__(units, (1 + observation_dim) * numbers * (1 + doubts), dtype=dtype)
        self.observation_dim, self.actions, self.numbers = observation_dim, actions, numbers
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Coefficients ``[..., 1 + obs, width]``: an offset, and a slope in every dimension of the observation. The
        width is that of the numbers of an action, twice that with doubts."""
        return super().forward(features).reshape(*features.shape[:-1], 1 + self.observation_dim, -1)

    def at(self, said: Tensor, observation: Tensor) -> Tensor:
        """Predictions ``[..., width]`` at `observation`, from `said`, the output of `forward`."""
        if not self.observation_dim:
            return said.squeeze(-2)
        return said[..., 0, :] + (observation.unsqueeze(-1) * said[..., 1:, :]).sum(-2)

    def coefficients(self, said: Tensor) -> Tensor:
        """Coefficients ``[..., n]`` from `said`, the output of `forward`. Their dot product with `regressors` is the
        expected reward."""
        return said[..., : self.numbers].flatten(-2)

    def regressors(self, observation: Tensor, action: Tensor) -> Tensor:
        """Regressors ``[..., n]`` of a step: its action's numbers, times one and every number of its observation."""
        numbers = (one_hot(action, self.actions) if self.actions else action).to(observation.dtype)
        if not self.actions:
            numbers = torch.cat([torch.ones_like(numbers[..., :1]), numbers], -1)
        if not self.observation_dim:
            return numbers
        seen = torch.cat([torch.ones_like(observation[..., :1]), observation], -1)
        return (seen.unsqueeze(-1) * numbers.unsqueeze(-2)).flatten(-2)

    def doubt(self, said: Tensor, observation: Tensor, action: Tensor) -> Tensor:
        """The doubt ``[...]`` about the reward of `action`, from `said`, the output of `forward`."""
        return self.at(said, observation)[..., self.actions :].gather(-1, action.unsqueeze(-1)).squeeze(-1)


class Unrolled(NamedTuple):
    """Outputs of a recurrent policy on whole sequences."""

    distribution: Any
    """Action distributions ``[row, time]``."""
    value: Tensor
    """``[row, time]``, in standard deviations of the returns."""
    rewards: Tensor | None
    """Output of the reward head, if there is one: ``[row, time, 1 + obs, width]``."""
    state: Tensor
    """Recurrent state ``[row, state_size]`` after the last step."""


class RecurrentPolicy(nn.Module):
    """Action distribution and value from all that was observed so far.

    Attributes:
        noise_shape, noise_kind: noise that one action takes (see `meta_rl.maths.distributions`).
        recall_size: width of the recall: action + 2, plus that of an observation if it is recalled, plus 2 if the
            clock is read.
        state_size: width of the recurrent state.
        normalised: numbers of an observation, if they are normalised before the policy reads them; else 0.
        head: the action head; None if the policy acts on rewards.
        reward: the reward head, if there is one.
    """

    head: Policy | None
    reward: RewardHead | None

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
        self.recurrent = CELLS[config.cell](sizes[-1], units, config.memory_steps)
        width = units + (sizes[-1] if config.head_hidden else 0)
        self.head = policy_for(action_space, width, replace(config, hidden=config.head_hidden))
        width = units + (sizes[-1] if config.critic_hidden else 0)
        self.value = mlp([width, *config.critic_hidden, 1], config.activation, final_gain=0.1)
        self._sees_again = bool(config.head_hidden), bool(config.critic_hidden)
        self.reward = None
        self.state_size = self.recurrent.state_size
        self.noise_shape, self.noise_kind = self.head.noise_shape, self.head.noise_kind

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
        numbers = one_hot(action, self._actions) if self._actions else action
        step = [numbers.to(reward.dtype), reward.unsqueeze(-1), done.unsqueeze(-1)]
        if self._clock:
            step.append(self._read(clock).to(reward.dtype))
        return torch.cat([observation, *step] if self._recalled else step, -1)

    def _read(self, clock: Tensor) -> Tensor:
        """The clock as the network reads it ``[..., 2]``: time in units of `clock_steps`, and n / (n + 1) for episode n
        (counted from 0)."""
        time, episode = clock.unbind(-1)
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
            self.recurrent.weight_ih.dtype,
        )
        if act_on_rewards:
            self.head = None

    def _value(self, features: Tensor, encoded: Tensor) -> Tensor:
        seen = torch.cat([features, encoded], -1) if self._sees_again[1] else features
        return self.value(seen).squeeze(-1)  # type: ignore[no-any-return]

    def _distribution(
        self, features: Tensor, encoded: Tensor, inputs: Tensor, rewards: Tensor | None, value: Tensor | None
    ) -> Any:
        """Action distribution from features ``[..., units]`` and what the cell read last ``[..., width]``.

        A policy that acts on rewards adds a bonus for doubt to the expected rewards (formula: `OPTIMISM`). Towards the
        end of a trial less can still be earned, so the value falls and the bonus with it: the policy explores early and
        stops late. The policy loss changes the expected rewards, through the memory, but neither doubts nor value.
        """
        if self.head is not None:
            return self.head(torch.cat([features, encoded], -1) if self._sees_again[0] else features)
        assert self.reward is not None
        assert rewards is not None
        assert value is not None
        expected, doubt = self.reward.at(rewards, self.observation(inputs)).chunk(2, -1)
        optimism = (OPTIMISM * (2 + value.detach())).clamp(min=0).unsqueeze(-1)
        return Categorical(GREED * expected + optimism * doubt.detach())

    def inputs(self, observation: Tensor, recall: Tensor) -> Tensor:
        """Inputs of the network ``[..., in]``, from ``[..., obs]`` and the recall of the previous step."""
        return torch.cat([observation, recall], -1)

    def observation(self, inputs: Tensor) -> Tensor:
        """The observation ``[..., obs]`` in the inputs of the network."""
        return inputs[..., : self._observation_dim]

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


def make_policy(
    observation_space: gym.spaces.Box, action_space: gym.spaces.Space[Any], config: NetworkConfig, seed: int
) -> RecurrentPolicy:
    """The recurrent policy that fits the spaces (flat observations; Box or Discrete actions).

    Its initial parameters are a function of `seed` alone; torch's global generator is left untouched.

    Raises:
        ConfigError: no layer at all.
    """
    if len(observation_space.shape) != 1:
        raise ValueError(f"policies read flat observations [obs], got shape {observation_space.shape}")
    if not config.hidden:
        raise ConfigError("--hidden: a recurrent policy needs at least one layer, its cell")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer(seed, Purpose.INIT))
        return RecurrentPolicy(observation_space.shape[0], action_space, config)
