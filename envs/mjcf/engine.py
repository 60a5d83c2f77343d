"""Simulations of one model on the native engine, behind the `TaskVectorEnv` contract.

The engine moves them in worker threads without the GIL and hands out arrays of mjData; what they mean, observations,
rewards, ends and success, are numpy over the whole batch: the functions of `Rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs import dynamics as dyn
from envs.api import Bool, Float, Task, TaskVectorEnv
from envs.mjcf.arrays import Arrays, Double
from envs.mjcf.model import Engine, Model
from envs.threads import count_threads
from envs.vector import EnvError, in_words

Start = Callable[[np.random.Generator, Double, Double, Double], tuple[Any, Any]]
"""``(rng, task vector, qpos, qvel)``, the initial pose and speed: the state that one episode starts in."""


@dataclass(frozen=True)
class Rules:
    """What the movements of a model mean.

    Attributes:
        name: by which they are known in errors.
        observe: arrays -> observations ``[env, obs]``.
        reward: arrays -> rewards ``[env]``.
        terminated: arrays -> where the episode has ended, bool ``[env]``; None: it never does before its horizon.
        success: arrays -> where the goal is met, bool ``[env]``; None: there is no goal.
        start: the state that an episode starts in; None: the model's initial pose.
        check: raises ValueError for a task that is none of theirs.
        parameters: task vector -> numbers for the first of the model's arrays that environments may have of their own;
            None: those of the model.
    """

    name: str
    observe: Callable[[Arrays], Any]
    reward: Callable[[Arrays], Any]
    check: Callable[[Task], None]
    terminated: Callable[[Arrays], Any] | None = None
    success: Callable[[Arrays], Any] | None = None
    start: Start | None = None
    parameters: Callable[[Double], Double] | None = None


class MujocoVectorEnv(TaskVectorEnv):
    """Simulations ``[task, env]`` of one model; `close` ends the worker threads.

    Actions are floats ``[task, env, motor]``, clipped to the action space.

    Args:
        model: with the arrays of `dynamics.ARRAYS` among those that environments may have of their own, if `dynamics`.
        rules: what its movements mean.
        spaces: of observations and actions.
        horizon: env steps per episode.
        dynamics: tasks have dynamics of their own at the end of their vectors.
        num_threads: threads that step, the calling one included. Default: one per available core. Results do not depend
            on it.
    """

    def __init__(
        self,
        num_tasks: int,
        envs_per_task: int,
        model: Model,
        rules: Rules,
        spaces: tuple[gym.spaces.Box, gym.spaces.Box],
        horizon: int,
        *,
        dynamics: bool = False,
        num_threads: int | None = None,
    ) -> None:
        super().__init__(num_tasks, envs_per_task, *spaces, horizon)
        self._arguments = (model, rules, spaces, horizon)
        self._options = {"dynamics": dynamics, "num_threads": num_threads}
        self._model, self._rules = model, rules
        self._limits = model.mujoco.actuator_ctrlrange.T.copy()  # those of the action space are rounded to float32
        self._channel = dyn.Channel(self.shape, *spaces) if dynamics else None
        size, sizes = num_tasks * envs_per_task, model.native.features
        self._engine = Engine(model.native, size, count_threads(num_threads))
        self._numbers, self._before = (np.zeros((size, sum(count for _, count in sizes))) for _ in range(2))
        self._arrays, before = (Arrays(model.mujoco, x, sizes, model.seconds) for x in (self._numbers, self._before))
        self._arrays.before = before
        self._still = np.zeros((size, *spaces[1].shape))  # the action before there is one

    def state(self, task: int, env: int) -> NDArray[np.float64]:
        """The physics state (`mujoco.mjtState.mjSTATE_INTEGRATION`) of one environment, float64 ``[state]``."""
        self._check_open()
        return np.array(self._engine.state(task * self.envs_per_task + env))

    def _set_tasks(self, tasks: list[Task]) -> None:
        plain, numbers = tasks, None
        if self._channel:
            plain, numbers = map(list, zip(*map(dyn.split, tasks), strict=True))
        for task in plain:
            self._rules.check(task)
        vectors = [task.array for task in plain]
        if self._rules.parameters or numbers:
            for row, vector in enumerate(vectors):
                values = self._values(vector, numbers and numbers[row])
                for env in range(self.envs_per_task):
                    self._engine.assign(row * self.envs_per_task + env, values)
        if self._channel and numbers:
            self._channel.set_tasks(numbers)
        self._arrays.task = self._arrays.before.task = np.repeat(vectors, self.envs_per_task, axis=0)

    def _values(self, vector: Double, numbers: Any) -> Double:
        """The numbers that a task has in place of the model's."""
        values = self._model.values.copy()
        if self._rules.parameters:
            own = self._rules.parameters(vector)
            values[: own.size] = own
        return dyn.scale(values, self._model.native.parameters, numbers) if numbers else values

    def _reset(self, seeds: list[int], mask: Bool) -> Float:
        qpos = np.tile(self._model.qpos, (mask.size, 1))
        qvel = np.tile(self._model.qvel, (mask.size, 1))
        if self._rules.start:
            for task, env in np.argwhere(mask).tolist():
                seed = int(np.random.SeedSequence([seeds[task], env]).generate_state(1)[0])
                index, rng = task * self.envs_per_task + env, np.random.default_rng(seed)
                qpos[index], qvel[index] = self._started(rng, self._arrays.task[index], qpos[index], qvel[index])
        self._engine.reset(mask.reshape(-1), qpos, qvel, self._numbers)
        self._before[:] = self._numbers
        self._arrays.action = self._still
        observation = self._observe()
        if self._channel is None:
            return observation
        self._channel.reset(seeds, mask)
        return self._channel.observe(observation, np.where(mask, 0, self._elapsed))

    def _started(self, rng: np.random.Generator, task: Double, qpos: Double, qvel: Double) -> tuple[Double, Double]:
        """The state that one episode starts in."""
        assert self._rules.start
        try:
            given = self._rules.start(rng, task.copy(), qpos.copy(), qvel.copy())
            pose, speed = (np.asarray(x, np.float64) for x in given)
        except Exception as error:
            raise EnvError(f"{self._rules.name}: start raised {in_words(error)}") from error
        for what, got, own in (("qpos", pose, qpos), ("qvel", speed, qvel)):
            if got.shape != own.shape or not np.isfinite(got).all():
                raise EnvError(
                    f"{self._rules.name}: start gave a {what} of shape {got.shape}, must be {own.shape}, all finite"
                )
        return pose, speed

    def _step(self, action: NDArray[Any], active: Bool) -> tuple[Float, NDArray[np.float64], Bool, Bool]:
        if self._channel:
            action = self._channel.act(action, self._elapsed)
        flat, rules = active.reshape(-1), self._rules
        # float32 first, as the action space has it; a frozen environment's NaN goes nowhere.
        ctrl = action.reshape(flat.size, -1).astype(np.float32).astype(np.float64).clip(*self._limits)
        self._before[:] = self._numbers
        self._engine.step(ctrl, flat, self._numbers)
        self._arrays.action = ctrl
        reward = self._call("reward", rules.reward).astype(np.float64, copy=False)
        terminated, success = (
            np.zeros(self.shape, bool) if function is None else self._call(name, function).astype(bool, copy=False)
            for name, function in (("terminated", rules.terminated), ("success", rules.success))
        )
        observation = self._observe()
        if self._channel:
            observation = self._channel.observe(observation, self._elapsed + 1)
        return observation, reward, terminated, success

    def observation_size(self) -> int:
        """How many numbers `Rules.observe` gives; for tasks that are set, before the first reset.

        Raises:
            EnvError: it gives something else than rows of numbers.
        """
        mask = np.ones(len(self._numbers), bool)
        qpos, qvel = (np.tile(x, (mask.size, 1)) for x in (self._model.qpos, self._model.qvel))
        self._engine.reset(mask, qpos, qvel, self._numbers)
        self._before[:], self._arrays.action = self._numbers, self._still
        return int(self._call("observe", self._rules.observe, None).shape[-1])

    def _observe(self) -> Double:
        return np.asarray(self._call("observe", self._rules.observe, self.observation_space.shape))

    def _call(self, name: str, function: Callable[[Arrays], Any], shape: tuple[int, ...] | None = ()) -> Any:
        """What one of the rules says of the arrays, ``[task, env, *shape]``, as a new array; None: a row of any
        length."""
        try:
            said = np.array(function(self._arrays))  # a view of the arrays would change with the next step
        except Exception as error:
            raise EnvError(f"{self._rules.name}: {name} raised {in_words(error)}") from error
        if shape is None:
            shape = said.shape[1:] if said.ndim == 2 else ("numbers",)  # type: ignore[assignment]
        expected = (len(self._still), *shape)  # type: ignore[misc]
        if said.shape != expected or said.dtype.kind not in "fiub":
            raise EnvError(f"{self._rules.name}: {name} gave {said.dtype} {said.shape}, must be numbers {expected}")
        return said.reshape(*self.shape, *said.shape[1:])

    def _hold(self) -> dict[str, NDArray[Any]]:
        states = [self._engine.state(index) for index in range(len(self._numbers))]
        arrays = {"state": np.array(states), "features": self._numbers}
        held = {name: array.reshape(*self.shape, -1).copy() for name, array in arrays.items()}
        return held | (self._channel.hold() if self._channel else {})

    def _resume(self, held: dict[str, NDArray[Any]], mask: Bool) -> None:
        flat = mask.reshape(-1)
        for index in np.flatnonzero(flat).tolist():
            task, env = divmod(index, self.envs_per_task)
            self._engine.load(index, np.ascontiguousarray(held["state"][task, env]))
        self._numbers[flat] = held["features"].reshape(flat.size, -1)[flat]
        if self._channel:
            self._channel.resume(held, mask)

    def _twin(self) -> TaskVectorEnv:
        return MujocoVectorEnv(*self.shape, *self._arguments, **self._options)  # type: ignore[arg-type]

    def _close(self) -> None:
        del self._engine
