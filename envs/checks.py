"""Does a task distribution keep the contract of `envs.api`? Run this on your own before you train on it.

    >>> from envs.checks import check
    >>> check(MyDistribution())        # silent, or a ConformanceError that says in one sentence what is wrong

One short function per clause of the contract, listed in `CHECKS` from the simplest to the subtlest, so the first
error is the one to repair first. It makes 7 environments (2 tasks of 2, and 3 single ones) and runs one episode to
the horizon; everything else takes a few steps. Comparisons are exact: equal episodes are equal bit for bit. What
training asks beyond the contract is in `envs.trainable`; there, episodes are played on where nothing is found.
"""

from __future__ import annotations

import copy
import functools
import json
import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.api import Bool, Float, NonFiniteError, Step, Task, TaskDistribution, TaskVectorEnv
from envs.spaces import misfit
from envs.trainable import DEMANDS
from envs.vector import EnvError

TASKS, ENVS, STEPS = 2, 2, 6
"""Size of the batch that most checks use, and half the number of steps of the episodes that they compare."""


class ConformanceError(AssertionError):
    """A distribution breaks the contract; the message is one sentence that says how."""


def check(distribution: TaskDistribution, *, seed: int = 0) -> None:
    """Try every clause of the contract of `envs.api` on `distribution`, and whether training can use it.

    Args:
        seed: picks the tasks, the actions and the seeds of the episodes.
    Raises:
        ConformanceError: the first clause that does not hold.
    """
    case = _Case(distribution, seed)
    try:
        for one in CHECKS:
            one(case)
        for demand in DEMANDS:
            sentence = demand(case)
            _require(not sentence, sentence)
    except EnvError as error:
        raise ConformanceError(str(error)) from error
    finally:
        case.close()


# -- what the checks share -------------------------------------------------------------------------------------


class _Episodes(NamedTuple):
    """Recorded episodes; every array ``[time, task, env, ...]``. `first` is what reset gave (its time axis is 1)."""

    first: NDArray[Any]
    observation: NDArray[Any]
    reward: NDArray[Any]
    terminated: NDArray[Any]
    truncated: NDArray[Any]
    success: NDArray[Any]

    def select(self, tasks: list[int], envs: list[int]) -> _Episodes:
        """The episodes of these rows and columns, in this order."""
        return _Episodes(*(x[:, tasks][:, :, envs] for x in self))

    def between(self, start: int, stop: int) -> _Episodes:
        """The part from `start`, whose `first` is the observation just before it."""
        first = self.first if start == 0 else self.observation[start - 1 : start]
        return _Episodes(first, *(x[start:stop] for x in self[1:]))


class _Case:
    """A distribution under test: its tasks, seeds, actions, an environment, and the episodes to compare with."""

    def __init__(self, distribution: TaskDistribution, seed: int) -> None:
        self.distribution, self.seed = distribution, seed
        self.seeds = [seed + 11, seed + 12]
        self._made: list[TaskVectorEnv] = []

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """An environment that `close` will close."""
        self._made.append(self.distribution.make(num_tasks, envs_per_task))
        return self._made[-1]

    def close(self) -> None:
        for env in self._made:
            env.close()

    def draw_actions(self, steps: int) -> NDArray[Any]:
        """Random actions ``[steps, TASKS, ENVS, *action]``, the same ones each time."""
        space = copy.deepcopy(self.distribution.action_space)
        space.seed(self.seed)
        drawn = np.array([space.sample() for _ in range(steps * TASKS * ENVS)], space.dtype)
        return drawn.reshape(steps, TASKS, ENVS, *space.shape)

    @functools.cached_property
    def tasks(self) -> list[Task]:
        return self.distribution.sample(np.random.default_rng(self.seed), TASKS)

    @functools.cached_property
    def env(self) -> TaskVectorEnv:
        return self.make(TASKS, ENVS)

    @property
    def actions(self) -> NDArray[Any]:
        """A new array each time: an environment may have spoilt the last one."""
        return self.draw_actions(2 * STEPS)

    @functools.cached_property
    def reference(self) -> _Episodes:
        return _play(self.env, self.tasks, self.seeds, self.actions)


