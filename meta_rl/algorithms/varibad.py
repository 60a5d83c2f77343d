"""VariBAD: a policy that acts on a belief about its task, which an encoder of the trial infers (Zintgraf et al. 2020).

What is not known of a task is summed up in a few numbers m. At every step an encoder says what it believes of them,
q(m | trial so far), a diagonal Gaussian; the policy acts on the observation and this belief. The encoder learns to
believe what foretells the rewards of all steps of the trial, those to come among them:

    for every task of the meta-batch:
        memory = 0;  repeat K times: run an episode, memory carries over          (each episode is a stage)
            q_t = N(mean, variance) of (memory after the previous action, reward, done and the observation s_t)
            a_t ~ pi(. | s_t, mean_t, log-variance_t, time)
    PPO on these trials, as RL^2 (`meta_rl.algorithms.rl2`), with the belief as it was   (it learns pi and the value)
    repeat for `belief_epochs`, for every minibatch of whole trials:
        for some steps t, m ~ q_t, and some steps i, past and future:                    (drawn anew in every pass)
            log p_i(m) = log N(r_i; R(s_i, a_i, s_(i+1), m), reward_std^2)
                         + log N(s_(i+1); s_i + S(s_i, a_i, m), state_std^2)             (if asked for)
            ELBO_t = sum over i of log p_i(m) - kl_weight * KL(q_t || q_(t-1)),          q_(-1) = N(0, 1)
        Adam step on -mean of ELBO_t                                                     (it learns q, R and S)

* Neither gradient reaches what the other moves: PPO's stops at the belief. With ``belief_gradient="policy"`` it goes on
  into the encoder, in chunks as RL^2's. Each loss has an Adam of its own.
* While PPO takes its steps the encoder stands still, so a policy moves away from the one that acted by its own steps
  alone; the encoder moves afterwards.
* The ELBO is back-propagated through whole trials from the empty memory. What a belief knows may have been seen any
  number of steps before, and a gradient that ends at a chunk would never teach to keep it.
* The sum over steps is estimated from `decoded_steps` of them, without bias. The ELBO is divided by the steps of the
  longest trial, a constant, so that its gradient has a size like PPO's.

It differs from the published learner (github.com/lmzintgraf/varibad) in this:

* That one learns the belief from a buffer of old trials, a step per iteration. This one takes several passes over the
  trials of the iteration: simulation is cheap, and nothing but the state of training passes from one iteration to the
  next.
* Policy and value read the time too (``clock_steps``). The return of a trial ends with it, so its value falls, and the
  belief, which is about the task, does not tell when.
* The first belief has seen the first observation; published it has seen nothing. No belief follows the last step of a
  trial, where nobody acts any more.
* The network reads when an episode is over. Episodes follow each other in a trial as for RL^2.
* The decoder expects the change of the observation, not the observation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl.algorithms.recurrent import Remembered, Trials
from meta_rl.algorithms.rl2 import TrialPpo
from meta_rl.config.recipes.varibad import VaribadConfig
from meta_rl.core import normaliser, parallel
from meta_rl.core.minibatches import between_places, used_places
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.state import TrainState
from meta_rl.core.types import MetaBatch, Metrics, Params, Rollout, from_numpy, select_rows
from meta_rl.core.weights import joined, parted
from meta_rl.maths import elbo
from meta_rl.maths.distributions import DiagonalGaussian
from meta_rl.maths.gradient_step import Adam
from meta_rl.maths.losses import weighted_mean
from meta_rl.maths.schedules import linear
from meta_rl.maths.sequences import drawn_steps, following
from meta_rl.networks import functional
from meta_rl.networks.belief import BeliefPolicy
from meta_rl.networks.initial import drawn_from

BELIEF_TERMS = ("belief/loss", "belief/kl", "belief/reward_error", "belief/state_error")
"""Metrics of a minibatch: minus the ELBO per step of the longest trial, nats of a revision, and mean squared errors of
the decoder in what the network reads."""
_OWN = "elbo/"
"""Prefix of the optimizer's tensors that are of the ELBO, so that one parameter may learn from two losses."""


class Happened(NamedTuple):
    """One stage as the learner reads it, ``[task, env, time, ...]``: `meta_rl.algorithms.rl2.Episode` and what
    followed."""

    observation: Tensor
    action: Tensor
    reward: Tensor
    earned: Tensor
    """The reward that PPO's losses use."""
    done: Tensor
    """float: 1 at the last valid step."""
    weight: Tensor
    """float: 1 for valid steps, 0 for padding."""
    following: Tensor
    """The observation after the step, also after the last one of an episode."""


