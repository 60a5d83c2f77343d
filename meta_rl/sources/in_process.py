"""Sampling in the learner's own process, one shard after the other."""

from __future__ import annotations

from envs import TaskDistribution
from meta_rl.algorithms.base import MetaLearner
from meta_rl.core.weights import Weights
from meta_rl.sources.base import Plan, Sampler, join_shards
from meta_rl.sources.collect import Shard


class InProcess:
    """Draws the tasks of an iteration and samples them; see `meta_rl.sources.base.Source`.

    Args:
        distribution: of training tasks.
        learner: gives the policy and adapts it between the stages.
        plan: see `meta_rl.sources.base.Plan`.
    """

    restarts = 0

    def __init__(self, distribution: TaskDistribution, learner: MetaLearner, plan: Plan) -> None:
        self._sampler, self._shards = Sampler(distribution, learner, plan), plan.shards

    def sample(self, weights: Weights, iteration: int) -> Shard:
        """See `Source.sample`."""
        return join_shards([self._sampler.sample(weights, iteration, shard) for shard in range(self._shards)])

    def close(self) -> None:
        """Free the environments."""
        self._sampler.close()
