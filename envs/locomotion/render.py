"""A locomotion task as a scene: Gymnasium's robot on its floor, the camera beside it."""

from __future__ import annotations

import functools
from collections.abc import Callable

import mujoco
import numpy as np
from numpy.typing import NDArray

from envs.api import Task
from envs.locomotion.presets import Preset
from envs.locomotion.robots import ROBOTS, model_path
from envs.mujoco_scene import MujocoScene, View

VIEW = View(look_at=(0.0, 0.0, 0.5), distance=4.5, azimuth=90.0, elevation=-15.0, follow=True)
TORSO = 1
"""The body whose path is drawn."""


def _direction(target: NDArray[np.float64]) -> str:
    if target.size == 1 or target[1] == 0:
        return "forward" if target[0] > 0 else "backward"
    return f"towards {np.degrees(np.arctan2(target[1], target[0])):.0f} degrees"


# What is rewarded (`Family.progress`) -> the target in words.
_WORDS: dict[str, Callable[[NDArray[np.float64]], str]] = {
    "along": _direction,
    "at-speed": lambda target: f"at {target[0]:.2f} m/s",
    "near": lambda target: f"goal ({target[0]:.2f}, {target[1]:.2f})",
    "forward": lambda target: "forward, other dynamics",
}


@functools.cache
def _model(robot: str) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(model_path(ROBOTS[robot]))


def scene(preset: Preset, task: Task) -> MujocoScene:
    """The robot, and its goal where that is a place. (Randomised dynamics are not seen.)"""
    progress, target = preset.shared.progress, task.array
    point = (float(target[0]), float(target[1]), 0.1) if progress == "near" else None
    return MujocoScene(_model(preset.shared.robot), {}, _WORDS[progress](target), point, TORSO, VIEW)