def _play(env: TaskVectorEnv, tasks: Sequence[Task], seeds: list[int], actions: NDArray[Any]) -> _Episodes:
    env.set_tasks(tasks)
    return _rollout(env, env.reset(seeds), actions)


def _rollout(env: TaskVectorEnv, first: Float, actions: NDArray[Any]) -> _Episodes:
    """Step with `actions`, looking at every array on its way."""
    _require_form(env, "observation", first)
    steps = []
    for action in actions:
        step = env.step(action)
        _require(isinstance(step, Step), f"step must return an envs.Step, got {type(step).__name__}")
        for name, array in zip(Step._fields, step, strict=True):
            _require_form(env, name, array)
        steps.append([np.array(array) for array in step])
    return _Episodes(np.array(first)[None], *(np.stack(arrays) for arrays in zip(*steps, strict=True)))


def _require(condition: object, sentence: str) -> None:
    if not condition:
        raise ConformanceError(sentence)


def _require_form(env: TaskVectorEnv, name: str, array: Any) -> None:
    """The shape and dtype that the contract gives the field `name` of a `Step`, and only finite numbers."""
    dtypes = {"observation": env.observation_space.dtype, "reward": np.dtype(np.float64)}
    shape = (*env.shape, *(env.observation_space.shape if name == "observation" else ()))
    dtype = dtypes.get(name, np.dtype(np.bool_))
    got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
    _require(got == f"{dtype} {shape}", f"{name} must be a numpy array {dtype} {shape}, got {got}")
    _require(np.isfinite(array).all(), f"{name} holds NaN or infinity")
    with np.errstate(over="ignore"):
        fits = np.isfinite(array.astype(np.float32)).all()
    _require(fits, f"{name} holds {np.abs(array).max()}, beyond the largest float32, in which learners read it")


def _require_same(got: _Episodes, wanted: _Episodes, sentence: str) -> None:
    for name, a, b in zip(_Episodes._fields, got, wanted, strict=True):
        for time, *_ in np.argwhere(a != b)[:1]:
            where = "observation at reset" if name == "first" else f"{name} at step {time}"
            raise ConformanceError(f"{sentence} (first difference: {where})")


def _require_raises(error: type[Exception], call: Callable[[], object], sentence: str) -> None:
    try:
        call()
    except error:
        return
    except Exception as other:
        raise ConformanceError(f"{sentence}: expected {error.__name__}, got {type(other).__name__}") from other
    raise ConformanceError(f"{sentence}: expected {error.__name__}, got no error")


def _blend(mask: Bool, a: _Episodes, b: _Episodes) -> _Episodes:
    """`a` for the environments in `mask` ``[task, env]``, `b` for the others."""
    return _Episodes(*(np.where(_widen(mask, x), x, y) for x, y in zip(a, b, strict=True)))


def _widen(mask: Bool, like: NDArray[Any]) -> Bool:
    """`mask` with the axes of `like` ``[time, task, env, ...]``."""
    return mask.reshape(1, *mask.shape, *(1,) * (like.ndim - 3))


# -- the distribution as data ----------------------------------------------------------------------------------


def _check_identity(case: _Case) -> None:
    d = case.distribution
    _require(isinstance(d.name, str) and isinstance(d.split, str), "name and split must be strings")
    named = isinstance(d.families, tuple) and all(isinstance(family, str) for family in d.families)
    _require(named and d.families, "families must be a tuple of at least one name")
    _require(len(set(d.families)) == len(d.families), "families names a family twice")
    _require(json.loads(json.dumps(d.fingerprint())), "fingerprint must be a JSON-able dict with something in it")


def _check_horizon_is_a_count(case: _Case) -> None:
    horizon = case.distribution.horizon
    _require(type(horizon) is int and horizon >= 1, f"horizon must be a positive int, got {horizon!r}")


def _check_spaces(case: _Case) -> None:
    observation, action = case.distribution.observation_space, case.distribution.action_space
    wrong = misfit(observation, action)
    _require(not wrong, wrong)


