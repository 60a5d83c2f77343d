"""Drawing of recorded episodes: one `Scene` per task, made by `TaskDistribution.scene`.

Scenes draw from recorded states (`TaskVectorEnv.state`), never from environments that run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""Colours ``[height, width, 3]``."""


class NoDisplayError(RuntimeError):
    """Nothing can be drawn here; the message says what to install."""


class Track(NamedTuple):
    """One recorded episode of `length` env steps (arrays may be longer)."""

    state: NDArray[np.float64]
    """``[time + 1, state]``: before the first step, after each step."""
    action: NDArray[Any]
    """``[time, *action]``."""
    reward: NDArray[np.floating[Any]]
    """``[time]``."""
    length: int
    colour: str = ""
    """Colour of what moves and of its path, ``#rrggbb``; empty: the scene's own. Some scenes have nothing to colour."""
    beside: tuple[NDArray[np.float32], ...] = ()
    """Paths of other episodes (see `Scene.path`), to be drawn faintly."""


class Solid(NamedTuple):
    """A piece of a body, as triangles in the frame of that body."""

    body: int
    """Row of `Scene.poses`."""
    vertices: NDArray[np.float32]
    """``[vertex, 3]``, m."""
    faces: NDArray[np.uint16]
    """``[face, 3]``."""
    colour: tuple[float, float, float]
    """Red, green, blue in [0, 1]."""
    fixed: bool
    """Whether it never moves."""


class Shape(NamedTuple):
    """A part of a plane picture, in a square whose coordinates run from 0 to 1, to the right and upwards."""

    kind: Literal["line", "path", "dot", "bar", "text"]
    """A line through its points, a path through all places of its one point so far, a disc or ring around its point, a
    rectangle between two corners, or words around its point."""
    points: NDArray[np.float64]
    """``[time + 1, point, 2]``, or ``[1, point, 2]`` if it never moves; NaN while it is not to be seen."""
    colour: str
    """``"ink"``, ``"grid"``, ``"path"``, ``"here"``, ``"goal"``, or ``"#rrggbb"``; empty: only its edge is drawn."""
    size: float = 0.008
    """Width of a line, radius of a dot, height of letters."""
    edge: str = ""
    """Colour of the outline of a dot or a bar, if it has one."""
    words: str = ""
    """What a text says; ``{time}`` stands for env steps so far."""


class Scene(ABC):
    """Draws episodes of one task.

    Attributes:
        goal: the goal of the task in a few words.
    """

    goal: str

    @abstractmethod
    def draw(self, track: Track, time: int, width: int, height: int) -> Picture:
        """The moment after `time` env steps.

        Raises:
            NoDisplayError: it takes OpenGL, and there is none.
        """

    def require_display(self) -> None:  # noqa: B027  (optional)
        """Find out early whether `draw` can draw.

        Raises:
            NoDisplayError: it cannot.
        """

    def solids(self) -> list[Solid]:
        """The pieces for a replay in three dimensions; none for a plane scene."""
        return []

    def shapes(self, track: Track) -> list[Shape]:
        """An episode for a replay in the plane, the shapes behind first: the same ones for all episodes of the task,
        apart from where those are that move. None for other scenes."""
        return []

    def poses(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        """Position (m) and unit quaternion (w first) of each body, ``[time, body, 7]``, for ``[time, state]``."""
        return np.zeros((len(states), 0, 7), np.float32)

    def path(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        """Places (m) for ``[time, state]``: ``[time, 2]`` in the plane, ``[time, 3]`` in space; ``[time, 0]`` where
        nothing moves about."""
        return np.zeros((len(states), 0), np.float32)

    def marks(self) -> dict[str, Any]:
        """JSON-able. For scenes with solids: ``goal`` (a point or None), ``trail`` (a body whose path shows how it
        went), ``look_at``, ``distance``, ``azimuth``, ``elevation`` (degrees) and ``follow`` (the trail's body).
        For a point in the plane, which is what the state begins with: ``goal`` and ``extent``. For scenes with shapes:
        ``smooth``, if there are places between those of two moments. Else empty."""
        return {}

    def close(self) -> None:  # noqa: B027  (optional)
        """Free what it draws with."""
