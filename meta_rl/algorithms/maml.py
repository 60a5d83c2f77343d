"""Model-agnostic meta-learning with policy gradients (Finn, Abbeel and Levine 2017).

For every task i of a meta-batch, with theta the meta-parameters and D_i rollouts of the current policy:

    theta_i = theta - inner_lr * grad L(theta, D_i)                (adapt; repeated for several inner steps)
    D'_i    = rollouts of theta_i on task i
    theta  <- theta + step on  sum_i L'(theta_i(theta), D'_i)      (meta-update, through the adaptation)

L, the inner loss, is a policy-gradient objective with advantages from a linear baseline fitted per task and stage; the
choices differ in their second derivatives (`meta_rl.maths.losses`). The outer step and its loss L':

* trpo: likelihood ratio, within a trust region on the post-adaptation policies, KL(pi_old_i || pi_theta_i) averaged
  over tasks (`meta_rl.maths.trust_region`);
* ppo: clipped likelihood ratio, several epochs of Adam steps on minibatches. With a penalty on the KL divergence of
  the pre-adaptation policies and low-variance curvature this is ProMP (Rothfuss et al. 2019);
* vpg: the policy gradient, one Adam step.

With ``first_order`` the adaptation's own derivative counts as the identity (FOMAML). With ``learn_inner_lr`` the
step sizes, one per parameter, are meta-parameters too (Meta-SGD, Li et al. 2017). With ``inner_steps = 0`` the same
update is plain multi-task policy optimisation, the no-adaptation baseline.

On labelled examples (`SupervisedMaml`) L and L' are both the mean loss, cross-entropy or squared error, the data is
given, and the outer step is Adam's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from meta_rl.algorithms import supervised
from meta_rl.algorithms.base import PolicyActor, adapt_each, policy_batch, unadapted
from meta_rl.algorithms.supervised import SUPERVISED_LOSSES
from meta_rl.config import MamlConfig, SupervisedMamlConfig
from meta_rl.core import parallel
from meta_rl.core.groups import task_groups
from meta_rl.core.minibatches import between_steps, between_tasks
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.state import TrainState
from meta_rl.core.task_map import over_tasks
from meta_rl.core.threads import part_map
from meta_rl.core.types import Batch, Examples, MetaBatch, Metrics, Params, Rollout, map_tensors
from meta_rl.core.weights import Weights, joined, parted
from meta_rl.maths import gradient_step, inner_loop, losses, trust_region
from meta_rl.maths.schedules import linear
from meta_rl.networks.fewshot import Network
from meta_rl.networks.policy import Policy

INNER_LOSSES: dict[str, losses.PolicyLoss] = {
    "lvc": losses.likelihood_ratio,
    "dice": losses.dice,
    "score": losses.score,
}
Groups = list[tuple[MetaBatch, float]]
"""Groups of tasks and their shares of the meta-batch."""


class MamlBase:
    """Base of the learners of policies and of supervised networks: adaptation, and the meta-gradient through it.

    Args:
        policy: maps observations to a distribution or to answers under given parameters.
        inner_loss: maps the outputs of `policy` on one batch of support data, and that batch, to a scalar.
    """

    def __init__(self, config: MamlConfig | SupervisedMamlConfig, policy: Any, inner_loss: Callable[..., Tensor]):
        self.config: Any = config
        self.policy, self.inner_loss = policy, inner_loss

    def init(self) -> TrainState:
        """Parameters as the network was initialised, and step sizes if they are learned."""
        params = {name: p.detach().clone() for name, p in self.policy.named_parameters()}
        rates = {name: torch.full_like(p, self.config.inner_lr) for name, p in params.items()}
        return TrainState(0, 0, params, rates if self.config.learn_inner_lr else {})

    def start(self, weights: Weights, num_tasks: int) -> Weights:
        """The same parameters for every task (views)."""
        return unadapted(weights, num_tasks)

    def adapted_policies(self, params: Params, batch: MetaBatch, backend: str = "vmap") -> Any:
        """Outputs of the adapted networks on the query observations.

        Args:
            params: the network's and the shared ones together; the outputs are differentiable with respect to them.
            backend: of `meta_rl.core.task_map.over_tasks`, here and below.
        Returns:
            Action distributions ``[task, env, time]``, or outputs ``[task, example, out]``.
        """
        network, shared = parted(params)

        def one(support: tuple[Any, ...], query: Any) -> Any:
            return self.policy.apply(self._adapt_one(network, shared, support), query.observation)

        return over_tasks(backend, one, batch.support, batch.query)

    def _adapt(self, adapted: Weights, support: Any, backend: str) -> Weights:
        """One inner step from each task's own parameters."""

        def one(params: Params, support: tuple[Any, ...]) -> Params:
            return self._adapt_one(params, adapted.shared, support)

        return adapted._replace(params=adapt_each(backend, one, adapted.params, support))

    def _groups(self, params: Params, batch: MetaBatch, backend: str = "vmap") -> Groups:
        return task_groups(params, batch, batch.query.weight, backend)

    def _objective(
        self,
        loss_of: Callable[..., Tensor],
        tell: Callable[[Any, Any], Any] = lambda outputs, query: outputs,
        backend: str = "vmap",
    ) -> Callable[[MetaBatch], gradient_step.Loss]:
        """The objective of a meta-batch: a function of the parameters that returns (mean loss over tasks, extras).

        Args:
            loss_of: maps a task's outputs on the query, and the query, to a scalar.
            tell: maps the detached outputs of all tasks, and the query, to the extras; default: the outputs.
        """

        def objective(part: MetaBatch) -> gradient_step.Loss:
            def loss(params: Params) -> tuple[Tensor, Any]:
                outputs = self.adapted_policies(params, part, backend)
                value: Tensor = over_tasks(backend, loss_of, outputs, part.query).mean()  # [task] -> scalar
                return value, tell(detach(outputs), part.query)

            return loss

        return objective

    def _adapt_one(self, params: Params, rates: Params, support: tuple[Any, ...]) -> Params:
        """Parameters of one task after one step per element of `support`. The step sizes are `rates` if they are
        learned, else `inner_lr`."""
        inner_lr, first_order = rates or self.config.inner_lr, self.config.first_order
        return inner_loop.adapt(self._loss, params, support, inner_lr, first_order=first_order)

    def _loss(self, params: Params, batch: Any) -> Tensor:
        return self.inner_loss(self.policy.apply(params, batch.observation), batch)


