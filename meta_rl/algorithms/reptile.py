"""Reptile (Nichol, Achiam and Schulman 2018), for policies and for labelled examples.

For every task i of a meta-batch, with theta the meta-parameters:

    theta_i = theta;  repeat: D_i = rollouts of theta_i;  theta_i <- theta_i - inner_lr * grad L(theta_i, D_i)
    theta  <- theta + meta_lr * mean_i(theta_i - theta)

The step towards theta_i needs no second derivative, nor a query set. L is the policy gradient or PPO's clipped
surrogate. With the surrogate the inner loop takes many small Adam steps: `inner_epochs` passes over a rollout,
`inner_minibatches` steps each. One plain gradient step per rollout moves a policy too little to show theta where its
tasks lie. All tasks move in one batch; with a meta-batch of one task this is serial Reptile. The meta-step is plain
interpolation, whose size may be annealed linearly, or Adam with ``theta - mean_i(theta_i)`` for its gradient.

The rollout of the adapted policies, the query of other meta-learners, shows the result of the adaptation. Then it is
learned from like the others, so no sample is wasted.

The inner optimizer may be Adam without momentum. Its second moments are learned too, as in the authors' code, where
they last from task to task and into the tests: every task starts with the mean of those that the tasks before ended
with. If Adam started anew with every task, its first steps would have one size in all parameters, however small their
gradients.

On labelled examples (`SupervisedReptile`) D_i are minibatches of the support. The query is never learned from and shows
the result.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from meta_rl.algorithms import supervised
from meta_rl.algorithms.base import PolicyActor, policy_batch, spread_params, unadapted
from meta_rl.algorithms.supervised import SUPERVISED_LOSSES
from meta_rl.config import ReptileConfig, SupervisedReptileConfig
from meta_rl.core import parallel
from meta_rl.core.groups import tasks_at_once
from meta_rl.core.state import TrainState
from meta_rl.core.task_map import over_tasks
from meta_rl.core.types import Batch, Examples, MetaBatch, Metrics, Params, Rollout, map_tensors
from meta_rl.core.weights import Weights, joined, parted
from meta_rl.maths import inner_loop, losses
from meta_rl.maths.gradient_step import Adam
from meta_rl.maths.schedules import linear
from meta_rl.networks.fewshot import Network
from meta_rl.networks.policy import Policy


class ReptileAdapted(NamedTuple):
    """Reptile's `Adapted`: all tasks in the middle of their adaptation."""

    weights: Weights
    """Network parameters ``[task, ...]``; everything else as in the meta-parameters."""
    state: Any
    """State of the inner optimizer, ``[task, ...]``."""
    steps: int
    """Number of adaptations so far."""


