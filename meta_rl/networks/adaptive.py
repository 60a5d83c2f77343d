"""Policies of rapid motor adaptation: one that is told what the task is, and one that remembers it.

Both choose actions by one head, from what they see, what they did last, and z, a few numbers that stand for the task:

    teacher:  z = encoder(numbers of the task)               pi(a | observation, previous action, z)
    student:  z = linear(memory of the trial so far)         the same pi

The memory reads what that of RL^2 reads (`meta_rl.networks.recurrent`). The head reads no more of the past than the
previous action, zeros at the first step of an episode: whatever else the past tells has to pass through z.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from meta_rl.config import NetworkConfig
from meta_rl.core.types import Params
from meta_rl.networks import functional
from meta_rl.networks.initial import drawn_from
from meta_rl.networks.mlp import mlp
from meta_rl.networks.modules import Reader
from meta_rl.networks.recurrent import RecurrentPolicy, Unrolled, make_with

TASK = "task"
"""Name of the encoder of a task's numbers; its parameters begin with it."""


class AdaptivePolicy(RecurrentPolicy):
    """The student: what acts once training is over.

    Attributes:
        latent: makes z of what the memory gives out.
    """

    latent: nn.Linear

    def __init__(self, observation_dim: int, action_space: gym.spaces.Space[Any], config: NetworkConfig) -> None:
        super().__init__(observation_dim, action_space, config)
        self._config = config

    def _add_heads(self, action_space: gym.spaces.Space[Any], width: int, config: NetworkConfig) -> None:
        """See `RecurrentPolicy`: what makes z of the memory comes before them."""
        self.latent = nn.Linear(self.recurrent.units, config.latent_size)
        super()._add_heads(action_space, width, config)

    def widths(self, units: int, encoded: int, config: NetworkConfig) -> tuple[int, int]:
        """Numbers that the heads read: z in place of the memory, the observation and the previous action."""
        width = self._observation_dim + self._action_size + config.latent_size
        return width, width

    def task_encoder(self, numbers: int) -> nn.ModuleDict:
        """The encoder of a task's numbers, under the name `TASK`: a function of the policy's seed."""
        c = self._config
        with drawn_from(self.seed, stage=1):
            return nn.ModuleDict({TASK: mlp([numbers, *c.task_hidden, c.latent_size], c.activation)})

    def own(self, inputs: Tensor) -> Tensor:
        """What the head reads beside z, of the inputs of the network ``[..., in]``: the observation and the previous
        action, zeros at the first step of an episode."""
        first = self._observation_dim + self._recalled
        action, done = inputs[..., first : first + self._action_size], inputs[..., first + self._action_size + 1]
        return torch.cat([self.observation(inputs), action * (1 - done).unsqueeze(-1)], -1)

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Any, Tensor]:
        """See `RecurrentPolicy.step`."""
        assert self.head is not None
        state = self.recurrent.step(self.encoder(inputs), state)
        z = self.latent(self.recurrent.output(state))
        return self.head(torch.cat([self.own(inputs), z], -1)), state

    def forward(self, inputs: Tensor, state: Tensor) -> Unrolled:
        """See `RecurrentPolicy.forward`; z is what is predicted."""
        assert self.head is not None
        features, state = self.recurrent.unroll(self.encoder(inputs), state)
        z = self.latent(features)  # [row, time, latent_size]
        seen = torch.cat([self.own(inputs), z], -1)
        return Unrolled(self.head(seen), self.value(seen).squeeze(-1), z, state)


class Teacher(nn.Module):
    """The policy with the numbers of the task in place of a memory: what acts and learns in the first phase.

    It has the interface of a `RecurrentPolicy` whose state is empty, so that actors and PPO take it for one. Its
    observations are those of the student, with the numbers behind them ``[..., obs + numbers]``.

    Args:
        policy: whose heads it uses.
        encoder: of the numbers, from `AdaptivePolicy.task_encoder`.
    """

    state_size, rows_on_cpu = 0, 100

    def __init__(self, policy: AdaptivePolicy, encoder: nn.ModuleDict) -> None:
        super().__init__()
        assert policy.head is not None
        self.head, self.value = policy.head, policy.value
        self.add_module(TASK, encoder[TASK])
        self.recall_size = policy.recall_size
        self._student = (policy,)  # no part of this module: its other parameters are not the teacher's
        self._observation_dim = policy.observation_dim
        self._seen = self._observation_dim + next(encoder.parameters()).shape[1]  # [units, numbers]

    def recall(self, observation: Tensor, *followed: Tensor) -> Tensor:
        """See `RecurrentPolicy.recall`; the numbers of the task are not recalled."""
        return self._student[0].recall(observation[..., : self._observation_dim], *followed)

    def inputs(self, observation: Tensor, recall: Tensor) -> Tensor:
        """See `RecurrentPolicy.inputs`."""
        return torch.cat([observation, recall], -1)

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Any, Tensor]:
        """See `RecurrentPolicy.step`. The state is empty and stays so."""
        return self.head(self._read(inputs)), state

    def forward(self, inputs: Tensor, state: Tensor) -> Unrolled:
        """See `RecurrentPolicy.forward`."""
        seen = self._read(inputs)
        return Unrolled(self.head(seen), self.value(seen).squeeze(-1), None, state)

    def unroll(self, params: Params, inputs: Tensor, state: Tensor) -> Unrolled:
        """See `RecurrentPolicy.unroll`."""
        return functional.call(self, params, inputs, state)  # type: ignore[no-any-return]

    def _read(self, inputs: Tensor) -> Tensor:
        """What the heads read, of ``[..., obs + numbers + recall]``."""
        observation, numbers, recall = inputs.tensor_split([self._observation_dim, self._seen], -1)
        own = self._student[0].own(torch.cat([observation, recall], -1))
        return torch.cat([own, self.get_submodule(TASK)(numbers)], -1)


class ToldReader(nn.Module):
    """Observations as the teacher reads them: normalised if there are statistics, with the numbers of the tasks.

    Args:
        numbers: ``[task, number]``, as the encoder reads them.
    """

    def __init__(self, statistics: Params, numbers: Tensor) -> None:
        super().__init__()
        self._read, self._numbers = Reader(statistics), numbers.unsqueeze(1)

    def forward(self, observation: Tensor) -> Tensor:
        """``[task, env, obs]`` -> ``[task, env, obs + number]``."""
        seen = self._read(observation)
        told = self._numbers.expand(*seen.shape[:2], -1).to(seen.dtype)
        return torch.cat([seen, told], -1)


def make_adaptive_policy(
    observation_space: gym.spaces.Box, action_space: gym.spaces.Space[Any], config: NetworkConfig, seed: int
) -> AdaptivePolicy:
    """The student that fits the spaces; as `meta_rl.networks.recurrent.make_recurrent_policy`."""
    return make_with(AdaptivePolicy, observation_space, action_space, config, seed)