def _check_sample(case: _Case) -> None:
    families = case.distribution.families
    count = 2 * len(families) + 1
    tasks = case.distribution.sample(np.random.default_rng(case.seed), count)
    _require(isinstance(tasks, list) and len(tasks) == count, f"sample(rng, {count}) must return {count} tasks")
    _require(all(isinstance(task, Task) for task in tasks), "sample must return envs.Task objects")
    unknown = {task.family for task in tasks} - set(families)
    _require(not unknown, f"sample drew a task of family {min(unknown, default='')!r}, which is not in families")
    counts = Counter(task.family for task in tasks)
    even = max(counts.values()) - min(counts[family] for family in families) <= 1
    _require(even, f"sample must draw each family equally often up to one, got {dict(counts)}")


def _check_tasks(case: _Case) -> None:
    listed, number = case.distribution.tasks(), case.distribution.num_tasks()
    counted = None if listed is None else len(listed)
    _require(number == counted, f"num_tasks() says {number}, tasks() lists {counted}")
    if listed is None:
        return
    _require(listed == case.distribution.tasks(), "tasks() gave another order or other tasks the second time")
    covered = {task.family for task in listed} == set(case.distribution.families)
    _require(covered, "tasks() must hold tasks of every family in families and of no other")
    _require(set(case.tasks) <= set(listed), "sample drew a task that tasks() does not list")


def _check_sample_is_pure(case: _Case) -> None:
    def draw(seed: int) -> list[Task]:
        return case.distribution.sample(np.random.default_rng(seed), 4)

    first = draw(case.seed)
    draw(case.seed + 1)
    _require(draw(case.seed) == first, "sample gave other tasks for the same rng: it must draw from nothing but rng")


def _check_task_is_data(case: _Case) -> None:
    for task in case.tasks:
        _require(np.isfinite(task.array).all(), f"the vector of a task holds NaN or infinity: {task}")
        _require(Task.from_json(task.to_json()) == task, f"a task does not survive JSON: {task}")
        _require(pickle.loads(pickle.dumps(task)) == task, f"a task does not survive pickling: {task}")


# -- the environments ------------------------------------------------------------------------------------------


def _check_make(case: _Case) -> None:
    d, env = case.distribution, case.env
    _require(isinstance(env, TaskVectorEnv), f"make must return a TaskVectorEnv, got {type(env).__name__}")
    _require(env.shape == (TASKS, ENVS), f"make({TASKS}, {ENVS}) gave environments of shape {env.shape}")
    same = env.observation_space == d.observation_space and env.action_space == d.action_space
    _require(same, "the environment's spaces must equal the distribution's")
    _require(env.horizon == d.horizon, f"the environment's horizon is {env.horizon}, the distribution's {d.horizon}")


def _check_life_cycle(case: _Case) -> None:
    env, seeds, action = case.distribution.make(1, 1), case.seeds[:1], case.actions[0, :1, :1]
    none = np.zeros((1, 1), bool)
    _require_raises(RuntimeError, lambda: env.reset(seeds), "reset before set_tasks must be refused")
    _require_raises(RuntimeError, lambda: env.step(action), "step before set_tasks must be refused")
    env.set_tasks(case.tasks[:1])
    _require_raises(RuntimeError, lambda: env.step(action), "step before the first reset must be refused")
    _require_raises(RuntimeError, lambda: env.reset(seeds, none), "a first reset of only some must be refused")
    env.reset(seeds)
    env.set_tasks(case.tasks[:1])
    _require_raises(RuntimeError, lambda: env.step(action), "step between set_tasks and reset must be refused")
    env.close()
    _require_raises(RuntimeError, lambda: env.reset(seeds), "reset after close must be refused")


def _check_close_twice(case: _Case) -> None:
    env = case.distribution.make(1, 1)
    env.close()
    try:
        env.close()
    except Exception as error:
        raise ConformanceError(f"closing twice must be fine, but raised {type(error).__name__}") from error


def _check_repeatable(case: _Case) -> None:
    again = _play(case.env, case.tasks, case.seeds, case.actions)
    sentence = "the same tasks, seeds and actions gave another episode: unseeded noise, or something left over"
    _require_same(again, case.reference, sentence)


