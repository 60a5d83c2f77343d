"""A Meta-World task as a scene: Meta-World's own model with all its looks, as its own reset sets it up."""

from __future__ import annotations

import functools
from typing import Any

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
