"""The native Meta-World engine behind the `TaskVectorEnv` contract: any mixture of families in one batch.

Bit-exact with `SawyerXYZEnv.step` for float32 actions (see tests/envs/test_engine_oracle.py). The physics, the
observations, the rewards and the infos are computed in worker threads without the GIL; see envs/metaworld/native.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import dynamics as dyn
from envs.api import Bool, Float, Task, TaskVectorEnv
from envs.metaworld import experts, snapshots
from envs.metaworld.snapshots import _engine  # imported there, once mujoco has loaded the library it needs
from envs.metaworld.spaces import action_space, observation_space, one_hot, with_family
from envs.threads import count_threads

INFO_NAMES: tuple[str, ...] = _engine.INFO_NAMES
"""The columns of `EngineVectorEnv.info`, Meta-World's own info keys."""

OBSERVATION_SIZE: int = _engine.OBSERVATION_SIZE
"""Numbers that the engine observes, the code of the family not among them."""

FAMILIES: tuple[str, ...] = tuple(_engine.family_names())
"""The families that the engine can run."""


class EngineVectorEnv(TaskVectorEnv):
    """Meta-World environments [task, env]; each task row may be of another family.

    Actions are float32 [task, env, 4] (other floats are rounded to float32), each meant to be in [-1, 1]. Spaces: see
    `envs.metaworld.spaces`.
    Episodes are deterministic: the seeds of `reset` do not matter, unless dynamics are noisy. `close` ends the worker
    threads.
    """

    def __init__(
        self,
        num_tasks: int,
        envs_per_task: int,
        horizon: int = 500,
        *,
        goal_visible: bool = False,
        told: tuple[str, ...] = (),
        dynamics: bool = False,
        num_threads: int | None = None,
    ) -> None:
        """Make the environments; `set_tasks` gives them their families.

        Args:
            horizon: env steps per episode, at most 500 in Meta-World itself.
            goal_visible: show the goal in the observation (multi-task RL) or not (meta-RL).
            told: families that a one-hot code at the end of the observation tells apart; none: there is no such code.
            dynamics: tasks have dynamics of their own at the end of their vectors (`envs.dynamics`). An episode starts
                where Meta-World's own reset leaves the plain robot.
            num_threads: threads that step, the calling one included. Default: one per available core. Results do not
                depend on it.
        """
        super().__init__(num_tasks, envs_per_task, observation_space(goal_visible, len(told)), action_space(), horizon)
        self._told, self._family_rows = told, np.zeros((num_tasks, len(told)))
        self._options = {
            "goal_visible": goal_visible,
            "told": told,
            "dynamics": dynamics,
            "num_threads": num_threads,
        }
        # Of what the engine observes: nothing hides or disturbs the code of the family.
        self._channel = dyn.Channel(self.shape, observation_space(goal_visible), action_space()) if dynamics else None
        self._engine = _engine.Engine(num_tasks * envs_per_task, goal_visible, count_threads(num_threads))
        self._info = np.zeros((*self.shape, len(INFO_NAMES)))

    @property
    def info(self) -> NDArray[np.float64]:
        """Meta-World's info of the last step, float64 [task, env, 7], columns `INFO_NAMES`; zeros for environments
        that were frozen or have not been stepped since their reset."""
        return self._info.copy()

    def state(self, task: int, env: int) -> NDArray[np.float64]:
        """The physics state (`mujoco.mjtState.mjSTATE_INTEGRATION`) of one environment, float64 [state]."""
        self._check_open()
        return np.array(self._engine.state(task * self.envs_per_task + env))

    def expert_action(self, observation: Float) -> NDArray[np.float32]:
        """See `TaskVectorEnv.expert_action`: Meta-World's scripted policies."""
        plain = self.tasks if self._channel is None else [dyn.split(task)[0] for task in self.tasks]
        return experts.actions(plain, observation, bool(self._options["goal_visible"]))

    def _set_tasks(self, tasks: list[Task]) -> None:
        for task in tasks:
            if task.family not in FAMILIES:
                raise ValueError(f"the native engine has no family {task.family!r}")
        self._family_rows = one_hot([task.family for task in tasks], self._told)
        if self._channel is None:
            native = [snapshots.native_task(task) for task in tasks]
        else:
            pairs = [dyn.split(task) for task in tasks]
            native = [snapshots.varied_task(plain, numbers) for plain, numbers in pairs]
            self._channel.set_tasks([numbers for _, numbers in pairs])
        for index in range(self.num_tasks * self.envs_per_task):
            self._engine.assign(index, native[index // self.envs_per_task])

    def _reset(self, seeds: list[int], mask: Bool) -> Float:
        observation = np.zeros((*self.shape, OBSERVATION_SIZE))  # of those that are passed over, too
        self._engine.reset(mask.reshape(-1), self._rows(observation))
        self._info[mask] = 0
        if self._channel:
            self._channel.reset(seeds, mask)
            observation = self._channel.observe(observation, np.where(mask, 0, self._elapsed))
        return with_family(observation, self._family_rows)

    def _step(self, action: NDArray[Any], active: Bool) -> tuple[Float, NDArray[np.float64], Bool, Bool]:
        observation, reward = np.zeros((*self.shape, OBSERVATION_SIZE)), np.zeros(self.shape)
        self._info = np.zeros_like(self._info)
        if self._channel:
            action = self._channel.act(action, self._elapsed)
        action = np.ascontiguousarray(action, dtype=np.float32)
        self._engine.step(
            self._rows(action), active.reshape(-1), self._rows(observation), reward.reshape(-1), self._rows(self._info)
        )
        if self._channel:
            observation = self._channel.observe(observation, self._elapsed + 1)
        success = self._info[..., INFO_NAMES.index("success")] > 0
        return with_family(observation, self._family_rows), reward, np.zeros(self.shape, dtype=bool), success

    def _hold(self) -> dict[str, NDArray[Any]]:
        saved = [np.array(self._engine.save(index)) for index in range(self.num_tasks * self.envs_per_task)]
        width = max(len(numbers) for numbers in saved)  # families differ in the size of their state
        padded = np.array([np.pad(numbers, (0, width - len(numbers))) for numbers in saved])
        sizes = np.array([len(numbers) for numbers in saved])
        held = {"saved": padded.reshape(*self.shape, -1), "size": sizes.reshape(self.shape), "info": self.info}
        return held | (self._channel.hold() if self._channel else {})

    def _resume(self, held: dict[str, NDArray[Any]], mask: Bool) -> None:
        for task, env in np.argwhere(mask).tolist():
            numbers = held["saved"][task, env, : held["size"][task, env]]
            self._engine.load(task * self.envs_per_task + env, np.ascontiguousarray(numbers))
        self._info = np.where(mask[..., None], held["info"], self._info)
        if self._channel:
            self._channel.resume(held, mask)

    def _twin(self) -> EngineVectorEnv:
        return EngineVectorEnv(*self.shape, self.horizon, **self._options)  # type: ignore[arg-type]

    def _close(self) -> None:
        del self._engine

    def _rows(self, x: NDArray[Any]) -> NDArray[Any]:
        """A view of `x` [task, env, ...] as [task * env, ...]."""
        return x.reshape(-1, *x.shape[2:])
