"""Line charts as SVG, coloured by the page's style sheet.

Own drawing rather than a chart library: the pictures stand in the file, so they are there without scripts and sharp on
paper, where libraries of a like size (uPlot, 50 KB) draw on a canvas while the page is open. `assets/charts.js` reads
values where a reader points.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup, escape

from meta_rl.evaluation.scores import Score
from meta_rl.visualise.page.marks import mark


class Frame(NamedTuple):
    """Size of a chart and of its margins, in units of the drawing."""

    width: int = 560
    height: int = 300
    left: int = 62
    right: int = 22
    top: int = 30
    bottom: int = 42


FULL_FRAME, SMALL_FRAME = Frame(), Frame(280, 170, 52, 12, 24, 34)


class Series(NamedTuple):
    """One line.

    Attributes:
        style: classes of the style sheet; ``dots`` has marks and no line, ``thin`` no marks.
        band: lower and upper edge of a band around it, or nothing.
        label: shown with the values that a reader points at; empty: it has no values to show.
        raw: values before smoothing, a faint line behind.
        n: what each value is a mean of, in words.
        colour: instead of that of its style.
        marker: see `meta_rl.visualise.page.marks.mark`.
        dash: lengths of strokes and gaps, as SVG has them.
        step: shown at this adaptation step alone (see `assets/answers.js`).
    """

    xs: Sequence[float]
    ys: Sequence[float]
    style: str
    label: str
    band: tuple[Sequence[float], Sequence[float]] | None = None
    raw: Sequence[float] | None = None
    n: str = ""
    colour: str = ""
    marker: str = "o"
    dash: str = ""
    step: int | None = None

    @classmethod
    def of(cls, xs: Sequence[float], scores: Sequence[Score], style: str, label: str, **others: Any) -> Series:
        """The means of `scores`, with their intervals as a band."""
        band = [score.low for score in scores], [score.high for score in scores]
        return cls(xs, [score.mean for score in scores], style, label, band, **others)

    @property
    def edges(self) -> list[Sequence[float]]:
        """All that is drawn, upwards."""
        return [self.ys, *(self.band or ()), *([self.raw] if self.raw is not None else [])]


class Scale(NamedTuple):
    """Values as places: `low` at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        at = math.log10(value) if self.log else value
        return self.start + (at - low) / (high - low) * (self.end - self.start)


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
    log: bool = False,
    names: Sequence[str] = (),
    joined: bool = False,
    frame: Frame = FULL_FRAME,
) -> Markup:
    """An SVG element, in a box in which a reader can point at values.

    Args:
        show: a number on the y axis in words.
        whole_x: ticks at every whole x.
        y_range: what the y axis must hold at least; default what the lines need.
        log: whether the y axis is logarithmic; all values are above 0 then.
        names: what stands at x = 0, 1, ...: these have no ticks.
        joined: whether the points of the first two series are joined, x by x.
    """
    ys = np.concatenate([*(np.asarray(values, float) for s in series for values in s.edges), np.asarray(y_range or ())])
    xs = np.concatenate([np.asarray(s.xs, float) for s in series])
    across = Scale(*axis_ends(xs), frame.left, frame.width - frame.right)
    up = Scale(*_with_margin(ys, log), frame.height - frame.bottom, frame.top, log)
    parts = [_axes(across, up, frame, show, _x_ticks(xs, across, whole_x, names))]
    if joined:
        both = zip(series[0].xs, series[0].ys, series[1].ys, strict=True)
        parts += [f'<path class="join" d="M{across(x):.1f} {up(a):.1f}V{up(b):.1f}"/>' for x, a, b in both]
    parts += [_drawn(s, across, up) for s in series]
    middle = (frame.left + frame.width - frame.right) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{frame.height - 6}">{escape(x_label)}</text>')
    parts.append(f'<text class="axis begin" x="4" y="14">{escape(y_label)}</text>')
    name = escape(f"{y_label} over {x_label}")
    box = f'viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{name}"'
    read = _to_read(series, across, up, x_label, names, show is percent)
    return Markup(
        f'<div class="chart-box" tabindex="0" role="group" aria-label="{name}; arrow keys read values"'
        f' data-read="{read}">'
        f'<svg class="chart" {box}>{"".join(parts)}</svg></div>'
    )


