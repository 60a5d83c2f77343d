"""Any single gymnasium environment as a task distribution.

The environment is told its task in one of two ways: a method ``set_task(vector)`` (found through wrappers), or
``reset(options={"task": vector})``. Nothing else is asked of it.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.api import Bool, Float, Task, TaskDistribution, TaskVectorEnv, sample_balanced
from envs.finite import TaskLists, digest, list_tasks
from envs.returned import Reader, ReturnedError
from envs.spaces import misfit
from envs.whole import whole

MAX_SEED = 2**31 - 1
"""Largest seed that an environment is given: simulators in C++ often keep it in 31 bits."""
CLIP = "policies are unbounded: wrap the environment in gymnasium.wrappers.ClipAction (outside RescaleAction, if any)"
ASKS_RESET = "the environment must read its task from reset(options={'task': vector})"
LIKE_SET_TASK = re.compile(r"(?!_|get)(\w*task\w*|(re)?set_?(goal|params?|context|mdp))", re.IGNORECASE)


Expert = Callable[[NDArray[Any], NDArray[np.float64]], Any]
"""The action at an observation ``[obs]`` by somebody who knows the numbers of the task ``[task_dim]``."""


class EnvError(RuntimeError):
    """An environment raised an error of its own, which is the cause of this one, or returned what gymnasium's do not;
    the message says where, and what may help."""


class TaskError(EnvError, ValueError):
    """An environment's `set_task` raised an error of its own, which is the cause of this one."""


def draw_vector(name: str, sample_vector: Callable[..., Any] | None, rng: np.random.Generator) -> tuple[float, ...]:
    """The numbers of one task of `name`, from a function of the user's."""
    assert sample_vector is not None
    try:
        drawn = sample_vector(rng)
    except Exception as error:
        raise EnvError(f"{name}: sample_vector raised {in_words(error)}") from error
    try:
        if isinstance(drawn, (str, bytes)):
            raise TypeError
        numbers = tuple(float(number) for number in np.asarray(drawn).tolist())
        if not np.isfinite(numbers).all():
            raise ValueError
    except (TypeError, ValueError):
        wrong = " ".join(repr(drawn).split())
        raise EnvError(f"{name}: sample_vector gave {wrong}; valid: a list of finite numbers, like [0.5]") from None
    return numbers


class GivenTasks(TaskDistribution):
    """A distribution whose tasks a function of the user's draws, or the user has listed; `_give` says which."""

    def _give(
        self,
        name: str,
        split: str,
        sample_vector: Callable[[np.random.Generator], Sequence[float] | NDArray[Any]] | None,
        tasks: TaskLists | None,
    ) -> None:
        """Hold where the tasks come from.

        Raises:
            ValueError: nothing says which tasks there are, or the lists do not fit.
        """
        if sample_vector is None and tasks is None:
            raise ValueError(f"{name}: nothing says which tasks there are: give sample_vector, or tasks")
        self.name, self.split, self.families = name, split, (name,)
        self._tasks = None if tasks is None else list_tasks(name, tasks, split)
        self.sample_vector = sample_vector

    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        """`count` independent draws, or `count` tasks of the list, without repeats while it has any left."""
        if self._tasks is not None:
            return sample_balanced(rng, {self.name: self._tasks}, count)
        return [Task(self.name, draw_vector(self.name, self.sample_vector, rng)) for _ in range(count)]

    def tasks(self) -> list[Task] | None:
        """All tasks of the split in their order, if they were listed."""
        return None if self._tasks is None else list(self._tasks)

    def fingerprint(self) -> dict[str, Any]:
        """See `TaskDistribution.fingerprint`; with the sha256 of the tasks, if they were listed."""
        about = super().fingerprint()
        return about if self._tasks is None else {**about, "tasks": digest(self._tasks)}


