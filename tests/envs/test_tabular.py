"""Random MDPs against their transitions and rewards."""

from __future__ import annotations

import numpy as np
import pytest

import envs
from envs import Step, Task


def task(transitions: np.ndarray, means: np.ndarray) -> Task:
    """Transitions ``[state, action, next state]`` and mean rewards ``[state, action]`` as a task."""
    return Task("tabular", (*np.ravel(transitions), *np.ravel(means)))


def play(tasks: list[Task], actions: np.ndarray, seeds: list[int], sizes: tuple[int, int], num_envs: int) -> list[Step]:
    """Every env of every task through ``actions[time]``."""
    distribution = envs.make("tabular", num_states=sizes[0], num_actions=sizes[1], horizon=len(actions))
    with distribution.make(len(tasks), num_envs) as env:
        env.set_tasks(tasks)
        observation = env.reset(seeds)
        assert (observation == np.eye(sizes[0])[0]).all()
        return [env.step(np.full(env.shape, action)) for action in actions]


@pytest.mark.parametrize("sizes", [{}, {"num_states": 3, "num_actions": 2, "horizon": 4}, {"num_states": 1}])
def test_it_keeps_the_contract(sizes: dict[str, int]) -> None:
    envs.check(envs.make("tabular", **sizes))


def test_certain_transitions_by_hand() -> None:
    # Action 0 walks 0 -> 1 -> 2 -> 0, action 1 stays. Actions 0, 1, 0, 0, 0 lead to states 1, 1, 2, 0, 1.
    eye = np.eye(3)
    ring = np.stack([eye[[1, 2, 0]], eye], 1)
    means = np.array([[100.0, 200.0], [300.0, 400.0], [500.0, 600.0]])
    steps = play([task(ring, means)], np.array([0, 1, 0, 0, 0]), [0], (3, 2), 1)
    assert [int(step.observation[0, 0].argmax()) for step in steps] == [1, 1, 2, 0, 1]
    # Rewards belong to the state before the step: (0, 0), (1, 1), (1, 0), (2, 0), (0, 0), each with unit noise.
    rewards = np.array([step.reward[0, 0] for step in steps])
    np.testing.assert_allclose(rewards, [100, 400, 300, 500, 100], atol=4)
    assert len(set(rewards)) == 5
    assert [bool(step.truncated[0, 0]) for step in steps] == [False] * 4 + [True]
    assert not any(step.terminated.any() or step.success.any() for step in steps)


def test_frequencies_and_rewards_are_those_of_the_task() -> None:
    # Action 1 leads back to state 0 from everywhere, so every even step tries (state 0, action 0) again:
    # 2 tasks x 100 envs x 200 tries; the standard error of a frequency is at most 0.0036, of the mean reward 0.0071.
    probabilities = np.array([[0.2, 0.5, 0.3], [0.05, 0.05, 0.9]])
    means = np.array([[1.5, 0.0], [0.0, 0.0], [0.0, 0.0]])
    tasks = []
    for row in probabilities:
        transitions = np.zeros((3, 2, 3))
        transitions[:, 0], transitions[:, 1] = row, np.eye(3)[0]
        tasks.append(task(transitions, means))
    steps = play(tasks, np.tile([0, 1], 200), [5, 6], (3, 2), 100)[::2]
    np.testing.assert_allclose(np.mean([step.observation for step in steps], (0, 2)), probabilities, atol=0.015)
    rewards = np.stack([step.reward for step in steps])
    np.testing.assert_allclose(rewards.mean((0, 2)), 1.5, atol=0.03)
    np.testing.assert_allclose(rewards.std((0, 2)), 1.0, atol=0.03)
    # What is next and what is paid are drawn independently of each other.
    correlation = np.corrcoef(rewards.ravel(), np.stack([step.observation[..., 0] for step in steps]).ravel())[0, 1]
    assert abs(correlation) < 0.02


