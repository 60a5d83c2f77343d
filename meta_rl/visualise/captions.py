"""Text burnt into pictures."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

INK, PAPER, GOOD, QUIET = "#111827", "#f9fafb", "#15803d", "#6b7280"
PADDING = 8


class Words(NamedTuple):
    """Text at the left or at the right end of a line."""

    text: str
    colour: str = INK
    right: bool = False


def strip(lines: Sequence[Sequence[Words]], width: int, size: int = 13) -> NDArray[np.uint8]:
    """Lines of text as a picture ``[height, width, 3]``, `size` pixels a letter; too long words are cut."""
    from PIL import Image, ImageDraw

    step = round(1.5 * size)
    image = Image.new("RGB", (width, step * len(lines) + PADDING), PAPER)
    pen = ImageDraw.Draw(image)
    for i, line in enumerate(lines):
        middle = PADDING / 2 + (i + 0.5) * step
        free = width - 2 * PADDING - sum(_font(size).getlength(words.text) for words in line if words.right)
        for text, colour, right in line:
            place = (width - PADDING, middle) if right else (PADDING, middle)
            shown = text if right else _cut(text, free, size)
            pen.text(place, shown, fill=colour, font=_font(size), anchor="rm" if right else "lm")
    return np.asarray(image)


def _cut(text: str, width: float, size: int) -> str:
    """`text` so that it fits into `width` pixels."""
    if _font(size).getlength(text) <= width:
        return text
    while text and _font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


@functools.cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
