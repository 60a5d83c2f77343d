"""What is read of many simulations of one model at once: arrays of mjData, and the task and action beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

Double = NDArray[np.float64]
Features = Mapping[str, Double]
"""Arrays of mjData by name, each float64 ``[env, size]``."""

COMPONENTS: dict[str, int] = {
    "qpos": 1, "qvel": 1, "qacc": 1, "act": 1, "xpos": 3, "xquat": 4, "xmat": 9, "xipos": 3,
    "geom_xpos": 3, "geom_xmat": 9, "site_xpos": 3, "site_xmat": 9, "subtree_com": 3, "cinert": 10, "cvel": 6,
    "actuator_force": 1, "qfrc_actuator": 1, "cfrc_ext": 6, "sensordata": 1,
}  # fmt: skip
"""The arrays that can be read, with the numbers that each has per body, geom, site, joint or motor."""


class Arrays:
    """Simulations ``[env]`` of one model after a step, or after a reset.

    ``arrays["site_xpos"]`` is float64 ``[env, site, 3]``, and so for every name in `COMPONENTS` that is read; `body`,
    `site`, `geom`, `joint` and `sensor` find one of them by its name in the model. They are views: copy what is kept.

    Attributes:
        flat: the same arrays, each ``[env, size]``.
        task: the numbers of each environment's task, ``[env, number]``.
        action: what the motors were told, within their limits, ``[env, motor]``; zeros after a reset.
        before: the arrays before the step; after a reset, the same once more.
        seconds: seconds of an env step.
    """

    flat: Features
    task: Double
    action: Double
    before: Arrays

    def __init__(
        self, model: mujoco.MjModel, numbers: Double, sizes: Sequence[tuple[str, int]], seconds: float
    ) -> None:
        self._model, self._numbers, self.seconds = model, numbers, seconds
        ends = np.cumsum([size for _, size in sizes], dtype=int).tolist()
        self.flat = {name: numbers[:, end - size : end] for (name, size), end in zip(sizes, ends, strict=True)}
        self._shaped = {name: _shaped(name, array) for name, array in self.flat.items()}
        self._places: dict[tuple[str, str], tuple[int, int]] = {}
        self.before = self

    def __getitem__(self, name: str) -> Double:
        try:
            return self._shaped[name]
        except KeyError:
            known = "add it to reads" if name in COMPONENTS else f"the engine has {', '.join(COMPONENTS)}"
            raise KeyError(f"{name!r} is not read: {known}") from None

    def body(self, name: str) -> Double:
        """Places of a body's frame, ``[env, 3]``, m."""
        return self["xpos"][:, self._find("body", name)[0]]

    def site(self, name: str) -> Double:
        """Places of a site, ``[env, 3]``, m."""
        return self["site_xpos"][:, self._find("site", name)[0]]

    def geom(self, name: str) -> Double:
        """Places of a geom's middle, ``[env, 3]``, m."""
        return self["geom_xpos"][:, self._find("geom", name)[0]]

    def joint(self, name: str) -> Double:
        """Positions of a joint, ``[env, 1]`` for a hinge (rad) or slide (m), ``[env, 7]`` for a free one."""
        first, size = self._find("joint", name)
        return self["qpos"][:, first : first + size]

    def sensor(self, name: str) -> Double:
        """Readings of a sensor, ``[env, number]``. (MuJoCo takes them as a physics step begins.)"""
        first, size = self._find("sensor", name)
        return self["sensordata"][:, first : first + size]

    def _find(self, kind: str, name: str) -> tuple[int, int]:
        """Place of a thing of the model in its array, and how many numbers it has."""
        if (kind, name) not in self._places:
            thing: Any = getattr(self._model, kind)(name)  # says which names there are
            if kind == "joint":
                self._places[kind, name] = int(thing.qposadr[0]), len(thing.qpos0)
            elif kind == "sensor":
                self._places[kind, name] = int(thing.adr[0]), int(thing.dim[0])
            else:
                self._places[kind, name] = int(thing.id), 1
        return self._places[kind, name]


def _shaped(name: str, flat: Double) -> Double:
    """A view ``[env, thing, number]`` of an array ``[env, size]``."""
    components = COMPONENTS[name]
    return flat if components == 1 else flat.reshape(len(flat), -1, components)
