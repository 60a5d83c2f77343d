"""The whole contract between task distributions and everything above them.

Three ideas:

* a `Task` is data (a family name and a vector of numbers). Environments are told a task; they never draw one.
* a `TaskDistribution` draws tasks and makes environments for them.
* a `TaskVectorEnv` steps `num_tasks x envs_per_task` environments at once. Every array it takes or gives has
  the axes `[task, env, ...]`.

Episodes: each environment runs one episode after `reset`, until it terminates or `horizon` steps have passed
(truncation). A finished environment is *frozen* until it is reset: it ignores its action, repeats its last
observation, gives reward 0 and keeps its flags. So a rollout of `horizon` steps holds exactly one episode per
environment, whatever its length.
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.flat import FlatVectorEnv
from envs.moments import Resumable
from envs.scene import Scene
from envs.threads import one_thread_at_a_time, overlapping

Float = NDArray[np.floating[Any]]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Task:
    """One MDP of a distribution, as plain data: hashable, picklable, JSON-able.

    Attributes:
        family: which kind of task, e.g. ``"reach-v3"``.
        vector: the numbers (float64) that pick one task of that family, e.g. object and goal positions.
    """

    family: str
    vector: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", tuple(float(x) for x in self.vector))

    @property
    def array(self) -> NDArray[np.float64]:
        """`vector` as a new float64 array ``[task_dim]``."""
        return np.array(self.vector, dtype=np.float64)

    def to_json(self) -> str:
        """One line of JSON; floats survive the round trip bit for bit."""
        return json.dumps({"family": self.family, "vector": self.vector})

    @staticmethod
    def from_json(text: str) -> Task:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        return Task(fields["family"], tuple(fields["vector"]))


class Step(NamedTuple):
    """Result of `TaskVectorEnv.step`; all arrays are ``[task, env, ...]``.

    `terminated`: the MDP ended. `truncated`: the horizon was reached first. Both stay raised while the
    environment is frozen. `success`: the goal is met at this very step (not "so far").
    """

    observation: Float
    reward: NDArray[np.float64]
    terminated: Bool
    truncated: Bool
    success: Bool


class NonFiniteError(ValueError):
    """An action, observation or reward is NaN or infinite; the message names the environment, task and step.

    Environments raise it for actions only. The caller of `step` handles such observations and rewards: training
    discards the episode and counts it."""


class TaskVectorEnv(Resumable, ABC):
    """`num_tasks x envs_per_task` environments stepped together; see the module docstring for episodes.

    Subclasses implement the four hooks `_set_tasks`, `_reset`, `_step` and (optionally) `_close`; those of
    `envs.moments.Resumable` let episodes go on from their middle. The checks, the horizon and the freezing of finished
    environments live here, once. Any thread may use an object, but calls must not overlap; one that does is refused
    with a RuntimeError.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": gym.vector.AutoresetMode.DISABLED}

    def __init__(
        self,
        num_tasks: int,
        envs_per_task: int,
        observation_space: gym.spaces.Box,
        action_space: gym.spaces.Box | gym.spaces.Discrete,
        horizon: int,
    ) -> None:
        if num_tasks < 1 or envs_per_task < 1:
            raise ValueError(f"num_tasks and envs_per_task must be at least 1, got {num_tasks} and {envs_per_task}")
        self.num_tasks, self.envs_per_task, self.horizon = num_tasks, envs_per_task, horizon
        self.observation_space, self.action_space = observation_space, action_space
        self.tasks: list[Task] = []
        shape = (num_tasks, envs_per_task)
        self._elapsed = np.zeros(shape, dtype=np.int64)
        self._terminated = np.ones(shape, dtype=bool)  # nothing may be stepped before the first reset
        self._observation = np.zeros((*shape, *observation_space.shape), dtype=observation_space.dtype)
        self._was_reset = False
        self._closed = False

    @property
    def shape(self) -> tuple[int, int]:
        """``(num_tasks, envs_per_task)``."""
        return self.num_tasks, self.envs_per_task

    @property
    def over(self) -> Bool:
        """Environments without an episode to go on with, ``[task, env]``: it has ended, or none has begun."""
        return self._terminated | (self._elapsed >= self.horizon)

    @property
    def missing_success(self) -> str:
        """Why the success of its episodes since the last `set_tasks` is unknown, in a sentence; empty: it is known, or
        there is none to know.

        Optional: for environments of others, who may not say what they were expected to.
        """
        return ""

    # -- public verbs ------------------------------------------------------------------------------------------

    @one_thread_at_a_time
    def set_tasks(self, tasks: Sequence[Task]) -> None:
        """Hold `tasks` (one per task row) until the next call. Takes effect at the next `reset`, which must follow."""
        self._check_open()
        if len(tasks) != self.num_tasks:
            raise ValueError(f"set_tasks needs {self.num_tasks} tasks, got {len(tasks)}")
        self._set_tasks(list(tasks))
        self.tasks = list(tasks)
        self._was_reset = False

    @one_thread_at_a_time
    def reset(self, seeds: Sequence[int] | NDArray[np.integer[Any]], mask: Bool | None = None) -> Float:
        """Start a new episode and return the observations ``[task, env, *obs]`` (of all environments).

        Args:
            seeds: one non-negative int per task. All randomness of the new episodes derives from
                ``(seed, env index)``, so results do not depend on how tasks are batched.
            mask: bool ``[task, env]``; only these environments are reset. Default: all.
        """
        self._check_open()
        if not self.tasks:
            raise RuntimeError("call set_tasks before reset: an environment never draws its own task")
        if len(seeds) != self.num_tasks:
            raise ValueError(f"reset needs {self.num_tasks} seeds (one per task), got {len(seeds)}")
        mask = np.ones(self.shape, dtype=bool) if mask is None else np.asarray(mask)
        if mask.shape != self.shape or mask.dtype != np.bool_:
            raise ValueError(f"mask must be bool {self.shape}, got {mask.dtype} {mask.shape}")
        if not self._was_reset and not mask.all():
            raise RuntimeError("the first reset after set_tasks must reset every environment")
        observation = np.asarray(self._reset([int(s) for s in seeds], mask), self.observation_space.dtype)
        self._observation = np.where(self._expand(mask), observation, self._observation)
        self._elapsed[mask] = 0
        self._terminated[mask] = False
        self._was_reset = True
        return self._observation.copy()

    @one_thread_at_a_time
    def step(self, action: NDArray[Any]) -> Step:
        """Advance every unfinished environment by one step.

        Args:
            action: ``[task, env, *action]``; floats for a Box action space, integers for a Discrete one.
        Raises:
            NonFiniteError: an action for an unfinished environment is NaN or infinite.
        """
        self._check_open()
        if not self._was_reset:
            raise RuntimeError("call reset before step")
        active = ~self.over
        self._check_action(action, active)
        observation, reward, terminated, success = self._step(action, active)
        observation = np.asarray(observation, dtype=self.observation_space.dtype)
        self._elapsed += active
        self._terminated |= terminated & active
        if active.all():  # the usual case: no copying around the frozen ones
            self._observation = observation
        else:
            self._observation = np.where(self._expand(active), observation, self._observation)
            reward = np.where(active, reward, 0.0)
            success = success & active
        truncated = (self._elapsed >= self.horizon) & ~self._terminated
        return Step(self._observation.copy(), reward, self._terminated.copy(), truncated, success)

    def state(self, task: int, env: int) -> NDArray[np.float64]:
        """State from which one environment can be drawn as it is now, given its task and its action: float64
        ``[state]``.

        Optional: empty where there is nothing more to see. The length may depend on the task's family.
        """
        self._check_open()
        return np.zeros(0)

    def mean_reward(self, observation: Float, action: NDArray[Any]) -> NDArray[np.float64] | None:
        """The mean of the reward that `action` earns at `observation` under the tasks held now.

        Optional: None, unless the distribution's `knows_mean_reward` says that it is known.

        Args:
            observation: recorded ones, ``[task, env, time, ...]``.
            action: those that followed, likewise.
        Returns:
            ``[task, env, time]``.
        """
        return None

    def expert_action(self, observation: Float) -> NDArray[Any] | None:
        """The action that an expert who knows the tasks held now, their goals included, takes at `observation`.

        Optional: None, unless the distribution's `has_expert` says that there is one. A pure function: experts remember
        nothing, and nothing is stepped.

        Args:
            observation: recorded ones, ``[task, env, ..., obs]``.
        Returns:
            ``[task, env, ..., *action]``, within the action space.
        """
        return None

    def close(self) -> None:
        """Free everything; calling it twice is fine."""
        if not self._closed:
            self._closed = True
            self._close()

    def flat(self, autoreset: gym.vector.AutoresetMode | str = gym.vector.AutoresetMode.DISABLED) -> FlatVectorEnv:
        """The same environments as a gymnasium `VectorEnv` of ``num_tasks * envs_per_task`` (a reshape, no copy).

        Args:
            autoreset: when an environment whose episode is over begins the next one, as in gymnasium: ``"disabled"``,
                ``"next_step"`` or ``"same_step"``, or one of its `AutoresetMode`.
        """
        return FlatVectorEnv(self, autoreset)

    def __enter__(self) -> TaskVectorEnv:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- hooks -------------------------------------------------------------------------------------------------

    @abstractmethod
    def _set_tasks(self, tasks: list[Task]) -> None:
        """Check and remember the tasks; raise ValueError for one that this environment cannot hold."""

    @abstractmethod
    def _reset(self, seeds: list[int], mask: Bool) -> Float:
        """Reset the environments in `mask`; return observations (rows outside `mask` are ignored)."""

    @abstractmethod
    def _step(self, action: NDArray[Any], active: Bool) -> tuple[Float, NDArray[np.float64], Bool, Bool]:
        """Step the environments in `active`; return new arrays (observation, reward, terminated, success).
        Values outside `active` are ignored."""

    def _close(self) -> None:
        """Free resources."""

    # -- checks ------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this TaskVectorEnv is closed")
        if self.__dict__.get("_caller", me := threading.get_ident()) != me:  # `state` while another thread steps
            raise overlapping("a method")

    def _check_action(self, action: NDArray[Any], active: Bool) -> None:
        expected = (*self.shape, *self.action_space.shape)
        kind = "iu" if isinstance(self.action_space, gym.spaces.Discrete) else "f"
        if not isinstance(action, np.ndarray) or action.shape != expected or action.dtype.kind not in kind:
            got = f"{action.dtype} {action.shape}" if isinstance(action, np.ndarray) else type(action).__name__
            wanted = "an integer" if kind == "iu" else "a float"
            raise ValueError(f"action must be {wanted} numpy array of shape {expected}, got {got}")
        if kind == "f" and not np.isfinite(action).all():
            finite = np.isfinite(action).reshape(*self.shape, -1).all(-1)
            for task, env in np.argwhere(active & ~finite)[:1]:
                raise NonFiniteError(
                    f"non-finite action {action[task, env].tolist()} for env [{task}, {env}], "
                    f"task {self.tasks[task].to_json()}, step {self._elapsed[task, env]}: the policy produced it"
                )

    def _expand(self, mask: Bool) -> Bool:
        """`mask` with the trailing axes of an observation."""
        return mask.reshape(*mask.shape, *(1,) * len(self.observation_space.shape))


