"""A lock on a file that ends with the process that holds it, on every operating system."""

from __future__ import annotations

import importlib
from typing import IO, Any

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def lock_file(file: IO[Any]) -> bool:
    """Hold `file`, just opened, until it is closed; False if somebody who opened it earlier still holds it."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            windows: Any = importlib.import_module("msvcrt")
            windows.locking(file.fileno(), windows.LK_NBLCK, 1)  # the first byte, which need not exist
    except OSError:
        return False
    return True