class Maml(MamlBase):
    """The learner of policies; see `meta_rl.algorithms.base.MetaLearner` for its verbs."""

    episodes_at_once = True
    config: MamlConfig

    def __init__(self, config: MamlConfig, policy: Policy) -> None:
        super().__init__(config, policy, INNER_LOSSES[config.inner_loss])
        self._outer_step = {"trpo": self._trust_region_step, "ppo": self._ppo_steps, "vpg": self._vpg_step}[
            config.outer_step
        ]

    def init(self) -> TrainState:
        """See `MamlBase.init`; with empty statistics of observations, if they are normalised."""
        state = super().init()
        state.statistics = self.policy.statistics()
        return state

    def stages(self, episodes_per_task: int) -> int:
        """A support rollout per inner step, then the query."""
        return self.config.inner_steps + 1

    def actor(self, adapted: Weights) -> PolicyActor:
        """Acts with parameters ``[task, ...]``."""
        return PolicyActor(self.policy, adapted)

    def adapt(self, adapted: Weights, support: Batch, actor: object = None) -> Weights:
        """One inner step of all tasks at once."""
        return self._adapt(adapted, support, "vmap")

    def prepare(self, adapted: Weights, rollout: Rollout) -> Batch:
        """See `policy_batch`."""
        return policy_batch(self.policy, adapted, rollout, self.config.discount, self.config.gae_lambda)

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """One outer step on the meta-parameters through the adaptation of all tasks."""
        return self._outer_step(state, batch)

    def surrogates(self, params: Params, batch: MetaBatch) -> tuple[list[gradient_step.Loss], Groups]:
        """The outer loss of a trust region, a likelihood ratio, in parts that add up to it, and the group of tasks
        that each part is of.

        Args:
            params: the network's and the shared ones together; they set the size of the groups.
        """
        groups = self._groups(params, batch)
        return gradient_step.group_losses(self._objective(losses.likelihood_ratio), groups), groups

    def _trust_region_step(self, state: TrainState, batch: MetaBatch) -> Metrics:
        params = {name: p.detach().requires_grad_() for name, p in joined(state.params, state.shared).items()}
        (surrogates, groups), c = self.surrogates(params, batch), self.config
        loss, gradient, old = gradient_step.accumulate(params, surrogates)

        def evaluate(candidate: Params) -> tuple[Tensor, Tensor]:
            def one(index: int) -> tuple[Tensor, Tensor]:
                value, new = surrogates[index](candidate)  # the value is already times the group's share
                return value, mean_kl(old[index], new, groups[index])

            loss, kl = zip(*part_map(one, range(len(groups)), batch.query.weight.device), strict=True)
            return torch.stack(loss).sum(0), torch.stack(kl).sum(0)  # [group] -> scalars

        product = self.curvature_product(params, self.thinned(batch))
        start = {name: p.detach() for name, p in params.items()}
        settings = trust_region.TrustRegion(c.max_kl, c.cg_iters, c.cg_damping, c.backtrack_ratio, c.max_backtracks)
        flat = trust_region.ravel(gradient)  # [coordinate]
        moved, metrics = trust_region.step(start, float(loss), flat, evaluate, product, settings)
        state.params, state.shared = parted(moved)
        return metrics | {"policy/entropy": mean_entropy(old, groups)}

    def thinned(self, batch: MetaBatch) -> MetaBatch:
        """The steps that curvature products see; the practice stays whole where the inner loss is of whole episodes."""
        few = thin(batch, self.config.curvature_stride)
        whole = INNER_LOSSES[self.config.inner_loss] in losses.OF_WHOLE_EPISODES
        return few._replace(support=batch.support) if whole else few

    def _ppo_steps(self, state: TrainState, batch: MetaBatch) -> Metrics:
        c, start = self.config, joined(state.params, state.shared)

        def objective(part: MetaBatch) -> gradient_step.Loss:
            surrogate = self._objective(functools.partial(losses.clipped, clip_eps=c.clip_eps))(part)
            old = detach(self.support_policies(start, part)) if c.inner_kl_coef else []

            def loss(params: Params) -> tuple[Tensor, Any]:
                value, policies = surrogate(params)
                if not old:
                    return value, policies
                pairs = zip(old, self.support_policies(params, part), part.support, strict=True)
                kl: Tensor = sum((a.kl(b) * mean_weight(support)).sum() for a, b, support in pairs)
                return value + c.inner_kl_coef * kl / len(old), policies

            return loss

        return self._descend(state, batch, objective, c.epochs, c.minibatches)

    def _vpg_step(self, state: TrainState, batch: MetaBatch) -> Metrics:
        return self._descend(state, batch, self._objective(losses.score), epochs=1, minibatches=1)

    def _descend(
        self,
        state: TrainState,
        batch: MetaBatch,
        objective: Callable[[MetaBatch], gradient_step.Loss],
        epochs: int,
        minibatches: int,
    ) -> Metrics:
        start, c = joined(state.params, state.shared), self.config
        groups = self._groups(start, batch)

        def cut(epoch: int) -> Iterator[list[gradient_step.Loss]]:
            # The order of data that are random themselves needs no seed of its own.
            rng = generator(0, Purpose.MINIBATCHES, state.iteration, stage=epoch)
            for part, weight in (between_tasks if batch.support else between_steps)(batch, minibatches, rng):
                mine = self._groups(start, part) if weight else []
                yield gradient_step.group_losses(objective, [(group, share * weight) for group, share in mine])

        moved, state.optimizer, metrics, old, new = gradient_step.descend(
            start,
            state.optimizer,
            gradient_step.group_losses(objective, groups),
            linear(c.meta_lr, c.final_meta_lr, state.iteration, c.meta_lr_iterations),
            epochs,
            c.max_grad_norm,
            minibatches=cut if minibatches > 1 else None,
        )
        state.params, state.shared = parted(moved)
        kl = sum(float(mean_kl(*policies)) for policies in zip(old, new, groups, strict=True))
        return metrics | {"update/kl": parallel.mean_number(kl), "policy/entropy": mean_entropy(old, groups)}

    def curvature_product(self, params: Params, batch: MetaBatch) -> Callable[[Tensor], Tensor]:
        """``v -> H v`` with H the Hessian, at `params` (which require grad), of the mean KL divergence from the
        present post-adaptation policies."""
        groups, device = self._groups(params, batch), batch.query.weight.device
        products = part_map(lambda group: self._curvature_product(params, *group), groups, device)

        def product(vector: Tensor) -> Tensor:
            # [group, coordinate] -> [coordinate]: each group's product is already times its share of the tasks.
            return parallel.mean(torch.stack(part_map(lambda one: one(vector), products, device)).sum(0))

        return product

    def _curvature_product(self, params: Params, batch: MetaBatch, share: float) -> Callable[[Tensor], Tensor]:
        policies = self.adapted_policies(params, batch)
        old, weight = detach(policies), share * mean_weight(batch.query).unsqueeze(-1)  # [task, env, time, 1]

        def fisher(tangent: Sequence[Tensor]) -> list[Tensor]:
            return [t * weight for t in old.fisher_product(type(old)(*tangent))]

        return trust_region.gauss_newton_product(policies, list(params.values()), fisher)

    def support_policies(self, params: Params, batch: MetaBatch) -> list[Any]:
        """Action distributions of the policies before each inner step, on the observations of that step's support
        rollout; differentiable like `adapted_policies`."""

        network, shared = parted(params)

        def one(support: tuple[Batch, ...]) -> tuple[Any, ...]:
            adapted, policies = network, []
            for step in support:
                policies.append(self.policy.apply(adapted, step.observation))
                adapted = self._adapt_one(adapted, shared, (step,))
            return tuple(policies)

        return list(over_tasks("vmap", one, batch.support)) if batch.support else []


