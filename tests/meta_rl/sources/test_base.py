"""The rule of shards: cut by the config, put together again, every number where it belongs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import envs
from envs.navigation import Navigation, NavigationVectorEnv
from meta_rl.algorithms.base import make_learner
from meta_rl.config import default_config, replace_paths, validate
from meta_rl.core import normaliser
from meta_rl.core.moments import Moments
from meta_rl.core.types import MetaBatch
from meta_rl.errors import ConfigError
from meta_rl.sources.base import Plan, Sampler, join_shards
from meta_rl.sources.collect import Shard
from meta_rl.sources.in_process import InProcess


@pytest.mark.parametrize(("tasks", "shards"), [(1, 1), (7, 3), (8, 4), (5, 5)])
def test_shards_are_neighbouring_tasks_and_cover_the_meta_batch(tasks: int, shards: int) -> None:
    plan = Plan(tasks, 1, 0, shards)
    parts = [plan.indices(shard) for shard in range(shards)]
    assert [i for part in parts for i in part] == list(range(tasks))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_join_puts_every_number_back() -> None:
    """100 * task + time, cut into 2 + 1 tasks."""
    numbers = 100 * torch.arange(3)[:, None] + torch.arange(4)

    def shard(part: slice) -> Shard:
        x = numbers[part]
        return Shard(MetaBatch((x,), {"x": x + 1}), x[:, :2, None].double().numpy(), x[:, :2, None].numpy() > 100, 5)

    def measured(*tasks: float) -> tuple[Moments, ...]:
        return tuple(Moments(*torch.tensor([task, task, task])) for task in tasks)

    parts = shard(slice(0, 2))._replace(measured=measured(0, 1)), shard(slice(2, 3))._replace(measured=measured(2))
    whole = join_shards(parts)
    assert [float(moments.mean) for moments in whole.measured] == [0, 1, 2]
    assert torch.equal(whole.batch.support[0], numbers)
    assert torch.equal(whole.batch.query["x"], numbers + 1)
    assert whole.returns[:, 1, 0].tolist() == [1, 101, 201]
    assert whole.solved[:, :, 0].tolist() == [[False, False], [False, True], [True, True]]
    assert whole.env_steps == 10


def test_shards_in_any_order_make_the_same_meta_batch() -> None:
    config = default_config("maml-trpo", "navigation")
    distribution = envs.make("navigation")
    learner = make_learner(config, distribution)
    weights, plan = learner.init().weights, Plan(5, 3, seed=2, shards=3)
    source, sampler = InProcess(distribution, learner, plan), Sampler(distribution, learner, plan)
    whole = source.sample(weights, 7)
    backwards = {shard: sampler.sample(weights, 7, shard) for shard in (2, 0, 1)}
    again = join_shards([backwards[shard] for shard in range(3)])
    assert torch.equal(whole.batch.query.observation, again.batch.query.observation)
    assert torch.equal(whole.batch.support[0].advantage, again.batch.support[0].advantage)
    np.testing.assert_array_equal(whole.returns, again.returns)
    # One shard holds the same tasks and noise; products over another number of rows may round differently.
    one = InProcess(distribution, learner, Plan(5, 3, seed=2)).sample(weights, 7)
    torch.testing.assert_close(one.batch.support[0].action, whole.batch.support[0].action, rtol=0, atol=1e-4)


class Wanderer(NavigationVectorEnv):
    """Moves as its task says, whatever the policy does: what rounds differently in other shards is not observed."""

    def _step(self, action: Any, active: Any) -> Any:
        return super()._step(np.broadcast_to(0.05 * self._goal, action.shape), active)


class Wandering(Navigation):
    def make(self, num_tasks: int, envs_per_task: int) -> Wanderer:
        return Wanderer(num_tasks, envs_per_task, self)


@pytest.mark.parametrize("recipe", ["maml-trpo", "rl2"])
def test_equal_observations_have_the_same_statistics_bit_for_bit_in_any_number_of_shards(recipe: str) -> None:
    """Two iterations, the second normalised by the first's."""
    config = replace_paths(default_config(recipe, "navigation"), {"network.normalise_observations": True})
    distribution, results = Wandering(horizon=10), []
    learner = make_learner(config, distribution)
    for shards in (1, 2, 5):
        source, statistics = InProcess(distribution, learner, Plan(5, 3, seed=2, shards=shards)), []
        weights = learner.init().weights
        for iteration in range(2):
            sampled = source.sample(weights, iteration)
            assert len(sampled.measured) == 5
            statistics.append(normaliser.merged(weights.statistics, sampled.measured))
            weights = weights._replace(statistics=statistics[-1])
        results.append(statistics)
    assert float(results[0][1]["seen"]) > 100
    assert not torch.equal(results[0][0]["mean"], results[0][1]["mean"])
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_more_shards_than_tasks_are_refused() -> None:
    config = default_config("maml-trpo", "navigation")
    with pytest.raises(ConfigError, match=r"--shards: 20 tasks cannot be cut into 21 parts; closest: 20"):
        validate(replace_paths(config, {"shards": 21}))
    with pytest.raises(ConfigError, match=r"--shards: must be at least 1, got 0"):
        validate(replace_paths(config, {"shards": 0}))


def test_few_shot_tasks_take_no_workers() -> None:
    config = default_config("maml", "sinusoid-10shot")
    with pytest.raises(ConfigError, match=r"^--workers: few-shot tasks are drawn in .*; valid: 0$"):
        validate(replace_paths(config, {"shards": 2, "workers": 2}))
    with pytest.raises(ConfigError, match=r"^--shards: few-shot tasks are .*; valid: 1$"):
        validate(replace_paths(config, {"shards": 2}))
