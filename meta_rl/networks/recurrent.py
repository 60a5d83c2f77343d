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
from meta_rl.core.distributions import Categorical
from meta_rl.core.seeding import Purpose, integer
from meta_rl.core.types import Params
from meta_rl.errors import ConfigError
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


INITIAL_GAINS = (8.0, 4.0)
"""What `RecurrentPolicy.gains` add to: greedy from the start, but more so about what it doubts, for rewards whose
standard deviation over tasks is about 1. As long as nothing is expected, all actions are alike."""
GAINS_SCALE = 0.01
"""Of what they add, so that gains change slowly: a gradient can hardly see what optimism is worth, and by its noise
alone they would wander off."""


class Unrolled(NamedTuple):
    """What a recurrent policy says of whole sequences."""

    distribution: Any
    """Of actions ``[row, time]``."""
    value: Tensor
    """``[row, time]``."""
    rewards: Tensor | None
    """Of the reward head, ``[row, time, width]``; see `RecurrentPolicy.expected_reward`."""
    state: Tensor
    """``[row, state_size]`` after the last step."""


class RecurrentPolicy(nn.Module):
    """Action distribution and value from all that was observed so far.

    Attributes:
        noise_shape, noise_kind: noise that one action takes (see `meta_rl.core.distributions`).
        recall_size: width of the recall: action + 2, and that of an observation where it is recalled too.
        state_size: width of the recurrent state.
        head: of actions; None if the policy acts on rewards.
        reward: the reward head, if there is one.
        gains: what the logit of an action gains for an expected reward of one (an inverse temperature) and for a doubt
            of one (optimism, or its opposite), both from the features; if the policy acts on rewards.
    """

    head: Policy | None
    reward: nn.Linear | None
    gains: nn.Linear | None

    def __init__(self, observation_dim: int, action_space: gym.spaces.Space[Any], config: NetworkConfig) -> None:
        super().__init__()
        *hidden, units = config.hidden
        self._actions = int(action_space.n) if isinstance(action_space, gym.spaces.Discrete) else 0
        self._recalled = observation_dim if config.recall_observation else 0
        self.recall_size = self._recalled + (self._actions or gym.spaces.flatdim(action_space)) + 2
        sizes = [observation_dim + self.recall_size, *hidden]
        self.encoder = nn.Sequential()
        if hidden:
            self.encoder = nn.Sequential(mlp(sizes, config.activation), ACTIVATIONS[config.activation]())
        self.recurrent = CELLS[config.cell](sizes[-1], units, config.memory_steps)
        self.head = policy_for(action_space, units, replace(config, hidden=()))
        self.value = mlp([units, 1], config.activation, final_gain=0.1)
        self.reward = self.gains = None
        self.state_size = self.recurrent.state_size
        self.noise_shape, self.noise_kind = self.head.noise_shape, self.head.noise_kind

    def recall(self, observation: Tensor, action: Tensor, reward: Tensor, done: Tensor) -> Tensor:
        """What the next step reads of this one, ``[..., recall_size]``: the observation ``[..., obs]`` (if it is
        recalled), the action (one-hot where actions are discrete), the reward and whether the episode is over,
        ``[...]`` each (done as a number)."""
        step = [self._numbers(action).to(reward.dtype), reward.unsqueeze(-1), done.unsqueeze(-1)]
        return torch.cat([observation, *step] if self._recalled else step, -1)

    def _numbers(self, action: Tensor) -> Tensor:
        return one_hot(action, self._actions) if self._actions else action

    def add_reward_head(self, act_on_rewards: bool = False) -> None:
        """A head for `expected_reward`, which is zero at first: for discrete actions a number each, for continuous
        ones an offset and a slope in every dimension, all linear in the features.

        Args:
            act_on_rewards: the policy over actions is made of what is expected of them and of how much that is in doubt
                (see `doubt`), of which the head has a number for each action too. It takes the place of `head`.
        Raises:
            ConfigError: it cannot, since actions are not discrete.
        """
        if act_on_rewards and not self._actions:
            raise ConfigError("--act-on-rewards: for discrete actions only; valid here: False")
        width = self._actions or self.recall_size - self._recalled - 1
        self.reward = self._zero_layer(2 * width if act_on_rewards else width)
        if act_on_rewards:
            self.gains = self._zero_layer(2)
            self.head = None

    def _zero_layer(self, width: int) -> nn.Linear:
        with torch.random.fork_rng(devices=[]):  # its initial values are not drawn
            layer = nn.Linear(self.recurrent.units, width, dtype=self.recurrent.weight_ih.dtype)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer

    def _rewards(self, features: Tensor) -> Tensor | None:
        """What the reward head says, if there is one."""
        return None if self.reward is None else self.reward(features)

    def _distribution(self, features: Tensor, rewards: Tensor | None) -> Any:
        """Of actions, from features ``[..., units]``.

        The logits of a policy that acts on rewards are those expected of its actions and the doubts about them, times
        two gains that change with the features: what is to be explored early may be left alone late. Its loss moves
        the gains and, through the memory, what is expected; doubts it leaves alone.
        """
        if self.head is not None:
            return self.head(features)
        assert self.gains is not None
        assert rewards is not None
        expected, doubt = rewards.chunk(2, -1)
        more_for_reward, more_for_doubt = (GAINS_SCALE * self.gains(features)).chunk(2, -1)
        greed, optimism = INITIAL_GAINS
        return Categorical((greed + more_for_reward) * expected + (optimism + more_for_doubt) * doubt.detach())

    def expected_reward(self, rewards: Tensor, action: Tensor) -> Tensor:
        """``[...]`` of `action` from what the reward head says ``[..., width]``."""
        numbers = self._numbers(action)
        if not self._actions:
            numbers = torch.cat([torch.ones_like(numbers[..., :1]), numbers], -1)
        return (rewards[..., : numbers.shape[-1]] * numbers).sum(-1)

    def doubt(self, rewards: Tensor, action: Tensor) -> Tensor | None:
        """By how much `expected_reward` errs, on average, says the reward head, ``[...]``; None unless the policy acts
        on rewards."""
        if self.gains is None:
            return None
        return rewards[..., self._actions :].gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def inputs(self, observation: Tensor, recall: Tensor) -> Tensor:
        """What the network reads: ``[..., in]`` from ``[..., obs]`` and the recall of the previous step."""
        return torch.cat([observation, recall], -1)

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Any, Tensor]:
        """One step of acting, with the module's own parameters.

        Args:
            inputs: ``[n, in]``.
            state: ``[n, state_size]``.
        Returns:
            Distribution ``[n]`` and the next state.
        """
        state = self.recurrent.step(self.encoder(inputs), state)
        features = self.recurrent.output(state)
        rewards = None if self.gains is None else self._rewards(features)
        return self._distribution(features, rewards), state

    def forward(self, inputs: Tensor, state: Tensor) -> Unrolled:
        """See `unroll`, which takes the parameters as an argument."""
        features, state = self.recurrent.unroll(self.encoder(inputs), state)
        rewards = self._rewards(features)
        return Unrolled(self._distribution(features, rewards), self.value(features).squeeze(-1), rewards, state)

    def unroll(self, params: Params, inputs: Tensor, state: Tensor) -> Unrolled:
        """Whole sequences under `params` (the module's own are not used).

        Args:
            inputs: ``[row, time, in]``.
            state: ``[row, state_size]``, before the first step.
        """
        return functional.call(self, params, inputs, state)  # type: ignore[no-any-return]


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
