"""What locomotion promises beyond equality with Gymnasium: the table, tasks, threads, refusals, fingerprints."""

from __future__ import annotations

import json

import gymnasium as gym
import mujoco
import numpy as np
import pytest

import envs
from envs.api import NonFiniteError, Task
from envs.locomotion.distribution import Locomotion
from envs.locomotion.presets import FAMILIES, PRESETS, PROGRESS, TARGETS
from envs.locomotion.robots import PARAMETER_SIZES, PARAMETERS, ROBOTS, model_path
from envs.mjcf.engine import MujocoVectorEnv


def play(name: str, num_threads: int, order: list[int] | None = None, steps: int = 25) -> list[np.ndarray]:
    """Observations and rewards of 3 tasks x 2 envs, run in the given order of tasks, in the original order."""
    order = order or [0, 1, 2]
    distribution = envs.make(name, horizon=steps, num_threads=num_threads)
    tasks = distribution.sample(np.random.default_rng(0), 3)
    rng = np.random.default_rng(1)
    seen = []
    with distribution.make(3, 2) as env:
        env.set_tasks([tasks[i] for i in order])
        seen.append(env.reset(np.array([5, 6, 7])[order])[np.argsort(order)])
        for _ in range(steps):
            action = rng.uniform(-1, 1, (3, 2, *env.action_space.shape)).astype(np.float32)
            step = env.step(action[order])
            seen += [step.observation[np.argsort(order)], step.reward[np.argsort(order)]]
    return seen


@pytest.mark.parametrize("name", ["cheetah-dir@promp", "ant-vel@v5", "walker-params@promp"])
def test_threads_and_order_do_not_matter(name: str) -> None:
    expected = play(name, 1)
    for threads, order in ((2, [0, 1, 2]), (3, [2, 0, 1])):
        for a, b in zip(play(name, threads, order), expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ROBOTS)
def test_a_robot_is_gymnasiums(name: str) -> None:
    robot = ROBOTS[name]
    env = gym.make(robot.gym_id).unwrapped
    assert env.fullpath == model_path(robot)
    assert env.frame_skip == robot.frame_skip
    assert env.observation_space.shape == (robot.observation_size(show_position=False),)
    assert env.action_space == gym.spaces.Box(-robot.max_action, robot.max_action, (robot.num_actions,), np.float32)
    assert env._reset_noise_scale == robot.reset_noise
    env.close()


def test_sizes_of_randomised_parameters() -> None:
    for name, sizes in PARAMETER_SIZES.items():
        model = mujoco.MjModel.from_xml_path(model_path(ROBOTS[name]))
        assert tuple(getattr(model, parameter).size for parameter in PARAMETERS) == sizes


def test_every_row_is_complete_and_listed() -> None:
    assert set(PRESETS) <= set(envs.list_names())
    assert {row.family for row in PRESETS.values()} == set(FAMILIES)
    for row in PRESETS.values():
        assert row.targets in TARGETS
        assert row.shared.progress in PROGRESS
        assert row.source
        assert not row.contact or "cfrc_ext" in row.body.features
        distribution = envs.make(row.name)
        assert distribution.horizon == row.horizon
        assert distribution.families == (row.family,)


def test_published_numbers() -> None:
    """Targets, horizons and batches that the papers print."""
    speeds = {name: PRESETS[f"cheetah-vel@{name}"] for name in ("maml2017", "promp", "pearl", "varibad")}
    assert [row.extent for row in speeds.values()] == [(0, 2), (0, 3), (0, 3), (0, 3)]
    assert [row.horizon for row in speeds.values()] == [200, 100, 200, 200]
    assert [row.batch for row in speeds.values()] == [(40, 20), (40, 20), (0, 2), (0, 2)]


@pytest.mark.parametrize("name", PRESETS)
def test_tasks_are_in_their_range(name: str) -> None:
    preset = PRESETS[name]
    vectors = np.array([task.vector for task in envs.make(name).sample(np.random.default_rng(0), 200)])
    assert vectors.shape == (200, preset.task_dim)
    if preset.targets == "sign":
        assert set(vectors[:, 0]) == {-1, 1}
        assert not vectors[:, 1:].any()
    elif preset.targets == "circle":
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
        assert np.abs(vectors.mean(0)).max() < 0.2
    elif preset.targets == "disc":
        assert 2.5 < np.linalg.norm(vectors, axis=1).max() <= 3
    elif preset.targets == "uniform":
        assert preset.extent[0] <= vectors.min() < vectors.max() <= preset.extent[1]
    else:
        bounds = np.repeat([1.5**3, 1.5**3, 1.3**3, 1.5**3], PARAMETER_SIZES[preset.shared.robot])
        assert (vectors <= bounds).all()
        assert (vectors >= 1 / bounds).all()
        assert vectors.max() > 0.95 * bounds.max()