class ReptileBase:
    """Base of the learners of policies and of supervised networks: the inner optimizer, and the step towards the
    adapted parameters."""

    def __init__(self, config: ReptileConfig | SupervisedReptileConfig, policy: Any, inner_loss: Callable[..., Tensor]):
        self.config: Any = config
        self.policy, self.inner_loss = policy, inner_loss
        adam = config.inner_optimizer == "adam"
        self._rule = inner_loop.adam(config.inner_lr) if adam else inner_loop.gradient_descent(config.inner_lr)

    def init(self) -> TrainState:
        """Parameters as the network was initialised, and with Adam the inner optimizer's numbers."""
        params = {name: p.detach().clone() for name, p in self.policy.named_parameters()}
        adam = self.config.inner_optimizer == "adam"
        return TrainState(0, 0, params, named(inner_loop.adam_start(params) if adam else ()))

    def start(self, weights: Weights, num_tasks: int) -> ReptileAdapted:
        """The same parameters and inner optimizer for every task (views)."""
        return ReptileAdapted(unadapted(weights, num_tasks), unnamed(spread_params(weights.shared, num_tasks)), 0)

    def _adapt(self, adapted: ReptileAdapted, support: Any, backend: str) -> ReptileAdapted:
        """The inner steps on one rollout, or one minibatch step on examples, from each task's own parameters.

        Args:
            backend: of `meta_rl.core.task_map.over_tasks`, here and below.
        """

        def one(params: Params, state: Any, support: Any) -> tuple[Params, Any]:
            return self._steps(params, state, support, adapted.steps)

        at_once = tasks_at_once(adapted.weights.params, support.weight)
        data = (adapted.weights.params, adapted.state, support)
        params, state = over_tasks(backend, one, *data, chunk_size=at_once)
        params, state = map_tensors(Tensor.detach, (params, state))
        return ReptileAdapted(adapted.weights._replace(params=params), state, adapted.steps + 1)

    def _meta_update(self, state: TrainState, batch: MetaBatch, backend: str) -> Metrics:
        """One step towards the mean of the adapted parameters. The inner optimizer's numbers become their mean."""
        at_once = tasks_at_once(state.params, batch.query.weight)

        def one(params: Params, shared: Params, data: tuple[Any, ...]) -> tuple[Params, Params]:
            adapted, optimizer = params, unnamed(shared)
            for number, support in enumerate(data):
                adapted, optimizer = self._steps(adapted, optimizer, support, number)
            return adapted, named(optimizer)

        start, data = (state.params, state.shared), self._learned_from(batch)
        # All tasks start from the same parameters; what they end with is [task, ...].
        ended = over_tasks(backend, one, *start, data, in_dims=(None, None, 0), chunk_size=at_once)
        before, after = joined(*start), joined(*ended)
        moved = parallel.means([displacement(p, after[name]) for name, p in before.items()])
        gradient, optimizer = parted(dict(zip(before, moved, strict=True)))
        flat = torch.cat([g.reshape(-1) for g in gradient.values()])  # [coordinate]
        metrics = {
            "update/displacement": float(flat.norm()),
            "update/meta_lr": self.meta_lr(state.iteration),
            "guard/non_finite_gradient": 0.0,
            **self._judge(ended[0], batch),
        }
        if not all(bool(numbers.isfinite().all()) for numbers in moved):
            return metrics | {"guard/non_finite_gradient": 1.0}
        state.shared = {name: p - optimizer[name] for name, p in state.shared.items()}
        self._step(state, gradient)
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
        """Scores of the adapted parameters ``[task, ...]`` on the query; none for policies, as their rollouts have
        shown them."""
        return {}

    def _learned_from(self, batch: MetaBatch) -> tuple[Any, ...]:
        """Data that the tasks adapt on, one element after another."""
        raise NotImplementedError

    def _steps(self, params: Params, state: Any, support: Any, number: int) -> tuple[Params, Any]:
        """Take the inner steps of one task on its `support`, after `number` adaptations. The result is never
        differentiated, so first order is enough."""
        parts = self._parts(support, number)
        return inner_loop.adapt_by(self._rule, self._loss, params, state, parts, first_order=True)

    def _parts(self, support: Any, number: int) -> list[Any]:
        """Data of each inner step on `support`, after `number` adaptations."""
        raise NotImplementedError

    def _loss(self, params: Params, batch: Any) -> Tensor:
        return self.inner_loss(self.policy.apply(params, batch.observation), batch)


