"""2-D point navigation (Finn et al. 2017, section 5.3.1): find a goal that the observation does not show.

The point starts at the origin, the goal is drawn from ``U[-0.5, 0.5]^2``, an action is a velocity clipped to
``[-0.1, 0.1]`` and the reward is minus the distance to the goal. The paper's text says "squared distance"; its
published returns (about -40 before adaptation) and its released environment are the distance itself, so that is
what we use. Small enough that meta-learning shows within seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.api import Bool, Float, Task, TaskDistribution, TaskVectorEnv
from envs.scene import Scene

FAMILY = "navigation"
GOAL_RADIUS = 0.01
"""An episode terminates when the point is this close to the goal in both coordinates."""


class Navigation(TaskDistribution):
    """Goals uniform in a square around the start.

    Args:
        split: ``"train"`` or ``"test"``. The goals are continuous, so test goals are unseen with probability 1.
        horizon: env steps per episode, 100 in the paper.
        extent: goals lie in ``[-extent, extent]^2``.
    """

    families = (FAMILY,)
    deterministic = True
    has_expert = True

    def __init__(self, split: str = "train", *, horizon: int = 100, extent: float = 0.5) -> None:
        if horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {horizon}")
        self.name, self.split, self.horizon, self.extent = FAMILY, split, horizon, extent
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = gym.spaces.Box(-0.1, 0.1, (2,), np.float32)

    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        """Independent uniform goals."""
        return [Task(FAMILY, tuple(goal)) for goal in rng.uniform(-self.extent, self.extent, (count, 2))]

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """All points move in one numpy expression."""
        return NavigationVectorEnv(num_tasks, envs_per_task, self)

    def scene(self, task: Task) -> Scene:
        """The plane with the goal and the path."""
        from envs.plots import Plane

        return Plane(task.vector[:2], self.extent)

    def with_goal(self, task: Task, place: Sequence[float]) -> Task:
        """See `TaskDistribution.with_goal`: anywhere in the square."""
        return Task(FAMILY, tuple(np.clip(place[:2], -self.extent, self.extent)))

    def fingerprint(self) -> dict[str, Any]:
        """Adds the size of the goal square."""
        return super().fingerprint() | {"extent": self.extent}


class NavigationVectorEnv(TaskVectorEnv):
    """Positions ``[task, env, 2]``."""

    _held = ("_position",)

    def __init__(self, num_tasks: int, envs_per_task: int, distribution: Navigation) -> None:
        super().__init__(
            num_tasks,
            envs_per_task,
            distribution.observation_space,
            distribution.action_space,  # type: ignore[arg-type]
            distribution.horizon,
        )
        self._distribution = distribution
        self._position = np.zeros((*self.shape, 2))
        self._goal = np.zeros((num_tasks, 1, 2))

    def state(self, task: int, env: int) -> NDArray[np.float64]:
        """The point's position, float64 ``[2]``."""
        self._check_open()
        return np.array(self._position[task, env])

    def expert_action(self, observation: Float) -> NDArray[np.float32]:
        """See `TaskVectorEnv.expert_action`: straight to the goal, in each coordinate as fast as it can."""
        goal = np.expand_dims(self._goal, tuple(range(1, observation.ndim - 2)))  # [task, 1, ..., 2]
        space = self.action_space
        return np.clip(goal - observation, space.low, space.high).astype(np.float32)  # type: ignore[union-attr]

    def _twin(self) -> NavigationVectorEnv:
        return NavigationVectorEnv(*self.shape, self._distribution)

    def _set_tasks(self, tasks: list[Task]) -> None:
        for task in tasks:
            if task.family != FAMILY or len(task.vector) != 2:
                raise ValueError(f"not a navigation task (two numbers): {task.to_json()}")
        self._goal = np.array([task.vector for task in tasks])[:, None]

    def _reset(self, seeds: list[int], mask: Bool) -> Float:
        del seeds  # every episode starts at the origin
        self._position[mask] = 0.0
        return self._position

    def _step(self, action: NDArray[Any], active: Bool) -> tuple[Float, NDArray[np.float64], Bool, Bool]:
        moved = self._position + np.clip(action, -0.1, 0.1)
        self._position = np.where(active[..., None], moved, self._position)
        offset = self._position - self._goal
        reached = np.asarray((np.abs(offset) < GOAL_RADIUS).all(-1))
        return self._position, -np.linalg.norm(offset, axis=-1), reached, reached
