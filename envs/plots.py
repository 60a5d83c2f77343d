"""Plane scenes, drawn with Pillow: navigation, bandits, random MDPs, classic control, and rewards for all the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.scene import Picture, Scene, Track

INK, PAPER, GRID = "#1f2937", "#ffffff", "#e5e7eb"
PATH, HERE, GOAL = "#f59e0b", "#2563eb", "#16a34a"
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

    def text(self, point: Sequence[float], words: str, size: float = 0.045, anchor: str = "mm") -> None:
        """Words around a point; `size` as a share of the square."""
        from PIL import ImageFont

        font = ImageFont.load_default(max(8, size * self._unit))
        self._pen.text(self.at(point), words, fill=INK, font=font, anchor=anchor)

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
        canvas.dot(self._place(self._goal), 0.03, None, GOAL)
        canvas.dot(self._place(self._goal), 0.008, GOAL)
        path = [self._place(state[:2]) for state in track.state[: time + 1]]
        canvas.line(path, PATH)
        canvas.dot(path[-1], 0.018, HERE)
        return canvas.picture()

    def marks(self) -> dict[str, Any]:
        """``goal`` ``[2]`` and ``extent``, half the side of the square that is shown; states begin with the point."""
        return {"goal": [float(x) for x in self._goal], "extent": self._scale / 2}

    def _place(self, point: Sequence[float]) -> Point:
        return 0.5 + float(point[0]) / self._scale, 0.5 + float(point[1]) / self._scale


class Arms(Scene):
    """The arms of a bandit: their chances as outlines, the share of the pulls each got as bars."""

    def __init__(self, chances: Sequence[float]) -> None:
        self._chances = np.asarray(chances)
        self.goal = f"best arm {int(self._chances.argmax()) + 1}, pays {self._chances.max():.0%}"

    def draw(self, track: Track, time: int, width: int, height: int) -> Picture:
        """See `Scene.draw`."""
        canvas, count = Canvas(width, height), len(self._chances)
        pulls = np.bincount(track.action[:time].astype(int), minlength=count)
        step, base, rise = 0.9 / count, 0.14, 0.74
        for arm, chance in enumerate(self._chances):
            left, right = 0.05 + (arm + 0.12) * step, 0.05 + (arm + 0.88) * step
            share = pulls[arm] / max(time, 1)
            canvas.bar((left, base), (right, base + rise * share), HERE)
            canvas.bar((left, base), (right, base + rise * chance), None, GOAL)
            if time and int(track.action[time - 1]) == arm:
                canvas.dot(((left + right) / 2, 0.93), 0.018, GOAL if track.reward[time - 1] > 0 else None, INK)
            if count <= NAMED_ARMS:
                canvas.text(((left + right) / 2, 0.1), f"{arm + 1}")
        canvas.line([(0.05, base), (0.95, base)], INK, 0.004)
        canvas.text((0.5, 0.04), f"pull {time}: share of pulls (blue), chance to pay (green)", 0.036)
        return canvas.picture()


class Ring(Scene):
    """The states of a random MDP in a ring, the greener the better the best mean reward there; the last moves as
    lines."""

    def __init__(self, means: NDArray[np.float64]) -> None:
        self._best = means.max(1)
        self.goal = f"best mean reward {means.max():.2f} in state {int(self._best.argmax())}"
        angle = np.pi / 2 - 2 * np.pi * np.arange(len(means)) / len(means)
        self._places = [(0.5 + 0.38 * x, 0.5 + 0.38 * y) for x, y in zip(np.cos(angle), np.sin(angle), strict=True)]

    def draw(self, track: Track, time: int, width: int, height: int) -> Picture:
        """See `Scene.draw`."""
        canvas = Canvas(width, height)
        visited = [int(state[0]) for state in track.state[: time + 1]]
        canvas.line([self._places[state] for state in visited], PATH)
        low, high = self._best.min(), self._best.max()
        for state, place in enumerate(self._places):
            shade = round(235 - 150 * (self._best[state] - low) / max(high - low, 1e-9))
            canvas.dot(place, 0.06, f"#{shade:02x}f0{shade:02x}", HERE if state == visited[-1] else GRID)
            canvas.text(place, str(state))
        return canvas.picture()


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


Angles = Callable[[Canvas, NDArray[np.float64]], None]


def _cartpole(canvas: Canvas, state: NDArray[np.float64]) -> None:
    x = 0.5 + state[0] / 4.8 * 0.9  # the track is 4.8 m long
    canvas.line([(0.05, 0.3), (0.95, 0.3)], GRID)
    canvas.bar((x - 0.07, 0.26), (x + 0.07, 0.34), HERE)
    canvas.line([(x, 0.34), (x + 0.4 * np.sin(state[2]), 0.34 + 0.4 * np.cos(state[2]))], PATH, 0.025)


def _pendulum(canvas: Canvas, state: NDArray[np.float64]) -> None:
    tip = (0.5 - 0.38 * np.sin(state[0]), 0.5 + 0.38 * np.cos(state[0]))
    canvas.line([(0.5, 0.5), tip], PATH, 0.03)
    canvas.dot((0.5, 0.5), 0.02, INK)


def _acrobot(canvas: Canvas, state: NDArray[np.float64]) -> None:
    first, second = state[0], state[0] + state[1]
    elbow = (0.5 + 0.22 * np.sin(first), 0.5 - 0.22 * np.cos(first))
    tip = (elbow[0] + 0.22 * np.sin(second), elbow[1] - 0.22 * np.cos(second))
    canvas.line([(0.05, 0.72), (0.95, 0.72)], GOAL, 0.004)  # one length of a link above the joint
    canvas.line([(0.5, 0.5), elbow, tip], PATH, 0.025)
    canvas.dot((0.5, 0.5), 0.02, INK)
    canvas.dot(elbow, 0.018, HERE)


class Links(Scene):
    """One of Gymnasium's classic control problems."""

    def __init__(self, goal: str, links: Angles) -> None:
        self.goal, self._links = goal, links

    def draw(self, track: Track, time: int, width: int, height: int) -> Picture:
        """See `Scene.draw`."""
        canvas = Canvas(width, height)
        self._links(canvas, track.state[time])
        return canvas.picture()


CLASSIC: dict[str, Callable[[str], Scene]] = {
    "CartPole-v1": lambda goal: Links(goal, _cartpole),
    "Pendulum-v1": lambda goal: Links(goal, _pendulum),
    "Acrobot-v1": lambda goal: Links(goal, _acrobot),
}
"""Gymnasium's name -> scene for the task in words."""
