"""A robot of one's own: an MJCF model and a few functions as a task distribution on the native engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs import dynamics as dyn
from envs.api import Task, TaskVectorEnv
from envs.finite import TaskLists
from envs.scene import Scene
from envs.vector import EnvError, GivenTasks, in_words
from envs.whole import whole

if TYPE_CHECKING:
    import mujoco

    from envs.mjcf.arrays import Arrays
    from envs.mjcf.engine import Rules, Start
    from envs.mjcf.model import Model
    from envs.mujoco_scene import View

Double = NDArray[np.float64]
Judge = Callable[["Arrays"], Any]
"""Arrays of all environments -> a number or a row of numbers for each of them."""

NOT_NEGATIVE = ("body_mass", "body_inertia", "dof_damping", "dof_armature", "dof_frictionloss", "jnt_stiffness",
                "geom_friction")  # fmt: skip
"""The arrays of mjModel whose numbers are at least 0."""
PROBES = 3
"""Environments that the functions are tried on before anything is trained."""


class MujocoDistribution(GivenTasks):
    """Tasks of a robot that an MJCF model describes.

    The functions see all environments at once: they are numpy over `envs.mjcf.arrays.Arrays`, whose first axis is the
    environment. They are tried when the distribution is made.

    Args:
        name: used as the family name too.
        model: path of an MJCF file, or its text.
        frame_skip: physics steps per env step.
        horizon: env steps per episode.
        observe: arrays -> observations ``[env, obs]``; what shows the task is given away.
        reward: arrays -> rewards ``[env]`` of the step.
        terminated: arrays -> where the episode has ended, ``[env]``; None: it lasts for the horizon.
        success: arrays -> where the goal is met at this step, ``[env]``; None: there is no goal.
        sample_vector: draws the numbers of one task from a generator; None where `tasks` lists them.
        tasks: finitely many tasks, ``{"train": [vector, ...], "test": [vector, ...]}``, which no two splits share.
        parameters: ``(task vector, model)`` -> arrays of mjModel that the task changes, by name, each in full; start
            from a copy of ``model.body_mass`` and the like.
        start: ``(rng, task vector, qpos, qvel)``, the initial pose and speed -> those that an episode starts with;
            None: these.
        reads: arrays of mjData that the functions read, keys of `envs.mjcf.arrays.COMPONENTS`.
        goal: task vector -> the place (m) that is drawn as the goal.
        view: an `envs.mujoco_scene.View`, or the name of a camera in the model. None: the model from the side.
        trail: name of the body whose path is drawn; default the first one.
        split: ``"train"`` or ``"test"``.
        num_threads: threads of the native engine; default one per available core. Results do not depend on it.
    Raises:
        EnvError: a model that cannot be read, or a function that does not give what it should; in one line.
    """

    no_dynamics = ""

    def __init__(
        self,
        name: str,
        model: str | Path,
        *,
        frame_skip: int,
        horizon: int,
        observe: Judge,
        reward: Judge,
        terminated: Judge | None = None,
        success: Judge | None = None,
        sample_vector: Callable[[np.random.Generator], Sequence[float] | NDArray[Any]] | None = None,
        tasks: TaskLists | None = None,
        parameters: Callable[[Double, mujoco.MjModel], Mapping[str, Any]] | None = None,
        start: Start | None = None,
        reads: Sequence[str] = ("qpos", "qvel", "xpos", "site_xpos"),
        goal: Callable[[Double], Sequence[float] | NDArray[Any]] | None = None,
        view: View | str | None = None,
        trail: str = "",
        split: str = "train",
        num_threads: int | None = None,
    ) -> None:
        self._give(name, split, sample_vector, tasks)
        self.frame_skip = whole(f"{name}: frame_skip", frame_skip)
        self.horizon = whole(f"{name}: horizon", horizon)
        self.has_success, self.deterministic = success is not None, start is None
        self.num_threads = num_threads
        self._functions = {"observe": observe, "reward": reward, "terminated": terminated, "success": success}
        self._parameters, self._start, self._reads = parameters, start, tuple(reads)
        self._goal, self._view, self._trail = goal, view, trail
        self._source = str(model) if str(model).lstrip().startswith("<") else str(Path(model).absolute())
        self._models: dict[bool, Model] = {}
        self._changed: tuple[str, ...] | None = None  # names of the arrays that tasks change, once they are known
        self.action_space = _action_space(name, self._load(False).mujoco)
        self._probe()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_models": {}}  # read again by who needs them

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """Environments on the native engine."""
        return self._make(num_tasks, envs_per_task, False)

    def make_varied(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """Environments on the native engine, with dynamics of their own."""
        return self._make(num_tasks, envs_per_task, True)

    def scene(self, task: Task) -> Scene:
        """The robot with what the task changes, and the goal if it is a place."""
        from envs.mjcf.render import scene

        changes, point = self._changes(task.array), self._point(task.array)
        return scene(self.name, self._source, task, changes, point, self._trail, self._view)

    def fingerprint(self) -> dict[str, Any]:
        """Adds a digest of the model and the version of the physics."""
        text = self._source if self._source.lstrip().startswith("<") else Path(self._source).read_text()
        return super().fingerprint() | {
            "model": hashlib.sha256(text.encode()).hexdigest(),
            "frame_skip": self.frame_skip,
            "engine": "native",
            "mujoco": metadata.version("mujoco"),
        }

    # -- its parts ----------------------------------------------------------------------------------------------

    def _load(self, dynamics: bool) -> Model:
        """The model in the engine, with the arrays that tasks may have of their own."""
        if dynamics not in self._models:
            from envs.mjcf.model import make_model, read_model

            model = read_model(self.name, self._source)
            self._check_reads()
            if self._changed is None:
                self._changed = tuple(self._changes(self._example().array, model))
            own = (*self._changed, *(dyn.ARRAYS if dynamics else ()))
            try:
                self._models[dynamics] = make_model(model, self.frame_skip, self._reads, own)
            except ValueError as error:
                raise EnvError(f"{self.name}: parameters: {error}") from error
        return self._models[dynamics]

    def _check_reads(self) -> None:
        """Refuse arrays that the engine does not have."""
        from envs.mjcf.arrays import COMPONENTS

        for array in self._reads:
            if array not in COMPONENTS:
                raise EnvError(f"{self.name}: reads: the engine has no array {array}; valid: {', '.join(COMPONENTS)}")

    def _example(self) -> Task:
        return self.sample(np.random.default_rng(0), 1)[0]

    def _changes(self, vector: Double, model: mujoco.MjModel | None = None) -> dict[str, Double]:
        """What a task changes in the model: name of the array -> its numbers, in the array's shape; the same arrays in
        the same order for every task."""
        if self._parameters is None:
            return {}
        model = self._load(False).mujoco if model is None else model
        where = f"{self.name}: parameters of task {vector.tolist()}"
        try:
            given = dict(self._parameters(vector.copy(), model))
        except Exception as error:
            raise EnvError(f"{where}: {in_words(error)}; valid: a dict of arrays of the model") from error
        if self._changed is not None and set(given) != set(self._changed):
            raise EnvError(
                f"{where} changes {', '.join(given) or 'nothing'}, but another task changes "
                f"{', '.join(self._changed) or 'nothing'}; valid: the same arrays for every task"
            )
        return {name: _array(f"{where}: {name}", name, given[name], model) for name in self._changed or given}

    def _point(self, vector: Double) -> list[float] | None:
        """The place of the goal of a task, if it has one."""
        if self._goal is None:
            return None
        try:
            place = np.array(self._goal(vector.copy()), np.float64)
        except Exception as error:
            raise EnvError(f"{self.name}: goal of task {vector.tolist()}: {in_words(error)}") from error
        if place.shape != (3,) or not np.isfinite(place).all():
            raise EnvError(
                f"{self.name}: goal of task {vector.tolist()} must be a place [x, y, z], got {place.tolist()}"
            )
        return [float(x) for x in place]

    def _rules(self) -> Rules:
        """The functions as the engine calls them."""
        from envs.mjcf.engine import Rules

        def numbers(vector: Double) -> Double:
            return np.concatenate([np.zeros(0), *(array.ravel() for array in self._changes(vector).values())])

        return Rules(
            self.name,
            **self._functions,  # type: ignore[arg-type]
            check=self._check,
            start=self._start,
            parameters=numbers if self._parameters else None,
        )

    def _check(self, task: Task) -> None:
        """Refuse a task of something else."""
        size = self._size
        if task.family != self.name or len(task.vector) != size or not np.isfinite(task.vector).all():
            raise ValueError(f"not a task of {self.name} ({size} finite numbers): {task.to_json()}")

    def _make(self, num_tasks: int, envs_per_task: int, dynamics: bool) -> TaskVectorEnv:
        from envs.mjcf.engine import MujocoVectorEnv

        return MujocoVectorEnv(
            num_tasks,
            envs_per_task,
            self._load(dynamics),
            self._rules(),
            (self.observation_space, self.action_space),  # type: ignore[arg-type]
            self.horizon,
            dynamics=dynamics,
            num_threads=self.num_threads,
        )

    def _probe(self) -> None:
        """Find the size of observations, and try all functions on a few environments; look up the names to be drawn.

        Raises:
            EnvError: one of them gives something else than it should.
        """
        tasks = self.sample(np.random.default_rng(0), PROBES)
        self._size = len(tasks[0].vector)
        self._point(tasks[0].array)
        from envs.mjcf.model import find

        model = self._load(False).mujoco
        if isinstance(self._view, str):
            find(f"{self.name}: view", model, "camera", self._view)
        if self._trail:
            find(f"{self.name}: trail", model, "body", self._trail)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (0,), np.float64)
        with self._make(PROBES, 1, False) as env:
            env.set_tasks(tasks)
            self.observation_space = gym.spaces.Box(-np.inf, np.inf, (env.observation_size(),), np.float64)  # type: ignore[attr-defined]
        actions = np.random.default_rng(0).uniform(-1, 1, (2, PROBES, 1, *self.action_space.shape)).astype(np.float32)
        with self._make(PROBES, 1, False) as env:
            env.set_tasks(tasks)
            seen = {"observe": env.reset(range(PROBES))}
            for action in actions:
                for what, numbers in seen.items():
                    if not np.isfinite(numbers).all():
                        raise EnvError(f"{self.name}: {what} gave NaN or infinity")
                step = env.step(action)
                seen = {"observe": step.observation, "reward": step.reward}


def _array(where: str, name: str, given: Any, model: mujoco.MjModel) -> Double:
    """What a task has in place of one array of the model, in the array's shape; `where` begins its errors."""
    own: Any = model.opt.gravity if name == "gravity" else getattr(model, str(name), None)
    if not isinstance(own, np.ndarray):
        raise EnvError(f"{where}: the model has no such array")
    try:
        array = np.array(given, np.float64)
    except (TypeError, ValueError):
        raise EnvError(f"{where} must be numbers, {own.shape}, got {' '.join(repr(given).split())}") from None
    if array.size != own.size:
        raise EnvError(f"{where} has {array.size} numbers, must have {own.size}, {own.shape}")
    low = 0.0 if name in NOT_NEGATIVE else -np.inf
    wrong = array[~(np.isfinite(array) & (array >= low))]
    if wrong.size:
        bound = "finite and at least 0" if low == 0 else "finite"
        raise EnvError(f"{where} must be {bound}, got {wrong[0]:g}")
    return array.reshape(own.shape)


def _action_space(name: str, model: mujoco.MjModel) -> gym.spaces.Box:
    """The range of the motors.

    Raises:
        EnvError: there are none, or one has no range.
    """
    if model.nu == 0:
        raise EnvError(f"{name}: the model has no actuators")
    for i in np.flatnonzero(model.actuator_ctrllimited == 0)[:1]:
        known = model.actuator(int(i)).name or f"number {i}"
        raise EnvError(f"{name}: actuator {known} has no ctrlrange, which actions are clipped to")
    low, high = model.actuator_ctrlrange.T.astype(np.float32)
    return gym.spaces.Box(low, high, dtype=np.float32)
