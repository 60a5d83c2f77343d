"""Imitation by a recurrent policy that does not see what the expert sees: DAgger (Ross et al. 2011), behaviour cloning.

The student is RL^2's policy: it reads its previous action, reward and done, and remembers for a whole trial. The expert
knows the task. So the student learns to do what the expert would do, as far as its memory tells the task, and where it
does not tell, the mean of what experts of all possible tasks would do:

    for every task of the meta-batch:
        the expert acts in all K episodes with probability beta, else the student does     (beta falls from 1 to 0)
        a* = the expert's action at every step, whoever acted
    repeat for `epochs`, for every minibatch of chunks of trials:
        loss = -log pi(a* | memory, observation) + value_coef * (value - R)^2
        Adam step on its gradient through `chunk` steps of time                    (truncated back-propagation)

* The student learns on the states that it gets itself into: with the expert's states alone its errors add up.
* DAgger keeps the labels of all iterations. Here every iteration learns from its own batch alone, in several passes:
  steps of simulation are cheap, and an iteration moves the student little.
* The standard deviation is learned by the same loss: it is how well the student knows the expert's action, so sampled
  actions, by which it acts while it learns, explore as long as it does not know.
* The value head learns the discounted return of the trial, R, in units of its running standard deviation around its
  running mean. Nothing here reads it; RL^2 that begins with a student has a critic (``--start-from``).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from meta_rl.algorithms.recurrent import Remembered, TrialLearner, Trials, in_chunks
from meta_rl.core import normaliser, parallel
from meta_rl.core.moments import Moments
from meta_rl.core.state import TrainState
from meta_rl.core.types import MetaBatch, Metrics, Params, Rollout, from_numpy
from meta_rl.maths import losses, returns
from meta_rl.maths.gradient_step import Adam
from meta_rl.maths.sequences import last_steps

LESSON_TERMS = ("update/loss", "update/value_loss", "imitation/error")
"""Metrics of a minibatch."""


class Lesson(NamedTuple):
    """One stage as the student reads it, ``[task, env, time, ...]``."""

    observation: Tensor
    action: Tensor
    """What was done, by the student or by the expert: the next step reads it."""
    label: Tensor
    """What the expert would have done."""
    reward: Tensor
    done: Tensor
    """float: 1 at the last valid step."""
    weight: Tensor
    """float: 1 for valid steps, 0 for padding."""


class LessonRows(NamedTuple):
    """Chunks of trials, each a row: ``[row, time, ...]``."""

    inputs: Tensor
    label: Tensor
    target: Tensor
    """Returns to learn, normalised."""
    weight: Tensor
    start: Tensor
    """``[row, state_size]``: recurrent state before the first step, as it was when the row was recorded."""


class Imitator(TrialLearner):
    """The learner; see `meta_rl.algorithms.base.MetaLearner` for its verbs."""

    def prepare(self, adapted: Remembered, rollout: Rollout) -> Lesson:
        """The rollout as tensors."""
        valid = from_numpy(rollout.valid)  # [task, env, time]
        read = rollout.observation, rollout.action, rollout.label, rollout.reward
        observation, action, label, reward = map(from_numpy, read)
        observation = normaliser.normalise_observation(adapted.weights.statistics, observation)
        return Lesson(observation, action, label, reward, last_steps(valid).float(), valid.float())

    def trials(self, batch: MetaBatch) -> Trials:
        """The episodes of each trial, joined without gaps, with the expert's actions and what the network read at each
        step."""
        steps, inputs, longest = self.join(batch)
        return Trials(inputs, steps.label, steps.reward, steps.weight, longest)

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """Passes over the trials. A loss or gradient that is not finite abandons the update: `state` stays as it was,
        bit for bit."""
        trials = self.trials(batch)
        moments = Moments.of(state.extras)
        rows, moments, recorded = self.rows(state.params, trials, moments)
        rate = self.learning_rate(state.iteration)
        adam = Adam(state.params, state.optimizer, rate)
        taken = self.take_steps(
            adam,
            self._minibatches(rows, trials, state.iteration),
            lambda params, part: self.gradient_of(params, part, self.loss, LESSON_TERMS),
        )
        first, last = taken.steps[0], taken.steps[-1]
        metrics = {
            "update/loss_before": first["update/loss"],
            "update/loss_after": last["update/loss"],
            "update/value_loss": first["update/value_loss"],
            "update/gradient_norm": first["update/gradient_norm"],
            "update/learning_rate": rate,
            "imitation/error": first["imitation/error"],
            "guard/non_finite_gradient": float(not taken.finite),
        }
        if taken.finite:
            state.params, state.optimizer = adam.result(), adam.state()
            state.extras = dict(moments._asdict())
        return recorded | metrics

    @torch.no_grad()
    def rows(self, params: Params, trials: Trials, moments: Moments) -> tuple[LessonRows, Moments, Metrics]:
        """Chunks of trials with all that the loss needs. Runs over the trials once, from start to end.

        Returns:
            The trials' chunks, `moments` of the returns with these trials, and metrics.
        """
        weight = trials.weight
        length = min(self.config.chunk, weight.shape[1])
        _, _, entropy, start = self._replay(params, trials, length)
        gained = returns.discounted_returns(trials.earned.double() * weight, self.config.discount)  # [trial, time]
        moments = moments.update(gained, weight)
        target = ((gained - moments.mean) / moments.std).to(weight.dtype)
        inputs, label, target, weights = in_chunks((trials.inputs, trials.action, target, weight), length)
        metrics = {"policy/entropy": float(parallel.mean_of_all(entropy, weight))}
        return LessonRows(inputs, label, target, weights, start), moments, metrics

    def loss(self, params: Params, rows: LessonRows) -> tuple[Tensor, dict[str, Tensor]]:
        """Unlikelihood of the expert's actions and value error; and how far the mode is from the expert's action (of
        discrete actions, how often it is another one): means over the valid steps."""
        unrolled = self.policy.unroll(params, rows.inputs, rows.start)
        distribution = unrolled.distribution
        value_loss = losses.weighted_mean((unrolled.value - rows.target).square(), rows.weight)
        unlikely = -losses.weighted_mean(distribution.log_prob(rows.label), rows.weight)
        loss = unlikely + self.config.value_coef * value_loss
        with torch.no_grad():
            off = (distribution.mode() - rows.label).abs()  # [row, time, *action]
            off = off.mean(-1) if off.is_floating_point() else (off > 0).to(rows.weight.dtype)
            error = losses.weighted_mean(off, rows.weight)
        return loss, dict(zip(LESSON_TERMS, (loss, value_loss, error), strict=True))