def _check_tasks_are_held(case: _Case) -> None:
    given = list(case.tasks)
    case.env.set_tasks(given)
    given.clear()
    _require(case.env.tasks == case.tasks, "env.tasks must be its own list of the tasks that set_tasks was given")
    _rollout(case.env, case.env.reset([seed + 100 for seed in case.seeds]), case.actions[:3])
    again = _rollout(case.env, case.env.reset(case.seeds), case.actions)
    _require_same(again, case.reference, "a second reset changed the task: it must be held until the next set_tasks")


def _check_slot_before(case: _Case) -> None:
    _play(case.env, case.tasks[::-1], [seed + 100 for seed in case.seeds], case.actions[:3])
    again = _play(case.env, case.tasks, case.seeds, case.actions)
    _require_same(again, case.reference, "an episode depends on the task that held its slot before")


def _check_order_of_tasks(case: _Case) -> None:
    swapped = _play(case.env, case.tasks[::-1], case.seeds[::-1], case.actions[:, ::-1])
    sentence = "swapping the tasks (with their seeds and actions) must swap the episodes and change nothing else"
    _require_same(swapped, case.reference.select([1, 0], [0, 1]), sentence)


def _check_alone(case: _Case) -> None:
    alone = _play(case.make(1, 1), case.tasks[1:], case.seeds[1:], case.actions[:, 1:, :1])
    sentence = "an episode depends on num_tasks or envs_per_task: its randomness must derive from (seed, env index)"
    _require_same(alone, case.reference.select([1], [0]), sentence)


def _check_deterministic(case: _Case) -> None:
    if not case.distribution.deterministic:
        return
    actions = np.repeat(case.actions[:STEPS, :, :1], ENVS, axis=2)
    one = _play(case.env, case.tasks, case.seeds, actions)
    other = _play(case.env, case.tasks, [seed + 100 for seed in case.seeds], actions)
    sentence = "deterministic is claimed, but environments of one task differ under the same actions"
    _require_same(one, one.select([0, 1], [1, 0]), sentence)
    _require_same(one, other, sentence)


def _check_whole_episode(case: _Case) -> None:
    """One run of two steps more than the horizon."""
    horizon = case.distribution.horizon
    run = _play(case.env, case.tasks, case.seeds, case.draw_actions(horizon + 2))
    _require_truncation(run, horizon)
    _require_frozen(run)
    if isinstance(case.env.action_space, gym.spaces.Box):
        _require_deaf(case.env)


def _require_truncation(run: _Episodes, horizon: int) -> None:
    both = (run.terminated & run.truncated).any()
    _require(not both, "terminated and truncated are both raised: an episode ends in one way")
    early = run.truncated[: horizon - 1].any()
    _require(not early, f"an episode was truncated before its horizon of {horizon} steps")
    done = (run.terminated | run.truncated)[horizon - 1].all()
    _require(done, f"an episode was neither terminated nor truncated at its horizon of {horizon} steps")


def _require_frozen(run: _Episodes) -> None:
    was_done = (run.terminated | run.truncated)[:-1]
    for name in ("terminated", "truncated"):
        flag = getattr(run, name)
        _require((flag[1:] == flag[:-1])[was_done].all(), f"a finished environment must keep its {name} flag")
    moved = (run.observation[1:] != run.observation[:-1])[was_done].any()
    _require(not moved, "a finished environment must repeat its last observation")
    _require((run.reward[1:][was_done] == 0).all(), "a finished environment must give reward 0")
    _require(not run.success[1:][was_done].any(), "a finished environment must not report success")


def _require_deaf(env: TaskVectorEnv) -> None:
    """`env` is finished: the policy may send it anything."""
    action = np.full((*env.shape, *env.action_space.shape), np.nan, env.action_space.dtype)
    try:
        env.step(action)
    except NonFiniteError as error:
        raise ConformanceError("a finished environment must ignore its action, even NaN") from error


