"""The baseline that acts at random."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import envs
from meta_rl.agents.agent import load
from meta_rl.algorithms.base import make_learner
from meta_rl.algorithms.random import Random, make_uniform_policy
from meta_rl.config import NetworkConfig, RandomConfig, TrainConfig, default_config, replace_paths
from meta_rl.core.weights import Weights
from meta_rl.evaluation.episodes import evaluate
from meta_rl.training.train import train

OBSERVATION = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
BOX = gym.spaces.Box(np.array([-1, 0, 5], np.float32), np.array([1, 0.5, 5.25], np.float32))


def actions(space: gym.Space[Any], noise: np.ndarray | None = None) -> np.ndarray:
    learner = Random(RandomConfig(), make_uniform_policy(OBSERVATION, space, NetworkConfig(), 0))
    return learner.actor(learner.start(Weights({}), 40)).act(np.zeros((40, 250, 3)), noise)


def test_continuous_actions_are_uniform_within_their_bounds() -> None:
    drawn = actions(BOX)
    assert drawn.shape == (40, 250, 3)
    assert drawn.dtype == np.float32
    assert (drawn >= BOX.low).all()
    assert (drawn <= BOX.high).all()
    unit = ((drawn - BOX.low) / (BOX.high - BOX.low)).reshape(-1, 3)
    # 10,000 draws: a tenth of them in every tenth, the standard deviation of that fraction is 0.003
    for dimension in unit.T:
        np.testing.assert_allclose(np.histogram(dimension, 10, (0, 1))[0] / len(unit), 0.1, atol=0.015)
    np.testing.assert_allclose(np.corrcoef(unit.T), np.eye(3), atol=0.05)


def test_discrete_actions_are_uniform_and_in_range() -> None:
    drawn = actions(gym.spaces.Discrete(7))
    assert drawn.shape == (40, 250)
    assert drawn.dtype == np.int64
    np.testing.assert_allclose(np.bincount(drawn.ravel(), minlength=7) / drawn.size, 1 / 7, atol=0.015)


@pytest.mark.parametrize("actions_available", [2, 3, 7, 1000])
def test_the_ends_of_the_noise_stay_in_range(actions_available: int) -> None:
    ends = np.array([[[0.0], [np.nextafter(np.float32(1), np.float32(0))]]], np.float32)
    assert actions(gym.spaces.Discrete(actions_available), ends).tolist() == [[0, actions_available - 1]]
    corners = actions(BOX, np.broadcast_to(ends, (1, 2, 3)))
    assert (corners[0, 0] == BOX.low).all()
    assert BOX.contains(corners[0, 1])


@pytest.mark.parametrize("bound", [{"low": -np.inf, "high": 1.0}, {"low": 0.0, "high": np.inf}])
def test_a_space_without_bounds_is_refused(bound: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"recipe: random actions need a bounded action space, got Box\(.*inf"):
        make_uniform_policy(OBSERVATION, gym.spaces.Box(shape=(2,), dtype=np.float32, **bound), NetworkConfig(), 0)


def test_an_evaluation_repeats_exactly_and_shows_no_adaptation() -> None:
    config = default_config("random", "navigation")
    config = replace_paths(config, {"evaluate.test_tasks": 30, "evaluate.adaptation_steps": 1})
    distribution = envs.make("navigation", "test")
    learner = make_learner(config, distribution)
    first, second = (evaluate(learner, learner.init().weights, distribution, config.evaluate) for _ in range(2))
    np.testing.assert_array_equal(first.returns, second.returns)
    np.testing.assert_array_equal(first.practice_returns, second.practice_returns)
    np.testing.assert_array_equal(first.returns[:, 0], first.returns[:, 1])
    assert len(np.unique(first.returns[:, 0])) == 30


def test_two_actors_do_not_share_their_noise() -> None:
    """Used in turn, or one made while the other acts, each draws what it draws by itself."""
    learner = Random(RandomConfig(), make_uniform_policy(OBSERVATION, BOX, NetworkConfig(), 0))
    observation = np.zeros((2, 3, 3))

    def actor() -> Any:
        return learner.actor(learner.start(Weights({}), 2))

    alone = actor()
    expected = [alone.act(observation, None) for _ in range(3)]
    assert (expected[0] != expected[1]).all()
    first = actor()
    found = [first.act(observation, None)]
    second = actor()
    for step in range(2):
        np.testing.assert_array_equal(second.act(observation, None), expected[step])
        found.append(first.act(observation, None))
    np.testing.assert_array_equal(found, expected)


def test_tasks_episodes_and_dimensions_get_noise_of_their_own() -> None:
    assert len(np.unique(actions(BOX)[..., 0])) > 0.99 * 40 * 250


def test_the_recipe_trains_evaluates_and_loads(tiny: Callable[..., TrainConfig], tmp_path: Path) -> None:
    assert default_config("random", "navigation").iterations == 0
    for iterations in (0, 2):
        run = train(
            tiny(f"run{iterations}", recipe="random", algorithm=RandomConfig(), iterations=iterations), lambda _: None
        )
        agent = load(run)
        assert agent.weights == Weights({})
        assert agent.iteration == iterations
        result = evaluate(agent.learner, agent.weights, envs.make("navigation", "test"), agent.config.evaluate)
        assert result.returns.shape == (4, 2, 1)
