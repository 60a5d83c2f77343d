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
from typing import NamedTuple

import torch
from torch import Tensor

from meta_rl.algorithms.recurrent import Remembered, TrialLearner, Trials, in_chunks
from meta_rl.config import Rl2Config
from meta_rl.config.trials import TrialPpoConfig
from meta_rl.core import normaliser, parallel
from meta_rl.core.moments import Moments
from meta_rl.core.state import TrainState
from meta_rl.core.types import Batch, MetaBatch, Metrics, Params, Rollout, from_numpy
from meta_rl.maths import losses, returns
from meta_rl.maths.gradient_step import Adam
from meta_rl.maths.schedules import linear
from meta_rl.maths.sequences import last_steps
from meta_rl.networks.recurrent import RecurrentPolicy, Unrolled

TERMS = ("update/loss", "update/value_loss", "update/kl", "update/clip_fraction", "update/reward_loss")
"""Metrics of a minibatch."""


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

    @property
    def weight(self) -> Tensor:
        """``[row, time]``: 1 for valid steps, 0 for padding."""
        return self.batch.weight


class TrialPpo(TrialLearner):
    """PPO over whole trials: base of the learners that have its loss. Subclasses say what else they learn by."""

    config: TrialPpoConfig

    def prepare(self, adapted: Remembered, rollout: Rollout) -> Episode:
        """The rollout as tensors. Advantages depend on the whole trial and are computed in `meta_update`."""
        valid = from_numpy(rollout.valid)  # [task, env, time]
        observation, action, reward = map(from_numpy, (rollout.observation, rollout.action, rollout.reward))
        observation = normaliser.normalise_observation(adapted.weights.statistics, observation)
        earned = from_numpy(rollout.mean_reward) if self.config.learn_from_means else reward
        earned = earned + self.config.success_bonus * from_numpy(rollout.success)
        return Episode(observation, action, reward, earned, last_steps(valid).float(), valid.float())

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """PPO on whole trials. A loss or gradient that is not finite abandons the update: `state` stays as it was,
        bit for bit."""
        return self.improve(state, self.trials(batch))

    def moved(self, params: Params) -> Params:
        """The part of `params` that PPO's steps move: here all of them."""
        return params

    def improve(self, state: TrainState, trials: Trials) -> Metrics:
        """PPO's steps on `trials`; see `meta_update`."""
        c = self.config
        moments = Moments.of(state.extras)
        rows, moments, recorded = self.rows(state.params, trials, moments, self.gae_lambda(state.iteration))
        rate = self.learning_rate(state.iteration)
        moved, entropy_coef = self.moved(state.params), self.entropy_coef(state.iteration)
        held = {name: p for name, p in state.params.items() if name not in moved}
        adam = Adam(moved, state.optimizer, rate)
        steps, stopped, finite = self.take_steps(
            adam,
            self._minibatches(rows, trials, state.iteration),
            lambda params, part: self.gradient(params, part, entropy_coef, held),
            enough=lambda metrics: c.max_kl < metrics["update/kl"] < math.inf,
        )
        if not finite:
            return recorded | summary(steps) | {"guard/non_finite_gradient": 1.0}
        state.params, state.optimizer = state.params | adam.result(), state.optimizer | adam.state()
        state.extras = dict(moments._asdict())
        counts = {
            "update/learning_rate": rate,
            "update/steps": float(len(steps)),
            "update/stopped_early": float(stopped),
        }
        return recorded | summary(steps) | counts | {"guard/non_finite_gradient": 0.0}

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
        steps, inputs, longest = self.join(batch)
        return Trials(inputs, steps.action, steps.earned, steps.weight, longest)

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
        batch, target_normalised, earned = in_chunks((batch, target_normalised, earned), length)
        spread = parallel.mean_of_all((target - parallel.mean_of_all(target, weight)).square(), weight)
        explained = 1 - parallel.mean_of_all(advantage.square(), weight) / spread
        metrics = {
            "policy/entropy": float(parallel.mean_of_all(entropy, weight)),
            "value/explained_variance": float(explained),
        }
        return TrialRows(batch, target_normalised, earned, start), moments, metrics

    def gradient(
        self, params: Params, rows: TrialRows, entropy_coef: float, held: Params | None = None
    ) -> tuple[list[Tensor], Metrics]:
        """Gradient of `loss` over all `rows` of all processes, and metrics; see `gradient_of`.

        Args:
            held: parameters of the policy that are not moved.
        """
        still = held or {}
        return self.gradient_of(params, rows, lambda mine, part: self.loss(still | mine, part, entropy_coef), TERMS)

    def loss(self, params: Params, rows: TrialRows, entropy_coef: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Clipped surrogate, value error, entropy bonus, auxiliary losses: means over the valid steps."""
        c, batch = self.config, rows.batch
        unrolled = self.policy.unroll(params, batch.observation, rows.start)
        distribution = unrolled.distribution
        policy_loss = losses.clipped(distribution, batch, c.clip_eps)
        value_loss = losses.weighted_mean((unrolled.value - rows.target).square(), batch.weight)
        entropy = losses.weighted_mean(distribution.entropy(), batch.weight)
        loss = policy_loss + c.value_coef * value_loss - entropy_coef * entropy
        auxiliary = self.auxiliary(unrolled, rows)
        reward_loss = auxiliary[0][1] if auxiliary else torch.zeros_like(loss)
        for factor, term in auxiliary:
            loss = loss + factor * term
        with torch.no_grad():
            kl, clipped = losses.divergence(distribution, batch, c.clip_eps)
        return loss, dict(zip(TERMS, (loss, value_loss, kl, clipped, reward_loss), strict=True))

    def auxiliary(self, unrolled: Unrolled, rows: TrialRows) -> list[tuple[float, Tensor]]:
        """Further losses of the policy on `rows`, each a weight and a mean over the valid steps: here none."""
        return []


class Rl2(TrialPpo):
    """The learner; see `meta_rl.algorithms.base.MetaLearner` for its verbs."""

    config: Rl2Config

    def __init__(self, config: Rl2Config, policy: RecurrentPolicy) -> None:
        super().__init__(config, policy)
        if config.reward_coef:
            policy.add_reward_head(config.act_on_rewards, config.reward_everywhere)

    def auxiliary(self, unrolled: Unrolled, rows: TrialRows) -> list[tuple[float, Tensor]]:
        """The errors in expected rewards, if rewards are predicted."""
        batch, head = rows.batch, self.policy.reward
        if head is None or unrolled.predicted is None:
            return []
        observation = self.policy.observation(batch.observation)  # [row, time, obs]
        terms = head.losses(unrolled.predicted, observation, batch.action, rows.earned, batch.weight)
        return [(self.config.reward_coef, term) for term in terms]


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
