"""Pictures as an H.264 file, by PyAV (extra ``video``)."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl.extras import require
from meta_rl.runs.durable import replace_durably


def require_av() -> Any:
    """The library.

    Raises:
        ConfigError: it is not installed.
    """
    return require("av", "PyAV", "video", "video")


def encode(pictures: Iterable[NDArray[np.uint8]], fps: int) -> bytes:
    """An mp4 file of pictures of one, even, size."""
    av = require_av()
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "26", "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        for i, picture in enumerate(pictures):
            if i == 0:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def write_video(path: Path, pictures: Iterable[NDArray[np.uint8]], fps: int) -> None:
    """`encode` into a file, all of it or nothing."""
    replace_durably(path, encode(pictures, fps))
