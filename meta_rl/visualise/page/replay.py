"""Recordings as a replay that a page can play: bodies' poses and meshes as small integers, deflated, in base64.

A page holds some hundred episodes, so what is kept is a pose of each moving body at every few env steps.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import Scene, Solid, Task
from meta_rl.evaluation.recording import Recording

MOMENTS = 84
"""Moments of an episode that are kept, about evenly spaced."""
FULL = 32767
"""The largest int16."""


class Replays:
    """Collects the episodes of several recordings; `data` is what the page reads.

    Meshes are kept once, however many families share them.
    """

    def __init__(self) -> None:
        self._meshes: dict[bytes, int] = {}
        self._packed: list[dict[str, Any]] = []
        self._families: dict[str, dict[str, Any]] = {}

    def tasks(self, recording: Recording, scene_of: Callable[[Task], Scene]) -> Iterator[dict[str, Any]]:
        """JSON-able, per task: ``family`` (its key in `data`), ``goal`` in words, ``marks`` (see `Scene.marks`), the
        poses of its ``fixed`` bodies, and the ``stages``.

        A stage is its first episode: ``moments``, ``returns`` (so far, at each moment), ``success`` (the first moment
        at or after it, or -1) and, as far as the scene has them, ``poses`` or a ``path``.
        """
        return (self._task(recording, index, scene_of(task)) for index, task in enumerate(recording.tasks))

    def data(self) -> dict[str, Any]:
        """JSON-able: ``meshes``, and per family the ``pieces`` (mesh, body, colour, whether it is fixed) and
        the ``bodies`` whose poses are kept."""
        return {"meshes": self._packed, "families": self._families}

    def _family(self, name: str, scene: Scene) -> str:
        if name not in self._families:
            solids = scene.solids()
            pieces = [[self._mesh(s), s.body, [round(c, 3) for c in s.colour], s.fixed] for s in solids]
            moving = sorted({solid.body for solid in solids if not solid.fixed} | _trail(scene))
            self._families[name] = {"pieces": pieces, "bodies": moving}
        return name

    def _mesh(self, solid: Solid) -> int:
        size = float(np.abs(solid.vertices).max())
        vertices = np.round(solid.vertices / size * FULL).astype("<i2").tobytes()
        faces = solid.faces.astype("<u2").tobytes()
        key = vertices + faces
        if key not in self._meshes:
            self._meshes[key] = len(self._packed)
            self._packed.append({"size": size, "vertices": _pack(vertices), "faces": _pack(faces)})
        return self._meshes[key]

    def _task(self, recording: Recording, index: int, scene: Scene) -> dict[str, Any]:
        family = self._family(recording.tasks[index].family, scene)
        start = scene.poses(recording.state[index, 0, 0, :1])[0]
        fixed = {body for _, body, _, still in self._families[family]["pieces"] if still}
        return {
            "family": family,
            "goal": scene.goal,
            "marks": scene.marks(),
            "fixed": {str(body): [float(f"{x:.5g}") for x in start[body]] for body in sorted(fixed)},
            "stages": [self._episode(recording, index, stage, scene, family) for stage in range(recording.stages)],
        }

    def _episode(self, recording: Recording, task: int, stage: int, scene: Scene, family: str) -> dict[str, Any]:
        index = (task, stage, 0)
        length = int(recording.lengths[index])
        moments = np.unique(np.linspace(0, length, MOMENTS + 1).round().astype(int))
        gained = np.concatenate([[0.0], np.cumsum(recording.reward[index], dtype=np.float64)])
        met = np.concatenate([[False], np.logical_or.accumulate(recording.success[index])])
        episode: dict[str, Any] = {
            "moments": moments.tolist(),
            "returns": [float(f"{value:.6g}") for value in gained[moments]],
            "success": int(np.argmax(met[moments])) if met[moments].any() else -1,
        }
        states = recording.state[index][moments]
        if bodies := self._families[family]["bodies"]:
            episode |= pack_poses(scene.poses(states)[:, bodies])
        elif "extent" in scene.marks():
            episode["path"] = np.round(states[:, :2], 4).tolist()
        return episode


def _trail(scene: Scene) -> set[int]:
    marks = scene.marks()
    return {marks["trail"]} if "trail" in marks else set()


def pack_poses(poses: NDArray[np.float32]) -> dict[str, Any]:
    """Poses ``[time, body, 7]`` as ``{"scale": metres per unit, "poses": text}``: int16 ``[body, number, time]``, each
    the difference from the moment before (modulo 2^16)."""
    turns = poses[..., 3:].copy()
    # A quaternion and its negative are the same turn; of the two, the one closer to the moment before.
    signs = np.sign((turns[1:] * turns[:-1]).sum(-1, keepdims=True))
    turns[1:] *= np.cumprod(np.where(signs == 0, 1, signs), 0)
    scale = max(float(np.abs(poses[..., :3]).max()), 1e-3) / FULL
    numbers = np.concatenate([poses[..., :3] / scale, turns * FULL], -1).round().clip(-FULL, FULL).astype(np.int32)
    steps = np.diff(numbers, axis=0, prepend=0)
    wrapped = np.moveaxis(steps, 0, -1).astype(np.int64).astype(np.uint16).astype("<u2")
    return {"scale": scale, "poses": _pack(wrapped.tobytes())}


def unpack_poses(packed: dict[str, Any], bodies: int) -> NDArray[np.float64]:
    """The inverse of `pack_poses`, to the precision of its integers; the page has it in JavaScript."""
    raw = zlib.decompress(base64.b64decode(packed["poses"]))
    steps = np.frombuffer(raw, "<u2").reshape(bodies, 7, -1)
    numbers = np.moveaxis(np.cumsum(steps, -1, dtype=np.uint16).view(np.int16), -1, 0).astype(np.float64)
    return np.concatenate([numbers[..., :3] * packed["scale"], numbers[..., 3:] / FULL], -1)


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()
