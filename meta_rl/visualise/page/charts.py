"""Line charts as SVG, coloured by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup, escape

from meta_rl.evaluation.scores import Score

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 14, 40


class Series(NamedTuple):
    """One line.

    Attributes:
        style: classes of the style sheet.
        band: lower and upper edge of a band around it, or nothing.
        label: shown where the mouse rests, and in the legend if the line is not ``thin``.
    """

    xs: Sequence[float]
    ys: Sequence[float]
    style: str
    label: str
    band: tuple[Sequence[float], Sequence[float]] | None = None

    @classmethod
    def of(cls, xs: Sequence[float], scores: Sequence[Score], style: str, label: str) -> Series:
        """The means of `scores`, with their intervals as a band."""
        band = [score.low for score in scores], [score.high for score in scores]
        return cls(xs, [score.mean for score in scores], style, label, band)


def number(value: float) -> str:
    """A number for an axis: short."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{value:g}"


def percent(value: float) -> str:
    """A share for an axis."""
    return f"{100 * value:g} %"


def chart(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    show: Callable[[float], str] = number,
    whole_x: bool = False,
    y_range: tuple[float, float] | None = None,
) -> Markup:
    """An SVG element.

    Args:
        show: a number on the y axis in words.
        whole_x: ticks at every whole x.
        y_range: what the y axis must hold at least; default what the lines need.
    """
    xs = np.concatenate([np.asarray(s.xs, float) for s in series])
    edges = [np.asarray(values, float) for s in series for values in (s.ys, *(s.band or ()))]
    ys = np.concatenate([*edges, np.asarray(y_range or ())])
    x_low, x_high = axis_ends(xs)
    y_low, y_high = axis_ends(ys)
    margin = 0.04 * (y_high - y_low)
    y_low, y_high = y_low - margin, y_high + margin

    def place(x: float, y: float) -> str:
        across = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        down = TOP + (y_high - y) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return f"{across:.1f},{down:.1f}"

    parts = [_axes(place, (x_low, x_high), (y_low, y_high), show, whole_x)]
    for s in series:
        label = f"<title>{escape(s.label)}</title>"
        if s.band:
            low, high = s.band
            around = [*zip(s.xs, low, strict=True), *reversed([*zip(s.xs, high, strict=True)])]
            points = " ".join(place(x, y) for x, y in around)
            parts.append(f'<polygon class="band {s.style}" points="{points}"/>')
        points = " ".join(place(x, y) for x, y in zip(s.xs, s.ys, strict=True))
        parts.append(f'<polyline class="line {s.style}" points="{points}">{label}</polyline>')
        if len(s.xs) <= 12 and "thin" not in s.style:
            for x, y in zip(s.xs, s.ys, strict=True):
                across, down = place(x, y).split(",")
                parts.append(f'<circle class="mark {s.style}" cx="{across}" cy="{down}" r="4">{label}</circle>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}">{escape(x_label)}</text>')
    turned = f'transform="rotate(-90 13 {middle})"'
    parts.append(f'<text class="axis" x="13" y="{middle}" {turned}>{escape(y_label)}</text>')
    name = escape(f"{y_label} over {x_label}")
    body = "".join(parts)
    return Markup(f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">{body}</svg>')


def _axes(
    place: Callable[[float, float], str],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    show: Callable[[float], str],
    whole_x: bool,
) -> str:
    parts = []
    for y in axis_ticks(*y_range):
        across, down = place(x_range[0], y).split(",")
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down}" y2="{down}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 8}" y="{float(down) + 4:.1f}">{escape(show(y))}</text>')
    wanted = range(math.ceil(x_range[0]), math.floor(x_range[1]) + 1) if whole_x else axis_ticks(*x_range)
    for x in wanted:
        across, _ = place(x, y_range[0]).split(",")
        parts.append(f'<text class="tick" x="{across}" y="{HEIGHT - BOTTOM + 18}">{escape(number(x))}</text>')
    return "".join(parts)


def axis_ends(values: np.ndarray) -> tuple[float, float]:
    """The ends of what the axis shows; never equal."""
    low, high = float(values.min()), float(values.max())
    if high - low > 1e-9 * max(abs(low), abs(high), 1e-300):
        return low, high
    return low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)


def axis_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers in a range, one, two or five times a power of ten apart."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * f for f in (1, 2, 5, 10) if power * f >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{i * step:.10g}") for i in range(first, last + 1)]
