"""Experts: Meta-World's scripted policies on the native engine, beside the same policies on Meta-World's own env."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.policies import ENV_POLICY_MAP

import envs
from envs import FixedTask, Task, TaskDistribution
from envs.metaworld.benchmarks import FAMILIES, to_metaworld
from meta_rl.evaluation.one_of import OneOf

pytestmark = pytest.mark.filterwarnings(
    "ignore:Constant:UserWarning"
)  # the scripted policies ask for more than [-1, 1]


def twin(task: Task, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Meta-World alone: actions, rewards and success of its policy in its env, which shows the goal."""
    env, policy = ALL_V3_ENVIRONMENTS[task.family](), ENV_POLICY_MAP[task.family]()
    env.set_task(to_metaworld(task, goal_visible=True))
    observation, rows = env.reset()[0], []
    for _ in range(steps):
        action = np.clip(policy.get_action(observation), -1, 1).astype(np.float32)
        observation, reward, _, _, info = env.step(action)
        rows.append((action, reward, info["success"] > 0))
    return tuple(map(np.array, zip(*rows, strict=True)))  # type: ignore[return-value]


def play(distribution: TaskDistribution, task: Task, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same by the contract, whatever the observations show."""
    rows = []
    with distribution.make(1, 1) as env:
        env.set_tasks([task])
        observation = env.reset([0])
        for _ in range(steps):
            action = env.expert_action(observation)
            assert action is not None
            step = env.step(action)
            observation = step.observation
            rows.append((action[0, 0], step.reward[0, 0], step.success[0, 0]))
    return tuple(map(np.array, zip(*rows, strict=True)))  # type: ignore[return-value]


def same(family: str, steps: int, **options: Any) -> None:
    distribution = envs.make(f"metaworld/ml1-{family}", "test", **options)
    task = (distribution.tasks() or [])[7]
    action, reward, success = play(distribution, task, steps)
    their_action, their_reward, their_success = twin(task, steps)
    np.testing.assert_array_equal(action, their_action)
    np.testing.assert_allclose(reward, their_reward, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(success, their_success)


# Shown goals that are not in the task's vector (hammer, stick-pull, basketball), and one that is.
@pytest.mark.parametrize("family", ["hammer-v3", "stick-pull-v3", "basketball-v3", "pick-place-v3"])
def test_an_expert_is_metaworlds_own(family: str) -> None:
    same(family, 80)


def test_an_expert_sees_a_goal_that_is_shown_and_serves_the_other_engine() -> None:
    same("push-v3", 40, goal_visible=True)
    same("push-v3", 40, engine="reference")


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_expert_is_metaworlds_own_for_a_whole_episode(family: str) -> None:
    same(family, 500)


def labels(distribution: TaskDistribution, tasks: list[Task], observation: np.ndarray) -> np.ndarray:
    with distribution.make(len(tasks), 1) as env:
        env.set_tasks(tasks)
        action = env.expert_action(observation)
    assert action is not None
    return action


def test_wrapped_distributions_have_the_expert_of_what_they_wrap() -> None:
    plain = envs.make("metaworld/ml1-push-v3", "test")
    tasks = plain.sample(np.random.default_rng(0), 2)
    observation = np.random.default_rng(1).uniform(0, 0.5, (2, 1, 3, 39))
    observation[..., :3] = observation[..., 4:7]  # the hand is at the puck, and all that is left is to go to the goal
    expected = labels(plain, tasks, observation)
    assert expected.shape == (2, 1, 3, 4)
    assert np.abs(expected).max() <= 1
    told = envs.make("metaworld/mt10", "test")  # shows a goal, here of no task, and the family behind it
    shown = np.concatenate([observation, np.zeros((2, 1, 3, 10))], -1)
    assert not np.array_equal(labels(told, tasks, shown), expected)
    for other in (FixedTask(plain, tasks[0]), pickle.loads(pickle.dumps(plain))):
        assert other.has_expert
        np.testing.assert_array_equal(labels(other, tasks, observation), expected)
    one = OneOf(plain)
    one.row = 1
    np.testing.assert_array_equal(labels(one, tasks, np.repeat(observation[1:], 2, 0)), expected[[1, 1]])
    varied = envs.make("metaworld/ml1-push-v3+mass=1.5..2", "test")
    heavier = varied.sample(np.random.default_rng(0), 2)
    same_goals = [Task(task.family, task.vector[: len(tasks[0].vector)]) for task in heavier]
    np.testing.assert_array_equal(labels(varied, heavier, observation), labels(plain, same_goals, observation))


def test_simple_experts() -> None:
    navigation = envs.make("navigation")
    action = labels(navigation, [Task("navigation", (0.3, -0.02))], np.array([[[[0.0, 0.0], [0.25, 0.0]]]]))
    np.testing.assert_allclose(action[0, 0], [[0.1, -0.02], [0.05, -0.02]], atol=1e-7)
    bandit = envs.make("bandit/k3-n5")
    assert labels(bandit, [Task("bandit", (0.1, 0.2, 0.9))], np.zeros((1, 1, 2, 1))).tolist() == [[[2, 2]]]


def test_names_of_those_with_experts() -> None:
    assert envs.with_expert() == ["navigation", "bandit/k5-n10", "metaworld/ml10"]
    assert not envs.make("tabular").has_expert
