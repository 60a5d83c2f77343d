"""Meta-World environments on the native engine as one gymnasium vector env, with the manners of Meta-World's own.

Whoever has `gymnasium.make_vec("Meta-World/MT10", ...)` changes the name (`envs.metaworld.suites`) and nothing else.
Given the same seeds and actions the goals, observations, rewards, ends of episodes and infos are those of Meta-World's
wrappers in gymnasium's `SyncVectorEnv`: observations to the bit, rewards to the last digit or so.

What differs, and should: numbers in infos are float64 (there they take the Python type of whichever environment came
first, which cuts those of the others), returns of episodes are summed in float64, and an action that is not finite is
an error.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, SupportsIndex

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from envs.api import Bool, NonFiniteError, Task
from envs.metaworld import snapshots
from envs.metaworld.snapshots import _engine  # imported there, once mujoco has loaded the library it needs
from envs.metaworld.spaces import action_space, observation_space
from envs.threads import count_threads, one_thread_at_a_time

Infos = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """What one environment of a vector plays.

    Attributes:
        tasks: its goals, all of one family.
        seed: seeds which of them come when; None: anything.
    """

    tasks: tuple[Task, ...]
    seed: int | None = None


class SubEnv:
    """One environment of a `MetaWorldVectorEnv`, by the names that Meta-World's wrappers give to what it knows; these
    are the names that `MetaWorldVectorEnv.call`, `get_attr` and `set_attr` take.

    Attributes:
        family: its family.
        tasks: its goals, in the order of the next draws where they are drawn pseudorandomly.
        terminate_on_success: an episode ends where the goal is met.
        sample_tasks_on_reset: a reset draws a goal; if not, `sample_tasks` does.
        max_path_length: env steps per episode at most.
    """

    def __init__(
        self, vector: MetaWorldVectorEnv, index: int, place: Place, pseudorandom: bool, terminate_on_success: bool
    ) -> None:
        self._vector, self._index, self._pseudorandom, self._position = vector, index, pseudorandom, -1
        self.family, self.tasks = place.tasks[0].family, list(place.tasks)
        self.terminate_on_success, self.sample_tasks_on_reset = terminate_on_success, not pseudorandom
        self.max_path_length = vector.horizon
        self.task: Task | None = None
        self.np_random, self.np_random_seed = seeding.np_random(place.seed)

    @property
    def unwrapped(self) -> SubEnv:
        """Itself."""
        return self

    @functools.cached_property
    def task_name(self) -> str:
        """Name of Meta-World's class of the family, as ``SawyerReachEnvV3``."""
        import metaworld  # a second

        return str(metaworld.ALL_V3_ENVIRONMENTS[self.family].__name__)

    def toggle_terminate_on_success(self, on: bool) -> None:
        """End episodes where the goal is met, or not."""
        self.terminate_on_success = on

    def toggle_sample_tasks_on_reset(self, on: bool) -> None:
        """Draw a goal at every reset, or not."""
        self.sample_tasks_on_reset = on

    def sample_tasks(self, *, seed: int | None = None, options: Infos | None = None) -> tuple[NDArray[Any], Infos]:
        """Draw a goal and begin an episode. As in Meta-World, `seed` and `options` do not matter."""
        self.draw()
        return self._vector.begin_one(self._index), {}

    def draw(self) -> None:
        """Choose the goal of the next episode: any, or, where they are drawn pseudorandomly, the next in a shuffle."""
        if not self._pseudorandom:
            self.task = self.tasks[self.np_random.choice(len(self.tasks))]
            return
        self._position = (self._position + 1) % len(self.tasks)
        if self._position == 0:
            self.np_random.shuffle(self.tasks)  # type: ignore[arg-type]
        self.task = self.tasks[self._position]

    def get_checkpoint(self) -> tuple[str, Infos]:
        """The state that `load_checkpoint` takes, JSON-able: generator, order of goals, the last one, and switches."""
        return f"{self.family}_{self._index}", {
            "tasks": [list(task.vector) for task in self.tasks],
            "task": list(self.task.vector) if self.task else None,
            "current_task_idx": self._position,
            "sample_tasks_on_reset": self.sample_tasks_on_reset,
            "terminate_on_success": self.terminate_on_success,
            "rng_state": self.np_random.bit_generator.state,
        }

    def load_checkpoint(self, checkpoints: Sequence[tuple[str, Infos]]) -> None:
        """Go on from the state of this environment among those of all of them; a reset must follow.

        Raises:
            ValueError: it is not among them.
        """
        name, _ = self.get_checkpoint()
        state = dict(checkpoints).get(name)
        if state is None:
            raise ValueError(f"checkpoints: none of {name}; there: {', '.join(other for other, _ in checkpoints)}")
        self.tasks = [Task(self.family, tuple(vector)) for vector in state["tasks"]]
        self.task = Task(self.family, tuple(state["task"])) if state["task"] is not None else None
        self._position = state["current_task_idx"]
        self.sample_tasks_on_reset = state["sample_tasks_on_reset"]
        self.terminate_on_success = state["terminate_on_success"]
        self.np_random.bit_generator.state = state["rng_state"]


