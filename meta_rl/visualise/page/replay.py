"""Recordings as a replay that a page can play: bodies' poses and meshes as small integers, deflated, in base64.

A page holds some hundred episodes, so what is kept is a pose of each moving body at every few env steps.
"""

from __future__ import annotations

import base64
import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import Scene, Shape, Solid, Task
from meta_rl.evaluation.recording import Recording

MOMENTS = 84
"""Moments of an episode that are kept, about evenly spaced."""
PRACTISED = 10
"""Episodes of practice between two stages that are kept, at most."""
PRACTICE_MOMENTS = 30
"""Moments of each of them, at most."""
FULL = 32767
"""The largest int16."""
FINE = 10_000
"""Parts of the side of the square that shapes are drawn in."""
ACTIONS = 8
"""Most numbers of an action that are kept."""


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
        poses of its ``fixed`` bodies, the ``shapes`` of a plane scene, the ``stages`` and, if it was recorded, the
        ``practice`` between each and the next one (see `pack_practice`).

        A stage is its first episode: ``moments``, ``returns`` (so far, at each moment), ``success`` (the first moment
        at or after it, or -1), ``met`` (runs of moments ``[first, last]`` where the goal is met then or since the
        moment before; for tasks with success), ``actions`` (see `pack_actions`) and, as far as the scene has them,
        ``poses``, the ``places`` of its moving shapes, or a ``path``.
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
            self._packed.append({"size": size, "vertices": deflated(vertices), "faces": deflated(faces)})
        return self._meshes[key]

    def _task(self, recording: Recording, index: int, scene: Scene) -> dict[str, Any]:
        family = self._family(recording.tasks[index].family, scene)
        start = scene.poses(recording.state[index, 0, 0, :1])[0]
        fixed = {body for _, body, _, still in self._families[family]["pieces"] if still}
        longest = int(recording.lengths[index, :, 0].argmax())
        shapes = [_shape(shape) for shape in scene.shapes(recording.track(index, longest))]
        packed = {
            "family": family,
            "goal": scene.goal,
            "marks": scene.marks(),
            "fixed": {str(body): [float(f"{x:.5g}") for x in start[body]] for body in sorted(fixed)},
            **({"shapes": shapes} if shapes else {}),
            "stages": [self._episode(recording, index, stage, scene, family) for stage in range(recording.stages)],
        }
        if recording.practice is not None:
            packed["practice"] = [pack_practice(recording, index, step, scene) for step in range(recording.stages - 1)]
        return packed

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
            "actions": pack_actions(recording.action[index][moments[1:] - 1]),
        }
        if recording.about["has_success"]:
            episode["met"] = runs([recording.success[index][a:b].any() for a, b in itertools.pairwise(moments)])
        states = recording.state[index][moments]
        if bodies := self._families[family]["bodies"]:
            episode |= pack_poses(scene.poses(states)[:, bodies])
        elif length and (shapes := scene.shapes(recording.track(task, stage))):
            episode["places"] = pack_places([s.points[moments] for s in shapes if len(s.points) > 1])
        elif "extent" in scene.marks():
            episode["path"] = np.round(states[:, :2], 4).tolist()
        return episode


def _trail(scene: Scene) -> set[int]:
    marks = scene.marks()
    return {marks["trail"]} if "trail" in marks else set()


def _shape(shape: Shape) -> dict[str, Any]:
    """A shape for the page: where it is, if it never moves, or of how many points it is."""
    found: dict[str, Any] = {"kind": shape.kind, "colour": shape.colour, "size": shape.size, "edge": shape.edge}
    if shape.words:
        found["words"] = shape.words
    still = len(shape.points) == 1
    return found | ({"at": np.round(shape.points[0], 4).tolist()} if still else {"points": shape.points.shape[1]})


def runs(flags: Sequence[bool | np.bool_]) -> list[list[int]]:
    """First and last moment of each run of true ones; the first of `flags` is that of moment 1."""
    edges = np.flatnonzero(np.diff([False, *flags, False])).tolist()
    return [[first + 1, last] for first, last in zip(edges[::2], edges[1::2], strict=True)]


def pack_actions(actions: NDArray[Any]) -> dict[str, Any]:
    """Actions ``[time, *action]`` as ``{"of": numbers of an action, "low", "high", "whole", "values": text}``: bytes
    ``[number, time]``, of the first `ACTIONS` numbers, 0 for the lowest and 255 for the highest that each has here;
    `whole` if they number choices."""
    numbers = actions.reshape(len(actions), int(np.prod(actions.shape[1:]))).astype(np.float64)
    kept = np.nan_to_num(numbers[:, :ACTIONS].T, posinf=0, neginf=0)
    ends = kept if len(actions) else np.zeros((len(kept), 1))  # an episode that was discarded has none
    low, high = ends.min(-1, keepdims=True), ends.max(-1, keepdims=True)
    whole = actions.dtype.kind in "iub" and bool((high - low <= 255).all())
    if whole:
        high = low + 255
    values = ((kept - low) / np.maximum(high - low, 1e-9) * 255).round().astype(np.uint8)
    said = {name: [float(f"{x:.4g}") for x in end[:, 0]] for name, end in (("low", low), ("high", high))}
    return {"of": numbers.shape[1], **said, "whole": whole, "values": deflated(values.tobytes())}


