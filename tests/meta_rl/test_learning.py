"""Learning is the proof: small enough for every run of the tests, on goals never trained on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import envs
from meta_rl.agent import load
from meta_rl.config import TrainConfig
from meta_rl.evaluate import evaluate
from meta_rl.train import train


def adaptation_gain(config: TrainConfig) -> np.ndarray:
    """Mean return after 0 and 1 adaptation steps on unseen navigation goals."""
    agent = load(train(config))
    evaluation = evaluate(agent.learner, agent.params, envs.make("navigation", "test"), config.evaluate)
    return evaluation.returns.mean((0, 2))


def test_maml_learns_to_adapt_and_multi_task_training_does_not(tiny: Callable[..., TrainConfig]) -> None:
    sizes = {
        "meta_batch_size": 15,
        "episodes_per_task": 10,
        "network.hidden": (32, 32),
        "checkpoint_every": 50,
        "evaluate.test_tasks": 30,
        "evaluate.adaptation_episodes": 20,
    }
    maml = adaptation_gain(tiny("maml", iterations=15, **sizes))
    multitask = adaptation_gain(
        tiny("multitask", recipe="multitask-trpo", iterations=30, **sizes, **{"algorithm.inner_steps": 0})
    )
    untrained = adaptation_gain(tiny("untrained", iterations=0, **sizes))
    # Standing still at the start costs 100 steps x 0.38, the mean distance of a goal: about -38.
    assert maml[1] > maml[0] + 15
    assert maml[1] > multitask[1] + 5
    assert maml[1] > untrained[1] + 15
    assert maml[1] > -25
