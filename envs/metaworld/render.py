"""A Meta-World task as a scene: Meta-World's own model with all its looks, as its own reset sets it up."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.api import Task
from envs.metaworld.benchmarks import reset_to, to_metaworld
from envs.mujoco_scene import MujocoScene, View
from envs.threads import SHARED

VIEW = View(look_at=(0.0, 0.62, 0.16), distance=1.45, azimuth=235.0, elevation=-22.0)


@functools.cache
def _full_env(family: str) -> Any:
    """Meta-World's env object, made once per process and family (a quarter of a second); for who holds `SHARED`."""
    import metaworld

    return metaworld.ALL_V3_ENVIRONMENTS[family]()


def with_goal(task: Task, place: Sequence[float]) -> Task | None:
    """The task whose target lies at `place`, or as near to it as Meta-World draws goals; the object stays. None for
    families whose target follows their object.

    Raises:
        ValueError: Meta-World does not accept a goal so close to the object.
    """
    if len(task.vector) != 6:
        return None
    with SHARED:
        env = _full_env(task.family)
        env.set_task(to_metaworld(task))
        reset_to(env, task)
        space, vector = env._random_reset_space, task.array
        # The target may stand off from the numbers that were drawn for it; both move alike.
        vector[3:] = np.clip(vector[3:] + np.asarray(place) - env._target_pos, space.low[3:], space.high[3:])
        moved = Task(task.family, tuple(vector))
        env.set_task(to_metaworld(moved))
        reset_to(env, moved)
    return moved


def scene(task: Task) -> MujocoScene:
    """The arm at its table; the goal is Meta-World's own target position."""
    with SHARED:
        env = _full_env(task.family)
        env.set_task(to_metaworld(task))
        reset_to(env, task)
        point = tuple(float(x) for x in env._target_pos)
        arrays = {name: getattr(env.model, name).copy() for name in ("body_pos", "body_quat", "site_pos")}
        goal = f"goal ({', '.join(f'{x:.2f}' for x in point)})"
        return MujocoScene(env.model, arrays, goal, point, env.model.body("hand").id, VIEW)
