"""One task of a distribution as a plain gymnasium environment, for what plays in such a one."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from envs import Task, TaskDistribution


class TaskEnv(gym.Env[Any, Any]):
    """An environment of `distribution` that stays on `task`."""

    def __init__(self, distribution: TaskDistribution, task: Task) -> None:
        self.inner = distribution.make(1, 1)
        self.inner.set_tasks([task])
        self.observation_space, self.action_space = distribution.observation_space, distribution.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As gymnasium."""
        return self.inner.reset([seed or 0])[0, 0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As gymnasium; the info says whether the goal is met."""
        step = self.inner.step(np.asarray(action)[None, None])
        flags = bool(step.terminated[0, 0]), bool(step.truncated[0, 0])
        return step.observation[0, 0], float(step.reward[0, 0]), *flags, {"success": bool(step.success[0, 0])}

    def close(self) -> None:
        """As gymnasium."""
        self.inner.close()
