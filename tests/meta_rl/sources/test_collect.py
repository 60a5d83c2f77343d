"""Identifiable numbers through every reshape: 100 * task + 10 * env + time."""

from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import envs
from envs import NonFiniteError, Task, TaskVectorEnv
from envs.navigation import Navigation, NavigationVectorEnv
from envs.vector import GymDistribution
from meta_rl.algorithms.base import make_learner
from meta_rl.config import default_config, replace_paths
from meta_rl.core import normaliser
from meta_rl.sources.base import Plan
from meta_rl.sources.collect import Streams, rollout, sample_shard
from meta_rl.sources.in_process import InProcess


class Counting(TaskVectorEnv):
    """Observation ``[100 * task + 10 * env + time]``; environment e of a task terminates after 2 + e steps."""

    def __init__(self, num_tasks: int, envs_per_task: int) -> None:
        super().__init__(
            num_tasks,
            envs_per_task,
            gym.spaces.Box(-np.inf, np.inf, (1,), np.float64),
            gym.spaces.Box(-np.inf, np.inf, (1,), np.float32),
            horizon=4,
        )
        self.poison = False

    def _set_tasks(self, tasks: list[Task]) -> None:
        self.base = np.array([t.vector[0] for t in tasks])[:, None] * 100 + 10 * np.arange(self.envs_per_task)

    def _reset(self, seeds: list[int], mask: NDArray[np.bool_]) -> Any:
        self.time = np.zeros(self.shape)
        return self.base[..., None] + 0.0

    def _step(self, action: NDArray[Any], active: NDArray[np.bool_]) -> Any:
        np.testing.assert_allclose(action[..., 0][active], (self.base + self.time)[active])  # its own observation
        self.time += 1
        observation = (self.base + self.time)[..., None]
        if self.poison:
            observation = observation * np.nan
        ended = self.time >= 2 + np.arange(self.envs_per_task)
        return observation, self.base + self.time, ended, ended


class Echo:
    def begin(self) -> None:
        pass

    def act(self, observation: NDArray[Any], noise: NDArray[Any] | None) -> NDArray[Any]:
        return observation if noise is None else observation + noise

    def observe(self, reward: NDArray[Any], done: NDArray[np.bool_]) -> None:
        pass


def test_rollout_places_every_number() -> None:
    env = Counting(3, 3)
    env.set_tasks([Task("count", (i,)) for i in range(3)])
    recorded = rollout(env, Echo(), None, [0, 0, 0])
    for task in range(3):
        for e in range(3):
            base = 100 * task + 10 * e
            length = min(2 + e, 4)
            end = base + length
            assert recorded.observation[task, e, :, 0].tolist() == [base + min(t, length) for t in range(4)]
            rewards = [base + t + 1 if t < length else 0 for t in range(4)]
            assert recorded.reward[task, e].tolist() == rewards
            assert recorded.valid[task, e].tolist() == [t < length for t in range(4)]
            assert recorded.last_observation[task, e, 0] == end
            assert recorded.returns[task, e] == sum(rewards)
    assert recorded.terminated.all()
    assert recorded.solved.all()
    assert recorded.env_steps == 3 * (2 + 3 + 4)


def test_rollout_stops_early_and_still_has_the_full_shape() -> None:
    env = Counting(1, 1)
    env.set_tasks([Task("count", (0,))])
    recorded = rollout(env, Echo(), None, [0])
    assert env.time[0, 0] == 2
    assert recorded.observation.shape == (1, 1, 4, 1)
    assert recorded.observation[0, 0, :, 0].tolist() == [0, 1, 2, 2]


def test_non_finite_observations_are_refused() -> None:
    env = Counting(2, 1)
    env.set_tasks([Task("count", (i,)) for i in range(2)])
    env.poison = True
    with pytest.raises(NonFiniteError, match="count"):
        rollout(env, Echo(), None, [0, 0])


class Poisoned(NavigationVectorEnv):
    """In step 3 one of the environments gives a reward that is not a number, `times` times."""

    times = 1

    def _step(self, action: Any, active: Any) -> Any:
        observation, reward, terminated, success = super()._step(action, active)
        if self._elapsed[0, 0] == 3 and self.times:
            self.times -= 1
            reward[1, 0] = np.nan
            observation[1, 0] = np.inf
        return observation, reward, terminated, success


