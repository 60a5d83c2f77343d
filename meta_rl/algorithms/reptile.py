"""Reptile (Nichol, Achiam and Schulman 2018), for policies and for labelled examples.

For every task i of a meta-batch, with theta the meta-parameters:

    theta_i = theta;  repeat: D_i = rollouts of theta_i;  theta_i <- theta_i - inner_lr * grad L(theta_i, D_i)
    theta  <- theta + meta_lr * mean_i(theta_i - theta)

The step towards theta_i needs no second derivative, nor a query set. L is the policy gradient or PPO's clipped
surrogate with several gradient steps per rollout. All tasks move in one batch; with a meta-batch of one task this is
serial Reptile. The meta-step is plain interpolation, whose size may be annealed linearly, or Adam with
``theta - mean_i(theta_i)`` for its gradient.

The rollout of the adapted policies, which other meta-learners judge on, shows the result of the adaptation and is then
learned from like the others: nothing that was sampled is thrown away.

On labelled examples (`SupervisedReptile`) D_i are minibatches of the support, and the inner optimizer may be Adam
without momentum. Its second moments are learned too, as in the authors' code, where they last from task to task and
into the tests: every task starts with the mean of what the tasks before ended with. Adam that starts anew with a task
takes steps of one size in all parameters at first, however small their gradients. The query, never learned from, shows
what came of it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from meta_rl.algorithms import fewshot
from meta_rl.algorithms.base import PolicyActor, adapt_each, policy_batch, spread
from meta_rl.algorithms.fewshot import SUPERVISED_LOSSES
from meta_rl.config import ReptileConfig
from meta_rl.core import inner_loop, losses, parallel
from meta_rl.core.gradient_step import Adam
from meta_rl.core.groups import tasks_at_once
from meta_rl.core.schedules import linear
from meta_rl.core.state import TrainState
from meta_rl.core.task_map import over_tasks
from meta_rl.core.types import Batch, Examples, MetaBatch, Metrics, Params, Rollout, map_tensors, prefixed, split
from meta_rl.fewshot_config import SupervisedReptileConfig
from meta_rl.networks.fewshot import Network
from meta_rl.networks.policy import Policy

OPTIMIZER = "inner_optimizer."
"""What the names of the inner optimizer's numbers begin with. They are among the parameters, but move all the way to
the mean."""


class ReptileBase:
    """What policies and supervised networks have in common: the step towards the adapted parameters."""

    def __init__(self, config: ReptileConfig | SupervisedReptileConfig, policy: Any, inner_loss: Callable[..., Tensor]):
        self.config: Any = config
        self.policy, self.inner_loss = policy, inner_loss
        self.backend = "vmap"

    def init(self) -> TrainState:
        """Parameters as the network was initialised."""
        return TrainState(0, 0, {name: p.detach().clone() for name, p in self.policy.named_parameters()})

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """The step towards the mean of the adapted parameters."""
        at_once = tasks_at_once(state.params, batch.query.weight)
        data = self._learned_from(batch)
        adapted = over_tasks(self.backend, self._adapt_one, state.params, data, in_dims=(None, 0), chunk_size=at_once)
        moved = [(p - adapted[name].mean(0)).detach() for name, p in state.params.items()]
        every = dict(zip(state.params, parallel.means(moved), strict=True))
        gradient = split(every, OPTIMIZER)[0]
        flat = torch.cat([g.reshape(-1) for g in gradient.values()])
        metrics = {
            "update/displacement": float(flat.norm()),
            "update/meta_lr": self.meta_lr(state.iteration),
            "guard/non_finite_gradient": 0.0,
            **self._judge(adapted, batch),
        }
        if not all(bool(numbers.isfinite().all()) for numbers in every.values()):
            return metrics | {"guard/non_finite_gradient": 1.0}
        optimizer = {name: p - every[name] for name, p in state.params.items() if name not in gradient}
        state.params = split(state.params, OPTIMIZER)[0]
        self._step(state, gradient)
        state.params = state.params | optimizer
        return metrics

    def meta_lr(self, iteration: int) -> float:
        """The annealed step size."""
        c = self.config
        return linear(c.meta_lr, c.final_meta_lr, iteration, c.meta_lr_iterations)

    def _step(self, state: TrainState, gradient: Params) -> None:
        meta_lr = self.meta_lr(state.iteration)
        if self.config.meta_optimizer == "sgd":
            state.params = {name: p - meta_lr * gradient[name] for name, p in state.params.items()}
            return
        adam = Adam(state.params, state.optimizer, meta_lr)
        adam.step(gradient.values())
        state.params, state.optimizer = adam.result(), adam.state()

    def _judge(self, adapted: Params, batch: MetaBatch) -> Metrics:
        """What the adapted parameters of all tasks are worth, where that is not known already."""
        return {}

    def _learned_from(self, batch: MetaBatch) -> tuple[Any, ...]:
        raise NotImplementedError

    def _adapt_one(self, params: Params, data: tuple[Any, ...]) -> Params:
        """All inner steps of one task. First order: the result is never differentiated."""
        raise NotImplementedError

    def _loss(self, params: Params, batch: Any) -> Tensor:
        return self.inner_loss(self.policy.apply(params, batch.observation), batch)


class Reptile(ReptileBase):
    """The learner of policies; see `meta_rl.algorithms.base.MetaLearner` for its verbs."""

    parallel = True
    config: ReptileConfig

    def __init__(self, config: ReptileConfig, policy: Policy) -> None:
        clipped: losses.Loss = functools.partial(losses.clipped, clip_eps=config.clip_eps)
        super().__init__(config, policy, {"lvc": losses.likelihood_ratio, "ppo": clipped}[config.inner_loss])

    def stages(self, episodes_per_task: int) -> int:
        """`inner_steps` rollouts, and the one that shows what came of them."""
        return self.config.inner_steps + 1

    def start(self, params: Params, num_tasks: int) -> Params:
        """The same parameters for every task (a view)."""
        return spread(params, num_tasks)

    def actor(self, adapted: Params) -> PolicyActor:
        """Acts with parameters ``[task, ...]``."""
        return PolicyActor(self.policy, adapted)

    def prepare(self, adapted: Params, rollout: Rollout) -> Batch:
        """See `meta_rl.algorithms.base.policy_batch`."""
        return policy_batch(self.policy, adapted, rollout, self.config.discount, self.config.gae_lambda)

    def adapt(self, adapted: Params, support: Batch, actor: object = None) -> Params:
        """The inner steps on one rollout, from each task's own parameters."""
        return adapt_each(self.backend, self._adapt_one, adapted, support)

    def _learned_from(self, batch: MetaBatch) -> tuple[Batch, ...]:
        return (*batch.support, batch.query)

    def _adapt_one(self, params: Params, rollouts: tuple[Batch, ...]) -> Params:
        steps = [batch for batch in rollouts for _ in range(self.config.inner_epochs)]
        return inner_loop.adapt(self._loss, params, steps, self.config.inner_lr, first_order=True)


