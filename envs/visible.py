"""A distribution whose observations end with the numbers of the task: what an oracle sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.api import Bool, Float, Task, TaskDistribution, TaskVectorEnv
from envs.moments import Moment
from envs.scene import Scene
from envs.spaces import misfit


class UnshowableError(ValueError):
    """Tasks whose numbers no observation can hold; the message says why in a sentence."""


class VisibleTask(TaskDistribution):
    """The tasks of `base`, with `Task.vector` at the end of every observation.

    A policy of one network for all tasks learns from it what somebody who knows the task can do.

    Args:
        base: its observations are flat boxes, and its tasks have equally many numbers each, at least one.
    Raises:
        UnshowableError: they are not, or have not.
    """

    no_dynamics = "its tasks are shown already; vary the dynamics first, and show the tasks of that"

    def __init__(self, base: TaskDistribution) -> None:
        if wrong := misfit(base.observation_space, base.action_space):
            raise UnshowableError(f"{base.name}: {wrong}")
        self.base, self.size = base, task_size(base)
        self._take_after(base)
        self.observation_space = extended(base.observation_space, self.size)

    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        """The tasks of the base."""
        return self.base.sample(rng, count)

    def tasks(self) -> list[Task] | None:
        """The tasks of the base, where they are finitely many."""
        return self.base.tasks()

    def num_tasks(self) -> int | None:
        """How many tasks the base has."""
        return self.base.num_tasks()

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """The environments of the base, with their tasks in view."""
        return VisibleVectorEnv(self.base.make(num_tasks, envs_per_task), self.size)

    def scene(self, task: Task) -> Scene:
        """The scene of the base."""
        return self.base.scene(task)

    def with_goal(self, task: Task, place: Sequence[float]) -> Task | None:
        """See `TaskDistribution.with_goal`."""
        return self.base.with_goal(task, place)

    def fingerprint(self) -> dict[str, Any]:
        """The fingerprint of the base, and that the task is shown."""
        return self.base.fingerprint() | {"task_visible": True}


class VisibleVectorEnv(TaskVectorEnv):
    """Environments whose observations end with the numbers of their task.

    Args:
        env: steps the episodes; it is this object's own from now on.
        size: numbers of each task.
    """

    def __init__(self, env: TaskVectorEnv, size: int) -> None:
        space = extended(env.observation_space, size)
        super().__init__(*env.shape, space, env.action_space, env.horizon)
        self._env, self._size = env, size
        # [task, env, size]: what is shown. Set with the tasks, and the same for all environments of one.
        self._shown = np.zeros((*env.shape, size), space.dtype)

    @property
    def missing_success(self) -> str:
        """See `TaskVectorEnv.missing_success`."""
        return self._env.missing_success

    def state(self, task: int, env: int) -> NDArray[np.float64]:
        """See `TaskVectorEnv.state`."""
        return self._env.state(task, env)

    def mean_reward(self, observation: Float, action: NDArray[Any]) -> NDArray[np.float64] | None:
        """See `TaskVectorEnv.mean_reward`."""
        return self._env.mean_reward(self._plain(observation), action)

    def expert_action(self, observation: Float) -> NDArray[Any] | None:
        """See `TaskVectorEnv.expert_action`."""
        return self._env.expert_action(self._plain(observation))

    def _plain(self, observation: Float) -> Float:
        """Observations as the environments below give them."""
        return observation[..., : -self._size].astype(self._env.observation_space.dtype, copy=False)

    def _whole(self, observation: Float) -> Float:
        """Observations ``[task, env, obs]`` with the numbers of the tasks."""
        return np.concatenate([observation, self._shown], -1, dtype=self._shown.dtype)

    def _set_tasks(self, tasks: list[Task]) -> None:
        for task in tasks:
            if len(task.vector) != self._size:
                raise ValueError(f"expected a task of {self._size} numbers, got {task.to_json()}")
        self._env.set_tasks(tasks)
        numbers = np.array([task.vector for task in tasks], self._shown.dtype)  # [task, size]
        self._shown = np.repeat(numbers[:, None], self.envs_per_task, 1)

    def _reset(self, seeds: list[int], mask: Bool) -> Float:
        return self._whole(self._env.reset(seeds, mask))

    def _step(self, action: NDArray[Any], active: Bool) -> tuple[Float, NDArray[np.float64], Bool, Bool]:
        step = self._env.step(action)
        # One that ended an episode before the horizon, as a simulator with a limit of its own does, counts no further.
        early = step.truncated & active
        self._elapsed[early] = self.horizon - 1
        return self._whole(step.observation), step.reward, step.terminated, step.success

    def _hold(self) -> dict[str, NDArray[Any]]:
        return {f"below.{name}": array for name, array in self._env.get_state().arrays.items()}

    def _resume(self, held: dict[str, NDArray[Any]], mask: Bool) -> None:
        arrays = {name.removeprefix("below."): array for name, array in held.items()}
        moment = Moment(type(self._env).__name__, tuple(self._env.tasks), arrays)
        self._env.set_state(moment, None if mask.all() else mask)

    def _twin(self) -> TaskVectorEnv:
        return VisibleVectorEnv(self._env._twin(), self._size)

    def _close(self) -> None:
        self._env.close()


def task_size(distribution: TaskDistribution) -> int:
    """The numbers of each task of `distribution`.

    Raises:
        UnshowableError: they have none, or those of one family more than those of another.
    """
    drawn = distribution.sample(np.random.default_rng(0), len(distribution.families))
    sizes = {task.family: len(task.vector) for task in drawn}
    few, many = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    if sizes[few] != sizes[many]:
        each = f"{sizes[few]} numbers in {few}, {sizes[many]} in {many}"
        raise UnshowableError(f"the tasks of {distribution.name} have {each}; they must have equally many")
    if not sizes[few]:
        raise UnshowableError(f"the tasks of {distribution.name} have no numbers")
    return sizes[few]


def extended(space: gym.spaces.Box, size: int) -> gym.spaces.Box:
    """A flat box with `size` numbers more at its end, which have no bounds."""
    dtype: Any = np.result_type(space.dtype, np.float32)  # whole numbers could not hold those of a task
    low, high = (
        np.concatenate([bound.astype(dtype), np.full(size, end, dtype)])
        for bound, end in ((space.low, -np.inf), (space.high, np.inf))
    )
    return gym.spaces.Box(low, high, dtype=dtype)
