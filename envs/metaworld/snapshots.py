"""Tasks as Meta-World's own reset leaves them, for the native engine to restore in microseconds.

Meta-World's reset takes 5-15 ms of settling steps, but it is deterministic in (family, task vector). So its own code
runs once per task, in this process; the physics state, what the goal changed in the model, and the attributes that the
reward reads are kept, here and on disk. What is kept has come out of two resets alike.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from envs import dynamics as dyn
from envs.api import Task
from envs.metaworld import _engine as _engine  # after mujoco, whose library it needs; engine.py takes it from here
from envs.metaworld import cache, models
from envs.metaworld.benchmarks import reset_to, to_metaworld
from envs.threads import SHARED

Double = NDArray[np.float64]

STATE = mujoco.mjtState.mjSTATE_INTEGRATION
"""Everything `mj_step` reads, the solver's warm start included."""
TRIES = 3
"""Pairs of resets until two are alike."""


def _detect_fused_dot() -> None:
    """Tell the engine how numpy's BLAS rounds a dot product, so that norms agree to the last bit."""
    vectors = np.random.default_rng(0).standard_normal((64, 3))
    expected = [float(np.linalg.norm(v)) for v in vectors]
    for fused in (True, False):
        _engine.set_dot_is_fused(fused)
        if [_engine.norm(v) for v in vectors] == expected:
            return
    _engine.set_dot_is_fused(True)  # a BLAS that does neither: one bit of the gripper's opening may differ


_detect_fused_dot()


@functools.cache
def family_model(family: str) -> _engine.Family:
    """The native half of `family`: its model, and what its env object is configured with."""
    entry = f"{family}/model"
    with SHARED:
        stored = cache.load(entry)
        if stored is None:
            stored = _describe(models.slim_env(family))
            cache.store(entry, stored)
    model = mujoco.MjModel.from_binary_path("model.mjb", {"model.mjb": stored["model"].tobytes()})
    return _engine.make_family(
        family, model, stored["mocap_low"], stored["mocap_high"], float(stored["action_scale"]),
        int(stored["frame_skip"]), stored["observation_low"], stored["observation_high"], dyn.ARRAYS,
    )  # fmt: skip


def _describe(env: Any) -> cache.Arrays:
    model = np.empty(mujoco.mj_sizeModel(env.model), np.uint8)
    mujoco.mj_saveModel(env.model, None, model)
    space = _visible_space(env)
    return {
        "model": model,
        "mocap_low": _double(env.mocap_low),
        "mocap_high": _double(env.mocap_high),
        "action_scale": np.array(env.action_scale),
        "frame_skip": np.array(env.frame_skip),
        "observation_low": _double(space.low),
        "observation_high": _double(space.high),
    }


@functools.cache
def native_task(task: Task) -> _engine.Task:
    """`task` ready for the engine, from memory, from disk, or by one reset of Meta-World's env object.

    Raises:
        ValueError: the family does not accept the task vector.
        RuntimeError: Meta-World's reset gives something else each time.
    """
    native, stored = family_model(task.family), _stored(task)
    return _engine.make_task(
        native, stored["body_pos"], stored["site_pos"], stored["state"], stored["constants"], stored["observation"]
    )


@functools.cache
def shown_goal(task: Task) -> tuple[float, float, float]:
    """The goal as Meta-World's observations of `task` show it where it is visible, the same in all of an episode.

    Raises:
        ValueError, RuntimeError: as `native_task`.
    """
    x, y, z = _stored(task)["observation"][-3:].tolist()
    return x, y, z


def _stored(task: Task) -> cache.Arrays:
    """The snapshot of `task`, from disk or by resets of Meta-World's env object."""
    native = family_model(task.family)
    # The constants are part of the name: a reward that reads others finds none of the old entries.
    key = hashlib.sha256(repr((task.vector, native.attributes)).encode()).hexdigest()[:24]
    entry = f"{task.family}/{key}"
    with SHARED:
        stored = cache.load(entry)
        if stored is None:
            stored = _checked_snapshot(task, native)
            cache.store(entry, stored)
    return stored


def varied_task(task: Task, numbers: Sequence[float]) -> _engine.Task:
    """`task` with dynamics of its own, in the start state of the plain one.

    Args:
        numbers: its dynamics, one for each of `dynamics.QUANTITIES`.
    """
    sizes, values = _parameters(task.family)
    return _engine.vary_task(native_task(task), dyn.scale(values, sizes, numbers))


@functools.cache
def _parameters(family: str) -> tuple[list[tuple[str, int]], Double]:
    """The arrays of a family's model that dynamics change: their names and lengths, and their numbers in a row."""
    native = family_model(family)
    return native.parameters, np.array(native.values)


def _checked_snapshot(task: Task, native: _engine.Family) -> cache.Arrays:
    """The snapshot that two resets in a row agree on: whatever disturbs one of them does not get into the cache."""
    for _ in range(TRIES):
        first, second = _snapshot(task, native), _snapshot(task, native)
        if all(np.array_equal(first[name], second[name], equal_nan=True) for name in first):
            return first
    raise RuntimeError(
        f"Meta-World's reset leaves task {task.to_json()} in another state each time; there is no start state to keep"
    )


def _snapshot(task: Task, native: _engine.Family) -> cache.Arrays:
    env = models.slim_env(task.family)
    env.set_task(to_metaworld(task, goal_visible=True))
    observation = reset_to(env, task)
    state = np.empty(mujoco.mj_stateSize(env.model, STATE))
    mujoco.mj_getState(env.model, env.data, state, STATE)
    return {
        "body_pos": env.model.body_pos.flatten(),
        "site_pos": env.model.site_pos.flatten(),
        "state": state,
        "constants": np.concatenate([_constant(env, name, size) for name, size in native.attributes]),
        "observation": np.array(observation, np.float64),
    }


def _constant(env: Any, name: str, size: int) -> Double:
    """Attribute `name` of `env` as float64 [size].

    Meta-World sometimes keeps a view of the simulation in an attribute: that is the current value at each step and no
    constant. `_target_pos`, which every family declares, is then NaN, so that a reward which reads it is caught.
    """
    value = getattr(env, name)
    live = isinstance(value, np.ndarray) and any(
        np.shares_memory(value, getattr(env.data, field))
        for field in ("qpos", "qvel", "xpos", "xquat", "xmat", "geom_xpos", "site_xpos", "mocap_pos")
    )
    if live and name != "_target_pos":
        raise TypeError(f"{type(env).__name__}.{name} is a view of the simulation: read it from the scene instead")
    constant = np.full(size, np.nan) if live else _double(value).reshape(-1)
    if constant.size != size:
        raise TypeError(f"{type(env).__name__}.{name} has {constant.size} numbers, the engine expects {size}")
    return constant


def _visible_space(env: Any) -> Any:
    """The observation space of `env` with the goal visible. (It is a cached property that depends on a flag.)"""
    env.__dict__.pop("sawyer_observation_space", None)
    env._partially_observable = False
    return env.sawyer_observation_space


def _double(x: Any) -> Double:
    return np.ascontiguousarray(x, dtype=np.float64)
