"""What every way of drawing in the live view has: both sides of a task, its practice, and a place for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import Track
from meta_rl.evaluation.live import Live
from meta_rl.evaluation.practice import Practice
from meta_rl.visualise.side_by_side import AFTER, BEFORE
from meta_rl.visualise.view.clock import Instant

Rgb = tuple[int, int, int]
GOAL = (40, 190, 100)


def rgb(colour: str) -> Rgb:
    """The numbers of ``#rrggbb``."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


class Drawing(ABC):
    """Draws what a visitor sees of `live`.

    Args:
        client: of viser.
    Attributes:
        ghost: the stage before adaptation stands in the scene of the one after it, rather than beside it.
    """

    ghost = True

    def __init__(self, client: Any, live: Live) -> None:
        self.client, self.live = client, live

    def sides(self) -> list[tuple[str, Track]]:
        """The episode before adaptation, and the one after the last step, each with its colour."""
        live, last = self.live, self.live.steps
        found = [("before", live.track(0)._replace(colour=BEFORE))]
        return [*found, ("after", live.track(last)._replace(colour=AFTER))] if last else found

    @property
    def practice(self) -> Practice:
        """All episodes of practice; to be asked for after a step."""
        practice = self.live.recording.practice
        assert practice is not None
        return practice

    def moment(self, share: float) -> int:
        """Env steps after a share of the longer episode."""
        return int(share * max(track.length for _, track in self.sides()))

    def draw(self, seen: Instant) -> None:
        """Show a moment."""
        if seen.episode is None:
            self.at(self.moment(seen.share))
        else:
            self.practising(self.live.steps - 1, seen.episode, seen.share, seen.learned)

    @abstractmethod
    def begin(self) -> None:
        """Show a task, or one more stage of it, from its beginning."""

    @abstractmethod
    def at(self, time: int) -> None:
        """Both sides after `time` env steps."""

    @abstractmethod
    def practising(self, step: int, episode: int, share: float, learned: bool) -> None:
        """An episode of practice, with the paths of those before it."""

    def goal_at(self, place: tuple[float, ...]) -> None:  # noqa: B027  (optional)
        """Show the goal elsewhere."""


def segments(path: NDArray[np.floating[Any]], height: float = 0.0) -> NDArray[np.float32]:
    """A path ``[time, 2 or 3]`` as pieces of a line ``[piece, 2, 3]``."""
    places = np.asarray(path, np.float32)
    if places.shape[1] == 2:
        places = np.pad(places, [(0, 0), (0, 1)], constant_values=height)
    return np.stack([places[:-1], places[1:]], 1)