class GymDistribution(GivenTasks):
    """Tasks drawn by a function, environments made by another.

    Args:
        name: used as the family name too.
        make_env: returns a fresh `gymnasium.Env` with a Box observation and a Box or Discrete action space.
        sample_vector: draws the numbers of one task from a generator; None where `tasks` lists them.
        horizon: env steps per episode at most; an episode is truncated there, or earlier if the env does so.
        deterministic: the env has no randomness of its own.
        success_key: name of the info field that is true (or 1) when the goal is met; absent means not met, and where
            it is absent throughout, no success is reported. None: there is no goal.
        tasks: finitely many tasks, ``{"train": [vector, ...], "test": [vector, ...]}``, which no two splits share. They
            are drawn instead of `sample_vector`, and an evaluation takes all of them.
        in_turn: play the episodes of a task one after another in one object of the environment, instead of side by side
            in as many objects.
        expert: for learners that imitate: the action at an observation, from the numbers of the task.

    Raises:
        TypeError: `make_env` makes no environment, or one whose spaces no learner takes.

    Example:
        >>> distribution = GymDistribution("pendulum", make_pendulum, lambda rng: rng.uniform(5, 15, 1), horizon=200)
    """

    def __init__(
        self,
        name: str,
        make_env: Callable[[], gym.Env[Any, Any]],
        sample_vector: Callable[[np.random.Generator], Sequence[float] | NDArray[Any]] | None,
        horizon: int,
        *,
        split: str = "train",
        deterministic: bool = False,
        success_key: str | None = "success",
        tasks: TaskLists | None = None,
        in_turn: bool = False,
        expert: Expert | None = None,
    ) -> None:
        self._give(name, split, sample_vector, tasks)
        self.horizon, self.make_env = whole(f"{name}: horizon", horizon), make_env
        self.deterministic, self.success_key = deterministic, success_key
        self.has_success, self.in_turn = success_key is not None, in_turn
        self.expert, self.has_expert = expert, expert is not None
        probe = make_env()
        if not isinstance(probe, gym.Env):
            raise TypeError(f"{name}: make_env must return a gymnasium.Env, got {type(probe).__name__}")
        if wrong := misfit(probe.observation_space, probe.action_space):
            raise TypeError(f"{name}: {wrong}")
        if alike := look_alikes(probe):
            warnings.warn(f"{name}: no set_task, so {ASKS_RESET}; never called: {', '.join(alike)}", stacklevel=2)
        self.observation_space, self.action_space = probe.observation_space, clipped_space(probe)
        probe.close()

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """``num_tasks * envs_per_task`` objects of the environment, stepped one after another."""
        grid = [[self.make_env() for _ in range(envs_per_task)] for _ in range(num_tasks)]
        return GymVectorEnv(grid, self.name, self.horizon, self.success_key, self.expert)


