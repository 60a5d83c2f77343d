"""A robot of one's own as a scene."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from envs.api import Task
from envs.mjcf.model import find, read_model
from envs.mujoco_scene import MujocoScene, View


@functools.lru_cache(maxsize=8)
def _model(name: str, source: str) -> mujoco.MjModel:
    """A model that is drawn, and not the engine's: scenes change its arrays."""
    model = read_model(name, source)
    for same in (model.body_sameframe, model.geom_sameframe, model.site_sameframe):
        same[:] = 0  # else MuJoCo reads no place of what lies in the middle of its body, also where a task moves it
    return model


def scene(
    name: str,
    source: str,
    task: Task,
    changes: Mapping[str, NDArray[np.float64]],
    point: list[float] | None,
    trail: str,
    view: View | str | None,
) -> MujocoScene:
    """The model with what a task changes in it, seen through a camera."""
    model = _model(name, source)
    if view is None or isinstance(view, str):
        view = _view(name, model, view)
    body = find(f"{name}: trail", model, "body", trail).id if trail else min(1, model.nbody - 1)
    arrays = {key: array for key, array in changes.items() if key != "gravity"}
    numbers = ", ".join(f"{x:.2f}" for x in (task.vector if point is None else point))
    words = f"task ({numbers})" if point is None else f"goal ({numbers})"
    return MujocoScene(model, arrays, words, None if point is None else tuple(point), body, view)


def _view(name: str, model: mujoco.MjModel, camera: str | None) -> View:
    """What a camera of the model sees in the initial pose; without one, the model from the side."""
    centre, extent = np.array(model.stat.center), float(model.stat.extent)
    if camera is None:
        return View(tuple(centre.tolist()), 1.8 * extent, 135.0, -25.0)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    index = find(f"{name}: view", model, "camera", camera).id
    place, forward = np.array(data.cam_xpos[index]), -data.cam_xmat[index].reshape(3, 3)[:, 2]
    distance = max(float((centre - place) @ forward), 0.1 * extent)
    azimuth, elevation = np.degrees([np.arctan2(forward[1], forward[0]), np.arcsin(forward[2].clip(-1, 1))]).tolist()
    return View(tuple((place + distance * forward).tolist()), distance, azimuth, elevation)
