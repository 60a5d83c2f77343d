"""Reptile (Nichol, Achiam and Schulman 2018) for reinforcement learning.

For every task i of a meta-batch, with theta the meta-parameters:

    theta_i = theta;  repeat: D_i = rollouts of theta_i;  theta_i <- theta_i - inner_lr * grad L(theta_i, D_i)
    theta  <- theta + meta_lr * mean_i(theta_i - theta)

The step towards theta_i needs no second derivative, nor a query set. L is the policy gradient or PPO's clipped
surrogate with several gradient steps per rollout. All tasks move in one batch; with a meta-batch of one task this is
serial Reptile. The meta-step is plain interpolation, whose size may be annealed linearly, or Adam with
``theta - mean_i(theta_i)`` for its gradient.

The rollout of the adapted policies, which other meta-learners judge on, shows the result of the adaptation and is then
learned from like the others: nothing that was sampled is thrown away.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from meta_rl.algorithms.base import PolicyActor, policy_batch, spread
from meta_rl.config import ReptileConfig
from meta_rl.core import inner_loop, losses
from meta_rl.core.gradient_step import Adam
from meta_rl.core.groups import tasks_at_once
from meta_rl.core.schedules import linear
from meta_rl.core.state import TrainState
from meta_rl.core.types import Batch, MetaBatch, Metrics, Params, Rollout
from meta_rl.networks.policy import Policy


class Reptile:
    """The learner; see `meta_rl.algorithms.base.MetaLearner` for its verbs."""

    parallel = True

    def __init__(self, config: ReptileConfig, policy: Policy) -> None:
        self.config, self.policy = config, policy
        clipped: losses.Loss = functools.partial(losses.clipped, clip_eps=config.clip_eps)
        self._inner_loss: losses.Loss = {"lvc": losses.likelihood_ratio, "ppo": clipped}[config.inner_loss]

    def init(self) -> TrainState:
        """Parameters as the policy was initialised."""
        return TrainState(0, 0, {name: p.detach().clone() for name, p in self.policy.named_parameters()})

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
        at_once = tasks_at_once(adapted, support.weight)
        moved = torch.vmap(lambda params, batch: self._adapt_one(params, (batch,)), chunk_size=at_once)(
            adapted, support
        )
        return {name: p.detach() for name, p in moved.items()}

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """The step towards the mean of the adapted parameters."""
        rollouts = (*batch.support, batch.query)
        at_once = tasks_at_once(state.params, batch.query.weight)
        adapted = torch.vmap(self._adapt_one, in_dims=(None, 0), chunk_size=at_once)(state.params, rollouts)
        gradient = {name: (p - adapted[name].mean(0)).detach() for name, p in state.params.items()}
        flat = torch.cat([g.reshape(-1) for g in gradient.values()])
        metrics = {
            "update/displacement": float(flat.norm()),
            "update/meta_lr": self.meta_lr(state.iteration),
            "guard/non_finite_gradient": 0.0,
        }
        if not bool(flat.isfinite().all()):
            return metrics | {"guard/non_finite_gradient": 1.0}
        self._step(state, gradient)
        return metrics

    def meta_lr(self, iteration: int) -> float:
        """The annealed step size."""
        return linear(self.config.meta_lr, self.config.final_meta_lr, iteration, self.config.meta_lr_iterations)

    def _step(self, state: TrainState, gradient: Params) -> None:
        meta_lr = self.meta_lr(state.iteration)
        if self.config.meta_optimizer == "sgd":
            state.params = {name: p - meta_lr * gradient[name] for name, p in state.params.items()}
            return
        adam = Adam(state.params, state.optimizer, meta_lr)
        adam.step(gradient.values())
        state.params, state.optimizer = adam.result(), adam.state()

    def _adapt_one(self, params: Params, rollouts: tuple[Batch, ...]) -> Params:
        """All inner steps of one task. First order: the result is never differentiated."""
        steps = [batch for batch in rollouts for _ in range(self.config.inner_epochs)]
        return inner_loop.adapt(self._loss, params, steps, self.config.inner_lr, first_order=True)

    def _loss(self, params: Params, batch: Batch) -> Tensor:
        return self._inner_loss(self.policy.apply(params, batch.observation), batch)
