"""Before adaptation on the left, after it on the right, in step; several tasks make a grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from envs import Scene, Task, Track
from meta_rl.evaluation.recording import Recording
from meta_rl.visualise.captions import GOOD, QUIET, Words, strip

Picture = NDArray[np.uint8]
COLUMNS = 2
"""Tasks beside each other, from three tasks on."""
GAP = 2
"""Pixels between two sides, and below each task."""
HELD = 20
"""Pictures that the end is shown for."""


def title(recording: Recording, task: int, scene: Scene, width: int) -> Picture:
    """The strip above a pair: which task, and its goal."""
    name = recording.tasks[task].family
    return strip([[Words(f"{name}, task {recording.positions[task]}"), Words(scene.goal, QUIET, True)]], width)


def caption(recording: Recording, task: int, stage: int, time: int, width: int) -> Picture:
    """The strip below a side: stage, return so far, env steps, success so far."""
    reward, success = recording.reward[task, stage, 0, :time], recording.success[task, stage, 0, :time]
    step = min(time, int(recording.lengths[task, stage, 0]))
    numbers = [Words(f"return {reward.sum(dtype=np.float64):.2f}   step {step}")]
    if recording.about["has_success"]:
        numbers.append(Words("success", GOOD, True) if success.any() else Words("no success yet", QUIET, True))
    return strip([[Words(recording.stage_name(stage))], numbers], width)


def pair(recording: Recording, task: int, scene: Scene, tracks: Sequence[Track], time: int, width: int) -> Picture:
    """One task at one moment; a side whose episode is over stands still."""
    stages = (0, recording.stages - 1)
    sides = []
    for stage, played in zip(stages, tracks, strict=True):
        moment = min(time, played.length)
        picture = scene.draw(played, moment, width, width * 3 // 4)
        sides.append(np.concatenate([picture, caption(recording, task, stage, moment, width)]))
    left, right = sides
    both = np.concatenate([left, _gap(left, GAP, 1), right], 1)
    whole = np.concatenate([title(recording, task, scene, both.shape[1]), both])
    return np.concatenate([whole, _gap(whole, GAP, 0)])


def _gap(beside: Picture, size: int, axis: int) -> Picture:
    """A grey line along a picture, to its right (axis 1) or below it (axis 0)."""
    shape = list(beside.shape)
    shape[axis] = size
    return np.full(shape, 214, np.uint8)


def frames(
    recording: Recording,
    scene_of: Callable[[Task], Scene],
    tasks: Sequence[int],
    every: int = 5,
    width: int = 320,
) -> Iterator[Picture]:
    """The pictures of a video.

    Args:
        scene_of: `TaskDistribution.scene`.
        tasks: rows of the recording.
        every: env steps between two pictures; the last moment is always one.
        width: of one side, in pixels.
    """
    shown = [(task, scene_of(recording.tasks[task])) for task in tasks]
    tracks = [[recording.track(task, stage) for stage in (0, recording.stages - 1)] for task in tasks]
    moments = _moments(recording, tasks, every)
    picture = np.zeros((0, 0, 3), np.uint8)
    try:
        for time in moments:
            cells = [
                pair(recording, task, scene, both, time, width)
                for (task, scene), both in zip(shown, tracks, strict=True)
            ]
            picture = grid(cells)
            yield picture
        for _ in range(HELD):
            yield picture
    finally:
        for _, scene in shown:
            scene.close()


def picture_count(recording: Recording, tasks: Sequence[int], every: int) -> int:
    """How many there are of `frames`."""
    return len(_moments(recording, tasks, every)) + HELD


def _moments(recording: Recording, tasks: Sequence[int], every: int) -> list[int]:
    """Env steps that are shown."""
    last = int(recording.lengths[list(tasks)][:, [0, -1], 0].max())
    return [*range(0, last, every), last]


def grid(cells: Sequence[Picture]) -> Picture:
    """Cells of one size in rows; both sides of the result are even, as video wants it."""
    columns = COLUMNS if len(cells) > COLUMNS else 1
    empty = [np.full_like(cells[0], 249)] * (-len(cells) % columns)
    padded = [*cells, *empty]
    rows = [np.concatenate(padded[i : i + columns], 1) for i in range(0, len(padded), columns)]
    whole = np.concatenate(rows)
    return np.pad(whole, [(0, whole.shape[0] % 2), (0, whole.shape[1] % 2), (0, 0)], constant_values=249)
