"""Point navigation against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

import envs
from envs import Task


def play(goal: tuple[float, float], actions: list[tuple[float, float]], **options: float) -> list[envs.Step]:
    """One environment through `actions`."""
    distribution = envs.make("navigation", **options)
    with distribution.make(1, 1) as env:
        env.set_tasks([Task("navigation", goal)])
        assert (env.reset([0]) == 0).all()
        return [env.step(np.array(action).reshape(1, 1, 2)) for action in actions]


def test_one_step_by_hand() -> None:
    # goal (0.3, -0.5). The action (0.06, -0.7) is clipped to (0.06, -0.1), which is where the point then is.
    # The offset from the goal is (-0.24, 0.4); its length is sqrt(0.0576 + 0.16) = sqrt(0.2176) = 0.46647615...
    (step,) = play((0.3, -0.5), [(0.06, -0.7)])
    np.testing.assert_allclose(step.observation, [[[0.06, -0.1]]], rtol=1e-15)
    np.testing.assert_allclose(step.reward, [[-0.4664761515876241]], rtol=1e-14)
    assert not (step.terminated | step.truncated | step.success).any()


def test_a_straight_line_ends_at_the_goal_and_stays_there() -> None:
    # goal (0.25, 0), steps of 0.0625: distances 0.1875, 0.125, 0.0625, 0 (all exact in binary), there at step 4.
    steps = play((0.25, 0.0), [(0.0625, 0.0)] * 6)
    assert [float(step.reward[0, 0]) for step in steps] == [-0.1875, -0.125, -0.0625, 0.0, 0.0, 0.0]
    assert [bool(step.terminated[0, 0]) for step in steps] == [False] * 3 + [True] * 3
    assert [bool(step.success[0, 0]) for step in steps] == [False] * 3 + [True] + [False] * 2
    assert [float(step.observation[0, 0, 0]) for step in steps] == [0.0625, 0.125, 0.1875, 0.25, 0.25, 0.25]


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        ((0.0625, 0.009), True),  # offset (0, -0.009): both below 0.01
        ((0.0625, 0.011), False),  # offset (0, -0.011): one is not
        ((0.0715, 0.009), True),  # offset (-0.009, -0.009): 0.0127 away, but a square is what counts
    ],
)
def test_the_goal_is_a_square_of_half_width_one_hundredth(goal: tuple[float, float], reached: bool) -> None:
    (step,) = play(goal, [(0.0625, 0.0)])
    assert (step.terminated[0, 0], step.success[0, 0]) == (reached, reached)
    assert step.reward[0, 0] == pytest.approx(-np.hypot(0.0625 - goal[0], goal[1]), abs=1e-15)


def test_the_horizon_truncates() -> None:
    steps = play((0.5, 0.5), [(0.0, 0.0)] * 5, horizon=3)
    assert [bool(step.truncated[0, 0]) for step in steps] == [False, False, True, True, True]
    assert not steps[-1].terminated.any()
    # Three rewards of minus sqrt(0.5), then frozen.
    np.testing.assert_allclose([step.reward[0, 0] for step in steps], [-np.sqrt(0.5)] * 3 + [0, 0], rtol=1e-15)


def test_each_task_has_its_own_goal_and_each_env_its_own_position() -> None:
    with envs.make("navigation").make(2, 2) as env:
        env.set_tasks([Task("navigation", (0.25, 0.0)), Task("navigation", (0.0, -0.5))])
        env.reset([0, 1])
        action = np.array([[[0.0625, 0], [0, 0.0625]], [[-0.0625, 0], [0, -0.0625]]])
        step = env.step(action)
    assert (step.observation == action).all()
    # Distances: (0.0625, 0) to (0.25, 0); (0, 0.0625) to (0.25, 0); (-0.0625, 0) and (0, -0.0625) to (0, -0.5).
    expected = [[0.1875, np.hypot(0.25, 0.0625)], [np.hypot(0.0625, 0.5), 0.4375]]
    np.testing.assert_allclose(step.reward, -np.array(expected), rtol=1e-15)


def test_goals_fill_the_square() -> None:
    tasks = envs.make("navigation", extent=0.2).sample(np.random.default_rng(0), 2000)
    goals = np.array([task.vector for task in tasks])
    assert goals.shape == (2000, 2)
    assert np.abs(goals).max() <= 0.2
    # Uniform on [-0.2, 0.2]: standard deviation 0.2 / sqrt(3) = 0.1155; 2000 draws give it within a few percent.
    np.testing.assert_allclose(goals.std(0), 0.2 / np.sqrt(3), rtol=0.05)


@pytest.mark.parametrize("task", [Task("navigation", (1.0,)), Task("reach-v3", (1.0, 2.0))])
def test_foreign_tasks_are_refused(task: Task) -> None:
    with envs.make("navigation").make(1, 1) as env, pytest.raises(ValueError, match="not a navigation task"):
        env.set_tasks([task])


def test_a_horizon_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="horizon"):
        envs.make("navigation", horizon=0)


def test_the_fingerprint_tells_two_squares_apart() -> None:
    a, b = envs.make("navigation"), envs.make("navigation", extent=1.0)
    assert a.fingerprint() == {"name": "navigation", "split": "train", "horizon": 100, "extent": 0.5}
    assert a.fingerprint() != b.fingerprint()