class MetaWorldVectorEnv(gym.vector.VectorEnv[Any, Any, Any]):
    """One environment for each of `places`; `envs.metaworld.vector_env` makes it from the name of a benchmark.

    Observations are float64 ``[env, 39]``; with a one-hot code they are float32 ``[env, 39 + places]`` (both as in
    Meta-World). Actions are float32 ``[env, 4]``; other floats are rounded to float32. `close` ends the threads. Any
    thread may use it, but calls must not overlap; one that does is refused with a RuntimeError.

    Args:
        goal_visible: show the goal in the observation.
        use_one_hot: tell which environment it is at the end of the observation.
        horizon: env steps per episode at most.
        pseudorandom: goals come in shuffled rounds, when they are asked for (`SubEnv.sample_tasks`); otherwise each
            reset draws one.
        terminate_on_success: end an episode where the goal is met.
        autoreset: when the next episode begins, see gymnasium.
        num_threads: threads that step, the calling one included; default one per available core.
    """

    def __init__(
        self,
        places: Sequence[Place],
        *,
        goal_visible: bool,
        use_one_hot: bool = False,
        horizon: int = 500,
        pseudorandom: bool = False,
        terminate_on_success: bool = False,
        autoreset: AutoresetMode = AutoresetMode.SAME_STEP,
        num_threads: int | None = None,
    ) -> None:
        self.num_envs, self.horizon, self.autoreset_mode = len(places), horizon, autoreset
        self.metadata = {"render_modes": [], "autoreset_mode": autoreset}
        self.render_mode = None
        count = self.num_envs
        self.single_action_space, self.single_observation_space = action_space(), _space(count if use_one_hot else 0)
        if places[0].seed is not None:
            self.single_action_space.seed(places[0].seed)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, count)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, count)
        self._engine = _engine.Engine(count, goal_visible, count_threads(num_threads))
        self._raw = np.zeros((count, _engine.OBSERVATION_SIZE))
        self._codes = np.eye(count) if use_one_hot else np.zeros((count, 0))
        self._begun, self._over = np.zeros(count, bool), np.zeros(count, bool)
        self._steps, self._returns, self._since = np.zeros(count, np.int64), np.zeros(count), np.zeros(count)
        self.envs = [SubEnv(self, i, place, pseudorandom, terminate_on_success) for i, place in enumerate(places)]

    # -- gymnasium ---------------------------------------------------------------------------------------------

    @property
    def np_random(self) -> Any:
        """The generators of the environments."""
        return self.get_attr("np_random")

    @property
    def np_random_seed(self) -> Any:
        """The seeds of the environments."""
        return self.get_attr("np_random_seed")

    @one_thread_at_a_time
    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Infos | None = None
    ) -> tuple[NDArray[Any], Infos]:
        """Begin new episodes.

        Args:
            seed: ignored, as by Meta-World: the seed that the environments were made with counts.
            options: ``{"reset_mask": bool[num_envs]}``, the environments to reset; default all.
        Raises:
            ValueError: a list of seeds of another length, or a mask of another form.
            RuntimeError: an environment has no goal yet and does not draw one.
        """
        if isinstance(seed, (Sequence, np.ndarray)) and len(seed) != self.num_envs:
            raise ValueError(f"seed: a list must have one for each of {self.num_envs} environments, got {len(seed)}")
        mask = np.ones(self.num_envs, bool)
        if options and "reset_mask" in options:
            mask = np.asarray(options["reset_mask"])
            if mask.dtype != np.bool_ or mask.shape != (self.num_envs,) or not mask.any():
                raise ValueError(
                    f"options: reset_mask must be bool ({self.num_envs},) with at least one True, got {mask!r}"
                )
        self._begin(mask)
        self._over[mask] = False
        return self._observations(), {}

    @one_thread_at_a_time
    def step(
        self, actions: Any
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Infos]:
        """As gymnasium. Info has Meta-World's own fields, each float64 ``[num_envs]`` with its mask, and ``episode``
        with return ``r``, length ``l`` and seconds ``t`` of those that have ended.

        Raises:
            NonFiniteError: an action is NaN or infinite.
            RuntimeError: an episode has not begun, or is over and autoreset is disabled.
            ValueError: actions of another shape.
        """
        beginning = self._over if self.autoreset_mode == AutoresetMode.NEXT_STEP else np.zeros(self.num_envs, bool)
        active = ~beginning
        actions = self._checked(actions, active)
        reward, info = np.zeros(self.num_envs), np.zeros((self.num_envs, len(_engine.INFO_NAMES)))
        self._engine.step(actions, active, self._raw, reward, info)
        self._steps += active
        self._returns += reward
        if beginning.any():
            self._begin(beginning)
        stops = np.array([env.terminate_on_success for env in self.envs])
        terminated = stops & (info[:, _SUCCESS] == 1.0) & active
        truncated = (self._steps >= self.horizon) & active
        self._over = ended = terminated | truncated
        infos = self._infos(info, active, ended)
        return self._observations(), reward, terminated, truncated, infos

    @one_thread_at_a_time
    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """What each environment answers to a method, or its attribute, of this name (see `SubEnv`)."""
        found = (getattr(env, name) for env in self.envs)
        return tuple(value(*args, **kwargs) if callable(value) else value for value in found)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """The attribute of each environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of the environments, to one value or to a list of them.

        Raises:
            ValueError: a list of another length.
        """
        each = values if isinstance(values, (list, tuple)) else [values] * self.num_envs
        if len(each) != self.num_envs:
            raise ValueError(f"values: a list must have one for each of {self.num_envs} environments, got {len(each)}")
        for env, value in zip(self.envs, each, strict=True):
            setattr(env, name, value)

    def close_extras(self, **_: Any) -> None:
        """End the threads."""
        if hasattr(self, "_engine"):
            del self._engine

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            "a MetaWorldVectorEnv is neither pickled nor copied: it holds simulations and threads; make another one, "
            "and take along what call('get_checkpoint') gives"
        )

    # -- inside ------------------------------------------------------------------------------------------------

    @one_thread_at_a_time
    def begin_one(self, index: int) -> NDArray[Any]:
        """Begin an episode of one environment with the goal that it has; its observation."""
        self._begin_with_goals(np.arange(self.num_envs) == index)
        return np.concatenate([self._raw[index], self._codes[index]])

    def _begin(self, mask: Bool) -> None:
        """Begin episodes, with a new goal where one is to be drawn."""
        for index in np.flatnonzero(mask):
            if self.envs[index].sample_tasks_on_reset:
                self.envs[index].draw()
        self._begin_with_goals(mask)

    def _begin_with_goals(self, mask: Bool) -> None:
        if not hasattr(self, "_engine"):
            raise RuntimeError("this vector env is closed")
        for index in np.flatnonzero(mask):
            task = self.envs[index].task
            if task is None:
                raise RuntimeError(
                    f"environment {index} has no goal yet: call('sample_tasks') draws one, or "
                    "call('toggle_sample_tasks_on_reset', True) lets every reset draw one"
                )
            self._engine.assign(int(index), snapshots.native_task(task))
        self._engine.reset(np.ascontiguousarray(mask), self._raw)
        self._begun[mask], self._steps[mask], self._returns[mask] = True, 0, 0.0
        self._since[mask] = time.perf_counter()

    def _checked(self, actions: Any, active: Bool) -> NDArray[np.float32]:
        """The actions as the engine takes them."""
        if not hasattr(self, "_engine"):
            raise RuntimeError("this vector env is closed")
        if not self._begun.all():
            raise RuntimeError("call reset before step")
        if self.autoreset_mode == AutoresetMode.DISABLED and self._over.any():
            over = ", ".join(map(str, np.flatnonzero(self._over)))
            raise RuntimeError(f"the episodes of {over} are over: call reset(options={{'reset_mask': ...}}) first")
        given, wanted = np.asarray(actions), self.action_space.shape
        if given.shape != wanted or given.dtype.kind not in "fiu":
            raise ValueError(f"actions must be numbers of shape {wanted}, got {given.dtype} {given.shape}")
        finite = np.isfinite(given).all(1) | ~active
        if not finite.all():
            index = int(np.flatnonzero(~finite)[0])
            raise NonFiniteError(
                f"non-finite action {given[index].tolist()} for environment {index} ({self.envs[index].family}), step "
                f"{self._steps[index]}: the policy produced it"
            )
        return np.ascontiguousarray(given, np.float32)

    def _infos(self, info: NDArray[np.float64], active: Bool, ended: Bool) -> Infos:
        """Infos of a step; where episodes end and begin in the same step, also the new episodes."""
        if not ended.any():
            return _fields(info, active)
        seconds = np.round(time.perf_counter() - self._since, 6)
        statistics = {"r": self._returns, "l": self._steps, "t": seconds}
        episode: Infos = {}
        for name, values in statistics.items():
            episode |= {name: np.where(ended, values, 0), f"_{name}": ended.copy()}
        summary = {"episode": episode, "_episode": ended.copy()}
        if self.autoreset_mode != AutoresetMode.SAME_STEP:
            return _fields(info, active) | summary
        final_obs = np.full(self.num_envs, None, object)
        for index in np.flatnonzero(ended):
            final_obs[index] = np.concatenate([self._raw[index], self._codes[index]])
        final: Infos = {"final_obs": final_obs, "_final_obs": ended.copy()}
        final |= {"final_info": _fields(info, ended) | summary, "_final_info": ended.copy()}
        self._begin(ended)
        return final | _fields(info, ~ended)

    def _observations(self) -> NDArray[Any]:
        return np.concatenate([self._raw, self._codes], 1).astype(self.single_observation_space.dtype, copy=False)


_SUCCESS = _engine.INFO_NAMES.index("success")
_MASK_NAMES = [f"_{name}" for name in _engine.INFO_NAMES]


def _space(told: int) -> gym.spaces.Box:
    """The observation space that Meta-World declares: the bounds of a hidden goal, visible or not, and float32 with a
    one-hot code of `told` numbers, float64 without."""
    space = observation_space()
    if not told:
        return space
    low, high = (np.concatenate([bound, np.full(told, x)]) for bound, x in ((space.low, 0.0), (space.high, 1.0)))
    return gym.spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)


def _fields(info: NDArray[np.float64], told: Bool) -> Infos:
    """Meta-World's fields of the environments in `told`; nothing at all if there are none."""
    if not told.any():
        return {}
    # Rows of two new arrays: as many small ones would cost several times as much.
    values, masks = np.where(told, info.T, 0.0), np.empty(info.shape[::-1], bool)  # [field, env] both
    masks[:] = told
    infos: Infos = dict(zip(_engine.INFO_NAMES, values, strict=True))
    infos.update(zip(_MASK_NAMES, masks, strict=True))
    return infos
