"""Scenes without places or bodies: pictures of both sides, drawn for the size of the visitor's window.

They are drawn by the scene itself (`envs.Scene.draw`), which anybody's environment has.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl.evaluation.live import Live
from meta_rl.visualise.side_by_side import GAP, Moment, Pair, Picture
from meta_rl.visualise.view.drawing import Drawing

PER_SECOND = 8
"""Pictures per second: fewer than of a scene, because the browser loads each as a whole."""
SMALLEST = 240
"""Width of a side, in pixels, however small the window is."""


class Pictures(Drawing):
    """Both sides beside each other."""

    ghost = False

    def __init__(self, client: Any, live: Live) -> None:
        super().__init__(client, live)
        self._pair: Pair | None = None
        self._size, self._what, self._sent = (0, 0), (), 0.0

    def begin(self) -> None:
        """See `Drawing.begin`."""
        self.client.scene.reset()
        self._pair, self._what = None, ()
        self.at(0)

    def at(self, time: int) -> None:
        """See `Drawing.at`."""
        self._show(("both", time))

    def practising(self, step: int, episode: int, share: float, learned: bool) -> None:
        """See `Drawing.practising`."""
        length = int(self.practice.lengths[0, step, episode])
        self._show(("practice", step, episode, round(share * min(length, 8)), min(length, 8), learned))

    def _show(self, what: tuple[Any, ...]) -> None:
        """Draw it, unless it is what is seen or the last picture is too young."""
        size = self._window()
        if (what, size) == (self._what, self._size) or time.monotonic() - self._sent < 1 / PER_SECOND:
            return
        if self._pair is None or size != self._size:
            height, width = size
            side = min((width - GAP) // 2, round((height - 80) * 4 / 3))
            self._pair = Pair(self.live.recording, 0, self.live.scene, max(SMALLEST, side))
        self._what, self._size, self._sent = what, size, time.monotonic()
        if what[0] == "both":
            picture = self._pair.at(what[1])
        else:
            _, step, episode, part, parts, learned = what
            picture = self._pair.practising(Moment(step, episode, part / max(parts, 1), learned))
        self.client.scene.set_background_image(_centred(picture, size), format="png")

    def _window(self) -> tuple[int, int]:
        """Height and width of what the visitor sees the scene in, in pixels; a guess before the browser has told."""
        camera = self.client.camera
        height, width = int(camera.image_height or 720), int(camera.image_width or 960)
        return height, width


def _centred(picture: Picture, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture in the middle of a white one of that shape, which grows with it."""
    height, width = picture.shape[:2]
    scale = max(height / size[0], width / size[1], 1.0)
    above, left = (max(0, round(size[i] * scale) - n) for i, n in enumerate((height, width)))
    edges = [(above // 2, above - above // 2), (left // 2, left - left // 2), (0, 0)]
    return np.pad(picture, edges, constant_values=255)
