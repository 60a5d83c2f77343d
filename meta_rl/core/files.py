"""Names of files with results, and reading of recorded episodes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl.errors import ConfigError

ENDINGS = (".json", ".md", ".csv", ".png")
"""What is written of results under one name."""


def with_ending(name: Path, ending: str) -> Path:
    """The file of a name that several files share: the ending is added, so that ``lr0.1`` and ``lr0.5`` are two names.
    One of `ENDINGS` that the name has already is replaced."""
    return name.with_name((name.stem if name.suffix in ENDINGS else name.name) + ending)


def read_episodes(path: Path, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and the arrays of a file that `meta_rl.evaluation.recording.Recording` wrote.

    Args:
        names: arrays that it must have; those that it has besides are given too.
    Raises:
        ConfigError: not such a file.
    """
    try:
        # Opened here: numpy leaves a damaged file open.
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            arrays = {name: file[name] for name in (*names, *(set(file.files) - {"header", *names}))}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: not a recording ({type(error).__name__}: {error})") from error
    return header, arrays