class Decoding(NamedTuple):
    """Whole trials, each a row, with the steps of it that are drawn for a pass."""

    inputs: Tensor
    """``[row, time, in]``: what the network read."""
    start: Tensor
    """``[row, state_size]``: the empty memory."""
    length: Tensor
    """``[row]``: steps of the trial."""
    taught: Tensor
    """``[row, belief]``: steps whose beliefs are taught."""
    weight: Tensor
    """``[row, belief]``: 1 for those, 0 for padding."""
    noise: Tensor
    """``[row, belief, latent]``: standard normal, from which m is drawn."""
    observation: Tensor
    """``[row, step, obs]``: steps that are decoded."""
    action: Tensor
    """``[row, step, action]``."""
    following: Tensor
    """``[row, step, obs]``."""
    reward: Tensor
    """``[row, step]``, as the network reads it."""
    decoded: Tensor
    """``[row, step]``: 1 for steps that are decoded, 0 for padding."""


class Varibad(TrialPpo):
    """The learner; see `meta_rl.algorithms.base.MetaLearner` for its verbs."""

    config: VaribadConfig
    policy: BeliefPolicy

    def __init__(self, config: VaribadConfig, policy: BeliefPolicy) -> None:
        super().__init__(config, policy)
        policy.taught_by_policy = config.belief_gradient == "policy"
        with drawn_from(policy.seed, stage=1):
            self.decoder = policy.decoder(config.decoder_hidden, config.decode_states)

    def init(self) -> TrainState:
        """Policy and decoder as they were initialised, and empty statistics of the returns."""
        decoder = {name: p.detach().clone() for name, p in self.decoder.named_parameters()}
        return dataclasses.replace(super().init(), shared=decoder)

    def prepare(self, adapted: Remembered, rollout: Rollout) -> Happened:  # type: ignore[override]  # one field more
        """The rollout as tensors."""
        last = normaliser.normalise_observation(adapted.weights.statistics, from_numpy(rollout.last_observation))
        episode = super().prepare(adapted, rollout)
        return Happened(*episode, following(episode.observation, last, episode.weight > 0))

    def moved(self, params: Params) -> Params:
        """The part of `params` that PPO's steps move: the heads, or all if the policy teaches the belief."""
        return params if self.policy.taught_by_policy else self.policy.heads(params)

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """PPO on whole trials, then the ELBO. A loss or gradient that is not finite abandons the update: `state` stays
        as it was, bit for bit."""
        steps, inputs, longest = self.join(batch)
        trials = Trials(inputs, steps.action, steps.earned, steps.weight, longest)
        after = dataclasses.replace(state)  # the tensors themselves are never changed
        metrics = self.improve(after, trials)
        if metrics["guard/non_finite_gradient"]:
            return metrics
        metrics |= self.infer(after, steps, trials)
        if not metrics["guard/non_finite_gradient"]:
            state.params, state.shared = after.params, after.shared
            state.optimizer, state.extras = after.optimizer, after.extras
        return metrics

    def infer(self, state: TrainState, steps: Happened, trials: Trials) -> Metrics:
        """The ELBO's steps on whole trials; changes `state`, which is of no use if a number was not finite."""
        c, heads = self.config, self.policy.heads(state.params)
        learned = {name: p for name, p in state.params.items() if name not in heads}
        rate = linear(c.belief_learning_rate, c.final_learning_rate, state.iteration, c.learning_rate_iterations)
        own = {name.removeprefix(_OWN): x for name, x in state.optimizer.items() if name.startswith(_OWN)}
        adam = Adam(joined(learned, state.shared), own, rate)
        taken = self.take_steps(
            adam,
            self.decodings(steps, trials, state.iteration),
            lambda params, part: self.belief_gradient(params, part, heads, trials.longest),
        )
        moved, state.shared = parted(adam.result())
        state.params = state.params | moved
        state.optimizer = state.optimizer | {f"{_OWN}{name}": x for name, x in adam.state().items()}
        first, last = taken.steps[0], taken.steps[-1]
        metrics = {name: first[name] for name in BELIEF_TERMS} | {"belief/loss_after": last["belief/loss"]}
        metrics["belief/gradient_norm"] = first["update/gradient_norm"]
        return metrics | {"guard/non_finite_gradient": float(not taken.finite)}

    def decodings(self, steps: Happened, trials: Trials, iteration: int) -> Iterator[Decoding]:
        """For every pass, all trials in a new order, cut into minibatches, with steps that are drawn anew. If processes
        share the update, each yields its own trials of a minibatch, maybe none."""
        places = used_places(trials.weight.any(1, keepdim=True), 1)
        for epoch in range(self.config.belief_epochs):
            # What is drawn for trials that are random themselves needs no seed of its own.
            rng = generator(0, Purpose.BELIEFS, iteration, stage=epoch)
            rows = self.drawn(steps, trials, rng)
            for picked in between_places(places, self.config.belief_minibatches, rng):
                yield select_rows(rows, picked[:, 0].to(trials.weight.device))

    def drawn(self, steps: Happened, trials: Trials, rng: np.random.Generator) -> Decoding:
        """All trials of this process with steps and noise that `rng` draws; the same whatever the number of
        processes."""
        c, count, longest = self.config, len(trials.weight), trials.longest
        everyone, first = count * parallel.size(), count * parallel.rank()

        def mine(numbers: NDArray[np.floating]) -> Tensor:
            return torch.from_numpy(numbers[first : first + count]).to(trials.inputs)

        keys = [mine(rng.random((everyone, longest))) for _ in range(2)]  # [row, time] each
        most = min(c.elbo_steps, longest)
        noise = mine(rng.standard_normal((everyone, most, self.policy.latent_size)))
        valid = trials.weight[:, :longest]  # what lies beyond is padding up to the chunk
        taught, weight = drawn_steps(keys[0][:, : valid.shape[1]], valid, most)
        place, decoded = drawn_steps(keys[1][:, : valid.shape[1]], valid, c.decoded_steps)
        row = torch.arange(count, device=place.device).unsqueeze(1)  # [row, 1]
        at = Happened(*(x[row, place] for x in steps))  # [row, step, ...]
        return Decoding(
            trials.inputs,
            trials.inputs.new_zeros(count, self.policy.state_size),
            valid.sum(1),
            taught,
            weight,
            noise[:, : taught.shape[1]],
            at.observation,
            self.policy.numbers(at.action).to(noise.dtype),
            at.following,
            at.reward * c.reward_scale,
            decoded,
        )

    def belief_gradient(
        self, params: Params, rows: Decoding, heads: Params, longest: int
    ) -> tuple[list[Tensor], Metrics]:
        """Gradient of `belief_loss` over all `rows` of all processes, and metrics; see `gradient_of`."""

        def loss(mine: Params, part: Decoding) -> tuple[Tensor, dict[str, Tensor]]:
            policy, decoder = parted(mine)
            return self.belief_loss(heads | policy, decoder, part, longest)

        return self.gradient_of(params, rows, loss, BELIEF_TERMS)

    def belief_loss(
        self, params: Params, decoder: Params, rows: Decoding, longest: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Minus the ELBO per step of the longest trial, and what it is made of: means over the beliefs of `rows`.

        Args:
            params: of the policy.
            decoder: parameters of the decoder.
            longest: most steps of a trial.
        """
        c, latent = self.config, self.policy.latent_size
        beliefs = self.policy.unroll(params, rows.inputs, rows.start).belief  # [row, time, latent]
        assert beliefs is not None
        kl = elbo.revision(beliefs, c.prior == "previous").gather(1, rows.taught)  # [row, belief]
        at = rows.taught.unsqueeze(-1).expand(-1, -1, latent)
        sample = DiagonalGaussian(*(x.gather(1, at) for x in beliefs)).sample(rows.noise)  # [row, belief, latent]
        said = functional.call(self.decoder, decoder, sample, rows.observation, rows.action, rows.following)
        expected, reward = said.reward.unsqueeze(-1), rows.reward[:, None, :, None]  # [row, belief or 1, step, 1]
        likelihood = elbo.log_likelihood(expected, reward, c.reward_std)  # [row, belief, step]
        errors = [(expected - reward).square().mean(-1), torch.zeros_like(likelihood)]  # [row, belief, step] each
        if said.change is not None:
            change = (rows.following - rows.observation).unsqueeze(1)  # [row, 1, step, obs]
            likelihood = likelihood + elbo.log_likelihood(said.change, change, c.state_std)
            errors[1] = (said.change - change).square().mean(-1)
        bound = elbo.lower_bound(likelihood, rows.decoded, rows.length, kl, c.kl_weight)  # [row, belief]
        loss = -weighted_mean(bound, rows.weight) / longest
        share = (rows.decoded / rows.decoded.sum(1, keepdim=True).clamp(min=1)).unsqueeze(1)  # [row, 1, step]
        measured = [weighted_mean(x, rows.weight) for x in (kl, *((error * share).sum(-1) for error in errors))]
        return loss, dict(zip(BELIEF_TERMS, [loss, *measured], strict=True))