class GymVectorEnv(TaskVectorEnv):
    """A `TaskVectorEnv` over separate `gymnasium.Env` objects, ``grid[task][env]``."""

    def __init__(
        self,
        grid: list[list[gym.Env[Any, Any]]],
        family: str,
        horizon: int,
        success_key: str | None,
        expert: Expert | None = None,
    ) -> None:
        first: Any = grid[0][0]
        super().__init__(len(grid), len(grid[0]), first.observation_space, clipped_space(first), horizon)
        self._family, self._envs, self._success_key = family, grid, success_key
        self._reader = Reader(self.observation_space, success_key or "")
        self._has_set_task = first.has_wrapper_attr("set_task")
        self._advice, self._expert = "", expert

    @property
    def missing_success(self) -> str:
        """See `envs.TaskVectorEnv.missing_success`."""
        return self._reader.missing_success

    def state(self, task: int, env: int) -> NDArray[np.float64]:
        """The attribute ``state`` of the environment, where it has one made of numbers (Gymnasium's classic ones)."""
        self._check_open()
        try:
            state = np.asarray(getattr(self._envs[task][env].unwrapped, "state", None))
        except Exception:  # a property that is not there yet, a list of lists: nothing that can be drawn
            return np.zeros(0)
        return state.astype(np.float64).reshape(-1) if state.dtype.kind in "fiu" else np.zeros(0)

    def expert_action(self, observation: Float) -> NDArray[Any] | None:
        """See `TaskVectorEnv.expert_action`: the user's function, and its answers cut off at the bounds of a box.

        Raises:
            EnvError: it raises an error, or answers with what is no action.
        """
        if self._expert is None:
            return None
        space: Any = self.action_space
        chosen = np.zeros((*observation.shape[:-1], *space.shape), space.dtype)
        for place in np.ndindex(observation.shape[:-1]):
            vector = self.tasks[place[0]].array
            try:
                chosen[place] = np.asarray(self._expert(observation[place].copy(), vector)).reshape(space.shape)
            except Exception as error:
                where = f"task {self.tasks[place[0]].to_json()}, expert(observation, vector)"
                raise EnvError(f"{where}: {in_words(error)}; valid: an action of {space}") from error
        return np.clip(chosen, space.low, space.high) if isinstance(space, gym.spaces.Box) else chosen

    def _set_tasks(self, tasks: list[Task]) -> None:
        for task in tasks:
            if task.family != self._family:
                raise ValueError(f"expected a task of family {self._family!r}, got {task.to_json()}")
        self._reader.forget()
        if self._has_set_task:
            for row, task in enumerate(tasks):
                for column in range(self.envs_per_task):
                    self._tell(row, column, task)

    def _tell(self, row: int, column: int, task: Task) -> None:
        """Call the `set_task` of one environment."""
        try:
            self._envs[row][column].get_wrapper_attr("set_task")(task.array)
        except (Exception, SystemExit) as error:
            where = f"env [{row}, {column}], task {task.to_json()}, set_task(array of {len(task.vector)})"
            raise TaskError(f"{where}: {in_words(error)}") from error

    def _reset(self, seeds: list[int], mask: Bool) -> Float:
        observation = np.zeros((*self.shape, *self.observation_space.shape), self.observation_space.dtype)
        for task, env in np.argwhere(mask):
            seed = int(np.random.SeedSequence([seeds[task], int(env)]).generate_state(1)[0]) & MAX_SEED
            options = None if self._has_set_task else {"task": self.tasks[task].array}
            observation[task, env] = self._call_reset(task, env, seed=seed, options=options)
        return observation

    def _call_reset(self, task: int, env: int, **given: Any) -> NDArray[Any]:
        """The observation that one environment gives at its reset."""
        try:
            return self._reader.reset(self._envs[task][env].reset(**given))
        except (Exception, SystemExit) as error:
            raise EnvError(f"{self._called(task, env)}, reset: {in_words(error)}{self._advice}") from error

    def _step(self, action: NDArray[Any], active: Bool) -> tuple[Float, NDArray[np.float64], Bool, Bool]:
        observation = np.zeros((*self.shape, *self.observation_space.shape), self.observation_space.dtype)
        reward, terminated, success = np.zeros(self.shape), np.zeros(self.shape, bool), np.zeros(self.shape, bool)
        for task, env in np.argwhere(active):
            i = (task, env)
            observation[i], reward[i], terminated[i], truncated, success[i] = self._call_step(task, env, action[i])
            if truncated:  # the env's own time limit came first: the episode ends here, but is not terminal
                self._elapsed[i] = self.horizon - 1
        return observation, reward, terminated, success

    def _call_step(self, task: int, env: int, action: Any) -> tuple[NDArray[Any], float, bool, bool, bool]:
        """Observation, reward, terminated, truncated and success that one environment gives."""
        try:
            return self._reader.step(self._envs[task][env].step(action))
        except (Exception, SystemExit) as error:
            where = f"{self._called(task, env)}, step {self._elapsed[task, env]}"
            raise EnvError(f"{where}: {in_words(error)}{self._beyond(action)}{self._advice}") from error

    def _beyond(self, action: Any) -> str:
        """What to know of an action outside its bounds, which may be why its step went wrong."""
        space = self._envs[0][0].action_space
        if not isinstance(space, gym.spaces.Box) or ((space.low <= action) & (action <= space.high)).all():
            return ""
        return f"; its action {action.tolist()} is outside its bounds, and {CLIP}"

    def _called(self, task: int, env: int) -> str:
        return f"env [{task}, {env}], task {self.tasks[task].to_json()}"

    def _hold(self) -> dict[str, NDArray[Any]]:
        objects = np.empty(self.shape, object)
        for task, env in np.ndindex(self.shape):
            objects[task, env] = self._copied(self._envs[task][env])
        return {"envs": objects}

    def _resume(self, held: dict[str, NDArray[Any]], mask: Bool) -> None:
        for task, env in np.argwhere(mask).tolist():
            left, self._envs[task][env] = self._envs[task][env], self._copied(held["envs"][task, env])
            left.close()

    def _copied(self, env: gym.Env[Any, Any]) -> Any:
        """Somebody's own environment once more, as Python copies it."""
        try:
            return copy.deepcopy(env)
        except Exception as error:
            raise EnvError(f"{env} cannot be copied in the middle of an episode: {in_words(error)}") from error

    def _twin(self) -> GymVectorEnv:
        grid = [[self._copied(env) for env in row] for row in self._envs]
        return GymVectorEnv(grid, self._family, self.horizon, self._success_key, self._expert)

    def _close(self) -> None:
        for row in self._envs:
            for env in row:
                env.close()


