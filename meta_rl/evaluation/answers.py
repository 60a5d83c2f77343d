"""What a learner of labelled examples answers in a few test episodes, step by step: for a page to show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl.agents.agent import Agent
from meta_rl.agents.opening import open_examples
from meta_rl.algorithms.supervised import FewShotLearner, adapt_stepwise
from meta_rl.config import EvaluateConfig, from_dict
from meta_rl.core.types import Examples
from meta_rl.evaluation.scores import Record
from meta_rl.fewshot.tasks import fixed_episodes

ANSWERED_EPISODES = 6
"""Episodes that are answered."""
ANSWERED_QUERIES = {"classes": 20, "numbers": 12}
"""Queries of an episode, at most; what the answers are."""
GRID_INPUTS = 81
"""Inputs, evenly spaced, at which a function of one number is answered."""


class Labelled(NamedTuple):
    """Examples of an episode: observations ``[example, ...]`` and their labels ``[example]``."""

    observation: NDArray[Any]
    label: NDArray[Any]


class Answered(NamedTuple):
    """An episode.

    Attributes:
        support: what was adapted on.
        query: what was asked, or some of it.
        answers: to `query` ``[step, example]``: a class, or a number.
        inputs: where a function of one number was asked, evenly spaced ``[input]``; else nothing.
        curve: the answers there ``[step, input]``.
    """

    support: Labelled
    query: Labelled
    answers: NDArray[Any]
    inputs: NDArray[np.float64]
    curve: NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """The first test episodes, answered after each of `steps` adaptation steps, every query alone (inductively).

    Attributes:
        classes: whether the answers are classes rather than numbers.
        ids: what items are called, where observations are their indices.
    """

    steps: list[int]
    classes: bool
    episodes: list[Answered]
    ids: Sequence[int | str] = ()


def answer_episodes(agent: Agent, record: Record) -> Answers:
    """The answers of an agent in the first test episodes of its evaluation, on this machine's processor.

    Raises:
        ConfigError: data is missing, or is not what the agent has learned from.
    """
    tasks, learner = open_examples(agent, record.split), cast(FewShotLearner, agent.learner)
    protocol = from_dict(EvaluateConfig, record.protocol)
    count = min(ANSWERED_EPISODES, record.tasks)
    few = replace(protocol, test_tasks=count, tasks_at_once=count)
    (batch,) = fixed_episodes(tasks, agent.config, few, record.split)
    (support,), classes = batch.support, learner.policy.kind == "classes"
    space = tasks.observation_space
    drawn = not classes and isinstance(space, gym.spaces.Box) and space.shape == (1,)
    grid = _grid(space) if drawn else None
    queries = batch.query if drawn else _some(batch.query, classes)
    steps = [stage.steps for stage in record.stages]
    answers, curves = [], []
    for _, adapted in adapt_stepwise(learner, agent.weights, support, steps):

        def answer(observation: Tensor, adapted: Any = adapted) -> NDArray[Any]:
            outputs = learner.predict(adapted, support, observation, True)
            return (outputs.argmax(-1) if classes else outputs.squeeze(-1)).detach().cpu().numpy()

        answers.append(answer(queries.observation))
        if grid is not None:
            curves.append(answer(grid.expand(count, *grid.shape)))
    inputs = np.zeros(0) if grid is None else grid[:, 0].double().numpy()
    every = zip(_by_task(support), _by_task(queries), np.stack(answers, 1), strict=True)
    episodes = []
    for i, ((given, _), (asked, counts), answered) in enumerate(every):
        curve = np.stack([found[i] for found in curves]) if curves else np.zeros((len(steps), 0))
        episodes.append(Answered(given, asked, answered[:, counts], inputs, curve))
    return Answers(steps, classes, episodes, agent.interface.ids)


def _some(query: Examples, classes: bool) -> Examples:
    """The first queries of each task; of classes, which come one after another, as many of each, at least one."""
    count = query.target.shape[1]
    if not classes:
        return Examples(*(tensor[:, : ANSWERED_QUERIES["numbers"]] for tensor in query))
    ways = int(query.target.max()) + 1
    each = min(count // ways, max(1, ANSWERED_QUERIES["classes"] // ways))
    rows = [first + k for first in range(0, count, count // ways) for k in range(each)]
    return Examples(*(tensor[:, rows] for tensor in query))


def _grid(space: gym.spaces.Box) -> Tensor:
    """Inputs over the range of `space` ``[input, 1]``."""
    low, high = float(space.low[0]), float(space.high[0])
    bounded = np.isfinite([low, high]).all()
    return torch.linspace(*((low, high) if bounded else (-5.0, 5.0)), GRID_INPUTS)[:, None]


def _by_task(examples: Examples) -> Iterator[tuple[Labelled, NDArray[np.bool_]]]:
    """The examples of each task that count, and which these are."""
    observation, target, weight = (tensor.cpu().numpy() for tensor in examples)
    for i in range(len(target)):
        counts = weight[i] > 0
        yield Labelled(observation[i][counts], target[i][counts]), counts
