"""Any single gymnasium environment as a task distribution.

The environment is told its task in one of two ways: a method ``set_task(vector)`` (found through wrappers), or
``reset(options={"task": vector})``. Nothing else is asked of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.api import Bool, Float, Task, TaskDistribution, TaskVectorEnv, sample_balanced
from envs.finite import TaskLists, digest, list_tasks


class EnvError(RuntimeError):
    """An environment raised an error of its own, which is the cause of this one; the message says where, and what may
    help."""


class GymDistribution(TaskDistribution):
    """Tasks drawn by a function, environments made by another.

    Args:
        name: used as the family name too.
        make_env: returns a fresh `gymnasium.Env` with a Box observation and a Box or Discrete action space.
        sample_vector: draws the numbers of one task from a generator; None where `tasks` lists them.
        horizon: env steps per episode at most; an episode is truncated there, or earlier if the env does so.
        deterministic: the env has no randomness of its own.
        success_key: name of the info field that is true when the goal is met (absent means not met); None: there is
            no goal.
        tasks: finitely many tasks, ``{"train": [vector, ...], "test": [vector, ...]}``, which no two splits share. They
            are drawn instead of `sample_vector`, and an evaluation takes all of them.
        in_turn: play the episodes of a task one after another in one object of the environment, instead of side by side
            in as many objects.

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
    ) -> None:
        if horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {horizon}")
        self.name, self.split, self.horizon = name, split, horizon
        self.families = (name,)
        self.deterministic, self.success_key = deterministic, success_key
        self.has_success, self.in_turn = success_key is not None, in_turn
        if sample_vector is None and tasks is None:
            raise ValueError(f"{name}: nothing says which tasks there are: give sample_vector, or tasks")
        self._tasks = None if tasks is None else list_tasks(name, tasks, split)
        self.make_env, self.sample_vector = make_env, sample_vector
        probe = make_env()
        if not isinstance(probe.observation_space, gym.spaces.Box):
            raise TypeError(f"{name}: observation space must be a Box, got {probe.observation_space}")
        if not isinstance(probe.action_space, (gym.spaces.Box, gym.spaces.Discrete)):
            raise TypeError(f"{name}: action space must be a Box or Discrete, got {probe.action_space}")
        self.observation_space, self.action_space = probe.observation_space, probe.action_space
        probe.close()

    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        """`count` independent draws, or `count` tasks of the list, without repeats while it has any left."""
        if self._tasks is not None:
            return sample_balanced(rng, {self.name: self._tasks}, count)
        assert self.sample_vector is not None
        return [Task(self.name, tuple(np.asarray(self.sample_vector(rng)).tolist())) for _ in range(count)]

    def tasks(self) -> list[Task] | None:
        """All tasks of the split in their order, if they were listed."""
        return None if self._tasks is None else list(self._tasks)

    def fingerprint(self) -> dict[str, Any]:
        """See `TaskDistribution.fingerprint`; with the sha256 of the tasks, if they were listed."""
        about = super().fingerprint()
        return about if self._tasks is None else {**about, "tasks": digest(self._tasks)}

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """``num_tasks * envs_per_task`` objects of the environment, stepped one after another."""
        grid = [[self.make_env() for _ in range(envs_per_task)] for _ in range(num_tasks)]
        return GymVectorEnv(grid, self.name, self.horizon, self.success_key)


class GymVectorEnv(TaskVectorEnv):
    """A `TaskVectorEnv` over separate `gymnasium.Env` objects, ``grid[task][env]``."""

    def __init__(self, grid: list[list[gym.Env[Any, Any]]], family: str, horizon: int, success_key: str | None) -> None:
        first: Any = grid[0][0]
        super().__init__(len(grid), len(grid[0]), first.observation_space, first.action_space, horizon)
        self._family, self._success_key, self._envs = family, success_key or "", grid
        self._has_set_task = first.has_wrapper_attr("set_task")
        self._advice = ""

    def state(self, task: int, env: int) -> NDArray[np.float64]:
        """The attribute ``state`` of the environment, where it has one made of numbers (Gymnasium's classic ones)."""
        self._check_open()
        state = np.asarray(getattr(self._envs[task][env].unwrapped, "state", None))
        return state.astype(np.float64).reshape(-1) if state.dtype.kind in "fiu" else np.zeros(0)

    def _set_tasks(self, tasks: list[Task]) -> None:
        for task in tasks:
            if task.family != self._family:
                raise ValueError(f"expected a task of family {self._family!r}, got {task.to_json()}")
        if self._has_set_task:
            for task, row in zip(tasks, self._envs, strict=True):
                for env in row:
                    env.get_wrapper_attr("set_task")(task.array)

    def _reset(self, seeds: list[int], mask: Bool) -> Float:
        observation = np.zeros((*self.shape, *self.observation_space.shape), self.observation_space.dtype)
        for task, env in np.argwhere(mask):
            seed = int(np.random.SeedSequence([seeds[task], int(env)]).generate_state(1)[0])
            options = None if self._has_set_task else {"task": self.tasks[task].array}
            observation[task, env] = self._call(task, env, "reset", seed=seed, options=options)[0]
        return observation

    def _step(self, action: NDArray[Any], active: Bool) -> tuple[Float, NDArray[np.float64], Bool, Bool]:
        observation = np.zeros((*self.shape, *self.observation_space.shape), self.observation_space.dtype)
        reward, terminated, success = np.zeros(self.shape), np.zeros(self.shape, bool), np.zeros(self.shape, bool)
        for task, env in np.argwhere(active):
            i = (task, env)
            observation[i], value, terminated[i], truncated, info = self._call(task, env, "step", action[i])
            reward[i], success[i] = value, bool(info.get(self._success_key, False))
            if truncated:  # the env's own time limit came first: the episode ends here, but is not terminal
                self._elapsed[i] = self.horizon - 1
        return observation, reward, terminated, success

    def _call(self, task: int, env: int, name: str, *args: Any, **options: Any) -> Any:
        """What a method of one environment returns. Some libraries' errors say nothing: assertions without a word."""
        try:
            return getattr(self._envs[task][env], name)(*args, **options)
        except Exception as error:
            when = "reset" if name == "reset" else f"step {self._elapsed[task, env]}"
            said = f"{type(error).__name__}: {error}" if str(error) else f"{type(error).__name__} without a message"
            raise EnvError(f"{self._called(task, env)}, {when}: {said}{self._advice}") from error

    def _called(self, task: int, env: int) -> str:
        return f"env [{task}, {env}], task {self.tasks[task].to_json()}"

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
        self._advice = "; its set_task must be called first" if self._has_set_task else ""
        self.set_tasks([Task("", ())])

    def _set_tasks(self, tasks: list[Task]) -> None:
        pass

    def _reset(self, seeds: list[int], mask: Bool) -> Float:
        return np.asarray(self._call(0, 0, "reset", seed=seeds[0])[0])[None, None]

    def _called(self, task: int, env: int) -> str:
        return f"{self._envs[task][env]}"

    def _close(self) -> None:
        pass
