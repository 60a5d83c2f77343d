"""Files that are whole or absent, and checked before they are believed. No torch here."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import IO, Any

from meta_rl.errors import ConfigError, RunError
from meta_rl.runs.lock import is_locked, lock_file

LOCK = ".lock"
"""The file that a training process holds in its run directory."""
ATTEMPTS = 5
"""How often a process that wants it tries."""


class CheckpointError(RunError):
    """A checkpoint is damaged or not ours; the message names the file."""


def digests(files: dict[str, bytes]) -> dict[str, Any]:
    """The entries of `files` in a manifest, for `read_checked`."""
    return {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}


def read_checked(path: Path, expected: dict[str, Any]) -> bytes:
    """The contents of a file, if they are what its manifest says.

    Raises:
        CheckpointError: they are not.
    """
    data = path.read_bytes()
    if len(data) != expected["bytes"]:
        raise CheckpointError(f"{path}: {len(data)} bytes, the manifest says {expected['bytes']}")
    if hashlib.sha256(data).hexdigest() != expected["sha256"]:
        raise CheckpointError(f"{path}: contents do not match their sha256")
    return data


def json_bytes(value: Any) -> bytes:
    """`value` as the contents of a JSON file."""
    return (json.dumps(value, indent=1) + "\n").encode()


def write_durably(path: Path, data: bytes) -> None:
    """Write and fsync."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(path: Path, data: bytes) -> None:
    """Replace the contents of `path` in one step: a reader sees the old or the new ones, never a mix."""
    temporary = path.with_name(f".tmp-{path.name}")
    write_durably(temporary, data)
    temporary.replace(path)
    fsync_folder(path.parent)


def lock(run_dir: Path) -> IO[str]:
    """Hold the run directory until the returned file is closed (or the process dies).

    Raises:
        ConfigError: another process holds it.
    """
    file = open(run_dir / LOCK, "w")  # noqa: SIM115  (held on purpose)
    for _ in range(ATTEMPTS):
        if lock_file(file):
            return file
        time.sleep(0.02)  # whoever asks whether the run is in progress holds it for a moment
    file.close()
    raise ConfigError(f"--run-dir: {run_dir} is in use by another run; choose another folder")


def in_use(run_dir: Path) -> bool:
    """Whether a process holds the run directory now: it is training."""
    return is_locked(run_dir / LOCK)


def fsync_folder(path: Path) -> None:
    """Make what was created, renamed or removed in a folder last. Windows does not open folders; there it does
    nothing."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
