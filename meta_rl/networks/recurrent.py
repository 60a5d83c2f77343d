"""Recurrent policies: what they did and what followed is part of what they read.

At every step the network reads ``[observation, previous action, previous reward, previous done]``; the last three,
behind the previous observation where the config says so, are called the *recall* of the previous step and are zeros at
the first step of a trial. It has an optional multi-layer perceptron as encoder, one recurrent layer, an action head, a
value head and, if asked for, a head that predicts rewards.

A recurrent layer keeps its state in one tensor ``[n, state_size]``, whatever it consists of. It is stepped while
acting and unrolled over whole sequences while learning, by the same operations of torch.
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
        rows_on_cpu: sequences that one thread unrolls together when gradients are taken on a CPU, the fastest number by
            measurement: few, so that all that one time step touches stays in the cache, or more, to call fewer
            operations.
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
        """In the order that torch's functions take them."""
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """The state ``[n, state_size]`` after reading ``[n, in]``."""
        raise NotImplementedError

    def unroll(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs ``[n, time, units]`` on ``[n, time, in]`` from `state`, and the state after them."""
        raise NotImplementedError

    def output(self, state: Tensor) -> Tensor:
        """What the heads read of a state: ``[n, units]``."""
        return state[..., : self.units]


class Lstm(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000): the state is ``[hidden, cell]``.

    The bias of the forget gate starts at 1, so that memories last (Jozefowicz et al. 2015), or with memory steps higher
    and that of the input gate as much lower.
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
"""What the logit of an action gains for an expected reward of one, if the policy acts on rewards."""
OPTIMISM = 2.5
"""What it gains for a doubt of one, for every standard deviation of the value above -2, which is about where the values
of a trial end. Greed and optimism are for rewards whose standard deviation over tasks is about 1; agents trained with
the optimism learned instead kept too little of it."""


class RewardHead(nn.Linear):
    """Rewards of actions expected from the features, and maybe doubts about them: the errors expected of these
    expectations. All are zero at first.

    Expected rewards are linear in the numbers of an action: for discrete ones a number each, for continuous ones an
    offset and a slope in every dimension. They may be linear in the observation too, so that one memory tells them of
    any observation.

    Args:
        observation_dim: 0: the features alone know what was observed.
        actions: number of discrete actions; 0: they are continuous.
        action_dim: numbers of an action.
        doubts: whether there are any; for discrete actions only.
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
        """``[..., 1 + obs, width]``: an offset and a slope in every dimension of the observation; the width is that of
        the numbers of an action, twice with doubts."""
        return super().forward(features).reshape(*features.shape[:-1], 1 + self.observation_dim, -1)

    def at(self, said: Tensor, observation: Tensor) -> Tensor:
        """``[..., width]`` at `observation`, from what `forward` said."""
        if not self.observation_dim:
            return said.squeeze(-2)
        return said[..., 0, :] + (observation.unsqueeze(-1) * said[..., 1:, :]).sum(-2)

    def coefficients(self, said: Tensor) -> Tensor:
        """``[..., n]``, of which the product with `regressors` is the expected reward."""
        return said[..., : self.numbers].flatten(-2)

    def regressors(self, observation: Tensor, action: Tensor) -> Tensor:
        """``[..., n]`` of a step: the numbers of its action, times one and every number of its observation."""
        numbers = (one_hot(action, self.actions) if self.actions else action).to(observation.dtype)
        if not self.actions:
            numbers = torch.cat([torch.ones_like(numbers[..., :1]), numbers], -1)
        if not self.observation_dim:
            return numbers
        seen = torch.cat([torch.ones_like(observation[..., :1]), observation], -1)
        return (seen.unsqueeze(-1) * numbers.unsqueeze(-2)).flatten(-2)

    def doubt(self, said: Tensor, observation: Tensor, action: Tensor) -> Tensor:
        """``[...]`` about the reward of `action`."""
        return self.at(said, observation)[..., self.actions :].gather(-1, action.unsqueeze(-1)).squeeze(-1)


class Unrolled(NamedTuple):
    """What a recurrent policy says of whole sequences."""

    distribution: Any
    """Of actions ``[row, time]``."""
    value: Tensor
    """``[row, time]``."""
    rewards: Tensor | None
    """What the reward head says, if there is one: ``[row, time, 1 + obs, width]``."""
    state: Tensor
    """``[row, state_size]`` after the last step."""


class RecurrentPolicy(nn.Module):
    """Action distribution and value from all that was observed so far.

    Attributes:
        noise_shape, noise_kind: noise that one action takes (see `meta_rl.maths.distributions`).
        recall_size: width of the recall: action + 2, and that of an observation where it is recalled too.
        state_size: width of the recurrent state.
        normalised: numbers of an observation, if they are normalised before the policy reads them; else 0.
        head: of actions; None if the policy acts on rewards.
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
        """Those of observations, before the first step (see `meta_rl.core.normaliser`); none if not normalised."""
        return normaliser.empty(self.normalised) if self.normalised else {}

    def recall(self, observation: Tensor, action: Tensor, reward: Tensor, done: Tensor, clock: Tensor) -> Tensor:
        """What the next step reads of this one, ``[..., recall_size]``: the observation ``[..., obs]`` (if it is
        recalled), the action (one-hot where actions are discrete), the reward and whether the episode is over,
        ``[...]`` each (done as a number), and the time of the next step ``[..., 2]`` (see `tick`; if it is read)."""
        numbers = one_hot(action, self._actions) if self._actions else action
        step = [numbers.to(reward.dtype), reward.unsqueeze(-1), done.unsqueeze(-1)]
        if self._clock:
            step.append(self._read(clock).to(reward.dtype))
        return torch.cat([observation, *step] if self._recalled else step, -1)

    def _read(self, clock: Tensor) -> Tensor:
        """As the network reads it ``[..., 2]``: the time in units of `clock_steps`, and n / (n + 1) for episode n."""
        time, episode = clock.unbind(-1)
        return torch.stack([time / self._clock, episode / (episode + 1)], -1)

    def add_reward_head(self, act_on_rewards: bool = False, everywhere: bool = False) -> None:
        """Have the policy expect rewards; see `RewardHead`.

        Args:
            act_on_rewards: actions are chosen by the rewards expected of them and the doubts about these, instead of by
                `head`.
            everywhere: what is expected is linear in the observation too.
        Raises:
            ConfigError: it cannot act on rewards, since actions are not discrete.
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
        """Of actions, from features ``[..., units]`` and what the cell read last ``[..., width]``.

        The logits of a policy that acts on rewards are those expected of its actions plus a bonus for doubt, which
        shrinks with the value, of which less is left towards the end of a trial: what is to be explored early is to be
        left alone late. Its loss moves, through the memory, what is expected; doubts and value it leaves alone.
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
        """What the network reads: ``[..., in]`` from ``[..., obs]`` and the recall of the previous step."""
        return torch.cat([observation, recall], -1)

    def observation(self, inputs: Tensor) -> Tensor:
        """``[..., obs]`` of what the network reads."""
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
        """See `unroll`, which takes the parameters as an argument."""
        encoded = self.encoder(inputs)
        features, state = self.recurrent.unroll(encoded, state)
        rewards, value = None if self.reward is None else self.reward(features), self._value(features, encoded)
        return Unrolled(self._distribution(features, encoded, inputs, rewards, value), value, rewards, state)

    def unroll(self, params: Params, inputs: Tensor, state: Tensor) -> Unrolled:
        """Whole sequences under `params` (the module's own are not used).

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
