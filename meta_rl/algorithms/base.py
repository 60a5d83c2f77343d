"""What a meta-learner is: *condition on support, then face the query*."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

import envs
from meta_rl.config import RECIPES, TrainConfig
from meta_rl.core.state import TrainState
from meta_rl.core.trust_region import Metrics
from meta_rl.core.types import Batch, MetaBatch, Params, Rollout, from_numpy
from meta_rl.networks.policy import Policy, make_policy


class Actor(Protocol):
    """A policy bound to its (adapted) parameters, one set per task."""

    def act(self, observation: NDArray[Any], noise: NDArray[Any] | None) -> NDArray[Any]:
        """Actions ``[task, env, ...]`` for observations ``[task, env, obs]``; noise None means the mode."""
        ...

    def observe(self, reward: NDArray[np.float64], done: NDArray[np.bool_]) -> None:
        """What followed the last action: rewards, and whether the episode is over, both ``[task, env]``. Agents with
        a memory read it; it lasts over consecutive episodes."""
        ...


class MetaLearner(Protocol):
    """The verbs that the training loop, the sources and the evaluator use."""

    policy: Policy
    inner_steps: int
    """Support rollouts (and adaptation steps) per task in meta-training."""

    def init(self) -> TrainState:
        """State before the first iteration."""
        ...

    def spread(self, params: Params, num_tasks: int) -> Params:
        """Meta-parameters repeated along a leading task axis: the parameters before adaptation."""
        ...

    def prepare(self, params: Params, rollout: Rollout) -> Batch:
        """What losses read, from what was recorded while `params` ``[task, ...]`` acted."""
        ...

    def adapt(self, params: Params, support: Batch) -> Params:
        """One adaptation step of every task; `params` ``[task, ...]`` in and out."""
        ...

    def actor(self, params: Params) -> Actor:
        """An actor for parameters ``[task, ...]``."""
        ...

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """Learn from one meta-batch: change `state.params` (and optimizer, extras) in place, return metrics."""
        ...


class PolicyActor:
    """Feed-forward policy with per-task parameters, evaluated for all tasks in one call."""

    def __init__(self, policy: Policy, params: Params) -> None:
        self._params = params
        self._distribution = torch.vmap(policy.apply)

    @torch.no_grad()
    def act(self, observation: NDArray[Any], noise: NDArray[Any] | None) -> NDArray[Any]:
        """See `Actor.act`."""
        distribution = self._distribution(self._params, from_numpy(observation.astype(np.float32, copy=False)))
        action = distribution.mode() if noise is None else distribution.sample(from_numpy(noise))
        return np.asarray(action.numpy())

    def observe(self, reward: NDArray[np.float64], done: NDArray[np.bool_]) -> None:
        """Nothing to remember."""


def make_learner(config: TrainConfig, distribution: envs.TaskDistribution) -> MetaLearner:
    """The learner of `config.recipe` for the spaces of `distribution`."""
    policy = make_policy(distribution.observation_space, distribution.action_space, config.network, config.seed)
    module, _, name = RECIPES[config.recipe].learner.partition(":")
    learner: MetaLearner = getattr(import_module(module), name)(config.algorithm, policy)
    return learner
