"""The protocol of sources of meta-batches, and how a meta-batch is cut into shards.

The rule that makes every source give the same bits: **the config fixes the number of shards, and nothing else does.**
A shard is a run of neighbouring tasks of the meta-batch, and a pure function of (weights, iteration, its number): it
draws its own tasks and noise from the seed, always has the same number of tasks (outputs of a policy differ by about
1e-7 between batch sizes) and, where there are several, computes on one torch thread (sums round differently on
several). One process works through all of them or many share them out; a lost one is computed again; the meta-batch is
the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from envs import NonFiniteError, Task, TaskDistribution
from meta_rl.algorithms.base import MetaLearner
from meta_rl.core.moments import Moments
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.threads import one_thread
from meta_rl.core.types import MetaBatch, missing_in_all
from meta_rl.core.weights import Weights
from meta_rl.maths.schedules import linear
from meta_rl.sources.collect import BeforeStep, Envs, Shard, Streams, envs_per_task, make_envs, sample_shard

MAX_DISCARDED = 0.05
"""Share of a meta-batch's episodes that may be left out because the environment gave a NaN."""


class Sampled(Protocol):
    """One meta-batch and its metrics."""

    @property
    def batch(self) -> MetaBatch:
        """The data that the learner reads."""
        ...

    @property
    def env_steps(self) -> int:
        """Environment steps it took; 0 for labelled examples."""
        ...

    @property
    def measured(self) -> Sequence[Moments]:
        """Statistics of each task's observations, in the order of the tasks; none where they are not normalised."""
        ...

    @property
    def missing_success(self) -> str:
        """Why its tasks' success is unknown, in a sentence; empty: it is known, or there is none to know."""
        ...

    def describe(self) -> dict[str, float]:
        """The metrics of its sampling, for the row of the iteration."""
        ...


class Source(Protocol):
    """Source of the training loop's meta-batches."""

    restarts: int
    """Workers that were lost and replaced so far."""

    def sample(self, weights: Weights, iteration: int) -> Sampled:
        """The whole meta-batch of `iteration`, a pure function of the arguments; `weights` on the CPU.

        Raises:
            NonFiniteError: an action is NaN or infinite; observations or rewards are in too many episodes.
            RunError: a shard could not be sampled, however often it was tried.
        """
        ...

    def close(self) -> None:
        """Free environments and processes; calling it twice is fine."""
        ...


class Plan(NamedTuple):
    """Which tasks are drawn and how they are cut into shards; the same for every source.

    Attributes:
        meta_batch_size: tasks per iteration.
        episodes_per_task: episodes per task and stage (gradient-based learners), or per trial (RL2).
        seed: all randomness derives from (seed, iteration).
        shards: parts of the meta-batch, at most one per task.
        taught_for: iterations after which no expert acts any more; it labels what the learner does. None: nobody asks
            it (see `AlgorithmConfig.taught_for`).
        told_for: iterations after which whoever acts is not told the numbers of the tasks any more; only the learner
            is. None: nobody is (see `AlgorithmConfig.told_for`).
    """

    meta_batch_size: int
    episodes_per_task: int
    seed: int
    shards: int = 1
    taught_for: int | None = None
    told_for: int | None = None

    def tasks(self, distribution: TaskDistribution, iteration: int) -> list[Task]:
        """The tasks of the whole meta-batch."""
        return distribution.sample(generator(self.seed, Purpose.TRAIN_TASKS, iteration), self.meta_batch_size)

    def taught(self, iteration: int, indices: Sequence[int]) -> NDArray[np.bool_] | None:
        """The tasks at `indices` of the meta-batch in which the expert acts, ``[task]``: all in iteration 0, fewer with
        each, none from `taught_for` on. None: there are no labels either."""
        if self.taught_for is None:
            return None
        share = linear(1.0, 0.0, iteration, self.taught_for) if self.taught_for else 0.0
        draws = (generator(self.seed, Purpose.EXPERT, iteration, task).random() for task in indices)
        return np.array([draw < share for draw in draws])

    def told(self, iteration: int) -> bool | None:
        """Whether the one who acts is told the numbers of the tasks. None: not even the learner is."""
        return None if self.told_for is None else iteration < self.told_for

    def indices(self, shard: int) -> range:
        """Positions in the meta-batch of a shard's tasks. Sizes differ by one at most."""
        part = np.array_split(np.arange(self.meta_batch_size), self.shards)[shard]
        return range(int(part[0]), int(part[-1]) + 1)


class Sampler:
    """Samples shards, one at a time; keeps its environments from one to the next.

    Args:
        distribution: of training tasks.
        learner: gives the policy and adapts it between the stages.
    """

    def __init__(self, distribution: TaskDistribution, learner: MetaLearner, plan: Plan) -> None:
        self._distribution, self._learner, self._plan = distribution, learner, plan
        self._envs: dict[int, Envs] = {}

    def env(self, num_tasks: int) -> Envs:
        """The environments for shards of `num_tasks` tasks."""
        if num_tasks not in self._envs:
            episodes = envs_per_task(self._learner, self._plan.episodes_per_task)
            self._envs[num_tasks] = make_envs(self._distribution, num_tasks, episodes)
        return self._envs[num_tasks]

    def sample(self, weights: Weights, iteration: int, shard: int, before_step: BeforeStep | None = None) -> Shard:
        """One shard of the meta-batch of `iteration`.

        Args:
            before_step: called before every step.
        """
        plan, indices = self._plan, self._plan.indices(shard)
        tasks = plan.tasks(self._distribution, iteration)[indices.start : indices.stop]
        streams = Streams(plan.seed, iteration)
        with one_thread(plan.shards > 1):
            return sample_shard(
                self.env(len(indices)),
                self._learner,
                weights,
                tasks,
                indices,
                plan.episodes_per_task,
                streams,
                before_step,
                plan.taught(iteration, indices),
                plan.told(iteration),
            )

    def close(self) -> None:
        """Free the environments."""
        for env in self._envs.values():
            env.close()


def join_shards(shards: Sequence[Shard]) -> Shard:
    """The meta-batch that was cut into `shards`, in their order.

    Raises:
        NonFiniteError: too many of its episodes were left out.
    """
    discarded = tuple(problem for shard in shards for problem in shard.discarded)
    episodes = sum(shard.returns.size for shard in shards)
    if len(discarded) > MAX_DISCARDED * episodes:
        raise NonFiniteError(f"{len(discarded)} of {episodes} episodes were of no use, the first: {discarded[0]}")
    if len(shards) == 1:
        return shards[0]
    batch: MetaBatch = torch.utils._pytree.tree_map(lambda *parts: torch.cat(parts), *(s.batch for s in shards))
    return Shard(
        batch,
        np.concatenate([s.returns for s in shards]),
        np.concatenate([s.solved for s in shards]),
        sum(s.env_steps for s in shards),
        discarded,
        tuple(moments for shard in shards for moments in shard.measured),
        missing_in_all(shard.missing_success for shard in shards),
    )
