"""Tasks in view: the observations of the base with the numbers of the task behind them, and nothing else."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import envs
from envs import Task
from envs.vector import GymDistribution

SHORT: dict[str, dict[str, Any]] = {
    "navigation": {},
    "bandit/k5-n10": {},
    "tabular": {},
    "classic/cartpole": {"horizon": 12},
    "hopper-params@promp": {"horizon": 15},
    "cheetah-dir@pearl": {"horizon": 12},
    "ant-goal@promp+mass+delay=0..2": {"horizon": 12},
    "metaworld/ml1-push-v3+dynamics": {"horizon": 15},
    "metaworld/mt1-reach-v3": {"horizon": 15},
}


def pendulum() -> gym.Env[Any, Any]:
    return gym.make("Pendulum-v1").unwrapped


class Limited(gym.Env[Any, Any]):
    """Whole numbers as observations; its own time limit, the number of the task, comes before the horizon."""

    observation_space = gym.spaces.Box(0, 9, (1,), np.int64)
    action_space = gym.spaces.Discrete(2)

    def set_task(self, vector: Any) -> None:
        self.limit = int(vector[0])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.time = 0
        return np.array([0]), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        return np.array([self.time]), 1.0, False, self.time == self.limit, {}


@pytest.mark.parametrize("name", SHORT)
def test_shown_tasks_keep_the_contract(name: str) -> None:
    envs.check(envs.make(name, task_visible=True, **SHORT[name]))


def test_a_users_own_keeps_the_contract() -> None:
    envs.check(
        envs.VisibleTask(
            GymDistribution("own", pendulum, lambda rng: rng.uniform(5, 15, 1), horizon=15, success_key=None)
        )
    )


@pytest.mark.parametrize("name", SHORT)
def test_only_the_observation_differs_and_by_the_vector_alone(name: str) -> None:
    base, shown = (envs.make(name, task_visible=visible, **SHORT[name]) for visible in (None, True))
    tasks = shown.sample(np.random.default_rng(3), 2)
    assert tasks == base.sample(np.random.default_rng(3), 2)
    size = len(tasks[0].vector)
    space = base.action_space
    rng = np.random.default_rng(0)
    with base.make(2, 2) as a, shown.make(2, 2) as b:
        observations = []
        for env in (a, b):
            env.set_tasks(tasks)
            observations.append(env.reset([5, 6]))
        for _ in range(base.horizon):
            plain, whole = observations
            np.testing.assert_array_equal(whole[..., :-size], plain.astype(whole.dtype))
            vectors = np.array([task.vector for task in tasks], whole.dtype)
            np.testing.assert_array_equal(whole[..., -size:], np.repeat(vectors[:, None], 2, 1))
            if isinstance(space, gym.spaces.Discrete):
                action: Any = rng.integers(space.start, space.start + space.n, (2, 2))
            else:
                action = rng.uniform(space.low, space.high, (2, 2, *space.shape)).astype(space.dtype)
            one, two = a.step(action), b.step(action)
            for x, y in zip(one[1:], two[1:], strict=True):
                np.testing.assert_array_equal(x, y)
            observations = [one.observation, two.observation]
            np.testing.assert_array_equal(a.state(1, 0), b.state(1, 0))
    assert shown.fingerprint() == base.fingerprint() | {"task_visible": True}
    assert shown.has_success == base.has_success
    assert shown.num_tasks() == base.num_tasks()


@pytest.mark.parametrize("name", ["navigation", "hopper-params@promp", "metaworld/ml1-push-v3+dynamics"])
def test_episodes_go_on_from_their_middle(name: str) -> None:
    shown = envs.make(name, task_visible=True, **SHORT[name])
    tasks, other = shown.sample(np.random.default_rng(0), 2), shown.sample(np.random.default_rng(1), 2)
    action = np.full((2, 1, *shown.action_space.shape), 0.1, np.float32)
    with shown.make(2, 1) as env:
        env.set_tasks(tasks)
        env.reset([1, 2])
        env.step(action)
        moment = env.get_state()
        after = env.step(action)
        with env.copy() as twin:
            twin.set_state(moment)
            for x, y in zip(twin.step(action), after, strict=True):
                np.testing.assert_array_equal(x, y)
        env.set_tasks(other)
        env.reset([3, 4])
        env.set_state(moment.pick([1, 0], [0]))
        assert env.tasks == tasks[::-1]
        back = env.step(action)
        np.testing.assert_array_equal(back.observation, after.observation[::-1])
        mask = np.array([[True], [False]])
        env.set_state(moment.pick([1, 0], [0]), mask)
        again = env.step(action)
        np.testing.assert_array_equal(again.observation[0], after.observation[1])
        assert (again.observation[1] != after.observation[0]).any()


def test_what_is_known_of_the_base_is_known() -> None:
    shown, base = envs.make("navigation", task_visible=True), envs.make("navigation")
    tasks = [Task("navigation", (0.3, -0.2))]
    with shown.make(1, 1) as env:
        env.set_tasks(tasks)
        assert env.expert_action(env.reset([0])) == pytest.approx(np.array([[[0.1, -0.1]]]))
    assert shown.with_goal(tasks[0], (0.1, 0.1)) == Task("navigation", (0.1, 0.1))
    assert type(shown.scene(tasks[0])) is type(base.scene(tasks[0]))
    bandit = envs.make("bandit/k5-n10", task_visible=True)
    arms = Task("bandit", tuple(np.linspace(0, 1, 5)))
    with bandit.make(1, 1) as env:
        env.set_tasks([Task(bandit.families[0], arms.vector)])
        seen = env.reset([0])[:, :, None]
        assert env.mean_reward(seen, np.array([[[3]]])) == pytest.approx(0.75)
    assert "The observation shows the numbers of the task." in envs.about("navigation", task_visible=True)
    assert envs.about("navigation", task_visible=False) == envs.about("navigation")


def test_an_episode_that_ends_by_a_limit_of_its_own_ends_here_too() -> None:
    shown = envs.VisibleTask(GymDistribution("limited", Limited, lambda rng: [rng.integers(2, 5)], horizon=8))
    assert shown.observation_space.dtype == np.float64
    with shown.make(2, 1) as env:
        env.set_tasks([Task("limited", (2.0,)), Task("limited", (4.0,))])
        env.reset([0, 0])
        seen = [env.step(np.zeros((2, 1), np.int64)) for _ in range(5)]
    assert [step.truncated[:, 0].tolist() for step in seen] == [[t >= 2, t >= 4] for t in range(1, 6)]
    assert [step.observation[0, 0].tolist() for step in seen] == [[1, 2], [2, 2], [2, 2], [2, 2], [2, 2]]
    assert [step.reward[0, 0] for step in seen] == [1, 1, 0, 0, 0]


def test_what_cannot_be_shown_is_refused_in_a_sentence() -> None:
    with pytest.raises(envs.UnshowableError, match=r"metaworld/ml10 have 3 numbers in .*, 6 in .*; they must have"):
        envs.make("metaworld/ml10", task_visible=True)
    nothing = GymDistribution("nothing", pendulum, lambda rng: [], horizon=5)
    with pytest.raises(envs.UnshowableError, match="the tasks of nothing have no numbers"):
        envs.VisibleTask(nothing)
    nothing.observation_space = gym.spaces.Box(0, 1, (2, 2))
    with pytest.raises(envs.UnshowableError, match=r"nothing: observation_space must be flat"):
        envs.VisibleTask(nothing)
    shown = envs.make("navigation", task_visible=True)
    with shown.make(1, 1) as env, pytest.raises(ValueError, match="expected a task of 2 numbers"):
        env.set_tasks([Task("navigation", (0.1, 0.2, 0.3))])
    with pytest.raises(envs.UnknownNameError, match="shown already"):
        envs.VariedDynamics(shown, "mass")