class Reptile(ReptileBase):
    """The learner of policies; see `meta_rl.algorithms.base.MetaLearner` for its verbs."""

    episodes_at_once = True
    config: ReptileConfig

    def __init__(self, config: ReptileConfig, policy: Policy) -> None:
        clipped: losses.PolicyLoss = functools.partial(losses.clipped, clip_eps=config.clip_eps)
        super().__init__(config, policy, {"lvc": losses.likelihood_ratio, "ppo": clipped}[config.inner_loss])

    def init(self) -> TrainState:
        """See `ReptileBase.init`; with empty statistics of observations, if they are normalised."""
        state = super().init()
        state.statistics = self.policy.statistics()
        return state

    def stages(self, episodes_per_task: int) -> int:
        """`inner_steps` rollouts, and one more that shows the result of the adaptation."""
        return self.config.inner_steps + 1

    def actor(self, adapted: ReptileAdapted) -> PolicyActor:
        """Acts with parameters ``[task, ...]``."""
        return PolicyActor(self.policy, adapted.weights)

    def prepare(self, adapted: ReptileAdapted, rollout: Rollout) -> Batch:
        """See `meta_rl.algorithms.base.policy_batch`."""
        return policy_batch(self.policy, adapted.weights, rollout, self.config.discount, self.config.gae_lambda)

    def adapt(self, adapted: ReptileAdapted, support: Batch, actor: object = None) -> ReptileAdapted:
        """The inner steps on one rollout of every task, from its own parameters."""
        return self._adapt(adapted, support, "vmap")

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """See `ReptileBase._meta_update`."""
        return self._meta_update(state, batch, "vmap")

    def _learned_from(self, batch: MetaBatch) -> tuple[Batch, ...]:
        return (*batch.support, batch.query)

    def _parts(self, support: Batch, number: int) -> list[Batch]:
        """Minibatches of a rollout ``[env, time, ...]``: the m-th of M takes every M-th step from the m-th on.
        Neighbouring steps are alike, so each minibatch is a sample of whole episodes. Every epoch takes them all."""
        count = min(self.config.inner_minibatches, support.weight.shape[-1])
        # [env, every M-th time step, ...] each.
        cut = [map_tensors(operator.itemgetter((slice(None), slice(m, None, count))), support) for m in range(count)]
        return cut * self.config.inner_epochs


class SupervisedReptile(ReptileBase):
    """The learner of labelled examples; see `meta_rl.algorithms.supervised.FewShotLearner` for its verbs."""

    config: SupervisedReptileConfig

    def __init__(self, config: SupervisedReptileConfig, network: Network) -> None:
        super().__init__(config, network, SUPERVISED_LOSSES[network.kind])

    def adapt(self, adapted: ReptileAdapted, support: Examples) -> ReptileAdapted:
        """One minibatch step of every task, by the back end that is fastest in tests."""
        return self._adapt(adapted, support, supervised.test_backend(adapted.weights.params))

    def predict(self, adapted: ReptileAdapted, support: Examples, observation: Tensor, inductive: bool) -> Tensor:
        """See `FewShotLearner.predict`."""
        return supervised.predict_answers(self.policy, adapted.weights.params, support, observation, inductive)

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """See `ReptileBase._meta_update`. The back end is chosen first."""
        backend = supervised.choose_backend(
            self.config.task_map, state, lambda backend: self._meta_update(dataclasses.replace(state), batch, backend)
        )
        return self._meta_update(state, batch, backend)

    def _judge(self, adapted: Params, batch: MetaBatch) -> Metrics:
        moved = map_tensors(Tensor.detach, adapted)
        outputs = supervised.predict_answers(
            self.policy, moved, batch.support[0], batch.query.observation, inductive=False
        )
        return supervised.scores(self.policy.kind, outputs, batch.query)

    def _learned_from(self, batch: MetaBatch) -> tuple[Examples, ...]:
        return batch.support * self.config.inner_steps

    def _parts(self, support: Examples, number: int) -> list[Examples]:
        return inner_loop.minibatches(support, self.config.inner_batch, number, 1)


@torch.no_grad()
def displacement(before: Tensor, after: Tensor) -> Tensor:
    """``before - mean(after)`` over tasks, from ``[...]`` and ``[task, ...]``. Exactly 0 for a parameter that no task
    moved, frozen ones for example: rounding in the mean would move it, and Adam by steps of full size."""
    return torch.zeros_like(before) if bool((after == before).all()) else before - after.mean(0)


def named(optimizer: tuple[Params, Tensor] | tuple[()]) -> Params:
    """The inner optimizer's numbers under names of their own."""
    if not optimizer:
        return {}
    moments, steps = optimizer
    return {"steps": steps} | {f"moment.{name}": moment for name, moment in moments.items()}


def unnamed(shared: Params) -> tuple[Params, Tensor] | tuple[()]:
    """The inverse of `named`."""
    moments = {name.removeprefix("moment."): moment for name, moment in shared.items() if name != "steps"}
    return (moments, shared["steps"]) if shared else ()