class Adapting(NamedTuple):
    """Tasks on their way: parameters and the inner optimizer's state ``[task, ...]``, and how many steps were taken."""

    params: Params
    state: Any
    steps: int


class SupervisedReptile(ReptileBase):
    """The learner of labelled examples; see `meta_rl.algorithms.fewshot.FewShotLearner` for its verbs."""

    config: SupervisedReptileConfig

    def __init__(self, config: SupervisedReptileConfig, network: Network) -> None:
        super().__init__(config, network, SUPERVISED_LOSSES[network.kind])
        adam = config.inner_optimizer == "adam"
        self._rule = inner_loop.adam(config.inner_lr) if adam else inner_loop.gradient_descent(config.inner_lr)

    def init(self) -> TrainState:
        """See `ReptileBase.init`; with Adam its moments and number of steps are among the parameters."""
        state = super().init()
        if self.config.inner_optimizer == "adam":
            state.params |= named(inner_loop.adam_start(state.params))
        return state

    def start(self, params: Params, num_tasks: int) -> Adapting:
        """The same parameters and inner optimizer for every task (views)."""
        self.backend = fewshot.test_backend(params)
        network, optimizer = unnamed(spread(params, num_tasks))
        return Adapting(network, optimizer, 0)

    def adapt(self, adapted: Adapting, support: Examples) -> Adapting:
        """One minibatch step from each task's own parameters."""

        def one(params: Params, state: Any, support: Examples) -> tuple[Params, Any]:
            return self._steps(params, state, support, adapted.steps, 1)

        params, state = over_tasks(self.backend, one, adapted.params, adapted.state, support)
        params, state = map_tensors(Tensor.detach, (params, state))
        return Adapting(params, state, adapted.steps + 1)

    def predict(self, adapted: Adapting, support: Examples, observation: Tensor, inductive: bool) -> Tensor:
        """See `FewShotLearner.predict`."""
        return fewshot.predict(self.policy, adapted.params, support, observation, inductive)

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """See `ReptileBase.meta_update`; the back end is chosen before."""

        def update(backend: str) -> None:
            self.backend = backend
            super(SupervisedReptile, self).meta_update(dataclasses.replace(state), batch)

        self.backend = fewshot.choose_backend(self.config.task_map, state, update)
        return super().meta_update(state, batch)

    def _judge(self, adapted: Params, batch: MetaBatch) -> Metrics:
        moved = map_tensors(Tensor.detach, unnamed(adapted)[0])
        outputs = fewshot.predict(self.policy, moved, batch.support[0], batch.query.observation, inductive=False)
        return fewshot.scores(self.policy.kind, outputs, batch.query)

    def _learned_from(self, batch: MetaBatch) -> tuple[Examples, ...]:
        return batch.support

    def _adapt_one(self, params: Params, data: tuple[Examples, ...]) -> Params:
        network, optimizer = self._steps(*unnamed(params), data[0], 0, self.config.inner_steps)
        return network | named(optimizer)

    def _steps(self, params: Params, state: Any, support: Examples, first: int, steps: int) -> tuple[Params, Any]:
        parts = inner_loop.minibatches(support, self.config.inner_batch, first, steps)
        return inner_loop.adapt_by(self._rule, self._loss, params, state, parts, first_order=True)


def named(optimizer: tuple[Params, Tensor] | tuple[()]) -> Params:
    """The inner optimizer's numbers as parameters."""
    if not optimizer:
        return {}
    moments, steps = optimizer
    return prefixed(OPTIMIZER, {"steps": steps} | prefixed("moment.", moments))


def unnamed(params: Params) -> tuple[Params, tuple[Params, Tensor] | tuple[()]]:
    """The network's parameters and the inner optimizer's numbers; the inverse of `named`."""
    network, optimizer = split(params, OPTIMIZER)
    return network, (split(optimizer, "moment.")[1], optimizer["steps"]) if optimizer else ()
