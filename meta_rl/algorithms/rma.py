"""Rapid motor adaptation: a teacher that is told the task, a student whose memory replaces that (Kumar et al. 2021).

A policy that knows a robot's masses, frictions and delays needs no adaptation. So a first phase trains one that is told
the numbers of the task, and a second one trains a memory to find out what these numbers have come to mean:

    z = encoder(numbers of the task)                        a few numbers; those of a task are normalised first
    first phase, `teacher_iterations` long: act by  pi(a | observation, previous action, z)
        theta, encoder <- PPO of RL^2 on the episodes, each a trial of its own
    second phase: act by  pi(a | observation, previous action, z'),    z' = linear(memory of the trial so far)
        memory, linear <- Adam step on  mean((z' - z)^2)    through `chunk` steps of time
    test time: as in the second phase; nobody is told the task

* The student learns on the states that it gets itself into, as published: on the teacher's alone its errors add up.
* In the second phase policy, encoder and the statistics of observations stay as they are, to the bit.
* The published memory is a convolution over the last 50 steps of an episode. Here it is RL^2's (`--cell`), which reads
  rewards too and lasts for the trial, so that episodes of practice count.
* To the teacher an episode is a trial: nothing that came before it matters to one that knows the task. So a terminal
  state cuts the return off, as for `multitask-ppo` with ``--task-visible True``, which sees the task at test time too.
* The numbers travel as labels of experts do: whoever samples knows the tasks and tells them (`Rma.tell`), and what was
  told comes up with the episodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from envs import Task
from meta_rl.algorithms.recurrent import Remembered, TrialLearner, Trials, in_chunks
from meta_rl.algorithms.rl2 import Episode, TrialPpo
from meta_rl.config.recipes.rma import RmaConfig
from meta_rl.core import parallel
from meta_rl.core.state import TrainState
from meta_rl.core.task_numbers import NumberScale, normalise_numbers
from meta_rl.core.types import MetaBatch, Metrics, Params, Rollout
from meta_rl.core.weights import Weights
from meta_rl.errors import ConfigError
from meta_rl.maths import losses
from meta_rl.maths.gradient_step import Adam
from meta_rl.networks import functional
from meta_rl.networks.adaptive import TASK, AdaptivePolicy, Teacher, ToldReader
from meta_rl.networks.recurrent_actor import RecurrentActor, TrialMemory

STUDENT_TERMS = ("update/loss",)
"""Metrics of a minibatch in the second phase."""


class Told(NamedTuple):
    """`Adapted` while training samples: what is remembered, and what the tasks are."""

    weights: Weights
    memory: TrialMemory
    numbers: Tensor
    """``[task, number]``, as the encoder reads them."""
    teaches: bool
    """Whether the teacher acts, by these numbers; else the student, by its memory."""


class ToldEpisode(NamedTuple):
    """One stage as the learner reads it, ``[task, env, time, ...]``: RL^2's `Episode`, with the numbers of its task at
    every step."""

    observation: Tensor
    action: Tensor
    reward: Tensor
    earned: Tensor
    done: Tensor
    weight: Tensor
    numbers: Tensor
    """``[task, env, time, number]``; no numbers where nobody was told any."""


class LatentRows(NamedTuple):
    """Chunks of trials, each a row: ``[row, time, ...]``."""

    inputs: Tensor
    latent: Tensor
    """The teacher's z."""
    weight: Tensor
    start: Tensor
    """``[row, state_size]``: recurrent state before the first step, as it was when the row was recorded."""