class TaskDistribution(ABC):
    """A distribution of tasks, and the environments for them. Train and test are two distributions.

    Attributes:
        name: the name `envs.make` knows it by.
        split: ``"train"`` or ``"test"``.
        families: all family names, in a fixed order.
        horizon: env steps per episode at most.
        deterministic: the same task and actions always give the same episode (no noise at reset or in steps).
        has_success: its tasks can be solved; if not, `Step.success` is always False and is not reported.
        in_turn: whoever plays several episodes of a task at a time plays them one after another in one environment, as
            environments are dear.
        multitask: its test tasks are its training tasks, as in benchmarks of what one policy can learn.
        knows_mean_reward: its environments give `TaskVectorEnv.mean_reward`, for learners to whom the noise of rewards
            is of no use.
        has_expert: its environments give `TaskVectorEnv.expert_action`, for learners that imitate.
        no_dynamics: why its tasks cannot have dynamics of their own (`envs.VariedDynamics`); empty: they can.
    """

    name: str
    split: str
    families: tuple[str, ...]
    observation_space: gym.spaces.Box
    action_space: gym.spaces.Box | gym.spaces.Discrete
    horizon: int
    deterministic: bool = False
    has_success: bool = True
    multitask: bool = False
    knows_mean_reward: bool = False
    has_expert: bool = False
    in_turn: bool = False
    no_dynamics: str = "it has no dynamics to vary; Meta-World, Gymnasium's robots and MujocoDistribution have"

    def _take_after(self, base: TaskDistribution) -> None:
        """Have the name, spaces, length of episodes and facts about the tasks of `base`; for those that play its tasks
        in another way."""
        self.name, self.split, self.families = base.name, base.split, base.families
        self.observation_space, self.action_space = base.observation_space, base.action_space
        self.horizon, self.deterministic, self.has_success = base.horizon, base.deterministic, base.has_success
        self.knows_mean_reward, self.in_turn, self.multitask = base.knows_mean_reward, base.in_turn, base.multitask
        self.has_expert = base.has_expert

    @abstractmethod
    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        """Draw `count` tasks. With several families, each appears equally often up to one."""

    def tasks(self) -> list[Task] | None:
        """All tasks, in a fixed order, where they are finitely many; else None."""
        return None

    def num_tasks(self) -> int | None:
        """How many tasks there are, or None for a continuum; overridden where counting is cheaper than listing."""
        tasks = self.tasks()
        return None if tasks is None else len(tasks)

    @abstractmethod
    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """Environments for any `num_tasks` tasks of this distribution at a time."""

    def make_varied(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """As `make`, for tasks whose vectors end with dynamics of their own (`envs.dynamics`); where `no_dynamics` is
        empty."""
        raise NotImplementedError(f"{self.name}: {self.no_dynamics}")

    def scene(self, task: Task) -> Scene:
        """The `Scene` that draws recorded episodes of `task`; a plot of the rewards, unless a subclass has something to
        show."""
        from envs.plots import Rewards

        return Rewards(task)

    def with_goal(self, task: Task, place: Sequence[float]) -> Task | None:
        """`task` with its goal at `place` (m, as in `Scene.marks`), or as near to it as goals of the family lie.

        Optional: None where the goal of a task is no place, or none of its own.
        """
        return None

    def fingerprint(self) -> dict[str, Any]:
        """Description of the distribution that a result must carry to be compared with others (JSON-able)."""
        return {"name": self.name, "split": self.split, "horizon": self.horizon}


def sample_balanced(rng: np.random.Generator, by_family: Mapping[str, Sequence[Task]], count: int) -> list[Task]:
    """Draw `count` tasks from finite lists, each family equally often up to one, without repeats inside a family
    while it has tasks left. Families are in dictionary order, so rows of a meta-batch keep their family."""
    families = list(by_family)
    counts = {family: count // len(families) for family in families}
    for index in rng.permutation(len(families))[: count % len(families)]:
        counts[families[index]] += 1
    drawn: list[Task] = []
    for family in families:
        pool = by_family[family]
        order: list[int] = []
        while len(order) < counts[family]:
            order.extend(int(i) for i in rng.permutation(len(pool)))
        drawn.extend(pool[i] for i in order[: counts[family]])
    return drawn
