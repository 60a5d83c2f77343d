"""The numbers of tasks as a learner is told them: shifted and scaled, each by its mean and deviation over training
tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from envs import Task, TaskDistribution, UnshowableError, task_size
from meta_rl.core.seeding import Purpose, generator
from meta_rl.errors import ConfigError

MEASURED_ON = 1000
"""Tasks that the numbers are measured on."""
DIGITS = 6
"""Digits that are kept, so that every machine measures the same."""

NumberScale = tuple[tuple[float, float], ...]
"""Mean and standard deviation of each number; a deviation of 1 where it is the same in all tasks."""


def measure_numbers(distribution: TaskDistribution) -> NumberScale:
    """The scale of the numbers of `distribution`, of training tasks that its own seed draws: the same for every run.

    Raises:
        ConfigError: its tasks have no numbers, families have differently many, or all tasks have the same.
    """
    try:
        task_size(distribution)
    except UnshowableError as error:
        raise ConfigError(f"--env: nobody can be told the tasks: {error}") from None
    tasks = distribution.sample(generator(0, Purpose.TASK_NUMBERS), MEASURED_ON)
    vectors = np.array([task.vector for task in tasks])  # [task, number]
    mean, std = vectors.mean(0), vectors.std(0)
    moves = std > 1e-9 * np.maximum(1, np.abs(mean))
    if not moves.any():
        raise ConfigError(f"--env: nothing to tell: all training tasks of {distribution.name} have the same numbers")
    return tuple((_rounded(m), _rounded(s) if moved else 1.0) for m, s, moved in zip(mean, std, moves, strict=True))


def normalise_numbers(tasks: Sequence[Task], scale: NumberScale) -> NDArray[np.float32]:
    """The numbers of `tasks` as a learner is told them, ``[task, number]``."""
    mean, std = np.array(scale).T
    return np.asarray((np.array([task.vector for task in tasks]) - mean) / std, np.float32)


def _rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