class SingleEnv(GymVectorEnv):
    """Somebody's own `gymnasium.Env` as a `TaskVectorEnv` of one environment, which stays on the task that it has.

    It is not told a task (`set_tasks` takes any), its episodes start from ``reset(seed=seed)`` with the seed as it is,
    and it is left open by `close`.
    """

    def __init__(self, env: gym.Env[Any, Any], horizon: int, success_key: str = "success") -> None:
        super().__init__([[env]], "", horizon, success_key)
        self._advice = "; was its set_task called first?" if self._has_set_task else ""
        self.set_tasks([Task("", ())])

    def _set_tasks(self, tasks: list[Task]) -> None:
        pass

    def _reset(self, seeds: list[int], mask: Bool) -> Float:
        return self._call_reset(0, 0, seed=seeds[0])[None, None]

    def _called(self, task: int, env: int) -> str:
        return f"{self._envs[task][env]}"

    def _copied(self, env: gym.Env[Any, Any]) -> Any:
        raise NotImplementedError(f"{env} is its owner's and is not copied")

    def _close(self) -> None:
        pass


def clipped_space(env: gym.Env[Any, Any]) -> Any:
    """The action space of `env`; below a `ClipAction`, which has no bounds of its own, that to which it clips."""
    layer: Any = env
    while isinstance(layer, gym.Wrapper) and layer.action_space == env.action_space:
        if isinstance(layer, gym.wrappers.ClipAction):
            return layer.env.action_space
        layer = layer.env
    return env.action_space


def look_alikes(env: gym.Env[Any, Any]) -> list[str]:
    """Methods that may be meant to take a task, of an environment and its wrappers that have no `set_task`."""
    if env.has_wrapper_attr("set_task"):
        return []
    layers: list[Any] = [env]
    while isinstance(layers[-1], gym.Wrapper):
        layers.append(layers[-1].env)
    named = [(type(layer), name) for layer in layers for name in dir(type(layer)) if LIKE_SET_TASK.fullmatch(name)]
    return sorted({name for kind, name in named if callable(getattr(kind, name, None))})


def in_words(error: BaseException) -> str:
    """An error in one line. Some libraries' errors say nothing: assertions without a word."""
    if isinstance(error, ReturnedError):
        return str(error)
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else f"{type(error).__name__} without a message"
