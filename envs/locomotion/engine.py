"""Gymnasium's robots on the native engine, behind the `TaskVectorEnv` contract.

The engine moves the robots in worker threads without the GIL and hands out arrays of mjData; observations, rewards and
falls are numpy over the whole batch, here. Bit-exact with Gymnasium's v5 environments, start states included:
environment ``(seed, env)`` starts as v5 does after ``reset(seed=SeedSequence([seed, env]).generate_state(1)[0])``.
Like v5, it leaves a simulation that blows up to MuJoCo, which puts it back at its initial pose.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import mujoco  # first: the engine needs its library
import numpy as np
from numpy.typing import NDArray

from envs.api import Bool, Float, Task, TaskVectorEnv
from envs.locomotion import _engine
from envs.locomotion.presets import PROGRESS, Preset, spaces
from envs.locomotion.robots import PARAMETERS, ROBOTS, Double, Features, model_path
from envs.threads import count_threads


class Model(NamedTuple):
    """A robot in the engine, and the numbers of its model that are needed outside."""

    native: _engine.Robot
    parameters: Double
    """Values of `PARAMETERS` in the model, one array after the other; empty for fixed dynamics."""
    mass: Double
    """Masses of the bodies, ``[body]``, kg."""
    qpos: Double
    """The initial pose, before noise."""
    qvel: Double
    seconds: float
    """Seconds of an env step."""


@functools.cache
def load(name: str, randomised: bool) -> Model:
    """The model of a robot, loaded once per process.

    Args:
        name: a key of `robots.ROBOTS`.
        randomised: environments may have `PARAMETERS` of their own.
    Raises:
        RuntimeError: the installed Gymnasium has another model than `robots` describes.
    """
    robot = ROBOTS[name]
    model = mujoco.MjModel.from_xml_path(model_path(robot))
    sizes = (model.nq, model.nv, model.nu) == (robot.num_qpos, robot.num_qvel, robot.num_actions)
    if not sizes or not np.allclose(model.actuator_ctrlrange, [-robot.max_action, robot.max_action]):
        raise RuntimeError(f"{robot.xml} of the installed gymnasium is not the model that envs.locomotion was made for")
    data = mujoco.MjData(model)
    names = list(PARAMETERS) if randomised else []
    return Model(
        _engine.make_robot(model, robot.frame_skip, robot.features, names),
        np.concatenate([np.zeros(0), *(getattr(model, parameter).ravel() for parameter in names)]),
        model.body_mass.copy(),
        data.qpos.copy(),
        data.qvel.copy(),
        model.opt.timestep * robot.frame_skip,
    )


class LocomotionVectorEnv(TaskVectorEnv):
    """Robots ``[task, env]`` with the tasks of one preset; `close` ends the worker threads.

    Actions are floats ``[task, env, motor]``, clipped to the action space. There is no success: it is always False.
    """

    def __init__(
        self, num_tasks: int, envs_per_task: int, preset: Preset, horizon: int, num_threads: int | None = None
    ) -> None:
        """Make the environments.

        Args:
            horizon: env steps per episode.
            num_threads: threads that step, the calling one included. Default: one per available core.
        """
        super().__init__(num_tasks, envs_per_task, *spaces(preset), horizon)
        self._preset, self._robot, self._num_threads = preset, preset.body, num_threads
        self._model = load(preset.shared.robot, preset.targets == "scales")
        size = num_tasks * envs_per_task
        self._engine = _engine.Engine(self._model.native, size, count_threads(num_threads))
        arrays = self._model.native.features
        self._numbers = np.zeros((size, sum(count for _, count in arrays)))
        ends = np.cumsum([count for _, count in arrays])
        self._features: Features = {
            name: self._numbers[:, end - count : end] for (name, count), end in zip(arrays, ends, strict=True)
        }
        self._place = np.zeros((size, self._robot.root))  # m, at the last step
        self._target = np.zeros((size, preset.task_dim))

    def state(self, task: int, env: int) -> NDArray[np.float64]:
        """The physics state (`mujoco.mjtState.mjSTATE_INTEGRATION`) of one environment, float64 ``[state]``."""
        self._check_open()
        return np.array(self._engine.state(task * self.envs_per_task + env))

    def _set_tasks(self, tasks: list[Task]) -> None:
        for task in tasks:
            self._check_task(task)
        self._target = np.repeat([task.vector for task in tasks], self.envs_per_task, axis=0)
        if self._preset.targets == "scales":
            for index, factors in enumerate(self._target):
                self._engine.assign(index, self._model.parameters * factors)

    def _check_task(self, task: Task) -> None:
        family, size = self._preset.family, self._preset.task_dim
        if task.family != family or len(task.vector) != size or not np.isfinite(task.vector).all():
            raise ValueError(f"not a task of {self._preset.name} ({family!r} and {size} numbers): {task.to_json()}")
        if self._preset.targets == "scales" and min(task.vector) <= 0:
            raise ValueError(f"{self._preset.name}: factors on masses and the like must be above 0: {task.to_json()}")

    def _reset(self, seeds: list[int], mask: Bool) -> Float:
        qpos = np.tile(self._model.qpos, (mask.size, 1))
        qvel = np.tile(self._model.qvel, (mask.size, 1))
        for task, env in np.argwhere(mask).tolist():
            seed = int(np.random.SeedSequence([seeds[task], env]).generate_state(1)[0])
            index, rng = task * self.envs_per_task + env, np.random.default_rng(seed)
            qpos[index], qvel[index] = self._robot.draw_start(rng, qpos[index], qvel[index])
        self._engine.reset(mask.reshape(-1), qpos, qvel, self._numbers)
        self._place = self._locate()
        return self._observe()

    def _step(self, action: NDArray[Any], active: Bool) -> tuple[Float, NDArray[np.float64], Bool, Bool]:
        limit, preset, robot = self._robot.max_action, self._preset, self._robot
        flat = active.reshape(-1)
        # float32 first, as v5's action space has it; a frozen environment's NaN goes nowhere.
        ctrl = action.reshape(flat.size, -1).astype(np.float32).astype(np.float64).clip(-limit, limit)
        self._engine.step(ctrl, flat, self._numbers)
        place = self._locate()
        velocity = (place - self._place) / self._model.seconds
        self._place = place
        reward = preset.shared.weight * PROGRESS[preset.shared.progress](velocity, place, self._target)
        if preset.ctrl:
            reward = reward - preset.ctrl * np.square(ctrl).sum(1)
        if preset.contact:
            reward = reward - robot.contact_cost(self._features, preset.contact)
        healthy = robot.is_healthy(self._features, preset.height) if preset.height else np.ones(flat.size, bool)
        reward = reward + preset.alive * healthy
        terminated = ~healthy.reshape(self.shape)
        return self._observe(), reward.reshape(self.shape), terminated, np.zeros(self.shape, bool)

    def _locate(self) -> Double:
        """Places in the world ``[env, root]``, a copy: the features change under the next step."""
        return self._robot.position(self._features, self._model.mass).copy()

    def _observe(self) -> Double:
        return self._robot.observe(self._features, self._preset.shared.place).reshape(*self.shape, -1)

    def _hold(self) -> dict[str, NDArray[Any]]:
        states = [self._engine.state(index) for index in range(len(self._numbers))]
        arrays = {"state": np.array(states), "features": self._numbers}
        return {name: array.reshape(*self.shape, -1).copy() for name, array in arrays.items()}

    def _resume(self, held: dict[str, NDArray[Any]], mask: Bool) -> None:
        flat = mask.reshape(-1)
        for index in np.flatnonzero(flat).tolist():
            task, env = divmod(index, self.envs_per_task)
            self._engine.load(index, np.ascontiguousarray(held["state"][task, env]))
        self._numbers[flat] = held["features"].reshape(flat.size, -1)[flat]
        self._place = self._locate()

    def _twin(self) -> LocomotionVectorEnv:
        return LocomotionVectorEnv(*self.shape, self._preset, self.horizon, self._num_threads)

    def _close(self) -> None:
        del self._engine
