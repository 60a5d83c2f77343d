"""Pictures as Pillow says they are, with 8 bits per channel."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from meta_rl.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes of grey pictures with 16 bits."""
WITHOUT_RANGE = {"I": "32-bit integers", "F": "floats"}
"""Modes whose numbers may mean any brightness, and what they are."""


def read_picture(file: Path | IO[bytes] | Picture, name: str | Path, mode: str) -> Picture:
    """A picture in the mode ``"L"`` (grey) or ``"RGB"``: 16 bits are scaled to 8, transparent pixels lie on white.

    Args:
        file: its path, its bytes, or a picture that Pillow has opened.
        name: what messages call it.
    Raises:
        ConfigError: it is no picture, damaged, or its numbers have no known range (32-bit integers, floats).
    """
    from PIL import Image, UnidentifiedImageError

    try:
        if isinstance(file, Image.Image):
            return _eight_bits(file, name, mode)
        with Image.open(file) as picture:
            return _eight_bits(picture, name, mode)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise ConfigError(f"--data: {name} is not a sound image: {error}") from None


def _eight_bits(picture: Picture, name: str | Path, mode: str) -> Picture:
    """`picture` in `mode`; Pillow alone would cut all that is above 255 off and forget what is transparent."""
    from PIL import Image

    deep = picture.mode == "I" and picture.format == "PNG"  # what earlier versions of Pillow make of 16 bits
    if deep or picture.mode in SIXTEEN_BITS:
        values = np.asarray(picture).astype(np.float64)
        return Image.fromarray(np.rint(values / 257).astype(np.uint8)).convert(mode)
    if picture.mode in WITHOUT_RANGE:
        raise ConfigError(
            f"--data: {name} holds {WITHOUT_RANGE[picture.mode]} (Pillow's mode {picture.mode}) of unknown range; "
            "valid: 1, 8 or 16 bits per channel"
        )
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert(mode)