def test_the_mean_reward_is_that_of_the_state_and_the_action() -> None:
    """What is left of recorded rewards is unit noise: 2 tasks x 50 envs x 40 steps, standard error 0.016."""
    distribution = envs.make("tabular", horizon=40)
    rng = np.random.default_rng(0)
    actions = rng.integers(5, size=(2, 50, 40))
    with distribution.make(2, 50) as env:
        env.set_tasks(distribution.sample(rng, 2))
        observations, rewards = [env.reset([3, 4])], []
        for time in range(40):
            step = env.step(actions[:, :, time])
            observations.append(step.observation)
            rewards.append(step.reward)
        mean = env.mean_reward(np.stack(observations[:-1], 2), actions)
    noise = np.stack(rewards, 2) - mean
    assert abs(noise.mean()) < 0.06
    assert abs(noise.std() - 1) < 0.06
    assert abs(np.corrcoef(noise.ravel(), np.ravel(mean))[0, 1]) < 0.06


def test_luck_differs_between_envs_and_seeds_and_not_with_the_batch() -> None:
    drawn = envs.make("tabular").sample(np.random.default_rng(0), 1)
    actions = np.zeros(10, np.int64)
    steps = play(drawn * 3, actions, [7, 8, 7], (10, 5), 2)
    rewards = np.stack([step.reward for step in steps], -1)
    assert (rewards[0, 0] != rewards[0, 1]).all()
    assert (rewards[0] != rewards[1]).all()
    assert (rewards[0] == rewards[2]).all()
    alone = play(drawn, actions, [8], (10, 5), 1)
    assert all((a.observation[0] == b.observation[1, :1]).all() for a, b in zip(alone, steps, strict=True))
    assert all((a.reward[0] == b.reward[1, :1]).all() for a, b in zip(alone, steps, strict=True))


def test_tasks_come_from_the_papers_prior() -> None:
    vectors = np.array([one.vector for one in envs.make("tabular").sample(np.random.default_rng(0), 400)])
    transitions, means = vectors[:, :500].reshape(400, 10, 5, 10), vectors[:, 500:]
    assert means.shape == (400, 50)
    np.testing.assert_allclose(transitions.sum(-1), 1, rtol=1e-12)
    # Flat Dirichlet over 10 states: each probability is Beta(1, 9), with mean 1/10 and variance 9/1100.
    np.testing.assert_allclose(transitions.mean(), 0.1, rtol=1e-12)
    np.testing.assert_allclose(transitions.var(), 9 / 1100, rtol=0.02)
    # N(1, 1) from 20000 draws: standard error 0.007.
    np.testing.assert_allclose([means.mean(), means.std()], 1, atol=0.03)


@pytest.mark.parametrize(
    "foreign",
    [
        Task("tabular", (1.0, 2.0)),
        Task("bandit", (0.5, 0.5, 0.5, 0.5, 1.0, 1.0)),
        task(np.array([[[0.5, 0.6]], [[0.5, 0.5]]]), np.ones((2, 1))),
        task(np.array([[[-0.5, 1.5]], [[0.5, 0.5]]]), np.ones((2, 1))),
        task(np.array([[[0.5, 0.5]], [[0.5, 0.5]]]), np.array([[1.0], [np.inf]])),
    ],
)
def test_foreign_tasks_are_refused(foreign: Task) -> None:
    distribution = envs.make("tabular", num_states=2, num_actions=1)
    with distribution.make(1, 1) as env, pytest.raises(ValueError, match="not a tabular task"):
        env.set_tasks([foreign])


def test_an_action_that_is_not_there_is_refused() -> None:
    distribution = envs.make("tabular", num_states=2, num_actions=2)
    with distribution.make(1, 1) as env:
        env.set_tasks(distribution.sample(np.random.default_rng(0), 1))
        env.reset([0])
        with pytest.raises(ValueError, match="actions must be 0 to 1"):
            env.step(np.full((1, 1), 2))


def test_sizes_of_zero_are_refused_and_sizes_are_in_the_fingerprint() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        envs.make("tabular", num_actions=0)
    small = envs.make("tabular", num_states=2)
    assert small.fingerprint() == {
        "name": "tabular",
        "split": "train",
        "horizon": 10,
        "num_states": 2,
        "num_actions": 5,
    }
