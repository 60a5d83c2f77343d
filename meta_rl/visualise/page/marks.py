"""Marks on charts, and looks of lines, as SVG: those that pictures of comparisons have (`kinds.looks`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from meta_rl.evaluation.kinds.looks import BLACK, looks

SVG_DASHES: dict[Any, str] = {"-": "", "-.": "9 3 2 3", ":": "2 3"}
"""Line styles of pictures as SVG has them; other ones are irregular."""
NOT_ADAPTED = "6 4"
"""The dashes of what is not adapted yet."""


def group_looks(labels: Iterable[str]) -> dict[str, dict[str, str]]:
    """Colour, marker and dash of each group, by its label, as a `Series` takes them. Black is ink, which is pale on a
    dark page."""
    return {
        label: {
            "colour": "var(--ink)" if look["color"] == BLACK else look["color"],
            "marker": look["marker"],
            "dash": SVG_DASHES.get(look["linestyle"], "9 2 2 2 2 2"),
        }
        for label, look in looks(labels).items()
    }


def mark(marker: str, x: float, y: float, size: float, style: str) -> str:
    """A mark at a place.

    Args:
        marker: a letter as matplotlib has them; what is not known here is a circle.
        size: half its width.
    """
    if marker in _CROSSES:
        arms = "".join(f"M{x:.1f} {y:.1f}l{size * a:.1f} {size * b:.1f}" for a, b in _CROSSES[marker])
        return f'<path class="mark cross {style}" d="{arms}"/>'
    if corners := _CORNERS.get(marker):
        points = " ".join(f"{x + 1.25 * size * a:.1f},{y + 1.25 * size * b:.1f}" for a, b in corners)
        return f'<polygon class="mark {style}" points="{points}"/>'
    return f'<circle class="mark {style}" cx="{x:.1f}" cy="{y:.1f}" r="{size:g}"/>'


def _polygon(count: int, turn: float = 0.0, inner: float = 1.0) -> Sequence[tuple[float, float]]:
    """Corners on a circle, from the top on; every other one at `inner` of its radius."""
    angles = [turn + 2 * math.pi * i / count for i in range(count)]
    radii = [inner if i % 2 else 1.0 for i in range(count)]
    return [(r * math.sin(angle), -r * math.cos(angle)) for r, angle in zip(radii, angles, strict=True)]


_CORNERS = {
    "^": _polygon(3),
    "v": _polygon(3, math.pi),
    "s": _polygon(4, math.pi / 4),
    "D": _polygon(4),
    "p": _polygon(5),
    "h": _polygon(6),
    "*": _polygon(10, inner=0.45),
}
_CROSSES = {
    "P": ((1, 0), (-1, 0), (0, 1), (0, -1)),
    "X": ((1, 1), (-1, -1), (1, -1), (-1, 1)),
    "x": ((1, 1), (-1, -1), (1, -1), (-1, 1)),
}
