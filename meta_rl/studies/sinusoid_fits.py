"""What sinusoid learners make of a few points, as a picture (Finn et al. 2017, figure 2): the curve that a network
draws before adaptation and after some steps, beside the true one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from meta_rl.agents.agent import Agent
from meta_rl.algorithms.supervised import adapt_stepwise
from meta_rl.config import replace_paths
from meta_rl.config.fewshot import parse_name
from meta_rl.core.types import Examples, MetaBatch
from meta_rl.errors import ConfigError
from meta_rl.fewshot.sinusoid import INPUT, Sinusoids, sinusoid_oracle
from meta_rl.fewshot.tasks import fixed_episodes

KIND = "sinusoid"
GRID = 201
STEPS = (0, 1, 10)


class Fits(NamedTuple):
    """What an agent makes of the first test episodes.

    Attributes:
        x: inputs ``[GRID]``.
        truth: ``[episode, GRID]``.
        support: the points that it learned from, ``(x, y)``, each ``[episode, shot]``.
        curves: adaptation steps -> its outputs ``[episode, GRID]``.
    """

    x: NDArray[np.float32]
    truth: NDArray[np.float64]
    support: tuple[NDArray[np.float32], NDArray[np.float32]]
    curves: dict[int, NDArray[np.float32]]


def fits(agent: Agent, episodes: int, steps: Sequence[int] = STEPS) -> Fits:
    """The curves of `agent` on the first `episodes` test episodes, after each number of adaptation steps in `steps`.

    Raises:
        ConfigError: the agent was not trained on sinusoids.
    """
    name = parse_name(agent.config.env)
    if name is None or name.kind != KIND:
        raise ConfigError(f"RUN: a run on sinusoid-5shot or the like is needed, not on {agent.config.env}")
    protocol = replace_paths(agent.config.evaluate, {"test_tasks": episodes, "tasks_at_once": episodes})
    (batch,) = fixed_episodes(Sinusoids(), agent.config, protocol, "test")
    (support,) = batch.support
    x = torch.linspace(*INPUT, GRID)
    grid = x.expand(episodes, -1)
    query = Examples(grid.unsqueeze(-1), grid, torch.ones_like(grid))
    learner: Any = agent.learner
    curves = {
        step: learner.predict(adapted, support, query.observation, True).squeeze(-1).numpy()
        for step, adapted in adapt_stepwise(learner, agent.weights, support, steps)
    }
    # Its points have no noise: the curve through them is the truth.
    truth = sinusoid_oracle(MetaBatch((support,), query)).squeeze(-1).numpy()
    return Fits(x.numpy(), truth, (support.observation.squeeze(-1).numpy(), support.target.numpy()), curves)


def plot_fits(agents: Sequence[Agent], episodes: int, path: Path) -> None:
    """A picture in `path`: a row per agent, a column per test episode, the same for all agents."""
    from matplotlib import pyplot as plt

    found = [fits(agent, episodes) for agent in agents]
    size = (3.2 * episodes, 2.1 * len(agents))
    figure, axes = plt.subplots(len(agents), episodes, figsize=size, dpi=70, squeeze=False, constrained_layout=True,
                                sharex=True, sharey="col")  # fmt: skip
    for agent, one, row in zip(agents, found, axes, strict=True):
        for episode, axis in enumerate(row):
            axis.plot(one.x, one.truth[episode], color="0.6", linewidth=4, label="truth")
            for (step, curve), style in zip(one.curves.items(), (":", "--", "-"), strict=True):
                axis.plot(one.x, curve[episode], style, color="tab:green", label=f"{step} steps")
            axis.plot(*(values[episode] for values in one.support), "^", color="tab:purple", label="support")
        row[0].set_ylabel(agent.config.recipe)
    axes[0][0].legend(fontsize=7)
    figure.savefig(path)
    plt.close(figure)
