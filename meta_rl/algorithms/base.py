"""The protocol of meta-learners: *condition on support, then face the query*."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from envs import Task
from meta_rl.config import RECIPES, TrainConfig, settled
from meta_rl.core import normaliser
from meta_rl.core.groups import tasks_at_once
from meta_rl.core.interface import Interface, Space, Spaces
from meta_rl.core.state import TrainState
from meta_rl.core.task_map import over_tasks
from meta_rl.core.task_numbers import NumberScale, measure_numbers
from meta_rl.core.threads import threads_for
from meta_rl.core.types import Adapted, Batch, MetaBatch, Metrics, Params, Rollout, from_numpy
from meta_rl.core.weights import Weights
from meta_rl.maths import baseline, returns
from meta_rl.networks import functional
from meta_rl.networks.modules import ActingModule, Reader
from meta_rl.networks.policy import Policy


class Noise(Protocol):
    """Form of the noise that one action of a policy takes."""

    noise_shape: tuple[int, ...]
    noise_kind: str
    """``"normal"`` or ``"uniform"`` (on [0, 1))."""


def draw_noise(rng: np.random.Generator, policy: Noise, *leading: int) -> NDArray[np.float32]:
    """Noise for actions ``[*leading]``, ``[*leading, *noise_shape]``."""
    draw = rng.standard_normal if policy.noise_kind == "normal" else rng.random
    return draw((*leading, *policy.noise_shape), dtype=np.float32)


class Actor(Protocol):
    """Policies bound to adapted parameters or memories, one per task. An actor lasts for one rollout."""

    def begin(self, mask: NDArray[np.bool_] | None = None) -> None:
        """Called when episodes begin: in all environments, or in those of `mask` ``[task, env]``."""
        ...

    def act(self, observation: NDArray[Any], noise: NDArray[Any] | None) -> NDArray[Any]:
        """Actions ``[task, env, ...]`` for observations ``[task, env, obs]``; noise None means the mode."""
        ...

    def observe(self, reward: NDArray[np.float64], done: NDArray[np.bool_]) -> None:
        """Called with what followed the last action: rewards, and whether the episode is over, both ``[task, env]``.
        Agents with a memory read it."""
        ...


class MetaLearner(Protocol):
    """The verbs that the training loop, the sources and the evaluator use.

    `Adapted` stands for whatever support data turns the meta-parameters into: adapted parameters (MAML, Reptile), or
    parameters with the memory of a recurrent policy (RL2). Only the learner looks inside.

    A learner with ``finds_tasks = True`` is given the numbers of tasks in `MetaBatch.task`; others need not say so.
    """

    policy: Noise
    episodes_at_once: bool
    """Whether the episodes of one adaptation are collected at once, in as many environments (gradient steps), or one
    after another in a single environment, each an adaptation of its own (memory)."""

    def init(self) -> TrainState:
        """State before the first iteration."""
        ...

    def stages(self, episodes_per_task: int) -> int:
        """Rollouts per task and iteration of meta-training; the last one is the query."""
        ...

    def start(self, weights: Weights, num_tasks: int) -> Adapted:
        """Every task before adaptation."""
        ...

    def actor(self, adapted: Adapted) -> Actor:
        """An actor for all tasks."""
        ...

    def prepare(self, adapted: Adapted, rollout: Rollout) -> Any:
        """The data that losses read (named tuples of tensors ``[task, ...]``), made from a rollout of `adapted`."""
        ...

    def adapt(self, adapted: Adapted, support: Any, actor: Actor) -> Adapted:
        """One adaptation of every task, on what `prepare` made of a rollout of `actor`."""
        ...

    def tell(self, adapted: Adapted, tasks: Sequence[Task], acts: bool) -> Adapted:
        """What the numbers of `tasks` make of `start`, while training samples: `prepare` keeps them for `meta_update`,
        and with `acts` the actor reads them too.

        Optional: for learners whose config says so (`AlgorithmConfig.told_for`). Nobody is told when an agent is
        judged or used.
        """
        ...

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """Learn from one meta-batch: change `state` (its parameters, optimizer and extras) in place, return metrics."""
        ...


class PolicyActor:
    """Feed-forward policy with per-task parameters, evaluated for all tasks in one call.

    Args:
        weights: parameters ``[task, ...]``, and the statistics of observations.
    """

    def __init__(self, policy: Policy, weights: Weights) -> None:
        params, self._statistics, self._policy = weights.params, weights.statistics, policy
        self._read = Reader(weights.statistics)
        self._distribution: Callable[[Params, Tensor], Any] = torch.vmap(policy.apply)
        self._size = sum(p[0].numel() for p in params.values())
        if all(p.stride(0) == 0 for p in params.values()):  # nothing adapted yet: one product serves all tasks
            params, self._distribution = {name: p[0] for name, p in params.items()}, policy.apply
        self._params = params

    def begin(self, mask: NDArray[np.bool_] | None = None) -> None:
        """Nothing to forget."""

    @torch.no_grad()
    def act(self, observation: NDArray[Any], noise: NDArray[Any] | None) -> NDArray[Any]:
        """See `Actor.act`."""
        with threads_for(2 * self._size * math.prod(observation.shape[:2])):
            seen = self._read(from_numpy(observation.astype(np.float32, copy=False)))
            distribution = self._distribution(self._params, seen)
            action = distribution.mode() if noise is None else distribution.sample(from_numpy(noise))
        return np.asarray(action.numpy())

    def observe(self, reward: NDArray[np.float64], done: NDArray[np.bool_]) -> None:
        """Nothing to remember."""

    def module(self, action_space: Space) -> ActingModule:
        """The policy of the first task as a module with its parameters."""
        shared = self._distribution == self._policy.apply
        params = {name: p if shared else p[0] for name, p in self._params.items()}
        return ActingModule(self._policy, params, self._statistics, action_space)


def spread_params(params: Params, num_tasks: int) -> Params:
    """The same parameters for every task (a view ``[task, ...]``)."""
    return {name: p.expand(num_tasks, *p.shape) for name, p in params.items()}


def unadapted(weights: Weights, num_tasks: int) -> Weights:
    """`weights` with the network's parameters of every task (views ``[task, ...]``)."""
    return weights._replace(params=spread_params(weights.params, num_tasks))


