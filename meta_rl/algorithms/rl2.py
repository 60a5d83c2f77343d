"""RL^2: a recurrent policy that learns a task by remembering it (Duan et al. 2016; Wang et al. 2016).

A trial is K episodes on one task, one after another. The network reads what it did and what came of it, and its memory
lasts from the first step of the trial to the last, so that its dynamics are a learning algorithm, which plain PPO over
trials optimises:

    for every task of the meta-batch:
        memory = 0;  repeat K times: run an episode, memory carries over          (each episode is a stage)
    with the network that acted, over the whole trial: log-probabilities, values, memory at the start of each chunk
    A = GAE over the trial;  R = A + value                                     (one episode to the learner)
    repeat for `epochs`, for every minibatch of whole trials:
        loss = clipped surrogate(A) + value_coef * (value - R)^2 - entropy_coef * entropy
               + reward_coef * (expected reward - r)^2                         (if asked for)
        Adam step on its gradient through `chunk` steps of time               (truncated back-propagation)
        until KL(acting policy || policy) > max_kl

* The trial is the episode of the learner: rewards are discounted across the borders of episodes and a terminal state
  inside a trial cuts nothing, so what pays off is exploring early to earn later. After the last step comes nothing.
* Episodes that end early leave gaps, which are closed first: the memory stood still meanwhile.
* The first step of a trial reads zeros for the previous action, reward and done; the first step of every later episode
  reads the last step of the one before, with done = 1.
* Values are learned and predicted in units of the running standard deviation of R around its running mean, or of a
  compressed R (`meta_rl.maths.returns.compress`).
* Predicting rewards from the memory is an auxiliary task with a much denser signal than returns. The policy may act on
  these predictions: `meta_rl.networks.reward_head`.
* With `learn_from_means` r is the mean of the reward given the task and the step, where the environment knows it: the
  same gradient on average, by the tower rule, and less variance. The network goes on reading the reward received.
* With `success_bonus` r has a bonus at every step at which the goal is met. The network does not read that either.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from meta_rl.config import Rl2Config
from meta_rl.core import normaliser, parallel
from meta_rl.core.minibatches import between_places, used_places
from meta_rl.core.moments import Moments
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.state import TrainState
from meta_rl.core.threads import thread_map
from meta_rl.core.types import Batch, MetaBatch, Metrics, Params, Rollout, from_numpy, map_tensors, select_rows
from meta_rl.core.weights import Weights
from meta_rl.maths import losses, returns
from meta_rl.maths.gradient_step import Adam
from meta_rl.maths.schedules import following, linear
from meta_rl.maths.sequences import last_steps, without_gaps
from meta_rl.networks.recurrent import RecurrentPolicy, ticks
from meta_rl.networks.recurrent_actor import RecurrentActor, TrialMemory

TERMS = ("update/loss", "update/value_loss", "update/kl", "update/clip_fraction", "update/reward_loss")
"""Metrics of a minibatch."""


class Remembered(NamedTuple):
    """RL^2's `Adapted`: weights, the same for all tasks, and the memory of each."""

    weights: Weights
    memory: TrialMemory


class Episode(NamedTuple):
    """One stage as the learner reads it, ``[task, env, time, ...]``."""

    observation: Tensor
    action: Tensor
    reward: Tensor
    earned: Tensor
    """The reward that losses use: the one received, or with `learn_from_means` its mean; with `success_bonus` more
    where the goal is met."""
    done: Tensor
    """float: 1 at the last valid step."""
    weight: Tensor
    """float: 1 for valid steps, 0 for padding."""


class Trials(NamedTuple):
    """Whole trials ``[trial, time, ...]``: valid steps without gaps, then padding up to a multiple of the chunk."""

    inputs: Tensor
    action: Tensor
    earned: Tensor
    weight: Tensor
    longest: int
    """Most steps that a trial can have: the horizons of its episodes together."""


class TrialRows(NamedTuple):
    """Chunks of trials, each a row: ``[row, time, ...]``; rows ``i * n ... (i + 1) * n - 1`` are trial i."""

    batch: Batch
    """Data of the policy loss; its observations are the inputs of the network."""
    target: Tensor
    """Values to learn, normalised."""
    earned: Tensor
    """Rewards to predict, in the units of those that the network reads."""
    start: Tensor
    """``[row, state_size]``: recurrent state before the first step, as it was when the row was recorded."""