def test_fixed_tasks_are_split() -> None:
    train, test = (envs.make("cheetah-vel@pearl", split).tasks() for split in ("train", "test"))
    assert (len(train), len(test)) == (100, 30)
    assert not set(train) & set(test)
    assert envs.make("cheetah-dir@promp").num_tasks() == 2
    assert envs.make("cheetah-vel@promp").num_tasks() is None


def test_fingerprints_tell_presets_apart() -> None:
    prints = [json.dumps(envs.make(name).fingerprint(), allow_nan=False) for name in PRESETS]
    assert len(set(prints)) == len(PRESETS)
    fields = envs.make("cheetah-vel@promp", horizon=50).fingerprint()
    assert fields["horizon"] == 50
    assert fields["preset"]["extent"] == (0.0, 3.0)
    assert {"engine", "mujoco", "gymnasium"} <= set(fields)


def test_refusals() -> None:
    with pytest.raises(envs.UnknownNameError, match="closest: cheetah-dir@maml2017"):
        envs.make("cheetah-dir@maml2018")
    with pytest.raises(ValueError, match="unknown preset 'cheetah'; valid: cheetah-dir@maml2017"):
        Locomotion("cheetah")
    with pytest.raises(ValueError, match="horizon must be at least 1, got 0"):
        envs.make("ant-dir@v5", horizon=0)
    with pytest.raises(ValueError, match="num_threads must be at least 1, got 0"):
        envs.make("ant-dir@v5", num_threads=0).make(1, 1)
    with envs.make("hopper-params@v5", num_threads=1).make(1, 1) as env:
        with pytest.raises(ValueError, match=r"not a task of hopper-params@v5 \('hopper-params' and 41 numbers\)"):
            env.set_tasks([Task("hopper-params", (1.0,))])
        with pytest.raises(ValueError, match="must be above 0"):
            env.set_tasks([Task("hopper-params", (0.0,) + (1.0,) * 40)])
        env.set_tasks([Task("hopper-params", (1.0,) * 41)])
        env.reset([0])
        with pytest.raises(NonFiniteError, match="the policy produced it"):
            env.step(np.full((1, 1, 3), np.nan, np.float32))
    with pytest.raises(RuntimeError, match="closed"):
        env.state(0, 0)


def test_actions_are_clipped_before_they_cost() -> None:
    with envs.make("cheetah-dir@v5", num_threads=1).make(1, 2) as env:
        assert isinstance(env, MujocoVectorEnv)
        env.set_tasks([Task("cheetah-dir", (1.0,))])
        env.reset([0])
        env.reset([0])  # two envs start apart; compare one with itself
        once = env.step(np.full((1, 2, 6), 1.0, np.float32))
        env.reset([0])
        again = env.step(np.full((1, 2, 6), 5.0, np.float32))
        np.testing.assert_array_equal(once.reward, again.reward)
        np.testing.assert_array_equal(once.observation, again.observation)


def test_dynamics_follow_the_task() -> None:
    """A hopper of ten times the mass starts alike and moves otherwise; the next task leaves nothing behind."""
    size = sum(PARAMETER_SIZES["hopper"])
    heavy = Task("hopper-params", (10.0,) * 5 + (1.0,) * (size - 5))
    plain = Task("hopper-params", (1.0,) * size)
    with envs.make("hopper-params@v5", num_threads=1).make(2, 1) as env:
        action = np.full((2, 1, 3), 0.5, np.float32)
        env.set_tasks([plain, heavy])
        first = env.reset([3, 3])
        np.testing.assert_array_equal(first[0], first[1])
        before = env.step(action)
        assert (before.observation[0] != before.observation[1]).any()
        env.set_tasks([heavy, plain])
        env.reset([3, 3])
        np.testing.assert_array_equal(env.step(action).observation[::-1], before.observation)
