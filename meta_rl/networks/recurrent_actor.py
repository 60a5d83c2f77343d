"""Acting with a recurrent policy: its memory of each environment, from one step to the next."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl.core.interface import Space
from meta_rl.core.threads import threads_for
from meta_rl.core.types import from_numpy
from meta_rl.core.weights import Weights
from meta_rl.networks.modules import Reader, RecurrentModule
from meta_rl.networks.recurrent import RecurrentPolicy, tick

Recall = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""(observation, action, reward, done, clock of the next step) -> ``[..., recall_size]``: a step as the next one reads
it."""
Read = Callable[[Tensor], Tensor]
"""Observations as environments give them -> as a policy reads them."""


class TrialMemory(NamedTuple):
    """All that a trial has left in an actor so far; zeros at its start."""

    state: Tensor
    """``[task, env, state_size]`` of the recurrent layer."""
    recall: Tensor
    """``[task, env, recall_size]``: the previous step as the next one reads it."""
    clock: Tensor
    """``[task, env, 2]``: steps of the episode and episodes of the trial so far."""


class RecurrentActor:
    """A recurrent policy and its memory of each environment; see `meta_rl.algorithms.base.Actor` for the verbs.

    Environments whose episode is over stand still until the next one begins. A memory with one environment per task
    serves any number of them, each from a copy.

    Args:
        weights: parameters of the policy, the same for all tasks, and the statistics of observations.
        memory: to go on from.
        recall: makes of each step what the next one reads.
        read: makes of observations ``[task, env, obs]`` what the policy reads; default: normalises them.
    """

    def __init__(
        self, policy: RecurrentPolicy, weights: Weights, memory: TrialMemory, recall: Recall, read: Read | None = None
    ) -> None:
        self._policy = copy.deepcopy(policy).requires_grad_(False)
        self._policy.load_state_dict(weights.params)
        self._statistics, self._read = weights.statistics, read or Reader(weights.statistics)
        self._size = sum(p.numel() for p in weights.params.values())
        self._dtype = memory.state.dtype
        self._recall = recall
        self._frozen = torch.zeros(memory.state.shape[:2], dtype=torch.bool)  # [task, env]
        self._any_frozen = False
        self._acted: tuple[Tensor, Tensor] | None = None  # observation and action until `observe`
        self._memory = memory

    @torch.no_grad()
    def memory(self) -> TrialMemory:
        """The memory after the last step. If nobody observed yet what followed the last action, it counts as reward 0
        and not done. Looking changes nothing."""
        if self._acted is None:
            return self._memory
        nothing = torch.zeros(self._frozen.shape, dtype=self._dtype)  # [task, env]
        return self._after(self._acted, nothing, nothing)

    def module(self, action_space: Space) -> RecurrentModule:
        """The policy as a module with its parameters, and the memory of the first environment."""
        memory = self.memory()
        first = memory.state[0, :1], memory.recall[0, :1], memory.clock[0, :1]  # [1, width] each
        return RecurrentModule(self._policy, {}, self._statistics, first, self._recall, action_space)

    def begin(self, mask: NDArray[np.bool_] | None = None) -> None:
        """See `Actor.begin`."""
        self._freeze(torch.zeros_like(self._frozen) if mask is None else self._frozen & ~torch.from_numpy(mask))

    @torch.no_grad()
    def act(self, observation: NDArray[Any], noise: NDArray[Any] | None) -> NDArray[Any]:
        """See `Actor.act`."""
        shape, memory = observation.shape[:2], self.memory()
        if self._frozen.shape != shape:  # one memory per task: every environment gets a copy
            self._frozen = self._frozen.expand(shape)  # [task, 1] -> [task, env]
            memory = TrialMemory(*(x.expand(*shape, x.shape[-1]) for x in memory))  # [task, env, width]
        state, recall, clock = memory
        with threads_for(2 * self._size * math.prod(shape)):
            seen = self._read(from_numpy(observation.astype(np.float32, copy=False)))
            inputs = self._policy.inputs(seen.to(self._dtype), recall)  # [task, env, in]
            # The policy knows one batch axis: [task, env, ...] -> [task * env, ...].
            distribution, new = self._policy.step(inputs.flatten(0, 1), state.flatten(0, 1))
            action = distribution.mode() if noise is None else distribution.sample(from_numpy(noise).flatten(0, 1))
        action = action.reshape(*shape, *action.shape[1:])  # [task, env, *action]
        self._acted = inputs[..., : seen.shape[-1]], action  # a copy: environments may reuse their arrays
        # The new state is [task, env, state_size] again. Environments whose episode is over keep the old one.
        self._memory = TrialMemory(self._keep_frozen(new.reshape(*shape, new.shape[-1]), state), recall, clock)
        return np.asarray(action.numpy())

    def instead(self, action: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
        """Have taken other actions than those just answered: what is remembered of the step is what was done in it.

        Args:
            action: ``[task, env, ...]``.
            mask: ``[task]``, where they were taken.
        Returns:
            What was taken in all tasks.
        """
        assert self._acted is not None, "instead follows act"
        seen, own = self._acted
        where = torch.from_numpy(mask).reshape(-1, *[1] * (own.dim() - 1))  # [task, 1, ...]
        self._acted = seen, torch.where(where, from_numpy(action).to(own.dtype), own)
        return np.asarray(self._acted[1].numpy())

    @torch.no_grad()
    def observe(self, reward: NDArray[np.float64], done: NDArray[np.bool_]) -> None:
        """See `Actor.observe`."""
        assert self._acted is not None, "observe follows act"
        over = torch.from_numpy(done)  # [task, env]
        self._memory = self._after(self._acted, torch.from_numpy(reward).to(self._dtype), over.to(self._dtype))
        self._acted = None
        if done.any():
            self._freeze(self._frozen | over)

    def _after(self, acted: tuple[Tensor, Tensor], reward: Tensor, done: Tensor) -> TrialMemory:
        """The memory once it is known what followed an observation and an action ``[task, env, ...]``: `reward` and
        `done`, ``[task, env]``."""
        state, before, clock = self._memory
        clock = self._keep_frozen(tick(clock, done), clock)
        recall = self._recall(*acted, reward, done, clock)
        return TrialMemory(state, self._keep_frozen(recall, before), clock)

    def _freeze(self, frozen: Tensor) -> None:
        self._frozen, self._any_frozen = frozen, bool(frozen.any())

    def _keep_frozen(self, new: Tensor, old: Tensor) -> Tensor:
        return torch.where(self._frozen.unsqueeze(-1), old, new) if self._any_frozen else new  # [task, env, width]
