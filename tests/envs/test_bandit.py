"""Bernoulli bandits against their probabilities."""

from __future__ import annotations

import numpy as np
import pytest

import envs
from envs import Task, UnknownNameError


def pull(chances: list[tuple[float, ...]], arms: np.ndarray, seeds: list[int], envs_per_task: int = 1) -> np.ndarray:
    """Rewards ``[task, env, time]`` of pulling ``arms[time]`` everywhere."""
    with envs.make(f"bandit/k{len(chances[0])}-n{len(arms)}").make(len(chances), envs_per_task) as env:
        env.set_tasks([Task("bandit", row) for row in chances])
        assert (env.reset(seeds) == 0).all()
        return np.stack([env.step(np.full(env.shape, arm)).reward for arm in arms], -1)


@pytest.mark.parametrize("name", ["bandit/k5-n10", "bandit/k1-n1", "bandit/k2-n37"])
def test_it_keeps_the_contract(name: str) -> None:
    envs.check(envs.make(name))


def test_certain_arms_pay_what_they_say() -> None:
    # Probabilities 0, 1 and 0: only arm 1 pays, and always.
    rewards = pull([(0.0, 1.0, 0.0)], np.array([0, 1, 2, 1, 1]), [0], envs_per_task=3)
    assert (rewards == [0, 1, 0, 1, 1]).all()


def test_every_arm_pays_as_often_as_its_probability() -> None:
    # 2 tasks x 20 envs x 1000 pulls per arm: the standard error of a frequency is at most sqrt(0.25 / 20000) = 0.0035.
    chances = [(0.1, 0.5, 0.9), (0.7, 0.25, 0.02)]
    rewards = pull(chances, np.tile(np.arange(3), 1000), [3, 4], envs_per_task=20)
    np.testing.assert_allclose(rewards.reshape(2, 20, 1000, 3).mean((1, 2)), chances, atol=0.014)


def test_the_mean_reward_is_the_chance_of_the_arm() -> None:
    chances = [(0.1, 0.5, 0.9), (0.7, 0.25, 0.02)]
    with envs.make("bandit/k3-n4").make(2, 2) as env:
        env.set_tasks([Task("bandit", row) for row in chances])
        arms = np.array([[[0, 1, 2, 2], [2, 0, 0, 1]], [[1, 1, 0, 2], [2, 2, 2, 0]]])
        mean = env.mean_reward(np.zeros((2, 2, 4, 1)), arms)
    assert mean is not None
    assert mean.tolist() == [
        [[0.1, 0.5, 0.9, 0.9], [0.9, 0.1, 0.1, 0.5]],
        [[0.25, 0.25, 0.7, 0.02], [0.02, 0.02, 0.02, 0.7]],
    ]


def test_luck_differs_between_pulls_envs_and_seeds_and_not_with_the_batch() -> None:
    arms, fair = np.zeros(64, np.int64), (0.5,)
    rewards = pull([fair, fair, fair], arms, [7, 8, 7], envs_per_task=2)
    assert 0 < rewards[0, 0].mean() < 1
    assert (rewards[0, 0] != rewards[0, 1]).any()
    assert (rewards[0] != rewards[1]).any()
    assert (rewards[0] == rewards[2]).all()
    assert (pull([fair], arms, [8]) == rewards[1, :1]).all()


def test_an_episode_is_n_pulls() -> None:
    with envs.make("bandit/k2-n3").make(1, 1) as env:
        env.set_tasks([Task("bandit", (1.0, 1.0))])
        env.reset([0])
        steps = [env.step(np.zeros((1, 1), np.int64)) for _ in range(4)]
    assert [bool(step.truncated[0, 0]) for step in steps] == [False, False, True, True]
    assert [float(step.reward[0, 0]) for step in steps] == [1, 1, 1, 0]
    assert not any(step.terminated.any() or step.success.any() for step in steps)


def test_probabilities_are_uniform() -> None:
    tasks = envs.make("bandit/k4-n5").sample(np.random.default_rng(0), 5000)
    chances = np.array([task.vector for task in tasks])
    assert chances.shape == (5000, 4)
    # Uniform: mean 1/2, standard deviation sqrt(1/12) = 0.2887.
    np.testing.assert_allclose(chances.mean(0), 0.5, atol=0.02)
    np.testing.assert_allclose(chances.std(0), np.sqrt(1 / 12), atol=0.01)
    np.testing.assert_allclose(np.corrcoef(chances.T), np.eye(4), atol=0.06)


@pytest.mark.parametrize("task", [Task("bandit", (0.5,)), Task("bandit", (0.5, 1.5)), Task("navigation", (0.5, 0.5))])
def test_foreign_tasks_are_refused(task: Task) -> None:
    with envs.make("bandit/k2-n3").make(1, 1) as env, pytest.raises(ValueError, match="not a bandit task"):
        env.set_tasks([task])


@pytest.mark.parametrize("arm", [-1, 2])
def test_an_arm_that_is_not_there_is_refused(arm: int) -> None:
    with envs.make("bandit/k2-n3").make(1, 1) as env:
        env.set_tasks([Task("bandit", (0.5, 0.5))])
        env.reset([0])
        with pytest.raises(ValueError, match="arms 0 to 1"):
            env.step(np.full((1, 1), arm))


def test_names_carry_the_sizes() -> None:
    distribution = envs.make("bandit/k7-n30", "test")
    assert (distribution.name, distribution.split, distribution.horizon) == ("bandit/k7-n30", "test", 30)
    assert distribution.sample(np.random.default_rng(0), 1)[0].array.shape == (7,)
    assert sum(name.startswith("bandit/") for name in envs.list_names()) == 9
    assert envs.families("bandit/k3-n4") == ("bandit",)
    with pytest.raises(ValueError, match="already"):
        envs.register("bandit/k7-n30", lambda split: distribution)


@pytest.mark.parametrize(
    "name", ["bandit", "bandit/k0-n10", "bandit/k5-n0", "bandit/k5", "bandit/k5-n10-x", "bandit/k-1-n2"]
)
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(UnknownNameError, match="like bandit/k5-n10"):
        envs.check_name(name)