def adapt_each(
    backend: str, adapt_one: Callable[[Params, tuple[Any, ...]], Params], params: Params, support: Any
) -> Params:
    """``adapt_one(params, (support,))`` of every task, from its own parameters ``[task, ...]``, without a graph.

    Args:
        backend: of `meta_rl.core.task_map.over_tasks`.
    """
    moved = over_tasks(
        backend,
        lambda mine, data: adapt_one(mine, (data,)),
        params,
        support,
        chunk_size=tasks_at_once(params, support.weight),
    )
    return {name: p.detach() for name, p in moved.items()}


@torch.no_grad()
def policy_batch(policy: Policy, weights: Weights, rollout: Rollout, discount: float, gae_lambda: float) -> Batch:
    """The data of policy losses: a rollout with advantages, by GAE over a linear baseline fitted to this very rollout.

    Advantages are normalised per task. They do not bootstrap, because the objective is the return up to the horizon.

    Args:
        weights: of the policies that acted; their network's parameters are ``[task, ...]``.
    """
    params = weights.params
    observation, action = from_numpy(rollout.observation), from_numpy(rollout.action)
    observation = normaliser.normalise_observation(weights.statistics, observation)
    reward, valid = from_numpy(rollout.reward).double(), from_numpy(rollout.valid)
    feature = baseline.features(observation)
    target = returns.discounted_returns(reward, discount)
    value = baseline.predict(feature, baseline.fit(feature, target, valid), valid)
    advantage = returns.gae(reward, value, valid, torch.zeros_like(value[..., 0]), discount, gae_lambda)
    weight = valid.float()
    policies = over_tasks("vmap", policy.apply, params, observation, chunk_size=tasks_at_once(params, weight))
    return Batch(observation, action, policies.log_prob(action), returns.normalise(advantage, valid).float(), weight)


def make_learner(config: TrainConfig, distribution: Spaces) -> MetaLearner:
    """The learner of `config.recipe` for the spaces of `distribution` (a `FewShotLearner` for few-shot tasks), which it
    keeps as its attribute ``interface``.

    A learner that is told the numbers of tasks is made with their scale (`meta_rl.core.task_numbers`) as its third
    argument: that of `distribution`, or, if this is the interface of an agent, the one that the agent was trained with.

    Raises:
        ConfigError: the recipe's policy has a layer that does not fit (`meta_rl.networks.functional`), or its spaces do
            not; or there is nothing to tell of the tasks.
    """
    recipe = RECIPES[config.recipe]
    told: list[NumberScale] = []
    if recipe.algorithm.told_for is not None:
        tasks: Any = distribution
        told = [tasks.numbers if isinstance(tasks, Interface) else measure_numbers(tasks)]
    policy = _load(recipe.policy)(
        distribution.observation_space, distribution.action_space, config.network, config.seed
    )
    if isinstance(policy, nn.Module):
        functional.require_learnable(policy)
    learner: Any = _load(recipe.learner)(settled(config).algorithm, policy, *told)
    learner.interface = Interface.of(distribution, 0, *told)
    return learner  # type: ignore[no-any-return]


def _load(path: str) -> Any:
    """The object at ``module:name``."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