class SupervisedMaml(MamlBase):
    """The learner of labelled examples; see `meta_rl.algorithms.supervised.FewShotLearner` for its verbs."""

    config: SupervisedMamlConfig

    def __init__(self, config: SupervisedMamlConfig, network: Network) -> None:
        super().__init__(config, network, SUPERVISED_LOSSES[network.kind])

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """One Adam step on the mean query loss, through the adaptation of all tasks."""
        batch = batch._replace(support=batch.support * self.config.inner_steps)
        start = joined(state.params, state.shared)
        backend = supervised.choose_backend(
            self.config.task_map, state, lambda backend: self._gradient(backend, start, batch)
        )
        parts, groups = self._parts(start, batch, backend)
        moved, state.optimizer, metrics, seen, _ = gradient_step.descend(
            start,
            state.optimizer,
            parts,
            self.config.meta_lr,
            epochs=1,
            max_norm=self.config.max_grad_norm,
            measure_after=False,
        )
        state.params, state.shared = parted(moved)
        shown = [{key: value * share for key, value in m.items()} for m, (_, share) in zip(seen, groups, strict=True)]
        return metrics | {key: sum(m[key] for m in shown) for key in shown[0]}

    def adapt(self, adapted: Weights, support: Examples) -> Weights:
        """One inner step of every task, by the back end that is fastest in tests."""
        return self._adapt(adapted, support, supervised.test_backend(adapted.params))

    def predict(self, adapted: Weights, support: Examples, observation: Tensor, inductive: bool) -> Tensor:
        """See `FewShotLearner.predict`."""
        return supervised.predict_answers(self.policy, adapted.params, support, observation, inductive)

    def _parts(self, params: Params, batch: MetaBatch, backend: str) -> tuple[list[gradient_step.Loss], Groups]:
        """The loss of each group of tasks, with the group's scores as extras, and the groups."""
        groups = self._groups(params, batch, backend)
        objective = self._objective(self.inner_loss, functools.partial(supervised.scores, self.policy.kind), backend)
        return gradient_step.group_losses(objective, groups), groups

    def _gradient(self, backend: str, params: Params, batch: MetaBatch) -> None:
        """Compute the expensive part of an update, so that it can be timed."""
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        gradient_step.accumulate(leaves, self._parts(leaves, batch, backend)[0])


