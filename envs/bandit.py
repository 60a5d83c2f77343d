"""Bernoulli bandits (Duan et al. 2016, section 3.1): which of k arms pays most, found out within n pulls.

Every arm pays 1 with its own probability and else 0; the probabilities are drawn from ``U[0, 1]`` and are the task.
The observation says nothing: all there is to learn comes from actions and rewards. An episode is n pulls.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.api import Bool, Float, Task, TaskDistribution, TaskVectorEnv
from envs.scene import Scene

FAMILY = "bandit"


class Bandit(TaskDistribution):
    """Independent arms with uniform probabilities; ``bandit/k5-n10`` is five arms and ten pulls.

    Args:
        split: ``"train"`` or ``"test"``. The probabilities are continuous, so test tasks are unseen with probability 1.
        num_arms: k.
        horizon: n, pulls per episode.
    """

    families = (FAMILY,)
    has_success = False
    knows_mean_reward = True
    has_expert = True

    def __init__(self, split: str = "train", *, num_arms: int, horizon: int) -> None:
        if num_arms < 1 or horizon < 1:
            raise ValueError(f"num_arms and horizon must be at least 1, got {num_arms} and {horizon}")
        self.name, self.split = f"bandit/k{num_arms}-n{horizon}", split
        self.num_arms, self.horizon = num_arms, horizon
        self.observation_space = gym.spaces.Box(0.0, 0.0, (1,), np.float32)
        self.action_space = gym.spaces.Discrete(num_arms)

    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        """Independent uniform probabilities."""
        return [Task(FAMILY, tuple(chances)) for chances in rng.random((count, self.num_arms))]

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """All arms are pulled in one numpy expression."""
        return BanditVectorEnv(num_tasks, envs_per_task, self)

    def scene(self, task: Task) -> Scene:
        """The arms, their chances, and the pulls so far."""
        from envs.plots import Arms

        return Arms(task.vector)


class BanditVectorEnv(TaskVectorEnv):
    """Arm probabilities ``[task, 1, arm]`` and the episode's luck, uniforms ``[task, env, time]`` drawn at reset."""

    _held = ("_luck",)

    def __init__(self, num_tasks: int, envs_per_task: int, distribution: Bandit) -> None:
        super().__init__(
            num_tasks,
            envs_per_task,
            distribution.observation_space,  # type: ignore[arg-type]
            distribution.action_space,  # type: ignore[arg-type]
            distribution.horizon,
        )
        self._distribution = distribution
        self._num_arms = distribution.num_arms
        self._chances = np.zeros((num_tasks, 1, self._num_arms))
        self._luck = np.zeros((*self.shape, self.horizon))
        self._nothing = np.zeros((*self.shape, 1), np.float32)

    def mean_reward(self, observation: Float, action: NDArray[Any]) -> NDArray[np.float64]:
        """The chance of the arm that was pulled."""
        self._check_open()
        return np.asarray(self._chances[np.arange(self.num_tasks)[:, None, None], 0, action])

    def expert_action(self, observation: Float) -> NDArray[np.int64]:
        """See `TaskVectorEnv.expert_action`: the best arm."""
        best = self._chances.argmax(-1).reshape(-1, *[1] * (observation.ndim - 2))  # [task, 1, ...]
        return np.broadcast_to(best, observation.shape[:-1]).astype(np.int64)

    def _twin(self) -> BanditVectorEnv:
        return BanditVectorEnv(*self.shape, self._distribution)

    def _set_tasks(self, tasks: list[Task]) -> None:
        for task in tasks:
            fits = task.family == FAMILY and len(task.vector) == self._num_arms
            if not fits or not all(0 <= chance <= 1 for chance in task.vector):
                raise ValueError(f"not a bandit task ({self._num_arms} probabilities): {task.to_json()}")
        self._chances = np.array([task.vector for task in tasks])[:, None]

    def _reset(self, seeds: list[int], mask: Bool) -> Float:
        for task, env in np.argwhere(mask):
            self._luck[task, env] = np.random.default_rng([seeds[task], env]).random(self.horizon)
        return self._nothing

    def _step(self, action: NDArray[Any], active: Bool) -> tuple[Float, NDArray[np.float64], Bool, Bool]:
        if (((action < 0) | (action >= self._num_arms)) & active).any():
            raise ValueError(f"actions must be arms 0 to {self._num_arms - 1}, got {action.min()} to {action.max()}")
        arm = np.where(active, action, 0)[..., None]
        chance = np.take_along_axis(np.broadcast_to(self._chances, (*self.shape, self._num_arms)), arm, -1)[..., 0]
        time = np.minimum(self._elapsed, self.horizon - 1)[..., None]  # finished environments stand at the horizon
        luck = np.take_along_axis(self._luck, time, -1)[..., 0]
        never = np.zeros(self.shape, bool)
        return self._nothing, (luck < chance).astype(np.float64), never, never
