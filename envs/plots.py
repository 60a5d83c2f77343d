"""Plane scenes, drawn with Pillow: navigation, bandits, random MDPs, classic control, and rewards for all the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.scene import Picture, Scene, Shape, Track

INK, PAPER, GRID = "#1f2937", "#ffffff", "#e5e7eb"
PATH, HERE, GOAL = "#f59e0b", "#2563eb", "#16a34a"
COLOURS = {"ink": INK, "grid": GRID, "path": PATH, "here": HERE, "goal": GOAL}
"""Colours of a `Shape`, by name."""
BESIDE = "#c4b5fd"
"""Paths of other episodes."""
SHADES = 2
"""Factor by which a picture is drawn wider and higher, before it is averaged down."""
NAMED_ARMS = 12
"""Most arms that are labelled; more arms have no labels."""

Point = tuple[float, float]


class Canvas:
    """A picture whose coordinates run from 0 to 1 upwards in a square in its middle."""

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image, ImageDraw

        self._size = (width, height)
        self._image = Image.new("RGB", (SHADES * width, SHADES * height), PAPER)
        self._pen = ImageDraw.Draw(self._image)
        self._unit = SHADES * min(width, height)

    def at(self, point: Sequence[float]) -> Point:
        """Pixels."""
        width, height = self._image.size
        return width / 2 + (point[0] - 0.5) * self._unit, height / 2 - (point[1] - 0.5) * self._unit

    def line(self, points: Sequence[Sequence[float]], colour: str, width: float = 0.008) -> None:
        """Draw a line through all points, with round corners; `width` is a share of the square."""
        pixels = [self.at(point) for point in points]
        if len(pixels) > 1:
            self._pen.line(pixels, fill=colour, width=max(1, round(width * self._unit)), joint="curve")

    def dot(self, point: Sequence[float], radius: float, colour: str | None, edge: str | None = None) -> None:
        """A disc, a ring, or both."""
        (x, y), r = self.at(point), radius * self._unit
        self._pen.ellipse([x - r, y - r, x + r, y + r], fill=colour, outline=edge, width=max(1, round(0.3 * r)))

    def bar(self, low: Sequence[float], high: Sequence[float], colour: str | None, edge: str | None = None) -> None:
        """A rectangle between two corners."""
        (left, bottom), (right, top) = self.at(low), self.at(high)
        self._pen.rectangle([left, top, right, bottom], fill=colour, outline=edge, width=SHADES)

    def text(
        self, point: Sequence[float], words: str, size: float = 0.045, anchor: str = "mm", colour: str = INK
    ) -> None:
        """Words around a point; `size` as a share of the square."""
        from PIL import ImageFont

        font = ImageFont.load_default(max(8, size * self._unit))
        self._pen.text(self.at(point), words, fill=colour, font=font, anchor=anchor)

    def shape(self, shape: Shape, time: int) -> None:
        """Draw a shape as it is after `time` env steps."""
        kind, points = shape.kind, shape.points[min(time, len(shape.points) - 1)]
        colour, edge = (COLOURS.get(name, name) or None for name in (shape.colour, shape.edge))
        if kind == "path":
            self.line(shape.points[: time + 1, 0].tolist(), colour or INK, shape.size)
        elif np.isnan(points).any():
            return
        elif kind == "line":
            self.line(points.tolist(), colour or INK, shape.size)
        elif kind == "dot":
            self.dot(points[0], shape.size, colour, edge)
        elif kind == "bar":
            self.bar(points.min(0), points.max(0), colour, edge)
        else:
            self.text(points[0], shape.words.replace("{time}", str(time)), shape.size, colour=colour or INK)

    def picture(self) -> Picture:
        """The finished picture."""
        return np.asarray(self._image.resize(self._size, resample=4))  # 4: a box filter


class Plane(Scene):
    """A point on its way to a goal in the plane."""

    def __init__(self, goal: Sequence[float], extent: float) -> None:
        self.goal = f"goal ({goal[0]:.2f}, {goal[1]:.2f})"
        self._goal, self._scale = goal, 2.8 * extent

    def draw(self, track: Track, time: int, width: int, height: int) -> Picture:
        """See `Scene.draw`."""
        canvas = Canvas(width, height)
        for tick in np.linspace(-0.5, 0.5, 5):
            canvas.line([self._place((tick, -9)), self._place((tick, 9))], GRID, 0.003)
            canvas.line([self._place((-9, tick)), self._place((9, tick))], GRID, 0.003)
        canvas.dot(self._place((0, 0)), 0.01, INK)
        for other in track.beside:
            canvas.line([self._place(place) for place in other], BESIDE, 0.005)
        path = [self._place(state[:2]) for state in track.state[: time + 1]]
        canvas.line(path, track.colour or PATH)
        canvas.dot(path[-1], 0.018, track.colour or HERE)
        # Last, so that nothing hides it.
        canvas.dot(self._place(self._goal), 0.03, None, GOAL)
        canvas.dot(self._place(self._goal), 0.008, GOAL)
        return canvas.picture()

    def path(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        """See `Scene.path`."""
        return states[:, :2].astype(np.float32)

    def marks(self) -> dict[str, Any]:
        """``goal`` ``[2]`` and ``extent``, half the side of the square that is shown; states begin with the point."""
        return {"goal": [float(x) for x in self._goal], "extent": self._scale / 2}

    def _place(self, point: Sequence[float]) -> Point:
        return 0.5 + float(point[0]) / self._scale, 0.5 + float(point[1]) / self._scale


class Sketch(Scene):
    """A scene that says its shapes, which this draws and a page too."""

    def draw(self, track: Track, time: int, width: int, height: int) -> Picture:
        """See `Scene.draw`."""
        canvas = Canvas(width, height)
        own = {"here": track.colour, "path": track.colour} if track.colour else {}
        for shape in self.shapes(track):
            colour, edge = own.get(shape.colour, shape.colour), own.get(shape.edge, shape.edge)
            canvas.shape(shape._replace(colour=colour, edge=edge), time)
        return canvas.picture()


def _still(*points: Sequence[float]) -> NDArray[np.float64]:
    """`Shape.points` of what never moves."""
    return np.array([points], np.float64)


class Arms(Sketch):
    """The arms of a bandit: their chances as outlines, the share of the pulls each got as bars."""

    def __init__(self, chances: Sequence[float]) -> None:
        self._chances = np.asarray(chances)
        self.goal = f"best arm {int(self._chances.argmax()) + 1}, pays {self._chances.max():.0%}"

    def shapes(self, track: Track) -> list[Shape]:
        """See `Scene.shapes`."""
        count, length, base, rise = len(self._chances), track.length, 0.14, 0.74
        pulled = track.action[:length].astype(int)
        pulls = np.concatenate([np.zeros((1, count)), np.cumsum(np.eye(count)[pulled], 0)])
        shares = pulls / np.maximum(np.arange(length + 1), 1)[:, None]
        left, right = (0.05 + (np.arange(count) + side) * 0.9 / count for side in (0.12, 0.88))
        middle = (left + right) / 2
        found = []
        for arm, chance in enumerate(self._chances):
            share = np.empty((length + 1, 2, 2))
            share[:, 0], share[:, 1, 0], share[:, 1, 1] = (left[arm], base), right[arm], base + rise * shares[:, arm]
            found.append(Shape("bar", share, "here"))
            found.append(Shape("bar", _still((left[arm], base), (right[arm], base + rise * chance)), "", edge="goal"))
            if count <= NAMED_ARMS:
                found.append(Shape("text", _still((middle[arm], 0.1)), "ink", 0.045, words=f"{arm + 1}"))
        paid = track.reward[:length] > 0
        for hit, colour in ((paid, "goal"), (~paid, "")):  # a full dot above the arm that paid just now, or a ring
            dot = np.full((length + 1, 1, 2), np.nan)
            dot[1:, 0][hit] = np.stack([middle[pulled], np.full(length, 0.93)], -1)[hit]
            found.append(Shape("dot", dot, colour, 0.018, edge="ink"))
        found.append(Shape("line", _still((0.05, base), (0.95, base)), "ink", 0.004))
        words = "pull {time}: share of pulls (bars), chance to pay (outlines)"
        return [*found, Shape("text", _still((0.5, 0.04)), "ink", 0.036, words=words)]


class Ring(Sketch):
    """The states of a random MDP in a ring, the greener the better the best mean reward there; the last moves as
    lines."""

    def __init__(self, means: NDArray[np.float64]) -> None:
        best = means.max(1)
        self.goal = f"best mean reward {means.max():.2f} in state {int(best.argmax())}"
        angle = np.pi / 2 - 2 * np.pi * np.arange(len(means)) / len(means)
        self._places = 0.5 + 0.38 * np.stack([np.cos(angle), np.sin(angle)], -1)
        shades = np.round(235 - 150 * (best - best.min()) / max(np.ptp(best), 1e-9)).astype(int)
        self._colours = [f"#{shade:02x}f0{shade:02x}" for shade in shades]

    def shapes(self, track: Track) -> list[Shape]:
        """See `Scene.shapes`."""
        visited = self._places[track.state[: track.length + 1, 0].astype(int)][:, None]
        found = [Shape("path", visited, "path")]
        for place, colour in zip(self._places, self._colours, strict=True):
            found.append(Shape("dot", _still(place), colour, 0.06, edge="grid"))
        found.append(Shape("dot", visited, "", 0.06, edge="here"))
        for state, place in enumerate(self._places):  # ink, also where paper is dark: the dots are light
            found.append(Shape("text", _still(place), INK, 0.045, words=str(state)))
        return found


class Rewards(Scene):
    """The reward of every step so far; for environments that have no picture of their own."""

    def __init__(self, task: Any) -> None:
        self.goal = "task (" + ", ".join(f"{x:.3g}" for x in task.vector[:4]) + (", ...)" if task.vector[4:] else ")")

    def draw(self, track: Track, time: int, width: int, height: int) -> Picture:
        """See `Scene.draw`."""
        canvas = Canvas(width, height)
        reward = np.asarray(track.reward[: track.length], np.float64)
        low, high = min(0.0, float(reward.min(initial=0))), max(0.0, float(reward.max(initial=0)))
        scale = max(high - low, 1e-9)
        points = [(0.05 + 0.9 * i / max(track.length, 1), 0.1 + 0.8 * (r - low) / scale) for i, r in enumerate(reward)]
        canvas.line([(0.05, 0.1 - 0.8 * low / scale), (0.95, 0.1 - 0.8 * low / scale)], GRID)
        canvas.line(points[:time], HERE)
        canvas.text((0.05, 0.96), f"reward per step, {low:.3g} to {high:.3g}", 0.04, "lm")
        return canvas.picture()


Links = Callable[[NDArray[np.float64]], list[Shape]]
"""Shapes of states ``[time + 1, state]``."""


def _through(*points: tuple[Any, Any]) -> NDArray[np.float64]:
    """`Shape.points` of points ``(x, y)``, each coordinate a number or ``[time + 1]``."""
    numbers = np.broadcast_arrays(*(np.asarray(number, np.float64) for point in points for number in point))
    return np.stack(numbers, -1).reshape(-1, len(points), 2)


def _cartpole(state: NDArray[np.float64]) -> list[Shape]:
    x = 0.5 + state[:, 0] / 4.8 * 0.9  # the track is 4.8 m long
    tip = x + 0.4 * np.sin(state[:, 2]), 0.34 + 0.4 * np.cos(state[:, 2])
    return [
        Shape("line", _still((0.05, 0.3), (0.95, 0.3)), "grid"),
        Shape("bar", _through((x - 0.07, 0.26), (x + 0.07, 0.34)), "here"),
        Shape("line", _through((x, 0.34), tip), "path", 0.025),
    ]


def _pendulum(state: NDArray[np.float64]) -> list[Shape]:
    tip = 0.5 - 0.38 * np.sin(state[:, 0]), 0.5 + 0.38 * np.cos(state[:, 0])
    return [
        Shape("line", _through((0.5, 0.5), tip), "path", 0.03),
        Shape("dot", _still((0.5, 0.5)), "ink", 0.02),
    ]


def _acrobot(state: NDArray[np.float64]) -> list[Shape]:
    first, second = state[:, 0], state[:, 0] + state[:, 1]
    elbow = 0.5 + 0.22 * np.sin(first), 0.5 - 0.22 * np.cos(first)
    tip = elbow[0] + 0.22 * np.sin(second), elbow[1] - 0.22 * np.cos(second)
    return [
        Shape("line", _still((0.05, 0.72), (0.95, 0.72)), "goal", 0.004),  # one length of a link above the joint
        Shape("line", _through((0.5, 0.5), elbow, tip), "path", 0.025),
        Shape("dot", _still((0.5, 0.5)), "ink", 0.02),
        Shape("dot", _through(elbow), "here", 0.018),
    ]


class Classic(Sketch):
    """One of Gymnasium's classic control problems."""

    def __init__(self, goal: str, links: Links) -> None:
        self.goal, self._links = goal, links

    def shapes(self, track: Track) -> list[Shape]:
        """See `Scene.shapes`."""
        return self._links(track.state[: track.length + 1])

    def marks(self) -> dict[str, Any]:
        """See `Scene.marks`."""
        return {"smooth": True}


CLASSIC: dict[str, Callable[[str], Scene]] = {
    "CartPole-v1": lambda goal: Classic(goal, _cartpole),
    "Pendulum-v1": lambda goal: Classic(goal, _pendulum),
    "Acrobot-v1": lambda goal: Classic(goal, _acrobot),
}
"""Gymnasium's name -> scene for the task in words."""