def test_an_episode_with_a_nan_is_left_out_and_the_others_are_as_ever() -> None:
    distribution = Navigation(horizon=8)
    sick, sound = Poisoned(2, 2, distribution), NavigationVectorEnv(2, 2, distribution)
    tasks = distribution.sample(np.random.default_rng(0), 2)
    noise = np.random.default_rng(1).standard_normal((2, 2, 8, 2)).astype(np.float32)
    recorded = []
    for env in (sick, sound):
        env.set_tasks(tasks)
        learner = make_learner(default_config("maml-trpo", "navigation"), distribution)
        actor = learner.actor(learner.start(learner.init().weights, 2))
        recorded.append(rollout(env, actor, noise, [3, 4], discard=True))
    a, b = recorded
    assert a.discarded == (f"non-finite observation or reward from the environment, task {tasks[1].to_json()}, step 3",)
    assert not a.valid[1, 0].any()
    assert np.isnan(a.returns[1, 0])
    assert not a.reward[1, 0].any()
    assert a.env_steps == 3 * 8
    for name in ("observation", "action", "reward", "valid", "success", "returns"):
        x, y = getattr(a, name), getattr(b, name)
        np.testing.assert_array_equal(x[0], y[0])
        np.testing.assert_array_equal(x[1, 1], y[1, 1])
        assert np.isfinite(x).all() or name == "returns"
    sick.times = 1
    with pytest.raises(NonFiniteError, match="step 3"):
        rollout(sick, actor, noise, [3, 4])


