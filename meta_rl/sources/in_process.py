"""Sampling in the learner's own process: one vector environment, one shard holding the whole meta-batch."""

from __future__ import annotations

from envs import TaskDistribution
from meta_rl.algorithms.base import MetaLearner
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.types import Params
from meta_rl.sources.collect import Shard, Streams, envs_per_task, sample_shard


class InProcess:
    """Draws the tasks of an iteration and samples them.

    Args:
        distribution: of training tasks.
        learner: gives the policy and adapts it between the stages.
        meta_batch_size: tasks per iteration.
        episodes_per_task: episodes per task and stage (gradient-based learners), or per trial (RL2).
        seed: all randomness derives from (seed, iteration).
    """

    def __init__(
        self,
        distribution: TaskDistribution,
        learner: MetaLearner,
        meta_batch_size: int,
        episodes_per_task: int,
        seed: int,
    ) -> None:
        self._distribution, self._learner, self._seed = distribution, learner, seed
        self._episodes_per_task = episodes_per_task
        self._env = distribution.make(meta_batch_size, envs_per_task(learner, episodes_per_task))

    def sample(self, params: Params, iteration: int) -> Shard:
        """The meta-batch of `iteration`, a pure function of the arguments; `params` on the CPU."""
        rng = generator(self._seed, Purpose.TRAIN_TASKS, iteration)
        tasks = self._distribution.sample(rng, self._env.num_tasks)
        indices = range(self._env.num_tasks)
        streams = Streams(self._seed, iteration)
        return sample_shard(self._env, self._learner, params, tasks, indices, self._episodes_per_task, streams)

    def close(self) -> None:
        """Free the environments."""
        self._env.close()
