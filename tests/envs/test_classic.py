"""The classic control problems with randomised physics."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import envs
from envs.api import Task
from envs.classic import TABLE, SettableEnv

NOMINAL = {"cartpole": (10.0, 0.5, 0.1), "pendulum": (1.0, 1.0), "acrobot": (1.0, 1.0, 1.0)}


@pytest.mark.parametrize("name", TABLE)
def test_nominal_constants_are_gymnasiums_own(name: str) -> None:
    ours, theirs = SettableEnv(TABLE[name]), gym.make(TABLE[name].gym_id)
    ours.set_task(np.array(NOMINAL[name]))
    assert ours.reset(seed=3)[0].tolist() == theirs.reset(seed=3)[0].tolist()
    theirs.action_space.seed(0)
    for _ in range(10):
        action = theirs.action_space.sample()
        a, b = ours.step(action), theirs.step(action)
        assert a[0].tolist() == b[0].tolist()
        assert a[1:3] == b[1:3]
    assert theirs.spec.max_episode_steps == TABLE[name].horizon


@pytest.mark.parametrize("name", TABLE)
def test_every_constant_matters(name: str) -> None:
    def play(vector: list[float]) -> list[float]:
        env = SettableEnv(TABLE[name])
        env.set_task(np.array(vector))
        env.reset(seed=3)
        env.action_space.seed(0)
        return [x for _ in range(5) for x in env.step(env.action_space.sample())[0].tolist()]

    nominal = list(NOMINAL[name])
    for i, (low, _, _) in enumerate(TABLE[name].constants.values()):
        assert play([*nominal[:i], low, *nominal[i + 1 :]]) != play(nominal)


@pytest.mark.parametrize("name", TABLE)
def test_tasks_are_constants_in_their_ranges(name: str) -> None:
    distribution = envs.make(f"classic/{name}")
    vectors = np.array([task.vector for task in distribution.sample(np.random.default_rng(0), 100)])
    for column, (low, high, _) in zip(vectors.T, TABLE[name].constants.values(), strict=True):
        assert low <= column.min() < column.max() <= high
    assert list(distribution.fingerprint()["ranges"]) == list(TABLE[name].constants)


def test_refusals() -> None:
    with pytest.raises(envs.UnknownNameError, match="closest: classic/cartpole"):
        envs.make("classic/cartpol")
    with envs.make("classic/pendulum").make(1, 1) as env:
        with pytest.raises(ValueError, match=r"Pendulum-v1 needs length \(m\), mass \(kg\), all above 0; got \[0.0"):
            env.set_tasks([Task("classic/pendulum", (0.0, 1.0))])
        with pytest.raises(ValueError, match="Pendulum-v1 needs"):
            env.set_tasks([Task("classic/pendulum", (1.0,))])
