"""PEARL: infer the task, act as if that were it, and learn from old episodes (Rakelly et al. 2019).

A latent variable z stands for the task. An encoder q(z|c) infers it from a context c, steps of the task in any order;
policy and critics read it beside the observation. One iteration plays a few tasks and learns from the replay of all:

    for every task of the meta-batch:                                  (algorithm 1)
        K episodes, z ~ N(0, I) for each                               (support)
        K episodes, z ~ q(z|support) for each                          (query)
        replay of the task <- both, the newest; its context <- the support
    repeat `update_steps` times:
        for every task i of a draw from the replay: c_i from its context, steps (s, a, r, s', d) from its replay
        q(z|c_i) = prod_n N(z; mu(c_n), sigma^2(c_n)),  z_i ~ q        (eq. 2; a factor for every step of c_i)
        y = r + discount (1 - d) (min_k Q'_k(s', a', stop(z)) - alpha log pi(a'|s', stop(z))),  a' ~ pi
        encoder and critics:   mean sum_k (Q_k(s, a, z) - y)^2 + beta sum_i KL(q(z|c_i) || N(0, I))
        actor:                 mean alpha log pi(a|s, stop(z)) - min_k Q_k(s, a, stop(z)),  a ~ pi
        temperature alpha:     mean -alpha (log pi(a|s) + target entropy)
        Adam step on each, Q' <- Q' + rate (Q - Q')

* The encoder learns from the critics' error alone: z is held for the actor and for y. So q keeps of a context what
  values depend on, and no more than its price beta (the paper's lambda) is worth.
* The context is recent and played with z of the prior, as that of a test is; the replay is old and large (section 5).
* The paper's soft actor-critic (Haarnoja et al. 2018a) has a value network V and a temperature of 1, which the scale of
  rewards weighs. This is the later one (2018b): targets of the two critics instead of V, and a learned temperature.
* All gradients of a step are taken at the same parameters; the authors' code moves the critics before the actor.
* An episode that ends at the horizon would have gone on: y reads on past its end. A terminal state has no after.
* Practice at test time: the first episodes with z of the prior, later ones each with a z drawn from the posterior given
  all steps so far (a product that takes more factors: `meta_rl.maths.products`). Judged is the mode, z the mean of the
  posterior and the action that of the actor's mean; sampled actions draw both.
* A task is found again in the replay by its number. Where tasks are a continuum none comes again, and the replay is the
  last `replay_tasks` of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from meta_rl.algorithms import off_policy
from meta_rl.algorithms.off_policy import CRITICS, TEMPERATURE
from meta_rl.config import PearlConfig
from meta_rl.core import normaliser
from meta_rl.core.replay import (
    Replay,
    Transitions,
    count_steps,
    draw_tasks,
    flatten_replay,
    insert,
    sample,
    sample_once,
    unflatten_replay,
)
from meta_rl.core.state import TrainState
from meta_rl.core.types import MetaBatch, Metrics, Params, Rollout, from_numpy, map_tensors, to_device
from meta_rl.core.weights import Weights
from meta_rl.maths import soft_actor_critic
from meta_rl.maths.products import Evidence, unit_gaussian
from meta_rl.maths.sequences import following, last_steps
from meta_rl.networks.latent import LatentActor, LatentPolicy


class Inferred(NamedTuple):
    """`Adapted` of PEARL: weights, the same for all tasks, and what the steps of each so far say of z."""

    weights: Weights
    evidence: Evidence
    """``[task, latent]``."""


class Experience(NamedTuple):
    """One stage ``[task, env, time, ...]``, observations as the environment gave them."""

    steps: Transitions
    weight: Tensor
    """float: 1 for valid steps, 0 for padding."""


class Drawn(NamedTuple):
    """Data and noise of one gradient step; observations are normalised."""

    steps: Transitions
    """``[task, batch, ...]``."""
    context: Transitions
    """``[task, context, ...]``."""
    weight: Tensor
    """``[task, context]``: 0 for padding."""
    latent_noise: Tensor
    """``[task, latent]``."""
    action_noise: Tensor
    """``[2, task, batch, action]``: at the observations, and at the next ones."""


class Pearl:
    """The learner; see `meta_rl.algorithms.base.MetaLearner` for its verbs."""

    episodes_at_once = True
    finds_tasks = True

    def __init__(self, config: PearlConfig, policy: LatentPolicy) -> None:
        self.config, self.policy = config, policy
        self.target_entropy = policy.box.target_entropy

    def init(self) -> TrainState:
        """Parameters as the policy was initialised, the critics' targets equal to the critics, and an empty replay."""
        params = {name: p.detach().clone() for name, p in self.policy.named_parameters()}
        params, extras = off_policy.set_apart(params, self.config)
        return TrainState(0, 0, params, statistics=self.policy.statistics(), extras=extras)

    def stages(self, episodes_per_task: int) -> int:
        """Episodes with z of the prior, then with z of the posterior."""
        return 2

    def start(self, weights: Weights, num_tasks: int) -> Inferred:
        """No evidence for any task: z is of the prior."""
        return Inferred(weights, Evidence.none(num_tasks, self.policy.latent_size))

    def actor(self, adapted: Inferred) -> LatentActor:
        """An actor that draws z from the posterior of each task."""
        return LatentActor(self.policy, adapted.weights, adapted.evidence.product())

    def prepare(self, adapted: Inferred, rollout: Rollout) -> Experience:
        """The rollout as steps. Observations stay as they were: what normalises them changes while they are kept."""
        read = rollout.observation, rollout.action, rollout.reward, rollout.last_observation
        observation, action, reward, last = map(from_numpy, read)
        valid = from_numpy(rollout.valid)  # [task, env, time]
        terminal = last_steps(valid) & from_numpy(rollout.terminated).unsqueeze(-1)
        steps = Transitions(observation, action, reward, following(observation, last, valid), terminal.float())
        return Experience(steps, valid.float())

    @torch.no_grad()
    def adapt(self, adapted: Inferred, support: Experience, actor: object = None) -> Inferred:
        """The posterior given these steps too."""
        weights = adapted.weights
        steps = normalised(map_tensors(lambda x: x.flatten(1, 2), support.steps), weights.statistics)
        found = self.policy.evidence(weights.params, steps, support.weight.flatten(1, 2))  # [task, latent]
        return adapted._replace(evidence=adapted.evidence.plus(found))

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """Keep the episodes, then take gradient steps on what was kept. A meta-batch that is not finite leaves `state`
        alone; a loss or gradient that is not finite leaves all but the replay alone."""
        if not off_policy.is_finite(batch):
            return {"guard/non_finite_gradient": 1.0}
        replay, context = self.remember(state.replay, batch)
        state.replay = flatten_replay(replay, "replay") | flatten_replay(context, "context")
        metrics = {"replay/tasks": float(len(replay)), "replay/steps": float(count_steps(replay))}
        c, device = self.config, batch.query.weight.device
        if state.iteration < c.collect_iterations:
            return metrics | {"guard/non_finite_gradient": 0.0}

        def gradient(params: Params, targets: Params, rng: np.random.Generator) -> tuple[list[Tensor], Any]:
            drawn = to_device(self.draw(replay, context, state.statistics, rng), device)
            return self.gradient(params, targets, drawn)

        return metrics | off_policy.improve(state, gradient, c, c.learning_rate, c.max_grad_norm)

    def remember(self, kept: Params, batch: MetaBatch) -> tuple[Replay, Replay]:
        """Replay and context of all tasks with the episodes of a meta-batch.

        Args:
            kept: those before, as a state holds them.
        """
        c = self.config
        replay, context = (unflatten_replay(kept, name) for name in ("replay", "context"))
        for i, task in enumerate(batch.task.tolist()):
            stages = [_valid(stage, i) for stage in (*batch.support, batch.query)]
            everything = Transitions(*(torch.cat(parts) for parts in zip(*stages, strict=True)))  # [step, ...]
            replay = insert(replay, task, everything, c.replay_size, c.replay_tasks)
            # The context of a task is that of its last visit: no step of an earlier one fits in beside it.
            last = everything if c.posterior_context else stages[0]
            context = insert(context, task, last, min(len(last.reward), c.replay_size), c.replay_tasks)
        return replay, context

    def draw(self, replay: Replay, context: Replay, statistics: Params, rng: np.random.Generator) -> Drawn:
        """Tasks, their steps, their contexts and all noise of a gradient step."""
        c = self.config
        tasks = draw_tasks(replay, c.update_tasks, rng)
        steps = sample(replay, tasks, c.batch_size, rng)
        seen, weight = sample_once(context, tasks, c.context_size, rng)
        shapes = (len(tasks), self.policy.latent_size), (2, len(tasks), c.batch_size, self.policy.action_dim)
        noise = (from_numpy(rng.standard_normal(shape, np.float32)) for shape in shapes)
        return Drawn(normalised(steps, statistics), normalised(seen, statistics), weight, *noise)

    def gradient(self, params: Params, targets: Params, drawn: Drawn) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Gradients and metrics of one step. In the sum of the losses every parameter is in its own alone.

        Args:
            params: require grad; encoder, actor, critics and temperature.
            targets: the critics' slow copies, under the names of the critics.
        """
        loss, metrics = self.loss(params, targets, drawn)
        found = torch.autograd.grad(loss, list(params.values()), allow_unused=True, materialize_grads=True)
        return list(found), metrics

    def loss(self, params: Params, targets: Params, drawn: Drawn) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the losses of critics and encoder, of the actor, and of the temperature; metrics."""
        c, policy, steps = self.config, self.policy, drawn.steps
        weight = torch.ones_like(steps.reward)  # [task, batch]
        posterior = policy.evidence(params, drawn.context, drawn.weight).product()  # [task, latent]
        latent = posterior.sample(drawn.latent_noise).unsqueeze(1).expand(-1, steps.reward.shape[1], -1)
        held, log_temperature = latent.detach(), params[TEMPERATURE]  # [task, batch, latent]
        temperature = log_temperature.detach().exp()
        with torch.no_grad():
            acting = policy.distribution(params, steps.next_observation, held)
            next_action, next_log_prob = acting.sample_with_log_prob(drawn.action_noise[1])
            next_value = policy.values(targets, steps.next_observation, next_action, held)
            target = soft_actor_critic.soft_target(
                steps.reward * c.reward_scale, steps.terminated, next_value, next_log_prob, temperature, c.discount
            )
        value = policy.values(params, steps.observation, steps.action, latent)  # [critic, task, batch]
        critic_loss = soft_actor_critic.critic_loss(value, target, weight)
        kl = posterior.kl(unit_gaussian(posterior)).sum()
        action, log_prob = policy.distribution(params, steps.observation, held).sample_with_log_prob(
            drawn.action_noise[0]
        )
        critics = {name: p.detach() for name, p in params.items() if name.startswith(CRITICS)}
        actor_loss = soft_actor_critic.actor_loss(
            log_prob, policy.values(critics, steps.observation, action, held), temperature, weight
        )
        colder = soft_actor_critic.temperature_loss(log_temperature, log_prob, self.target_entropy, weight)
        metrics = {
            "update/critic_loss": critic_loss.detach(),
            "update/actor_loss": actor_loss.detach(),
            "value/mean": value.detach().mean(),
            "policy/entropy": -log_prob.detach().mean(),
            "policy/temperature": temperature,
            "task/kl": kl.detach() / len(latent),
        }
        return critic_loss + c.kl_coef * kl + actor_loss + colder, metrics


def normalised(steps: Transitions, statistics: Params) -> Transitions:
    """Transitions with their observations as policies read them."""
    read = (normaliser.normalise_observation(statistics, x) for x in (steps.observation, steps.next_observation))
    return steps._replace(**dict(zip(("observation", "next_observation"), read, strict=True)))


def _valid(stage: Experience, task: int) -> Transitions:
    """The valid steps of one task ``[step, ...]``, episode after episode."""
    keep = stage.weight[task].bool()  # [env, time]
    steps: Transitions = map_tensors(lambda x: x[task][keep], stage.steps)
    return steps