class Broken(gym.Env[Any, Any]):
    """A plain environment whose reward is not a number at its second step."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        return np.zeros(1), np.nan if self.count == 2 else 1.0, False, False, {}


def test_a_plain_environment_is_judged_as_any_other() -> None:
    distribution = GymDistribution("broken", Broken, lambda rng: [rng.random()], 4)
    told = r'^non-finite .* from the environment, task {"family": "broken", "vector": \[0.5\]}, step 1$'
    with distribution.make(1, 2) as env:
        env.set_tasks([Task("broken", (0.5,))])
        with pytest.raises(NonFiniteError, match=told):
            rollout(env, Echo(), None, [0])
        recorded = rollout(env, Echo(), None, [0], discard=True)
    assert len(recorded.discarded) == 2
    assert not recorded.valid.any()


@pytest.mark.parametrize("what", ["observation", "reward"])
@pytest.mark.parametrize("value", [1e39, -1e300, np.inf])
def test_what_float32_cannot_hold_is_not_finite(what: str, value: float) -> None:
    class Large(Broken):
        def step(self, action: Any) -> Any:
            return (
                np.full(1, value if what == "observation" else 0.0),
                value if what == "reward" else 0.0,
                False,
                False,
                {},
            )

    distribution = GymDistribution("large", Large, lambda rng: [rng.random()], 4)
    with distribution.make(1, 2) as env:
        env.set_tasks([Task("large", (0.5,))])
        with pytest.raises(NonFiniteError, match="step 0"):
            rollout(env, Echo(), None, [0])
        recorded = rollout(env, Echo(), None, [0], discard=True)
    assert len(recorded.discarded) == 2
    assert np.isfinite(recorded.observation).all()
    assert not recorded.reward.any()


class Unborn(NavigationVectorEnv):
    """At reset one of the environments has no observation."""

    def _reset(self, seeds: Any, mask: Any) -> Any:
        observation = super()._reset(seeds, mask)
        observation[1, 0, 1] = np.nan
        return observation


@pytest.mark.parametrize("recipe", ["maml-trpo", "rl2"])
def test_an_episode_that_begins_with_a_nan_is_left_out(recipe: str) -> None:
    distribution = Navigation(horizon=8)
    tasks = distribution.sample(np.random.default_rng(0), 2)
    learner = make_learner(default_config(recipe, "navigation"), distribution)
    noise = np.random.default_rng(1).standard_normal((2, 2, 8, 2)).astype(np.float32)
    recorded = []
    for kind in (Unborn, NavigationVectorEnv):
        env = kind(2, 2, distribution)
        env.set_tasks(tasks)
        actor = learner.actor(learner.start(learner.init().weights, 2))
        recorded.append(rollout(env, actor, noise, [3, 4], discard=True))
    a, b = recorded
    told = f"non-finite observation or reward from the environment, task {tasks[1].to_json()}, at reset"
    assert a.discarded == (told,)
    assert not a.valid[1, 0].any()
    assert a.env_steps == 3 * 8
    for name in ("observation", "action", "reward", "valid"):
        x, y = getattr(a, name), getattr(b, name)
        np.testing.assert_array_equal(x[[0, 0, 1], [0, 1, 1]], y[[0, 0, 1], [0, 1, 1]])
        assert np.isfinite(x).all()
    unborn = Unborn(2, 2, distribution)
    unborn.set_tasks(tasks)
    with pytest.raises(NonFiniteError, match="at reset"):
        rollout(unborn, actor, noise, [3, 4])


@pytest.mark.parametrize("recipe", ["maml-trpo", "rl2"])
@pytest.mark.parametrize("kind", [Poisoned, Unborn])
def test_an_episode_that_is_left_out_is_not_measured(recipe: str, kind: type[NavigationVectorEnv]) -> None:
    """Statistics are of the steps that the learner is shown, of both stages; nothing is normalised yet."""
    config = replace_paths(default_config(recipe, "navigation"), {"network.normalise_observations": True})
    distribution = Navigation(horizon=8)
    learner, tasks = make_learner(config, distribution), distribution.sample(np.random.default_rng(0), 2)
    episodes = 2 if learner.episodes_at_once else 1
    weights = learner.init().weights
    env = kind(2, episodes, distribution)
    shard = sample_shard(env, learner, weights, tasks, range(2), 2, Streams(0, 0))
    stages = [*shard.batch.support, shard.batch.query]
    assert len(shard.discarded) == (2 if kind is Unborn else 1)
    assert len(shard.measured) == 2
    for task, moments in enumerate(shard.measured):
        seen = torch.cat([stage.observation[task][stage.weight[task].bool()] for stage in stages]).double()
        lost = len(shard.discarded) * 8 if task else 0
        assert float(moments.seen) == len(seen) == 2 * episodes * 8 - lost
        if len(seen):
            torch.testing.assert_close(moments.mean, seen.mean(0), rtol=0, atol=1e-12)
            torch.testing.assert_close(moments.std, seen.std(0, correction=0), rtol=1e-9, atol=1e-12)
    merged = normaliser.merged(weights.statistics, shard.measured)
    assert all(bool(x.isfinite().all()) for x in merged.values())
    assert sample_shard(env, learner, weights._replace(statistics={}), tasks, range(2), 2, Streams(0, 0)).measured == ()


def test_noise_belongs_to_the_task_not_to_the_shard() -> None:
    streams = Streams(seed=3, iteration=5)
    normal = SimpleNamespace(noise_shape=(1,), noise_kind="normal")
    whole = streams.action_noise(1, range(6), Counting(6, 2), normal)
    part = streams.action_noise(1, [4, 2], Counting(2, 2), normal)
    assert whole.shape == (6, 2, 4, 1)
    assert whole.min() < 0
    assert np.array_equal(part, whole[[4, 2]])
    assert streams.env_seeds(1, [4, 2]) == [streams.env_seeds(1, range(6))[i] for i in (4, 2)]
    uniform = streams.action_noise(
        0, range(2), Counting(2, 50), SimpleNamespace(noise_shape=(1,), noise_kind="uniform")
    )
    assert uniform.min() >= 0
    assert uniform.max() < 1


def test_a_task_gives_the_same_rollout_in_any_shard() -> None:
    config = default_config("maml-trpo", "navigation")
    distribution = envs.make("navigation")
    learner = make_learner(config, distribution)
    weights = learner.init().weights
    tasks = distribution.sample(np.random.default_rng(0), 4)
    whole = sample_shard(distribution.make(4, 3), learner, weights, tasks, range(4), 3, Streams(0, 0))
    half = sample_shard(distribution.make(2, 3), learner, weights, tasks[2:], [2, 3], 3, Streams(0, 0))
    # Batch shapes differ, so products may round differently; the streams may not.
    np.testing.assert_allclose(half.returns, whole.returns[2:], rtol=1e-3)
    torch.testing.assert_close(half.batch.query.observation, whole.batch.query.observation[2:], rtol=0, atol=1e-3)


def test_in_process_sampling_is_a_pure_function() -> None:
    config = default_config("maml-trpo", "navigation")
    distribution = envs.make("navigation")
    learner = make_learner(config, distribution)
    weights = learner.init().weights
    source = InProcess(distribution, learner, Plan(3, 2, seed=1))
    first, other, again = (source.sample(weights, i) for i in (4, 5, 4))
    assert torch.equal(first.batch.query.action, again.batch.query.action)
    assert torch.equal(first.batch.support[0].advantage, again.batch.support[0].advantage)
    assert not torch.equal(first.batch.query.action, other.batch.query.action)
    assert first.returns.shape == (3, 2, 2)
    source.close()
