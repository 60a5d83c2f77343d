"""Random tabular MDPs (Duan et al. 2016, section 3.2): ten states and five actions that mean something else each time.

The mean reward of every (state, action) is drawn from ``N(1, 1)`` and rewards add unit Gaussian noise; its next-state
probabilities are drawn from a flat Dirichlet. An episode is 10 steps and starts in state 0. The observation is the
state, one-hot. The task vector is the transitions ``[state, action, next state]``, then the mean rewards
``[state, action]``, both flat.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.api import Bool, Float, Task, TaskDistribution, TaskVectorEnv
from envs.scene import Scene

FAMILY = "tabular"


class Tabular(TaskDistribution):
    """MDPs drawn from the prior of the paper.

    Args:
        split: ``"train"`` or ``"test"``. Tasks are continuous, so test tasks are unseen with probability 1.
        num_states, num_actions: sizes of every MDP.
        horizon: env steps per episode.
    """

    families = (FAMILY,)
    has_success = False
    knows_mean_reward = True

    def __init__(self, split: str = "train", *, num_states: int = 10, num_actions: int = 5, horizon: int = 10) -> None:
        if min(num_states, num_actions, horizon) < 1:
            sizes = f"{num_states}, {num_actions} and {horizon}"
            raise ValueError(f"num_states, num_actions and horizon must be at least 1, got {sizes}")
        self.name, self.split, self.horizon = FAMILY, split, horizon
        self.num_states, self.num_actions = num_states, num_actions
        self.observation_space = gym.spaces.Box(0.0, 1.0, (num_states,), np.float32)
        self.action_space = gym.spaces.Discrete(num_actions)

    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        """Independent MDPs."""
        pairs = (count, self.num_states, self.num_actions)
        transitions = rng.dirichlet(np.ones(self.num_states), pairs).reshape(count, -1)
        means = rng.normal(1.0, 1.0, pairs).reshape(count, -1)
        return [Task(FAMILY, tuple(vector)) for vector in np.concatenate([transitions, means], 1)]

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """All MDPs move in one numpy expression."""
        return TabularVectorEnv(num_tasks, envs_per_task, self)

    def scene(self, task: Task) -> Scene:
        """The states in a ring with the moves so far."""
        from envs.plots import Ring

        means = task.array[self.num_states**2 * self.num_actions :].reshape(self.num_states, self.num_actions)
        return Ring(means)

    def fingerprint(self) -> dict[str, Any]:
        """Adds the sizes."""
        return super().fingerprint() | {"num_states": self.num_states, "num_actions": self.num_actions}


class TabularVectorEnv(TaskVectorEnv):
    """States ``[task, env]`` and the episode's luck ``[task, env, time]``, drawn at reset: a uniform that picks the
    next state and the reward's noise."""

    _held = ("_state", "_luck", "_noise")

    def __init__(self, num_tasks: int, envs_per_task: int, distribution: Tabular) -> None:
        super().__init__(
            num_tasks,
            envs_per_task,
            distribution.observation_space,  # type: ignore[arg-type]
            distribution.action_space,  # type: ignore[arg-type]
            distribution.horizon,
        )
        self._distribution = distribution
        self._sizes = num_states, num_actions = distribution.num_states, distribution.num_actions
        self._cumulative = np.zeros((num_tasks, num_states, num_actions, num_states))
        self._mean = np.zeros((num_tasks, num_states, num_actions))
        self._state = np.zeros(self.shape, np.int64)
        self._luck = np.zeros((*self.shape, self.horizon))
        self._noise = np.zeros((*self.shape, self.horizon))
        self._one_hot = np.eye(num_states, dtype=np.float32)

    def state(self, task: int, env: int) -> NDArray[np.float64]:
        """The number of the MDP's state, float64 ``[1]``."""
        self._check_open()
        return np.array([self._state[task, env]], np.float64)

    def mean_reward(self, observation: Float, action: NDArray[Any]) -> NDArray[np.float64]:
        """Mean reward of the action in the state that was observed."""
        self._check_open()
        return np.asarray(self._mean[np.arange(self.num_tasks)[:, None, None], observation.argmax(-1), action])

    def _twin(self) -> TabularVectorEnv:
        return TabularVectorEnv(*self.shape, self._distribution)

    def _set_tasks(self, tasks: list[Task]) -> None:
        num_states, num_actions = self._sizes
        split = num_states * num_actions * num_states
        length = split + num_states * num_actions
        for task in tasks:
            if task.family != FAMILY or len(task.vector) != length:
                raise ValueError(f"not a tabular task ({length} numbers): {task.to_json()}")
        vectors = np.array([task.vector for task in tasks])
        transitions = vectors[:, :split].reshape(-1, num_states, num_actions, num_states)
        if not ((transitions >= 0).all() and np.allclose(transitions.sum(-1), 1) and np.isfinite(vectors).all()):
            raise ValueError("not a tabular task: transitions must be probabilities that sum to 1, mean rewards finite")
        self._cumulative = transitions.cumsum(-1)
        self._mean = vectors[:, split:].reshape(-1, num_states, num_actions)

    def _reset(self, seeds: list[int], mask: Bool) -> Float:
        for task, env in np.argwhere(mask):
            rng = np.random.default_rng([seeds[task], env])
            self._luck[task, env] = rng.random(self.horizon)
            self._noise[task, env] = rng.standard_normal(self.horizon)
        self._state[mask] = 0
        return self._one_hot[self._state]

    def _step(self, action: NDArray[Any], active: Bool) -> tuple[Float, NDArray[np.float64], Bool, Bool]:
        num_states, num_actions = self._sizes
        if (((action < 0) | (action >= num_actions)) & active).any():
            raise ValueError(f"actions must be 0 to {num_actions - 1}, got {action.min()} to {action.max()}")
        task, env = np.indices(self.shape)
        action = np.where(active, action, 0)
        time = np.minimum(self._elapsed, self.horizon - 1)  # finished environments stand at the horizon
        reward = self._mean[task, self._state, action] + self._noise[task, env, time]
        passed = self._luck[task, env, time][..., None] >= self._cumulative[task, self._state, action]
        moved = np.minimum(passed.sum(-1), num_states - 1)  # the last sum may fall short of 1 by rounding
        self._state = np.where(active, moved, self._state)
        never = np.zeros(self.shape, bool)
        return self._one_hot[self._state], reward, never, never