def _drawn(s: Series, across: Scale, up: Scale) -> str:
    """A series with its band, its raw line and its marks."""

    def line(ys: Sequence[float]) -> str:
        return " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in zip(s.xs, ys, strict=True))

    own, parts = f"{s.style} own" if s.colour else s.style, []
    if s.band:
        low, high = (line(edge) for edge in s.band)
        parts.append(f'<polygon class="band {own}" points="{low} {" ".join(reversed(high.split()))}"/>')
    if s.raw is not None:
        parts.append(f'<polyline class="line raw {own}" points="{line(s.raw)}"/>')
    if "dots" not in s.style:
        dash = f' stroke-dasharray="{s.dash}"' if s.dash else ""
        parts.append(f'<polyline class="line {own}" points="{line(s.ys)}"{dash}/>')
    if s.marker and not {"thin", "mean", "plain"} & set(s.style.split()):
        few = len(s.xs) <= 12 or "dots" in s.style
        shown = range(len(s.xs)) if few else _spread(len(s.xs)) if s.colour else range(0)
        size = 3.0 if "dots" in s.style and len(s.xs) > 40 else 4.0
        parts += [mark(s.marker, across(s.xs[i]), up(s.ys[i]), size, own) for i in shown]
    attributes = f' style="--own:{s.colour}"' if s.colour else ""
    attributes += f' data-step="{s.step}"' if s.step is not None else ""
    return f'<g data-of="{escape(s.label)}"{attributes}>{"".join(parts)}</g>'


def _spread(count: int, most: int = 5) -> list[int]:
    """A few places along a line."""
    return [round((i + 0.5) * count / most) for i in range(most)]


def _axes(across: Scale, up: Scale, frame: Frame, show: Callable[[float], str], x_ticks: Sequence[float]) -> str:
    parts = []
    for y in log_ticks(up.low, up.high) if up.log else axis_ticks(up.low, up.high, 6 if frame.height > 200 else 4):
        down = up(y)
        parts.append(
            f'<line class="grid" x1="{frame.left}" x2="{frame.width - frame.right}" y1="{down:.1f}" y2="{down:.1f}"/>'
            f'<text class="tick end" x="{frame.left - 8}" y="{down + 4:.1f}">{escape(show(y))}</text>'
        )
    for x in x_ticks:
        place = f'x="{across(x):.1f}" y="{frame.height - frame.bottom + 17}"'
        parts.append(f'<text class="tick" {place}>{escape(number(x))}</text>')
    return "".join(parts)


def _x_ticks(xs: np.ndarray, across: Scale, whole: bool, names: Sequence[str]) -> list[float]:
    """Places where the x axis has numbers: at the only x that there is, at whole numbers, or at round ones."""
    if names:
        return []
    if xs.min() == xs.max():
        return [float(xs[0])]
    every = range(math.ceil(across.low), math.floor(across.high) + 1)
    if whole and len(every) <= 13:
        return [float(x) for x in every]
    found = axis_ticks(across.low, across.high, 6 if across.end > 300 else 4)
    return [x for x in found if not whole or x == round(x)]


def _to_read(
    series: Sequence[Series], across: Scale, up: Scale, x_label: str, names: Sequence[str], share: bool
) -> Markup:
    """What `assets/charts.js` needs to read values from a chart, as JSON in an attribute."""

    def short(values: Sequence[float]) -> list[float]:
        return [float(f"{value:.5g}") for value in values]

    lines = []
    for s in series:
        if s.label:
            found: dict[str, Any] = {"label": s.label, "style": s.style, "xs": short(s.xs), "ys": short(s.ys)}
            found |= {"low": short(s.band[0]), "high": short(s.band[1])} if s.band else {}
            found |= {"raw": short(s.raw)} if s.raw is not None else {}
            found |= {key: value for key in ("n", "colour") if (value := getattr(s, key))}
            lines.append(found)
    data = {"x": across, "y": up, "name": x_label, "names": names, "share": share, "lines": lines}
    return escape(json.dumps(data, separators=(",", ":")))


def _with_margin(ys: np.ndarray, log: bool) -> tuple[float, float]:
    """The ends of the y axis, a little beyond the values."""
    low, high = axis_ends(ys)
    if log:
        factor = (high / low) ** 0.04
        return low / factor, high * factor
    margin = 0.04 * (high - low)
    return low - margin, high + margin


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


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten in a range, and where these are few twice and five times as much too."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 5 else (1,)
    every = [float(f"{factor * 10.0**power:.10g}") for power in powers for factor in factors]
    return [value for value in every if low <= value <= high]