def _check_partial_reset(case: _Case) -> None:
    """Play STEPS, restart one environment of each task, play STEPS more; the others must not notice."""
    mask = np.eye(TASKS, ENVS, dtype=bool)
    start, end = case.reference.between(0, STEPS), case.reference.between(STEPS, 2 * STEPS)
    _play(case.env, case.tasks, case.seeds, case.actions[:STEPS])
    actions = case.actions
    mixed = np.where(_widen(mask, actions), actions[:STEPS], actions[STEPS:])
    run = _rollout(case.env, case.env.reset(case.seeds, mask), mixed)
    _require_same(_blend(mask, run, start), start, "reset with a mask must restart the environments in the mask")
    _require_same(_blend(mask, end, run), end, "reset with a mask must leave the environments outside it alone")


def _check_results_are_kept(case: _Case) -> None:
    case.env.set_tasks(case.tasks)
    arrays: list[NDArray[Any]] = [case.env.reset(case.seeds)]
    copies = [arrays[0].copy()]
    for action in case.actions:
        arrays.extend(case.env.step(action))
        copies.extend(array.copy() for array in arrays[len(copies) :])
    same = all((a == b).all() for a, b in zip(arrays, copies, strict=True))
    _require(same, "an array that reset or step returned changed during a later step: return copies")


def _check_results_are_the_callers(case: _Case) -> None:
    case.env.set_tasks(case.tasks)
    _spoil(case.env.reset(case.seeds))
    for time, action in enumerate(case.actions):
        step = case.env.step(action)
        same = all(np.array_equal(a, b[time]) for a, b in zip(step, case.reference[1:], strict=True))
        _require(same, f"writing into a returned array changed the episode by step {time}: return copies")
        for array in step:
            _spoil(array)


def _spoil(array: NDArray[Any]) -> None:
    if array.flags.writeable:
        array.fill(7)


def _check_mean_reward(case: _Case) -> None:
    known, env = case.distribution.knows_mean_reward, case.env
    run = case.reference
    env.set_tasks(case.tasks)
    observation = np.moveaxis(np.concatenate([run.first, run.observation[:-1]]), 0, 2)
    mean = env.mean_reward(observation, np.moveaxis(case.actions, 0, 2))
    _require((mean is not None) == known, f"knows_mean_reward is {known}, which is not what mean_reward says")
    if mean is not None:
        shape = (*env.shape, len(case.actions))
        _require(mean.shape == shape, f"mean_reward must be [task, env, time], {shape} here, got {mean.shape}")
        _require(np.isfinite(mean).all(), "mean_reward holds NaN or infinity")


def _check_expert(case: _Case) -> None:
    known, env = case.distribution.has_expert, case.env
    env.set_tasks(case.tasks)
    observation = np.moveaxis(np.concatenate([case.reference.first, case.reference.observation]), 0, 2)
    action = env.expert_action(observation)
    _require((action is not None) == known, f"has_expert is {known}, which is not what expert_action says")
    if action is not None:
        shape, space = (*observation.shape[:3], *env.action_space.shape), env.action_space
        _require(
            action.shape == shape, f"expert_action must be [task, env, time, *action], {shape} here, got {action.shape}"
        )
        flat = action.reshape(-1, *space.shape)
        _require(all(space.contains(one) for one in flat), f"expert_action answers with actions outside of {space}")
        one = env.expert_action(observation[:, :, 1])
        _require(
            one is not None and np.array_equal(one, action[:, :, 1]),
            "expert_action is not the same for one moment as for several",
        )


def _check_actions_are_the_callers(case: _Case) -> None:
    given = case.actions
    _play(case.env, case.tasks, case.seeds, given)
    _require((given == case.actions).all(), "step wrote into the action array that it was given")


# -- refusals --------------------------------------------------------------------------------------------------


def _check_bad_tasks(case: _Case) -> None:
    unknown = [Task("no-such-family", task.vector) for task in case.tasks]
    few, set_tasks = case.tasks[:1], case.env.set_tasks
    _require_raises(ValueError, lambda: set_tasks(few), "set_tasks must refuse another number of tasks")
    _require_raises(ValueError, lambda: set_tasks(unknown), "set_tasks must refuse a task of an unknown family")


