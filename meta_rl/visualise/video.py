"""Pictures as a video: H.264 and VP9 by PyAV (extra ``video``), GIF by Pillow."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl.errors import ConfigError
from meta_rl.extras import require
from meta_rl.runs.durable import replace_durably


class Codec(NamedTuple):
    """What PyAV calls the container and the encoder of a suffix, and what the encoder is told."""

    container: str
    encoder: str
    options: dict[str, str]


FORMATS = {
    ".mp4": Codec("mp4", "libx264", {"crf": "26", "preset": "veryfast", "movflags": "+faststart"}),
    ".webm": Codec("webm", "libvpx-vp9", {"crf": "34", "b": "0", "deadline": "realtime", "cpu-used": "7"}),
    ".gif": None,
}
"""What can be written, by suffix; a GIF needs no encoder."""


def require_av() -> Any:
    """The library.

    Raises:
        ConfigError: it is not installed.
    """
    return require("av", "PyAV", "video", "video")


def check_suffix(path: Path, option: str) -> None:
    """Make sure that a file can be written under this name.

    Raises:
        ConfigError: its suffix says nothing, or something else.
    """
    if path.suffix.lower() not in FORMATS:
        valid = ", ".join(FORMATS)
        raise ConfigError(f"{option}: {path.name!r} has none of the suffixes of a video; valid: {valid}")
    if FORMATS[path.suffix.lower()] is not None:
        require_av()


def encode(pictures: Iterable[NDArray[np.uint8]], fps: int, suffix: str = ".mp4") -> bytes:
    """A file of pictures of one, even, size; `suffix` is one of `FORMATS`."""
    codec = FORMATS[suffix]
    if codec is None:
        return _gif(pictures, fps)
    av = require_av()
    file = io.BytesIO()
    with av.open(file, "w", format=codec.container) as container:
        stream = container.add_stream(codec.encoder, rate=fps, options=codec.options)
        stream.pix_fmt = "yuv420p"
        for i, picture in enumerate(pictures):
            if i == 0:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def write_video(path: Path, pictures: Iterable[NDArray[np.uint8]], fps: int) -> None:
    """`encode` into a file as its suffix says, all of it or nothing."""
    replace_durably(path, encode(pictures, fps, path.suffix.lower()))


def still(picture: NDArray[np.uint8]) -> bytes:
    """A picture as a JPEG file, for the time before a video plays."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=72)
    return file.getvalue()


def _gif(pictures: Iterable[NDArray[np.uint8]], fps: int) -> bytes:
    """All pictures in the colours of the first and the last one, so that what stands still does not flicker."""
    from PIL import Image

    shown = [Image.fromarray(np.ascontiguousarray(picture)) for picture in pictures]
    ends = np.concatenate([np.asarray(shown[0]), np.asarray(shown[-1])])
    palette = Image.fromarray(ends).quantize(255)
    frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in shown]
    file = io.BytesIO()
    # A GIF counts in hundredths of a second.
    duration = 10 * max(2, round(100 / fps))
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=duration, loop=0)
    return file.getvalue()
