"""RL^2 from old trials: a memory that is its own learning algorithm, taught by soft actor-critic (Ni et al. 2022).

What RL^2 plays, a trial of K episodes on one task with a memory that lasts from its first step to its last, is kept
whole and learned from many times. One iteration plays a few tasks and learns from the replay of all:

    for every task of the meta-batch:
        memory = 0;  repeat K times: run an episode, memory carries over          (each episode is a stage)
        replay <- the trial, the newest; the oldest goes
    sd, mean: of all discounted returns within trials so far
    repeat `update_steps` times, for trials of a draw from the replay and a chunk [i, j) of their steps:
        m_i, ..., m_j = memory on the trial with the weights of now, m_(i-1) without a gradient
        y_t = r_t + discount V_(t+1);   at the last step of the trial  y_t = r_t
        V_t = mean + sd (min_k Q'_k(stop(m_t), a') - alpha (log pi(a'|stop(m_t)) + target entropy)),   a' ~ pi
        memory and critics:  mean sum_k (Q_k(m_t, a_t) - (y_t - mean) / sd)^2
        actor:               mean alpha log pi(a|m_t) - min_k stop(Q_k)(stop(m_t), a),   a ~ pi
        temperature alpha:   mean -alpha (log pi(a|m_t) + target entropy)
        Adam step on the sum, Q' <- Q' + rate (Q - Q')

* The trial is the episode of the learner, as for RL^2: rewards are discounted across the borders of episodes. After the
  last step of an episode, be it at the horizon or in a terminal state, comes the first of the next one, and y reads on
  there. After the last step of the trial comes nothing. So what pays off is exploring early to earn later.
* One memory serves actor and critics. By default the critics' errors alone teach it, and the actor reads it as it is;
  with ``memory_gradient="both"`` the actor's loss reaches it too, but never through the values that it goes by.
* A gradient step learns from the same chunk of all its trials; every chunk is as likely as any other. Trials that are
  no longer than `chunk` are learned from whole. The memory before a chunk is made by the network as it is now, from
  the trial's beginning or with `burn_in` from as many steps before (Kapturowski et al. 2019): what it was when the
  trial was played came of other weights.
* Values are learned in units of the running deviation of the returns, around their running mean, and the temperature
  is in these units too. So neither depends on the scale of the rewards.
* What counts of the entropy is how far it exceeds its target, so that values stay those of rewards once it is met, and
  nothing is gained or lost by an episode that is longer.

What is kept of the published recipes and what is not:

* Ni et al. give actor and critics a memory of their own each, so that their losses do not disturb each other. One
  memory that the actor does not move needs a single pass; Grigsby et al. 2024 share theirs, and both losses teach it.
* The targets are slow copies of the critics' heads and read the memory of now, as in Grigsby et al., who have such a
  copy of the actor too; Ni et al. have one of the critics' memory.
* Two critics and one discount, a learned temperature (Haarnoja et al. 2018b). Grigsby et al. have more critics, values
  for several discounts at once, an actor that also imitates what turned out well, and a value scale for every task;
  none of these is here.
* Ni et al. read on past the end of a trial; here it ends, as for RL^2. Tell the network the time (`clock_steps`) where
  its memory does not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from meta_rl.algorithms import off_policy
from meta_rl.algorithms.off_policy import CRITICS, TEMPERATURE
from meta_rl.algorithms.recurrent import RecurrentLearner, Remembered
from meta_rl.config.recipes.rl2_sac import Rl2SacConfig
from meta_rl.core import normaliser
from meta_rl.core.moments import Moments
from meta_rl.core.replay import (
    Replay,
    count_steps,
    draw_tasks,
    flatten_replay,
    insert,
    next_number,
    sequences,
    unflatten_replay,
)
from meta_rl.core.state import TrainState
from meta_rl.core.types import MetaBatch, Metrics, Params, Rollout, from_numpy, to_device
from meta_rl.maths import returns, soft_actor_critic
from meta_rl.maths.losses import weighted_mean
from meta_rl.maths.sequences import last_steps
from meta_rl.networks import functional
from meta_rl.networks.squashed import HeadInputs, SquashedPolicy

SAC_TERMS = ("update/critic_loss", "update/actor_loss", "value/mean", "policy/entropy", "policy/temperature")
"""Metrics of a gradient step; the value is in deviations of the returns."""


class PlayedSteps(NamedTuple):
    """One stage ``[task, env, time, ...]``, or trials ``[trial, time, ...]``; observations as the environment gave
    them: what normalises them changes while they are kept."""

    observation: Tensor
    action: Tensor
    reward: Tensor
    done: Tensor
    """float: 1 at the last step of an episode."""
    weight: Tensor
    """float: 1 for valid steps, 0 for padding."""


class Trial(NamedTuple):
    """A trial in the replay ``[step, ...]``; the fields of `PlayedSteps` without the weight."""

    observation: Tensor
    action: Tensor
    reward: Tensor
    done: Tensor


class DrawnChunk(NamedTuple):
    """Data and noise of a gradient step: the same chunk of some trials, each a row."""

    before: Tensor
    """``[row, earlier, in]``: what the network read at the steps from which the memory is made anew; maybe none."""
    inputs: Tensor
    """``[row, time + 1, in]``: what it read in the chunk and at the step after it; padding where there is none."""
    action: Tensor
    """``[row, time, action]``."""
    reward: Tensor
    """``[row, time]``."""
    ends: Tensor
    """``[row, time]``: 1 at the last step of the trial."""
    weight: Tensor
    """``[row, time]``: 1 for steps of the trial, 0 for padding."""
    noise: Tensor
    """``[row, 2, time, action]``: for actions at the steps, and at the ones after them."""
    start: Tensor
    """``[row, state_size]``: the empty memory."""


class Rl2Sac(RecurrentLearner):
    """The learner; see `meta_rl.algorithms.base.MetaLearner` for its verbs."""

    config: Rl2SacConfig
    policy: SquashedPolicy

    def __init__(self, config: Rl2SacConfig, policy: SquashedPolicy) -> None:
        super().__init__(config, policy)
        self.target_entropy, self.critics = policy.box.target_entropy, policy.make_critics()

    def init(self) -> TrainState:
        """Parameters as the policy was initialised, the critics' targets equal to the critics, an empty replay and
        empty statistics of the returns."""
        state = super().init()
        critics = {f"{CRITICS}{name}": p.detach().clone() for name, p in self.critics.named_parameters()}
        state.params, extras = off_policy.set_apart(state.params | critics, self.config)
        state.extras |= extras
        return state

    def prepare(self, adapted: Remembered, rollout: Rollout) -> PlayedSteps:
        """The rollout as tensors."""
        valid = from_numpy(rollout.valid)  # [task, env, time]
        observation, action, reward = map(from_numpy, (rollout.observation, rollout.action, rollout.reward))
        return PlayedSteps(observation, action, reward, last_steps(valid).float(), valid.float())

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """Keep the trials, then take gradient steps on what was kept. A meta-batch that is not finite leaves `state`
        alone; a loss or gradient that is not finite leaves all but the replay and the statistics of returns alone."""
        if not off_policy.is_finite(batch):
            return {"guard/non_finite_gradient": 1.0}
        trials, longest = self.without_pauses(batch)
        replay = self.remember(unflatten_replay(state.replay, "replay", Trial), trials, longest)
        moments = self.measure(Moments.of(state.extras), trials)
        state.replay = flatten_replay(replay, "replay")
        state.extras = state.extras | moments._asdict()
        metrics = {"replay/trials": float(len(replay)), "replay/steps": float(count_steps(replay))}
        if state.iteration < self.config.collect_iterations:
            return metrics | {"guard/non_finite_gradient": 0.0}

        def gradient(params: Params, targets: Params, rng: np.random.Generator) -> tuple[list[Tensor], Metrics]:
            def loss(mine: Params, part: DrawnChunk) -> tuple[Tensor, dict[str, Tensor]]:
                return self.loss(mine, targets, part, moments)

            drawn = to_device(self.draw(replay, state.statistics, rng), trials.weight.device)
            return self.gradient_of(params, drawn, loss, SAC_TERMS)

        rate = self.learning_rate(state.iteration)
        metrics |= {"update/learning_rate": rate}
        return metrics | off_policy.improve(state, gradient, self.config, rate, self.config.max_grad_norm)

    def remember(self, replay: Replay, trials: PlayedSteps, longest: int) -> Replay:
        """The replay with some trials, each an entry of its own.

        Args:
            longest: most steps that a trial can have.
        """
        most = self.config.replay_size // longest
        for i, count in enumerate(trials.weight.sum(1).long().tolist()):
            if count:  # else all its episodes were left out
                trial = Trial(*(x[i, :count] for x in trials[:-1]))
                replay = insert(replay, next_number(replay), trial, longest, most)
        return replay

    def measure(self, moments: Moments, trials: PlayedSteps) -> Moments:
        """`moments` with the discounted returns from every step of `trials` to their ends."""
        gained = returns.discounted_returns((trials.reward * trials.weight).double(), self.config.discount)
        return moments.update(gained, trials.weight)

    def draw(self, replay: Replay, statistics: Params, rng: np.random.Generator) -> DrawnChunk:
        """Trials, the chunk of them and all noise of a gradient step."""
        c = self.config
        steps, weight = sequences(replay, draw_tasks(replay, c.update_trials, rng))  # [row, time, ...]
        seen = normaliser.normalise_observation(statistics, steps.observation)
        inputs = self.read(steps._replace(observation=seen))
        # In chunks of equal length, so that every step is as likely as any other.
        longest = weight.shape[1]
        chunks = -(-longest // c.chunk)
        length = -(-longest // chunks)
        first = length * int(rng.integers(chunks))
        begin = 0 if c.burn_in is None else max(0, first - c.burn_in)

        def chunk_of(x: Tensor, after: int = 0) -> Tensor:
            padded = pad(x, (0, 0) * (x.dim() - 2) + (0, max(0, first + length + after - longest)))
            return padded[:, first : first + length + after]

        ends = last_steps(weight > 0).to(weight.dtype)
        noise = from_numpy(rng.standard_normal((len(weight), 2, length, *self.policy.noise_shape), np.float32))
        action, reward, ends, valid = (chunk_of(x) for x in (steps.action, steps.reward, ends, weight))
        start = torch.zeros(len(weight), self.policy.state_size)
        return DrawnChunk(inputs[:, begin:first], chunk_of(inputs, 1), action, reward, ends, valid, noise, start)

    def loss(
        self, params: Params, targets: Params, rows: DrawnChunk, moments: Moments
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the losses of memory and critics, of the actor, and of the temperature; metrics.

        Args:
            params: policy, critics and temperature.
            targets: the critics' slow copies, under the names of the critics.
            moments: of the returns.
        """
        c, policy, weight = self.config, self.policy, rows.weight
        seen = self.seen(params, rows)  # [row, time + 1, width] each
        now, after = (HeadInputs(*(x[:, part] for x in seen)) for part in (slice(None, -1), slice(1, None)))
        temperature = params[TEMPERATURE].detach().exp()
        with torch.no_grad():
            target = self.target(params, targets, rows, after, temperature, moments)
        value = self.values(params, rows.action, now.judging)  # [critic, row, time]
        critic_loss = soft_actor_critic.critic_loss(value, target, weight)
        read = now.acting if c.memory_gradient == "both" else now.acting.detach()
        action, log_prob = policy.distribution(params, read).sample_with_log_prob(rows.noise[:, 0])
        still = {name: p.detach() for name, p in params.items() if name.startswith(CRITICS)}
        judged = self.values(still, action, now.judging.detach())
        actor_loss = soft_actor_critic.actor_loss(log_prob, judged, temperature, weight)
        colder = soft_actor_critic.temperature_loss(params[TEMPERATURE], log_prob, self.target_entropy, weight)
        means = weighted_mean(value.mean(0), weight), -weighted_mean(log_prob, weight)
        metrics = dict(zip(SAC_TERMS, (critic_loss, actor_loss, *means, temperature), strict=True))
        return critic_loss + actor_loss + colder, metrics

    def seen(self, params: Params, rows: DrawnChunk) -> HeadInputs:
        """What heads read at the steps of the chunk and at the one after it, with a gradient through all of them."""
        state = rows.start
        if rows.before.shape[1]:
            with torch.no_grad():
                state = self.policy.remember(params, rows.before, state)[1]
        return self.policy.remember(params, rows.inputs, state)[0]

    def values(self, params: Params, action: Tensor, judging: Tensor) -> Tensor:
        """Values ``[critic, ...]`` of `action` ``[..., action]``, from what the critics read ``[..., width]``."""
        found: Tensor = functional.call(self.critics, functional.part_of(params, "critics"), action, judging)
        return found

    def target(
        self,
        params: Params,
        targets: Params,
        rows: DrawnChunk,
        after: HeadInputs,
        temperature: Tensor,
        moments: Moments,
    ) -> Tensor:
        """y of the steps ``[row, time]``, in deviations of the returns from their mean.

        Args:
            after: what heads read at the steps that follow.
        """
        c, policy = self.config, self.policy
        action, log_prob = policy.distribution(params, after.acting).sample_with_log_prob(rows.noise[:, 1])
        value = self.values(targets, action, after.judging)  # [critic, row, time]
        mean, std = (x.to(rows.reward) for x in (moments.mean, moments.std))
        # (r + discount (mean + std v) - mean) / std, as a reward and the discounted v.
        reward = (rows.reward - mean + c.discount * (1 - rows.ends) * mean) / std
        surplus = log_prob + self.target_entropy
        return soft_actor_critic.soft_target(reward, rows.ends, value, surplus, temperature, c.discount)
