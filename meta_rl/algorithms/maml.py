"""Model-agnostic meta-learning with policy gradients (Finn, Abbeel and Levine 2017).

For every task i of a meta-batch, with theta the meta-parameters and D_i rollouts of the current policy:

    theta_i = theta - inner_lr * grad L(theta, D_i)                (adapt; repeated for several inner steps)
    D'_i    = rollouts of theta_i on task i
    theta  <- theta + step on  sum_i L(theta_i(theta), D'_i)       (meta-update, through the adaptation)

L is the likelihood-ratio surrogate with advantages from a linear baseline fitted per task and stage. The outer step
is a trust region on the post-adaptation policies: TRPO with KL(pi_old_i || pi_theta_i) averaged over tasks.

With ``inner_steps = 0`` the same update is plain multi-task TRPO, the no-adaptation baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from meta_rl.algorithms.base import PolicyActor
from meta_rl.config import MamlConfig
from meta_rl.core import baseline, inner_loop, losses, returns, trust_region
from meta_rl.core.state import TrainState
from meta_rl.core.trust_region import Metrics
from meta_rl.core.types import Batch, MetaBatch, Params, Rollout, from_numpy, map_tensors
from meta_rl.networks.policy import Policy


class Maml:
    """The learner; see `meta_rl.algorithms.base.MetaLearner` for its verbs."""

    def __init__(self, config: MamlConfig, policy: Policy) -> None:
        self.config, self.policy = config, policy
        self.inner_steps = config.inner_steps
        self._trust_region = trust_region.TrustRegion(
            config.max_kl, config.cg_iters, config.cg_damping, config.backtrack_ratio, config.max_backtracks
        )

    def init(self) -> TrainState:
        """Parameters as the policy was initialised."""
        return TrainState(0, 0, {name: p.detach().clone() for name, p in self.policy.named_parameters()})

    def spread(self, params: Params, num_tasks: int) -> Params:
        """The same parameters for every task (a view)."""
        return {name: p.expand(num_tasks, *p.shape) for name, p in params.items()}

    def actor(self, params: Params) -> PolicyActor:
        """Acts with parameters ``[task, ...]``."""
        return PolicyActor(self.policy, params)

    @torch.no_grad()
    def prepare(self, params: Params, rollout: Rollout) -> Batch:
        """Advantages by GAE over a linear baseline of this very rollout, normalised per task; no bootstrap, because
        the objective is the return up to the horizon."""
        observation, action = from_numpy(rollout.observation), from_numpy(rollout.action)
        reward, valid = from_numpy(rollout.reward).double(), from_numpy(rollout.valid)
        feature = baseline.features(observation)
        target = returns.discounted_returns(reward, self.config.discount)
        value = baseline.predict(feature, baseline.fit(feature, target, valid), valid)
        advantage = returns.gae(
            reward, value, valid, torch.zeros_like(value[..., 0]), self.config.discount, self.config.gae_lambda
        )
        log_prob = torch.vmap(self.policy.apply)(params, observation).log_prob(action)
        return Batch(observation, action, log_prob, returns.normalise(advantage, valid).float(), valid.float())

    def adapt(self, params: Params, support: Batch) -> Params:
        """One inner step from each task's own parameters."""

        def one(params: Params, support: Batch) -> Params:
            return self._adapt_one(params, (support,))

        return {name: p.detach() for name, p in torch.vmap(one)(params, support).items()}

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """One trust-region step on the meta-parameters through the adaptation of all tasks."""
        params = {name: p.detach().requires_grad_() for name, p in state.params.items()}
        policies = self.adapted_policies(params, batch)
        loss = torch.vmap(losses.likelihood_ratio)(policies, batch.query).mean()
        gradient = trust_region.ravel(torch.autograd.grad(loss, list(params.values())))
        old, weight = detach(policies), mean_weight(batch.query)

        def evaluate(candidate: Params) -> tuple[Tensor, Tensor]:
            new = self.adapted_policies(candidate, batch)
            loss = torch.vmap(losses.likelihood_ratio)(new, batch.query).mean()
            return loss, (old.kl(new) * weight).sum()

        product = self.curvature_product(params, thin(batch, self.config.curvature_stride))
        start = {name: p.detach() for name, p in params.items()}
        state.params, metrics = trust_region.step(start, evaluate, gradient, product, self._trust_region)
        metrics["policy/entropy"] = float((old.entropy() * weight).sum())
        return metrics

    def curvature_product(self, params: Params, batch: MetaBatch) -> Callable[[Tensor], Tensor]:
        """``v -> H v`` with H the Hessian, at `params` (which require grad), of the mean KL divergence from the
        present post-adaptation policies."""
        policies = self.adapted_policies(params, batch)
        old, weight = detach(policies), mean_weight(batch.query).unsqueeze(-1)

        def fisher(tangent: Sequence[Tensor]) -> list[Tensor]:
            return [t * weight for t in old.fisher_product(type(old)(*tangent))]

        return trust_region.gauss_newton_product(policies, list(params.values()), fisher)

    def adapted_policies(self, params: Params, batch: MetaBatch) -> Any:
        """Action distributions ``[task, env, time]`` of the adapted policies on the query observations,
        differentiable with respect to `params`."""

        def one(support: tuple[Batch, ...], query: Batch) -> Any:
            return self.policy.apply(self._adapt_one(params, support), query.observation)

        return torch.vmap(one)(batch.support, batch.query)

    def _adapt_one(self, params: Params, support: tuple[Batch, ...]) -> Params:
        return inner_loop.adapt(
            self._inner_loss, params, support, self.config.inner_lr, first_order=self.config.first_order
        )

    def _inner_loss(self, params: Params, batch: Batch) -> Tensor:
        return losses.likelihood_ratio(self.policy.apply(params, batch.observation), batch)


def detach(distribution: Any) -> Any:
    """The same distribution without a graph."""
    return type(distribution)(*(p.detach() for p in distribution))


def mean_weight(batch: Batch) -> Tensor:
    """Weights ``[task, env, time]`` that sum to 1: a mean over each task's valid steps, then over tasks."""
    return batch.weight / batch.weight.sum((-2, -1), keepdim=True) / len(batch.weight)


def thin(batch: MetaBatch, stride: int) -> MetaBatch:
    """Every `stride`-th step of every episode. Neighbouring states are nearly alike, so the curvature estimated on
    them is nearly the same at a fraction of the cost; loss, gradient and line search always see all steps."""
    return batch if stride == 1 else map_tensors(lambda x: x[:, :, ::stride], batch)  # type: ignore[no-any-return]