def detach(distributions: Any) -> Any:
    """The same distributions without a graph."""
    return map_tensors(Tensor.detach, distributions)


def mean_entropy(policies: Sequence[Any], groups: Groups) -> float:
    """Mean entropy over each task's valid steps, then over tasks."""
    pairs = zip(policies, groups, strict=True)
    return parallel.mean_number(
        sum(share * float((old.entropy() * mean_weight(part.query)).sum()) for old, (part, share) in pairs)
    )


def mean_kl(old: Any, new: Any, group: tuple[MetaBatch, float]) -> Tensor:
    """A group's contribution to the mean of KL(old || new) over each task's valid steps, then over tasks."""
    part, share = group
    return (old.kl(new) * mean_weight(part.query)).sum() * share  # type: ignore[no-any-return]


def mean_weight(batch: Batch) -> Tensor:
    """Weights ``[task, env, time]`` that sum to 1: a mean over each task's valid steps, then over tasks."""
    return batch.weight / batch.weight.sum((-2, -1), keepdim=True) / len(batch.weight)


FEWEST_STATES = 10
"""Steps of each episode that `thin` keeps at least, whatever the stride; shorter episodes keep all their steps."""


def thin(batch: MetaBatch, stride: int) -> MetaBatch:
    """About every `stride`-th step of every episode, for estimates of the curvature. Neighbouring states are nearly
    alike, so the estimate is nearly the same at a fraction of the cost. Loss, gradient and line search see all steps.

    Every episode gives the same number of steps, at even distances: the number for an episode up to the horizon, or all
    that a shorter one has. So the curvature sees several states of every episode. The weights of the steps kept make up
    for those left out.
    """
    return MetaBatch(tuple(_thinned(support, stride) for support in batch.support), _thinned(batch.query, stride))


def _thinned(batch: Batch, stride: int) -> Batch:
    horizon = batch.weight.shape[-1]
    count = max(-(-horizon // stride), min(horizon, FEWEST_STATES))
    if count == horizon:
        return batch
    length = batch.weight.sum(-1, keepdim=True).long()  # [task, env, 1]
    position, kept = torch.arange(count, device=length.device), length.clamp(min=1, max=count)
    index = position * length // kept  # [task, env, count]
    # length / kept for every step kept, relative to that of a whole episode: in whole numbers first, to be exactly 1.
    weight = torch.where(position < length, length * count / (horizon * kept), 0).to(batch.weight.dtype)

    def pick(x: Tensor) -> Tensor:
        # [task, env, time, ...] -> [task, env, count, ...]; the index gets an axis of 1 for each that x has beyond.
        return x.take_along_dim(index.reshape(*index.shape, *[1] * (x.dim() - index.dim())), index.dim() - 1)

    return Batch(*map(pick, batch))._replace(weight=weight)