class Rma(TrialLearner):
    """The learner; see `meta_rl.algorithms.base.MetaLearner` for its verbs.

    Args:
        numbers: mean and deviation of the numbers of training tasks.
    """

    config: RmaConfig
    policy: AdaptivePolicy

    def __init__(self, config: RmaConfig, policy: AdaptivePolicy, numbers: NumberScale) -> None:
        super().__init__(config, policy)
        if not numbers:
            raise ConfigError("RUN: it is not known which numbers of its tasks this agent was told")
        self._numbers, self.encoder = numbers, policy.task_encoder(len(numbers))
        teacher: Any = Teacher(policy, self.encoder)  # with the interface of a recurrent policy
        length = config.learning_rate_iterations  # of the annealing
        length = config.told_for if length is None else length
        self.ppo = TrialPpo(replace(config, learning_rate_iterations=length), teacher)
        self._heads = {name for name, _ in teacher.named_parameters()} & dict(policy.named_parameters()).keys()

    def init(self) -> TrainState:
        """The student's parameters as they were initialised, and the encoder's among those that all tasks share."""
        shared = {name: p.detach().clone() for name, p in self.encoder.named_parameters()}
        return replace(super().init(), shared=shared)

    def tell(self, adapted: Remembered, tasks: Sequence[Task], acts: bool) -> Told:
        """The numbers of `tasks` beside the memory. With `acts` the teacher acts, which has an empty one."""
        numbers = torch.from_numpy(normalise_numbers(tasks, self._numbers))
        memory = self.ppo.start(adapted.weights, len(tasks)).memory if acts else adapted.memory
        return Told(adapted.weights, memory, numbers, acts)

    def actor(self, adapted: Remembered | Told) -> RecurrentActor:
        """The student, with the memory in `adapted`; or the teacher, if it was told the tasks to act by."""
        weights = adapted.weights
        if isinstance(adapted, Remembered) or not adapted.teaches:
            return RecurrentActor(self.policy, weights, adapted.memory, self.recall)
        taught = Weights(self.taught(weights.params, weights.shared), {}, weights.statistics)
        read = ToldReader(weights.statistics, adapted.numbers)
        return RecurrentActor(self.ppo.policy, taught, adapted.memory, self.ppo.recall, read)

    def prepare(self, adapted: Remembered | Told, rollout: Rollout) -> ToldEpisode:
        """The rollout as tensors, with what was told of the tasks."""
        episode = self.ppo.prepare(Remembered(adapted.weights, adapted.memory), rollout)
        shape = episode.reward.shape  # [task, env, time]
        told = adapted.numbers if isinstance(adapted, Told) else episode.reward.new_zeros(len(episode.reward), 0)
        numbers = told[:, None, None].expand(*shape, -1).contiguous()
        return ToldEpisode(*episode, numbers)

    def taught(self, params: Params, shared: Params) -> Params:
        """The parameters of the teacher: the heads among `params`, and the encoder."""
        return {name: p for name, p in params.items() if name in self._heads} | shared

    def latent(self, shared: Params, numbers: Tensor) -> Tensor:
        """z ``[..., latent_size]`` of tasks by their numbers ``[..., number]``."""
        z: Tensor = functional.call(self.encoder[TASK], functional.part_of(shared, TASK), numbers)
        return z

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """An update of the teacher, or, once its iterations are over, of the student. A loss or gradient that is not
        finite abandons it: `state` stays as it was, bit for bit."""
        teaches = state.iteration < self.config.told_for
        who, update = ("teacher", self.teach) if teaches else ("student", self.study)
        return update(state, batch) | {f"{who}/return": mean_return(batch)}

    def teach(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """RL^2's update of the teacher, each episode a trial."""
        mine = replace(state, params=self.taught(state.params, state.shared))
        metrics = self.ppo.meta_update(mine, MetaBatch((), episodes_apart(batch)))
        state.params = {name: mine.params.get(name, p) for name, p in state.params.items()}
        state.shared = {name: mine.params[name] for name in state.shared}
        state.optimizer, state.extras = mine.optimizer, mine.extras
        return metrics

    def study(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """Passes over the trials, in which memory and linear layer come closer to the teacher's z."""
        trials, rows, recorded = self.rows(state, batch)
        held = {name: p for name, p in state.params.items() if name in self._heads}
        mine = {name: p for name, p in state.params.items() if name not in self._heads}
        begun = all(f"step/{name}" in state.optimizer for name in mine)
        adam = Adam(mine, state.optimizer if begun else {}, self.config.student_learning_rate)
        taken = self.take_steps(
            adam,
            self._minibatches(rows, trials, state.iteration),
            lambda params, part: self.gradient_of(
                params, part, lambda now, some: self.loss(held | now, some), STUDENT_TERMS
            ),
        )
        first, last = taken.steps[0], taken.steps[-1]
        metrics = {
            "update/loss_before": first["update/loss"],
            "update/loss_after": last["update/loss"],
            "update/gradient_norm": first["update/gradient_norm"],
            "update/learning_rate": self.config.student_learning_rate,
            "student/error": first["update/loss"] / max(recorded.pop("latent/variance"), 1e-12),
            "guard/non_finite_gradient": float(not taken.finite),
        }
        if taken.finite:
            learned = adam.result()
            state.params = {name: learned.get(name, p) for name, p in state.params.items()}
            state.optimizer = adam.state()
        return recorded | metrics

    @torch.no_grad()
    def rows(self, state: TrainState, batch: MetaBatch) -> tuple[Trials, LatentRows, Metrics]:
        """Whole trials, their chunks with what the student is to find out, and metrics: the variance of z among them, a
        mean over its numbers."""
        steps, inputs, longest = self.join(batch)
        weight = steps.weight
        trials = Trials(inputs, steps.action, steps.earned, weight, longest)
        length = min(self.config.chunk, weight.shape[1])
        _, _, entropy, start = self._replay(state.params, trials, length)
        z = self.latent(state.shared, steps.numbers)  # [trial, time, latent_size]
        inputs, latent, weights = in_chunks((inputs, z, weight), length)
        mean = self._mean_step(z, weight)
        metrics = {
            "policy/entropy": float(parallel.mean_of_all(entropy, weight)),
            "latent/variance": float(self._mean_step((z - mean).square(), weight).mean()),
        }
        return trials, LatentRows(inputs, latent, weights, start), metrics

    @staticmethod
    def _mean_step(numbers: Tensor, weight: Tensor) -> Tensor:
        """Mean ``[n]`` of ``[trial, time, n]`` over the steps with weight 1 of all processes."""
        total, count = parallel.sums([(numbers * weight.unsqueeze(-1)).double().sum((0, 1)), weight.double().sum()])
        return total / count

    def loss(self, params: Params, rows: LatentRows) -> tuple[Tensor, dict[str, Tensor]]:
        """Squared error of the student's z, a mean over its numbers and the valid steps."""
        predicted = self.policy.unroll(params, rows.inputs, rows.start).predicted
        assert predicted is not None
        loss = losses.weighted_mean((predicted - rows.latent).square().mean(-1), rows.weight)
        return loss, dict(zip(STUDENT_TERMS, (loss,), strict=True))


def episodes_apart(batch: MetaBatch) -> Episode:
    """Every episode as a trial of its own, as the teacher reads it: ``[task * episode, env, time, ...]``, the episodes
    of a task beside each other, and the numbers of the task at the end of its observations."""
    stages = [*batch.support, batch.query]
    # [task, episode, ...] -> [task * episode, ...] each.
    together = ToldEpisode(*(torch.stack(parts, 1).flatten(0, 1) for parts in zip(*stages, strict=True)))
    observation = torch.cat([together.observation, together.numbers], -1)
    return Episode(*together._replace(observation=observation)[:-1])


def mean_return(batch: MetaBatch) -> float:
    """Mean return of the episodes of all processes, undiscounted; those that were left out do not count."""
    stages = [*batch.support, batch.query]
    gained = sum(stage.reward.double().sum() for stage in stages)
    count = sum(stage.weight.any(-1).double().sum() for stage in stages)
    total, episodes = parallel.sums([torch.as_tensor(gained), torch.as_tensor(count)])
    return float(total / episodes.clamp(min=1))
