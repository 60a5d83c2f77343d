"""Meta-World's own environment objects behind our contract: slow, exact, the oracle.

One `SawyerXYZEnv` object per environment, stepped one after another. It also serves what the fast path does not:
reward version v1 and the info fields as metaworld returns them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.api import Bool, Float, Task, TaskVectorEnv
from envs.metaworld.benchmarks import FAMILIES, reset_to, to_metaworld
from envs.metaworld.spaces import action_space, observation_space, one_hot, with_family

INFO_FIELDS = (
    "success",
    "near_object",
    "grasp_success",
    "grasp_reward",
    "in_place_reward",
    "obj_to_target",
    "unscaled_reward",
)


class ReferenceVectorEnv(TaskVectorEnv):
    """Meta-World environments stepped one by one; see `TaskVectorEnv` for the contract.

    Args:
        reward_version: ``"v2"`` or ``"v1"``, metaworld's `reward_function_version`.
        goal_visible: show the goal in 3 of the observation's columns (multi-task benchmarks) instead of zeros.
        told: families that a one-hot code at the end of the observation tells apart.

    Attributes:
        info: the info fields of the last step, each float64 ``[task, env]`` (names in `INFO_FIELDS`).
    """

    def __init__(
        self,
        num_tasks: int,
        envs_per_task: int,
        *,
        horizon: int = 500,
        reward_version: str = "v2",
        goal_visible: bool = False,
        told: tuple[str, ...] = (),
    ) -> None:
        super().__init__(num_tasks, envs_per_task, observation_space(goal_visible, len(told)), action_space(), horizon)
        self._told, self._family_rows = told, np.zeros((num_tasks, len(told)))
        self._reward_version, self._goal_visible = reward_version, goal_visible
        self._free: defaultdict[str, list[Any]] = defaultdict(list)  # idle environment objects by family
        self._envs: list[list[Any]] = []
        self.info: dict[str, NDArray[np.float64]] = {}

    def state(self, task: int, env: int) -> NDArray[np.float64]:
        """The physics state (`mujoco.mjtState.mjSTATE_INTEGRATION`) of one environment, float64 ``[state]``."""
        import mujoco

        self._check_open()
        sim = self._envs[task][env]
        state = np.empty(mujoco.mj_stateSize(sim.model, mujoco.mjtState.mjSTATE_INTEGRATION))
        mujoco.mj_getState(sim.model, sim.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        return state

    def expert_action(self, observation: Float) -> NDArray[np.float32]:
        """See `TaskVectorEnv.expert_action`: Meta-World's scripted policies."""
        from envs.metaworld import experts  # needs the native engine's start states

        return experts.actions(self.tasks, observation, self._goal_visible)

    def _set_tasks(self, tasks: list[Task]) -> None:
        for task in tasks:
            if task.family not in FAMILIES:
                raise ValueError(f"{task.family!r} is not a Meta-World family")
        self._family_rows = one_hot([task.family for task in tasks], self._told)
        for row, old in zip(self._envs, self.tasks, strict=False):
            self._free[old.family].extend(row)
        self._envs = [[self._take(task.family) for _ in range(self.envs_per_task)] for task in tasks]
        for task, row in zip(tasks, self._envs, strict=True):
            for env in row:
                env.set_task(to_metaworld(task, self._goal_visible))

    def _take(self, family: str) -> Any:
        """An idle environment object of `family`, made if there is none (a quarter of a second each)."""
        import metaworld

        if self._free[family]:
            return self._free[family].pop()
        env = metaworld.ALL_V3_ENVIRONMENTS[family](reward_function_version=self._reward_version)
        env.max_path_length = self.horizon
        return env

    def _reset(self, seeds: list[int], mask: Bool) -> Float:
        del seeds  # a Meta-World episode holds no randomness beyond the task itself
        observation = np.zeros((*self.shape, 39))
        for task, env in np.argwhere(mask):
            observation[task, env] = reset_to(self._envs[task][env], self.tasks[task])
        return with_family(observation, self._family_rows)

    def _step(self, action: NDArray[Any], active: Bool) -> tuple[Float, NDArray[np.float64], Bool, Bool]:
        observation = np.zeros((*self.shape, 39))
        reward = np.zeros(self.shape)
        self.info = {name: np.zeros(self.shape) for name in INFO_FIELDS}
        for task, env in np.argwhere(active):
            observation[task, env], reward[task, env], _, _, info = self._envs[task][env].step(action[task, env])
            for name in INFO_FIELDS:
                self.info[name][task, env] = info[name]
        observation = with_family(observation, self._family_rows)
        return observation, reward, np.zeros(self.shape, bool), self.info["success"] > 0

    def _close(self) -> None:
        for env in [e for row in (*self._envs, *self._free.values()) for e in row]:
            env.close()
        self._envs.clear()
        self._free.clear()
