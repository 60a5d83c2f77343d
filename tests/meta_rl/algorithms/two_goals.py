"""A problem of two goals, which learners from a replay learn in seconds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from envs import Task
from envs.navigation import Navigation
from meta_rl.algorithms.base import make_learner
from meta_rl.config import default_config, replace_paths
from meta_rl.core.state import TrainState
from meta_rl.evaluation.episodes import evaluate
from meta_rl.sources.base import Plan
from meta_rl.sources.in_process import InProcess
from meta_rl.training.train import train_iteration


class TwoGoals(Navigation):
    """Goals to the left and to the right, five steps away."""

    def tasks(self) -> list[Task]:
        return [Task("navigation", (x, 0.0)) for x in (-0.5, 0.5)]

    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        return [self.tasks()[i] for i in rng.integers(0, 2, count)]


def learn_two_goals(
    recipe: str, changes: Mapping[str, Any], plan: Plan, judged: Collection[int]
) -> tuple[TrainState, list[NDArray[np.float64]]]:
    """Train in episodes of six steps, to the last iteration of `judged`.

    Returns:
        The last state, and returns by stage: of mode actions, then of sampled ones. They are means over the policies of
        the iterations in `judged`, since large steps of Adam, which make learning fast, make it unsteady too.
    """
    config = replace_paths(default_config(recipe, "navigation"), changes)
    distribution = TwoGoals(horizon=6)
    learner: Any = make_learner(config, distribution)
    state, source = learner.init(), InProcess(distribution, learner, plan)
    mode, sampled = [], []
    for iteration in range(1, max(judged) + 1):
        train_iteration(state, source, learner, torch.device("cpu"))
        if iteration in judged:
            found = evaluate(learner, state.weights, distribution, config.evaluate)
            mode.append(found.returns.mean((0, 2)))
            sampled.append(found.sampled_returns.mean((0, 2)))
    return state, [np.mean(mode, 0), np.mean(sampled, 0)]
