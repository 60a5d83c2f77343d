"""One task of a distribution as a distribution of its own: for an agent that learns it and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.api import Task, TaskDistribution, TaskVectorEnv


class FixedTask(TaskDistribution):
    """Draws `task` whenever it is asked; everything else is as in `base`."""

    def __init__(self, base: TaskDistribution, task: Task) -> None:
        self._base, self._task = base, task
        self._take_after(base)
        self.families = (task.family,)

    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        """`count` times the same."""
        return [self._task] * count

    def tasks(self) -> list[Task]:
        """The one task."""
        return [self._task]

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """The environments of `base`."""
        return self._base.make(num_tasks, envs_per_task)

    def fingerprint(self) -> dict[str, Any]:
        """The fingerprint of `base`, and the task."""
        return {**self._base.fingerprint(), "fixed_task": {"family": self._task.family, "vector": self._task.vector}}