def _check_bad_resets(case: _Case) -> None:
    env, seeds = case.env, case.seeds
    case.env.set_tasks(case.tasks)
    env.reset(seeds)
    flat, ints = np.ones(TASKS * ENVS, bool), np.ones((TASKS, ENVS), np.int64)
    _require_raises(ValueError, lambda: env.reset(seeds[:1]), "reset must refuse another number of seeds")
    _require_raises(ValueError, lambda: env.reset(seeds, flat), "reset must refuse a mask of another shape")
    _require_raises(ValueError, lambda: env.reset(seeds, ints), "reset must refuse a mask that is not bool")  # type: ignore[arg-type]


def _check_bad_actions(case: _Case) -> None:
    env, action = case.env, case.actions[0]
    env.set_tasks(case.tasks)
    env.reset(case.seeds)
    other = action.astype(np.float32 if action.dtype.kind in "iu" else np.int64)
    _require_raises(ValueError, lambda: env.step(action[:1]), "step must refuse actions for another number of tasks")
    _require_raises(ValueError, lambda: env.step(action[:, 0]), "step must refuse actions without their env axis")
    _require_raises(ValueError, lambda: env.step(action[..., None]), "step must refuse actions with one axis too many")
    _require_raises(ValueError, lambda: env.step(other), f"step must refuse {other.dtype} actions")
    _require((env.step(action).observation == case.reference.observation[0]).all(), "a refused action moved something")


def _check_non_finite_actions(case: _Case) -> None:
    if not isinstance(case.env.action_space, gym.spaces.Box):
        return
    for value in (np.nan, np.inf):
        case.env.set_tasks(case.tasks)
        case.env.reset(case.seeds)
        action = case.actions[0].copy()
        action[1, 0] = value
        _require_names_task(case.env, action, case.tasks[1])


def _require_names_task(env: TaskVectorEnv, action: NDArray[Any], task: Task) -> None:
    try:
        env.step(action)
    except NonFiniteError as error:
        _require(task.to_json() in str(error), f"NonFiniteError must name the task as JSON, got: {error}")
        return
    raise ConformanceError("step took a NaN or infinite action: it must raise NonFiniteError")


# -- the gymnasium view ----------------------------------------------------------------------------------------


def _check_flat(case: _Case) -> None:
    case.env.set_tasks(case.tasks)
    flat, sentence = case.env.flat(), "flat() must give the same numbers as the environment itself"
    _require(flat.num_envs == TASKS * ENVS, f"flat() has {flat.num_envs} environments, expected {TASKS * ENVS}")
    observation, _ = flat.reset(seed=[seed for seed in case.seeds for _ in range(ENVS)])
    _require(np.array_equal(observation, _flatten(case.reference.first)[0]), f"{sentence} (reset)")
    for time, action in enumerate(_flatten(case.actions)):
        if case.env.over.all():  # nothing is left to step; the view says so
            break
        *arrays, info = flat.step(action)
        wanted = [_flatten(x)[time] for x in case.reference[1:]]
        got = [*arrays, info["success"]]
        _require(all(map(np.array_equal, got, wanted)), f"{sentence} (step {time})")


def _flatten(x: NDArray[Any]) -> NDArray[Any]:
    """``[time, task, env, ...]`` to ``[time, task * env, ...]``."""
    return x.reshape(len(x), -1, *x.shape[3:])


CHECKS: tuple[Callable[[_Case], None], ...] = (
    _check_identity,
    _check_horizon_is_a_count,
    _check_spaces,
    _check_sample,
    _check_tasks,
    _check_sample_is_pure,
    _check_task_is_data,
    _check_make,
    _check_repeatable,
    _check_mean_reward,
    _check_expert,
    _check_tasks_are_held,
    _check_slot_before,
    _check_order_of_tasks,
    _check_alone,
    _check_deterministic,
    _check_whole_episode,
    _check_partial_reset,
    _check_results_are_kept,
    _check_results_are_the_callers,
    _check_actions_are_the_callers,
    _check_bad_tasks,
    _check_bad_resets,
    _check_bad_actions,
    _check_non_finite_actions,
    _check_flat,
    _check_life_cycle,
    _check_close_twice,
)