def pack_places(places: Sequence[NDArray[np.float64]]) -> str:
    """Points of moving shapes ``[time, point, 2]``, in a row: int16 ``[number, time]``, `FINE` to the side of
    the square, each the difference from the moment before (modulo 2^16); the lowest number stands for NaN."""
    numbers = np.concatenate([points.reshape(len(points), -1) for points in places], 1).T * FINE
    whole = np.where(np.isnan(numbers), -FULL - 1, numbers.round().clip(-FULL, FULL)).astype(np.int64)
    return deflated(np.diff(whole, axis=-1, prepend=0).astype(np.uint16).astype("<u2").tobytes())


def pack_poses(poses: NDArray[np.float32]) -> dict[str, Any]:
    """Poses ``[time, body, 7]`` as ``{"scale": metres per unit, "poses": text}``: int16 ``[body, number, time]``, each
    the difference from the moment before (modulo 2^16)."""
    turns = poses[..., 3:].copy()
    # A quaternion and its negative are the same turn; of the two, the one closer to the moment before.
    signs = np.sign((turns[1:] * turns[:-1]).sum(-1, keepdims=True))
    turns[1:] *= np.cumprod(np.where(signs == 0, 1, signs), 0)
    scale = _scale(poses[..., :3])
    numbers = np.concatenate([poses[..., :3] / scale, turns * FULL], -1)
    return {"scale": scale, "poses": _pack_steps(np.moveaxis(numbers, 0, -1))}


def pack_practice(recording: Recording, task: int, step: int, scene: Scene) -> dict[str, Any]:
    """The episodes between a stage and the next one, at most `PRACTISED` of them, JSON-able.

    Returns:
        ``episodes``: the numbers of those that are kept, from 1; ``captions``, in words, and ``learned``, what they
        led to; ``moments`` (env steps), the same for all of them; ``returns`` so far ``[episode][moment]``; ``success``
        of each. Where the scene has a path: ``numbers`` of a place (2 or 3), ``scale`` (metres per unit) and ``paths``:
        int16 ``[episode, number, moment]``, packed as poses are. An episode that is over stays where it ended.
    """
    practice, names = recording.practice, recording.stage_names
    assert practice is not None
    kept = np.unique(np.linspace(0, practice.episodes - 1, PRACTISED).round().astype(int))
    chosen = np.unique(np.linspace(0, len(practice.moments) - 1, PRACTICE_MOMENTS).round().astype(int))
    moments, index = practice.moments[chosen], (task, step, kept)
    gained = np.cumsum(np.pad(practice.reward[index], [(0, 0), (1, 0)]), -1, dtype=np.float64)[:, moments]
    packed: dict[str, Any] = {
        "episodes": (kept + 1).tolist(),
        "captions": [names.practising(episode + 1) for episode in kept.tolist()],
        "learned": names.learned(step + 1),
        "moments": moments.tolist(),
        "returns": [[float(f"{value:.5g}") for value in row] for row in gained],
        "success": practice.solved[index].tolist(),
    }
    paths = np.stack([scene.path(practice.state[task, step, k][chosen].astype(np.float64)) for k in kept])
    if paths.shape[-1]:
        scale = _scale(paths)
        steps = _pack_steps(np.moveaxis(paths / scale, 1, -1))
        packed |= {"numbers": paths.shape[-1], "scale": scale, "paths": steps}
    return packed


def unpack_paths(packed: dict[str, Any]) -> NDArray[np.float64]:
    """Places ``[episode, moment, number]`` from what `pack_practice` gave."""
    shape = (len(packed["episodes"]), packed["numbers"], len(packed["moments"]))
    return np.moveaxis(_unpack_steps(packed["paths"], shape), -1, 1) * float(packed["scale"])


def _scale(places: NDArray[np.floating[Any]]) -> float:
    """Metres per unit."""
    return max(float(np.abs(places).max()), 1e-3) / FULL


def _pack_steps(numbers: NDArray[np.floating[Any]]) -> str:
    """Numbers ``[..., time]`` as int16, each as its difference from the moment before (modulo 2^16)."""
    whole = numbers.round().clip(-FULL, FULL).astype(np.int64)
    return deflated(np.diff(whole, axis=-1, prepend=0).astype(np.uint16).astype("<u2").tobytes())


def _unpack_steps(packed: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    steps = np.frombuffer(zlib.decompress(base64.b64decode(packed)), "<u2").reshape(shape)
    return np.asarray(np.cumsum(steps, -1, dtype=np.uint16).view(np.int16), np.float64)


def unpack_poses(packed: dict[str, Any], bodies: int) -> NDArray[np.float64]:
    """The inverse of `pack_poses`, to the precision of its integers; the page has it in JavaScript."""
    numbers = np.moveaxis(_unpack_steps(packed["poses"], (bodies, 7, -1)), -1, 0)
    return np.concatenate([numbers[..., :3] * packed["scale"], numbers[..., 3:] / FULL], -1)


def deflated(data: bytes) -> str:
    """Bytes for the page: deflated, in base64."""
    return base64.b64encode(zlib.compress(data, 9)).decode()
