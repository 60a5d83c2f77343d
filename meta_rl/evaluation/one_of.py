"""One task of many, played as if the others were there: their rows are copies of it.

What a network answers depends, in its last bits, on how many rows it is asked for at once, and on the row. So whoever
plays a single task of an evaluation and wants its numbers needs its batch shapes, but not the simulation of the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import Task, TaskDistribution, TaskVectorEnv


class OneOf(TaskDistribution):
    """`base`, whose environments simulate one row of tasks and copy it to all the others.

    Attributes:
        row: which row that is; it may be set between two rollouts.
    """

    def __init__(self, base: TaskDistribution) -> None:
        self._base, self.row = base, 0
        self._take_after(base)

    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        """As `base` does."""
        return self._base.sample(rng, count)

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """Environments of `num_tasks` tasks, of which only the one of `row` is played."""
        return _Copies(self, self._base.make(1, envs_per_task), num_tasks)


class _Copies(TaskVectorEnv):
    """Environments ``[1, env]`` as if they were ``[task, env]``."""

    def __init__(self, of: OneOf, env: TaskVectorEnv, num_tasks: int) -> None:
        super().__init__(num_tasks, env.envs_per_task, of.observation_space, of.action_space, env.horizon)
        self._of, self._env = of, env

    @property
    def missing_success(self) -> str:
        """See `TaskVectorEnv.missing_success`."""
        return self._env.missing_success

    def state(self, task: int, env: int) -> NDArray[np.float64]:
        """See `TaskVectorEnv.state`."""
        return self._env.state(0, env)

    def mean_reward(self, observation: NDArray[Any], action: NDArray[Any]) -> NDArray[np.float64] | None:
        """See `TaskVectorEnv.mean_reward`."""
        mean = self._env.mean_reward(self._one(observation), self._one(action))
        return None if mean is None else self._copied(mean)

    def expert_action(self, observation: NDArray[Any]) -> NDArray[Any] | None:
        """See `TaskVectorEnv.expert_action`."""
        action = self._env.expert_action(self._one(observation))
        return None if action is None else self._copied(action)

    def _set_tasks(self, tasks: list[Task]) -> None:
        self._env.set_tasks([tasks[self._of.row]])

    def _reset(self, seeds: list[int], mask: NDArray[np.bool_]) -> NDArray[Any]:
        return self._copied(self._env.reset([seeds[self._of.row]], self._one(mask)))

    def _step(self, action: NDArray[Any], active: NDArray[np.bool_]) -> Any:
        step = self._env.step(self._one(action))
        return tuple(map(self._copied, (step.observation, step.reward, step.terminated, step.success)))

    def _close(self) -> None:
        self._env.close()

    def _one(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows[self._of.row : self._of.row + 1]

    def _copied(self, row: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(row, self.num_tasks, 0)
