"""Learning is the proof: small enough for every run of the tests, on goals never trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import envs
from meta_rl.agents.agent import load
from meta_rl.config import TrainConfig, default_config
from meta_rl.evaluation.episodes import evaluate
from meta_rl.training.train import train


def adaptation_gain(config: TrainConfig) -> np.ndarray:
    """Mean return after 0, 1, ... adaptation steps on unseen navigation goals."""
    agent = load(train(config))
    evaluation = evaluate(agent.learner, agent.weights, envs.make("navigation", "test"), config.evaluate)
    return evaluation.returns.mean((0, 2))


SIZES = {
    "meta_batch_size": 15,
    "episodes_per_task": 10,
    "network.hidden": (32, 32),
    "checkpoint_every": 50,
    "evaluate.test_tasks": 30,
    "evaluate.adaptation_episodes": 20,
}


def test_maml_learns_to_adapt_and_multi_task_training_does_not(tiny: Callable[..., TrainConfig]) -> None:
    maml = adaptation_gain(tiny("maml", iterations=15, **SIZES))
    multitask = adaptation_gain(
        tiny("multitask", recipe="multitask-trpo", iterations=30, **SIZES, **{"algorithm.inner_steps": 0})
    )
    untrained = adaptation_gain(tiny("untrained", iterations=0, **SIZES))
    # Standing still at the start costs 100 steps x 0.38, the mean distance of a goal: about -38.
    assert maml[1] > maml[0] + 15
    assert maml[1] > multitask[1] + 5
    assert maml[1] > untrained[1] + 15
    assert maml[1] > -25


# recipe, iterations, adaptation steps at test time, what differs from the recipe's settings for navigation
RECIPES = [
    ("maml-vpg", 20, 1, {"algorithm.meta_lr": 0.01}),
    ("promp", 15, 1, {"algorithm.meta_lr": 0.01}),
    ("metasgd-trpo", 15, 1, {}),
    ("reptile", 12, 3, {}),
    pytest.param("maml-ppo", 15, 1, {"algorithm.meta_lr": 0.01}, marks=pytest.mark.slow),
    pytest.param("fomaml-trpo", 15, 1, {}, marks=pytest.mark.slow),
    pytest.param("maml-dice-trpo", 15, 1, {}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("recipe", "iterations", "steps", "changes"), RECIPES)
def test_every_gradient_based_recipe_learns_to_adapt(
    tiny: Callable[..., TrainConfig], recipe: str, iterations: int, steps: int, changes: dict[str, Any]
) -> None:
    """Standing still costs 38 to 42 on these goals, and an untrained policy that adapts about 100."""
    settings = {"recipe": recipe, "algorithm": default_config(recipe, "navigation").algorithm, **SIZES, **changes}
    curve = adaptation_gain(tiny(iterations=iterations, **settings, **{"evaluate.adaptation_steps": steps}))
    assert len(curve) == steps + 1
    assert curve[-1] > curve[0] + 20
    assert curve[-1] > -20
