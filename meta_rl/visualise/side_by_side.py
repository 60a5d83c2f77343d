"""Before adaptation on the left, after it on the right, in step; several tasks make a grid.

Where the practice was recorded, it comes first, sped up: on the right the episodes that the agent adapts on, on the
left the first stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs import Scene, Task, Track
from meta_rl.evaluation.recording import Recording
from meta_rl.visualise.captions import GOOD, QUIET, Words, strip

Picture = NDArray[np.uint8]
BEFORE, AFTER, PRACTICE = "#2563eb", "#e8590c", "#7c3aed"
"""Colours of the stages on both sides, those of the page, and of the practice."""
COLUMNS = 2
"""Tasks beside each other, from three tasks on."""
GAP = 2
"""Pixels between two sides, and below each task."""
FRAME = 4
"""Width of the frame of a side that has met its goal, in pixels."""
HELD = 20
"""Pictures that the end is shown for."""
FILMED_EPISODES = 12
"""Episodes of practice that are shown, at most."""
PER_EPISODE = 4
"""Pictures of each of them."""
LEARNED = 8
"""Pictures for which it is said what the practice led to."""


def title(recording: Recording, task: int, scene: Scene, width: int) -> Picture:
    """The strip above a pair: which task, and its goal."""
    name = recording.tasks[task].family
    return strip([[Words(f"{name}, task {recording.positions[task]}"), Words(scene.goal, QUIET, True)]], width)


def caption(recording: Recording, task: int, stage: int, time: int, width: int) -> Picture:
    """The strip below a side: stage, return so far, env steps, success so far."""
    value, solved = recording.score(task, stage, time)
    length = int(recording.lengths[task, stage, 0])
    numbers = [Words(f"return {value:.2f}   step {min(time, length)}")]
    if recording.about["has_success"]:
        nothing = "no success" if time >= length else "no success yet"
        numbers.append(Words("success", GOOD, True) if solved else Words(nothing, QUIET, True))
    return strip([[Words(recording.stage_name(stage))], numbers], width)


class Moment(NamedTuple):
    """One of the pictures of practice.

    Attributes:
        step: between stage `step` and the next one.
        episode: from 0.
        share: how much of it has passed, in (0, 1].
        learned: what it led to is said.
    """

    step: int
    episode: int
    share: float
    learned: bool = False


class Pair:
    """Both sides of one task.

    Args:
        task: its row in the recording.
        width: of one side, in pixels.
    """

    def __init__(self, recording: Recording, task: int, scene: Scene, width: int) -> None:
        self._recording, self._task, self._scene, self._width = recording, task, scene, width
        ends = {0: BEFORE, recording.stages - 1: AFTER if recording.stages > 1 else BEFORE}
        self._tracks = {stage: recording.track(task, stage)._replace(colour=colour) for stage, colour in ends.items()}
        self._last = recording.stages - 1

    def at(self, time: int) -> Picture:
        """Both stages after `time` env steps; a side whose episode is over stands still."""
        return self._joined(self._side(0, time), self._side(self._last, time))

    def practising(self, moment: Moment) -> Picture:
        """The first stage on the left, the practice on the right."""
        recording, practice = self._recording, self._recording.practice
        assert practice is not None
        step, episode = moment.step, moment.episode
        earlier = range(episode + 1 if moment.learned else episode)
        paths = tuple(practice.path(self._scene, self._task, step, k) for k in earlier)
        track = practice.track(self._task, step, episode)._replace(colour=PRACTICE, beside=paths)
        time = round(moment.share * track.length)
        names = recording.stage_names
        said = names.learned(step + 1) if moment.learned else names.practising(episode + 1)
        value = float(track.reward[:time].sum(dtype=np.float64))
        words = [[Words(said, PRACTICE)], [Words(f"return {value:.2f}   step {time}")]]
        right = np.concatenate([self._drawn(track, time), strip(words, self._width)])
        return self._joined(self._side(0, round(moment.share * self._tracks[0].length)), right)

    def _side(self, stage: int, time: int) -> Picture:
        track = self._tracks[stage]
        moment = min(time, track.length)
        picture = self._drawn(track, moment)
        if self._recording.score(self._task, stage, moment)[1]:
            picture = _framed(picture)
        return np.concatenate([picture, caption(self._recording, self._task, stage, moment, self._width)])

    def _drawn(self, track: Track, time: int) -> Picture:
        return self._scene.draw(track, time, self._width, self._width * 3 // 4)

    def _joined(self, left: Picture, right: Picture) -> Picture:
        both = np.concatenate([left, _gap(left, GAP, 1), right], 1)
        whole = np.concatenate([title(self._recording, self._task, self._scene, both.shape[1]), both])
        return np.concatenate([whole, _gap(whole, GAP, 0)])


def _framed(picture: Picture) -> Picture:
    """A picture with an edge in the colour of success."""
    edge = np.full_like(picture, np.frombuffer(bytes.fromhex(GOOD[1:]), np.uint8))
    edge[FRAME:-FRAME, FRAME:-FRAME] = picture[FRAME:-FRAME, FRAME:-FRAME]
    return edge


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
    scenes = [scene_of(recording.tasks[task]) for task in tasks]
    pairs = [Pair(recording, task, scene, width) for task, scene in zip(tasks, scenes, strict=True)]
    try:
        for moment in _practice(recording):
            picture = grid([pair.practising(moment) for pair in pairs])
            yield from [picture] * (LEARNED if moment.learned else 1)
        for time in _moments(recording, tasks, every):
            picture = grid([pair.at(time) for pair in pairs])
            yield picture
        for _ in range(HELD):
            yield picture
    finally:
        for scene in scenes:
            scene.close()


def picture_count(recording: Recording, tasks: Sequence[int], every: int) -> int:
    """How many there are of `frames`."""
    practice = sum(LEARNED if moment.learned else 1 for moment in _practice(recording))
    return practice + len(_moments(recording, tasks, every)) + HELD


def _practice(recording: Recording) -> list[Moment]:
    """The moments of practice that are shown: some pictures of some episodes, and what each step has led to."""
    if recording.practice is None:
        return []
    steps, episodes = recording.stages - 1, recording.practice.episodes
    each = max(1, FILMED_EPISODES // steps)
    kept = np.unique(np.linspace(0, episodes - 1, each).round().astype(int)).tolist() if each > 1 else [episodes - 1]
    moments = []
    for step in range(steps):
        moments += [Moment(step, k, (i + 1) / PER_EPISODE) for k in kept for i in range(PER_EPISODE)]
        moments.append(Moment(step, episodes - 1, 1.0, True))
    return moments


def _moments(recording: Recording, tasks: Sequence[int], every: int) -> list[int]:
    """Env steps that are shown."""
    last = int(recording.lengths[list(tasks)][:, [0, -1], 0].max())
    return [*range(0, last, every), last]


def grid(cells: Sequence[Picture]) -> Picture:
    """Cells of one size in rows, what is left over in the middle of the last one; both sides of the result are even, as
    video wants it."""
    columns = COLUMNS if len(cells) > COLUMNS else 1
    rows = [np.concatenate(cells[i : i + columns], 1) for i in range(0, len(cells), columns)]
    free = rows[0].shape[1] - rows[-1].shape[1]
    rows[-1] = np.pad(rows[-1], [(0, 0), (free // 2, free - free // 2), (0, 0)], constant_values=249)
    whole = np.concatenate(rows)
    return np.pad(whole, [(0, whole.shape[0] % 2), (0, whole.shape[1] % 2), (0, 0)], constant_values=249)
