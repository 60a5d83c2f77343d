"""Recurrent policies: what they did and what followed is part of what they read.

At every step the network reads ``[observation, previous action, previous reward, previous done]``; the last three are
called the *recall* of the previous step and are zeros at the first step of a trial. It has an optional multi-layer
perceptron as encoder, one recurrent layer, an action head and a value head.

A recurrent layer keeps its state in one tensor ``[n, state_size]``, whatever it consists of. It is stepped while
acting and unrolled over whole sequences while learning, by the same operations of torch.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from meta_rl.config import NetworkConfig
from meta_rl.core.seeding import Purpose, integer
from meta_rl.core.types import Params
from meta_rl.errors import ConfigError
from meta_rl.networks import functional
from meta_rl.networks.mlp import ACTIVATIONS, mlp
from meta_rl.networks.policy import policy_for

# Parameters are tensors of their own everywhere here; cuDNN copies them together at each call, a few megabytes.
warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")


class Recurrent(nn.Module):
    """One recurrent layer, with the weights of torch's layers of the same name: gates stacked ``[gates * units, in]``.

    Input weights are Xavier-uniform and recurrent ones orthogonal, gate by gate; biases are zero.

    Attributes:
        state_size: width of the state.
        rows_on_cpu: sequences that one thread unrolls together when gradients are taken on a CPU, the fastest number by
            measurement: few, so that all that one time step touches stays in the cache, or more, to call fewer
            operations.
    """

    gates: int
    rows_on_cpu: int

    def __init__(self, inputs: int, units: int) -> None:
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

    The bias of the forget gate starts at 1, so that memories last (Jozefowicz et al. 2015).
    """

    gates = 4
    rows_on_cpu = 20  # oneDNN: the whole sequence is one operation

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__(inputs, units)
        self.state_size = 2 * units
        nn.init.ones_(self.bias_ih.data[units : 2 * units])

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


class RecurrentPolicy(nn.Module):
    """Action distribution and value from all that was observed so far.

    Attributes:
        noise_shape, noise_kind: noise that one action takes (see `meta_rl.core.distributions`).
        recall_size: width of the recall, action + 2.
        state_size: width of the recurrent state.
    """

    def __init__(self, observation_dim: int, action_space: gym.spaces.Space[Any], config: NetworkConfig) -> None:
        super().__init__()
        *hidden, units = config.hidden
        self._actions = int(action_space.n) if isinstance(action_space, gym.spaces.Discrete) else 0
        self.recall_size = (self._actions or gym.spaces.flatdim(action_space)) + 2
        sizes = [observation_dim + self.recall_size, *hidden]
        self.encoder = nn.Sequential()
        if hidden:
            self.encoder = nn.Sequential(mlp(sizes, config.activation), ACTIVATIONS[config.activation]())
        self.recurrent = CELLS[config.cell](sizes[-1], units)
        self.head = policy_for(action_space, units, replace(config, hidden=()))
        self.value = mlp([units, 1], config.activation, final_gain=0.1)
        self.state_size = self.recurrent.state_size
        self.noise_shape, self.noise_kind = self.head.noise_shape, self.head.noise_kind

    def recall(self, action: Tensor, reward: Tensor, done: Tensor) -> Tensor:
        """What the next step reads of this one, ``[..., recall_size]``: the action (one-hot where actions are
        discrete), the reward and whether the episode is over, ``[...]`` each (done as a number)."""
        if self._actions:
            action = one_hot(action, self._actions)
        return torch.cat([action.to(reward.dtype), reward.unsqueeze(-1), done.unsqueeze(-1)], -1)

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
        return self.head(self.recurrent.output(state)), state

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Any, Tensor, Tensor]:
        """See `unroll`, which takes the parameters as an argument."""
        features, state = self.recurrent.unroll(self.encoder(inputs), state)
        return self.head(features), self.value(features).squeeze(-1), state

    def unroll(self, params: Params, inputs: Tensor, state: Tensor) -> tuple[Any, Tensor, Tensor]:
        """Whole sequences under `params` (the module's own are not used).

        Args:
            inputs: ``[row, time, in]``.
            state: ``[row, state_size]``, before the first step.
        Returns:
            Distributions ``[row, time]``, values ``[row, time]`` and the state after the last step.
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
