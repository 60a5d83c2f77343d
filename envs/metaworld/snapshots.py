"""Tasks as Meta-World's own reset leaves them, for the native engine to restore in microseconds.

Meta-World's reset takes 5-15 ms of settling steps, but it is deterministic in (family, task vector). So its own code
runs once per task, in this process; the physics state, what the goal changed in the model, and the attributes that the
reward reads are kept.
"""

from __future__ import annotations

import functools
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from envs.api import Task
from envs.metaworld import _engine as _engine  # after mujoco, whose library it needs; engine.py takes it from here
from envs.metaworld.benchmarks import to_metaworld

Double = NDArray[np.float64]

STATE = mujoco.mjtState.mjSTATE_INTEGRATION
"""Everything `mj_step` reads, the solver's warm start included."""


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
def original(family: str) -> Any:
    """Meta-World's own env object of `family`, made once per process; for resets only.

    Raises:
        ValueError: there is no such family.
    """
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS  # a second

    if family not in ALL_V3_ENVIRONMENTS:
        raise ValueError(f"{family!r} is not a Meta-World family")
    return ALL_V3_ENVIRONMENTS[family]()


@functools.cache
def family_model(family: str) -> _engine.Family:
    """The native half of `family`, on the model of Meta-World's env object."""
    env = original(family)
    space = _visible_space(env)
    return _engine.make_family(
        family, env.model, _double(env.mocap_low), _double(env.mocap_high), env.action_scale, env.frame_skip,
        _double(space.low), _double(space.high),
    )  # fmt: skip


@functools.cache
def native_task(task: Task) -> _engine.Task:
    """`task` ready for the engine, from the cache or by one reset of Meta-World's env object.

    Raises:
        ValueError: the family does not accept the task vector.
    """
    env, native = original(task.family), family_model(task.family)
    observation = _reset(env, task)
    state = np.empty(mujoco.mj_stateSize(env.model, STATE))
    mujoco.mj_getState(env.model, env.data, state, STATE)
    constants = [_constant(env, name, size) for name, size in native.attributes]
    return _engine.make_task(
        native, env.model.body_pos.ravel(), env.model.site_pos.ravel(), state, np.concatenate(constants), observation
    )


def _reset(env: Any, task: Task) -> Double:
    """Reset `env` to `task`; returns the observation [39] with the goal visible."""
    size = env._random_reset_space.low.size
    if len(task.vector) != size:
        raise ValueError(f"a task of {task.family} has {size} numbers, got {len(task.vector)}")
    env.set_task(to_metaworld(task, goal_visible=True))
    # Meta-World redraws while object and goal are too close, which never ends with a fixed vector. Its reset draws
    # twice; far more draws mean that it is stuck.
    draws = 0

    def draw() -> Double:
        nonlocal draws
        draws += 1
        if draws > 10:
            raise ValueError(f"{task.family} rejects the task vector {task.vector}: object and goal are too close")
        return task.array

    env._get_state_rand_vec = draw
    try:
        observation, _ = env.reset()
    finally:
        del env._get_state_rand_vec
    return _double(observation)


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
