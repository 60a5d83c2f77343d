"""A lock on a file that ends with the process that holds it, on every operating system."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import IO, Any

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def lock_file(file: IO[Any], shared: bool = False) -> bool:
    """Hold `file`, just opened, until it is closed; False if somebody who opened it earlier still holds it.

    Args:
        shared: others may hold it so too, at the same time (not on Windows, where one holds it alone).
    """
    try:
        if fcntl is not None:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        else:
            windows: Any = importlib.import_module("msvcrt")
            windows.locking(file.fileno(), windows.LK_NBLCK, 1)  # the first byte, which need not exist
    except OSError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether somebody holds the file. It is neither made nor written to: it is held for a moment, as others who look
    may do at the same time."""
    try:
        with open(path, "rb") as file:
            return not lock_file(file, shared=True)
    except OSError:  # there is none
        return False