class Rl2:
    """The learner; see `meta_rl.algorithms.base.MetaLearner` for its verbs."""

    episodes_at_once = False

    def __init__(self, config: Rl2Config, policy: RecurrentPolicy) -> None:
        self.config, self.policy = config, policy
        if config.reward_coef:
            policy.add_reward_head(config.act_on_rewards, config.reward_everywhere)

    def init(self) -> TrainState:
        """Parameters as the policy was initialised, and empty statistics of the returns."""
        params = {name: p.detach().clone() for name, p in self.policy.named_parameters()}
        return TrainState(0, 0, params, statistics=self.policy.statistics(), extras=Moments.empty()._asdict())

    def stages(self, episodes_per_task: int) -> int:
        """Every episode of a trial is a stage."""
        return episodes_per_task

    def start(self, weights: Weights, num_tasks: int) -> Remembered:
        """An empty memory for every task."""
        dtype = next(iter(weights.params.values())).dtype
        sizes = self.policy.state_size, self.policy.recall_size, 2
        return Remembered(weights, TrialMemory(*(torch.zeros(num_tasks, 1, size, dtype=dtype) for size in sizes)))

    def actor(self, adapted: Remembered) -> RecurrentActor:
        """An actor that goes on from the memory in `adapted`."""
        return RecurrentActor(self.policy, adapted.weights, adapted.memory, self.recall)

    def prepare(self, adapted: Remembered, rollout: Rollout) -> Episode:
        """The rollout as tensors. Advantages depend on the whole trial and are computed in `meta_update`."""
        valid = from_numpy(rollout.valid)  # [task, env, time]
        observation, action, reward = map(from_numpy, (rollout.observation, rollout.action, rollout.reward))
        observation = normaliser.normalise_observation(adapted.weights.statistics, observation)
        earned = from_numpy(rollout.mean_reward) if self.config.learn_from_means else reward
        earned = earned + self.config.success_bonus * from_numpy(rollout.success)
        return Episode(observation, action, reward, earned, last_steps(valid).float(), valid.float())

    def adapt(self, adapted: Remembered, support: Episode, actor: RecurrentActor) -> Remembered:
        """The memory that the actor had after its last step: this learner adapts by remembering."""
        return adapted._replace(memory=actor.memory())

    def recall(self, observation: Tensor, action: Tensor, reward: Tensor, done: Tensor, clock: Tensor) -> Tensor:
        """The recall of a step, the same while acting and learning; see `RecurrentPolicy.recall`."""
        return self.policy.recall(observation, action, reward * self.config.reward_scale, done, clock)

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """PPO on whole trials. A loss or gradient that is not finite abandons the update: `state` stays as it was,
        bit for bit."""
        c, trials = self.config, self.trials(batch)
        moments = Moments(*(state.extras[name] for name in Moments._fields))
        rows, moments, recorded = self.rows(state.params, trials, moments, self.gae_lambda(state.iteration))
        rate = float(state.extras.get("learning_rate", self.learning_rate(state.iteration)))
        adam = Adam(state.params, state.optimizer, rate)
        steps: list[Metrics] = []
        stopped, entropy_coef = False, self.entropy_coef(state.iteration)
        for part in self._minibatches(rows, trials, state.iteration):
            gradient, metrics = self.gradient(adam.params, part, entropy_coef)
            stopped = c.max_kl < metrics["update/kl"] < math.inf
            if stopped:
                break
            metrics["update/gradient_norm"] = adam.step(gradient, c.max_grad_norm)
            steps.append(metrics)
            if not np.isfinite(list(metrics.values())).all():
                return recorded | summary(steps) | {"guard/non_finite_gradient": 1.0}
        state.params, state.optimizer = adam.result(), adam.state()
        state.extras = dict(moments._asdict())
        if c.target_kl:
            after = following(rate, metrics["update/kl"], c.target_kl)
            state.extras["learning_rate"] = torch.tensor(after, dtype=torch.float64)
        counts = {
            "update/learning_rate": rate,
            "update/steps": float(len(steps)),
            "update/stopped_early": float(stopped),
        }
        return recorded | summary(steps) | counts | {"guard/non_finite_gradient": 0.0}

    def learning_rate(self, iteration: int) -> float:
        """The annealed step size."""
        c = self.config
        return linear(c.learning_rate, c.final_learning_rate, iteration, c.learning_rate_iterations)

    def gae_lambda(self, iteration: int) -> float:
        """The annealed lambda of the advantages."""
        c = self.config
        bias = linear(1.0, c.final_gae_bias, iteration, c.learning_rate_iterations)
        return c.gae_lambda + (1 - c.gae_lambda) * (1 - bias)

    def entropy_coef(self, iteration: int) -> float:
        """The annealed weight of the entropy bonus."""
        c = self.config
        return linear(c.entropy_coef, c.final_entropy_coef, iteration, c.learning_rate_iterations)

    def trials(self, batch: MetaBatch) -> Trials:
        """The episodes of each trial, joined without gaps, and what the network read at each step."""
        episodes: list[Episode] = [*batch.support, batch.query]
        # One episode after another on the time axis, then one trial per (task, env): [trial, episode * time, ...].
        joined = Episode(*(torch.cat(parts, 2).flatten(0, 1) for parts in zip(*episodes, strict=True)))
        index, weight = without_gaps(joined.weight, self.config.chunk)  # [trial, time] both
        trial = torch.arange(len(index), device=index.device).unsqueeze(1)  # [trial, 1]
        observation, action, reward, earned, done, _ = (x[trial, index] for x in joined)  # [trial, time, ...]
        recall = self.recall(observation, action, reward, done, ticks(done))  # [trial, time, recall_size]
        # A step reads the recall of the step before it; the first step of a trial reads zeros.
        previous = torch.cat([torch.zeros_like(recall[:, :1]), recall[:, :-1]], 1)  # [trial, time, recall_size]
        return Trials(self.policy.inputs(observation, previous), action, earned, weight, joined.weight.shape[1])

    @torch.no_grad()
    def rows(
        self, params: Params, trials: Trials, moments: Moments, gae_lambda: float
    ) -> tuple[TrialRows, Moments, Metrics]:
        """Chunks of trials with all that PPO needs of the policy that acted. Runs over the trials once, from start to
        end.

        Returns:
            The trials' chunks, `moments` of the returns with these trials, and metrics.
        """
        c, weight = self.config, trials.weight
        length = min(c.chunk, weight.shape[1])
        log_prob, value, entropy, start = self._replay(params, trials, length)
        # The value head predicts in standard deviations of the returns so far; back to the units of the reward.
        value = value.double() * moments.std + moments.mean
        value = (returns.expand(value) if c.compress_returns else value) * weight  # [trial, time]
        valid, end = weight.bool(), torch.zeros_like(value[:, 0])  # [trial]: after the last step comes nothing
        advantage = returns.gae(trials.earned.double(), value, valid, end, c.discount, gae_lambda)  # [trial, time]
        target = advantage + value  # [trial, time]
        learned = returns.compress(target) if c.compress_returns else target
        moments = moments.update(learned, weight)
        if c.normalise_advantages == "trial":  # each trial as a task: [trial, 1, time] and back
            normalised = returns.normalise(advantage.unsqueeze(1), valid.unsqueeze(1)).squeeze(1)
        else:  # all trials as one task: [1, trial, time] and back
            normalised = returns.normalise(advantage.unsqueeze(0), valid.unsqueeze(0), parallel.sum_of).squeeze(0)
        batch = Batch(trials.inputs, trials.action, log_prob, normalised.to(weight.dtype), weight)  # [trial, time, ...]
        # In the units of the new moments, which the next iteration reads the value head in.
        target_normalised = ((learned - moments.mean) / moments.std).to(weight.dtype)
        earned = trials.earned * c.reward_scale
        batch, target_normalised, earned = map_tensors(
            lambda x: x.reshape(-1, length, *x.shape[2:]),  # [trial, time, ...] -> [trial * chunk, length, ...]
            (batch, target_normalised, earned),
        )
        spread = parallel.mean_of_all((target - parallel.mean_of_all(target, weight)).square(), weight)
        explained = 1 - parallel.mean_of_all(advantage.square(), weight) / spread
        metrics = {
            "policy/entropy": float(parallel.mean_of_all(entropy, weight)),
            "value/explained_variance": float(explained),
        }
        return TrialRows(batch, target_normalised, earned, start), moments, metrics

    def _replay(self, params: Params, trials: Trials, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log-probabilities, values and entropies ``[trial, time]``, and the recurrent states before each chunk
        ``[trial * chunk, state_size]``."""

        @torch.no_grad()
        def part(inputs: Tensor, action: Tensor) -> list[Tensor]:
            state = inputs.new_zeros(len(inputs), self.policy.state_size)
            steps, states = [], []
            for x, a in zip(torch.split(inputs, length, 1), torch.split(action, length, 1), strict=True):
                states.append(state)  # before the chunk: where its back-propagation starts
                distribution, value, _, state = self.policy.unroll(params, x, state)
                steps.append((distribution.log_prob(a), value, distribution.entropy()))
            # [trial, time] each, and [trial, chunk, state_size].
            return [*(torch.cat(parts, 1) for parts in zip(*steps, strict=True)), torch.stack(states, 1)]

        size = len(trials.inputs)
        if trials.inputs.device.type == "cpu":
            # Trials are few and long, so a thread takes half as many of them as chunks for a gradient.
            size = min(size, self.policy.recurrent.rows_on_cpu // 2)
        parts = zip(torch.split(trials.inputs, size), torch.split(trials.action, size), strict=True)
        results = thread_map(lambda pair: part(*pair), parts)
        # The parts are of different trials: [trial, ...] each.
        log_prob, value, entropy, states = (torch.cat(one) for one in zip(*results, strict=True))
        return log_prob, value, entropy, states.flatten(0, 1)  # states: [trial * chunk, state_size]

    def _minibatches(self, rows: TrialRows, trials: Trials, iteration: int) -> Iterator[TrialRows]:
        """For every epoch, the chunks of all trials in a new order, cut into minibatches. Chunks that are all padding
        are left out. If processes share the update, each yields its own chunks of a minibatch, maybe none."""
        count, most = len(trials.weight), -(-trials.longest // self.config.chunk)
        used = rows.batch.weight.any(1).reshape(count, -1)  # [row] -> [trial, chunk]
        places = used_places(used, most)
        for epoch in range(self.config.epochs):
            # The order of trials that are random themselves needs no seed of its own.
            rng = generator(0, Purpose.MINIBATCHES, iteration, stage=epoch)
            for picked in between_places(places, self.config.minibatches, rng):
                trial, chunk = picked.unbind(1)  # [picked] each
                yield select_rows(rows, (trial * used.shape[1] + chunk).to(used.device))

    def gradient(self, params: Params, rows: TrialRows, entropy_coef: float) -> tuple[list[Tensor], Metrics]:
        """Gradient of `loss` over all `rows` of all processes with respect to `params` (which require grad), and
        metrics: means over all valid steps."""
        total = parallel.sum_of(rows.batch.weight.sum())

        def part(index: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
            if not len(index):  # all trials of this minibatch are with other processes
                return [torch.zeros_like(p) for p in params.values()], dict.fromkeys(TERMS, torch.zeros_like(total))
            mine = rows if len(index) == len(rows.start) else select_rows(rows, index.to(rows.start.device))
            share = mine.batch.weight.sum() / total
            loss, terms = self.loss(params, mine, entropy_coef)
            gradient = torch.autograd.grad(
                loss * share, list(params.values()), allow_unused=True, materialize_grads=True
            )
            return list(gradient), {name: value.detach() * share for name, value in terms.items()}

        everything = torch.arange(len(rows.start))  # [row]
        if rows.start.device.type == "cpu":
            gradients, terms = zip(
                *thread_map(part, torch.split(everything, self.policy.recurrent.rows_on_cpu)), strict=True
            )
        else:
            gradients, terms = zip(part(everything), strict=True)
        # Each part was weighted by its share of the steps, so the sum is the mean: [part, *shape] -> [*shape].
        gradient = [torch.stack(parts).sum(0) for parts in zip(*gradients, strict=True)]
        metrics = [torch.stack([mine[name] for mine in terms]).sum() for name in TERMS]  # [part] -> scalar
        summed = parallel.sums([*gradient, *metrics])
        return summed[: len(gradient)], dict(zip(TERMS, map(float, summed[len(gradient) :]), strict=True))

    def loss(self, params: Params, rows: TrialRows, entropy_coef: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Clipped surrogate, value error, entropy bonus, error in expected rewards: means over the valid steps."""
        c, batch = self.config, rows.batch
        distribution, value, rewards, _ = self.policy.unroll(params, batch.observation, rows.start)
        policy_loss = losses.clipped(distribution, batch, c.clip_eps)
        value_loss = losses.weighted_mean((value - rows.target).square(), batch.weight)
        entropy = losses.weighted_mean(distribution.entropy(), batch.weight)
        loss = policy_loss + c.value_coef * value_loss - entropy_coef * entropy
        reward_loss = torch.zeros_like(loss)
        if self.policy.reward is not None and rewards is not None:
            observation = self.policy.observation(batch.observation)  # [row, time, obs]
            terms = self.policy.reward.losses(rewards, observation, batch.action, rows.earned, batch.weight)
            reward_loss = terms[0]
            for term in terms:
                loss = loss + c.reward_coef * term
        with torch.no_grad():
            kl, clipped = losses.divergence(distribution, batch, c.clip_eps)
        return loss, dict(zip(TERMS, (loss, value_loss, kl, clipped, reward_loss), strict=True))


def summary(steps: list[Metrics]) -> Metrics:
    """Metrics of an update from those of its gradient steps. KL divergence and share of clipped ratios are those just
    before the last step."""
    first, last = steps[0], steps[-1]
    return {
        "update/loss_before": first["update/loss"],
        "update/loss_after": last["update/loss"],
        "update/value_loss": first["update/value_loss"],
        "update/reward_loss": first["update/reward_loss"],
        "update/kl": last["update/kl"],
        "update/clip_fraction": last["update/clip_fraction"],
        "update/gradient_norm": first["update/gradient_norm"],
    }
