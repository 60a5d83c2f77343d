"""Arrays on disk that are slow to make again: models, snapshots, goals.

One file per entry, written to a temporary name and renamed, so that any number of processes may share the folder. Its
name is a digest of all that the content depends on; other versions have other folders. A file that cannot be read, or
does not hold what was stored under its name, is made again, and a folder that cannot be written is done without.

The folder is ``$META_RL_CACHE`` (the empty string: no cache), else ``meta-rl`` in the user's cache folder. It can be
deleted at any time.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import math
import os
import platform
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = 2
"""Part of the digest: raise it when entries change their meaning. Those of format 1 may hold wrong start states, which
several threads of a process made at once."""
SEAL = "seal"
"""The array of an entry that tells what was stored, and under which name."""

Arrays = dict[str, NDArray[Any]]


def load(entry: str) -> Arrays | None:
    """The arrays stored as `entry` (a relative path without suffix), or None if there are none in good order."""
    folder = _folder()
    if folder is None:
        return None
    try:
        # A zip file: every member carries a checksum. (numpy leaves a damaged file open that it opened itself.)
        with open(folder / f"{entry}.npz", "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        seal = arrays.pop(SEAL)
        return arrays if np.array_equal(seal, _seal(entry, arrays)) else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def store(entry: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Keep `arrays` (of numbers or text) as `entry` for this and later processes."""
    folder = _folder()
    if folder is None:
        return
    path = folder / f"{entry}.npz"
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
        with (
            os.fdopen(handle, "wb") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        ):
            for name, array in {**arrays, SEAL: _seal(entry, arrays)}.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
        os.replace(temporary, path)
    except OSError:  # read-only, full, not a folder: the next process computes it again
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _seal(entry: str, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """Digest of an entry: its name, and its arrays with theirs."""
    digest = hashlib.sha256(entry.encode())
    for name, array in sorted(arrays.items()):
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def _folder() -> Path | None:
    root = os.environ.get("META_RL_CACHE")
    if root == "":
        return None
    if root is None:
        try:
            base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        except RuntimeError:  # no home
            return None
        root = os.path.join(base, "meta-rl")
    return Path(root) / "metaworld" / _digest()


@functools.cache
def _digest() -> str:
    """Digest of all that cached states depend on: versions, Meta-World's files (an edited copy is another world), and
    this machine's arithmetic (processors that share a home folder may round sines and dot products differently)."""
    parts: list[Any] = [FORMAT, metadata.version("mujoco"), metadata.version("metaworld"), np.__version__]
    spec = importlib.util.find_spec("metaworld")
    if spec is not None and spec.submodule_search_locations:
        root = Path(spec.submodule_search_locations[0])
        for file in sorted(f for f in root.rglob("*") if f.suffix in (".py", ".xml", ".stl", ".obj")):
            parts.append((str(file.relative_to(root)), file.stat().st_size, file.stat().st_mtime_ns))
    x = np.linspace(-3, 3, 99)
    functions = (math.sin, math.cos, math.tan, math.atan, math.exp)
    parts += [platform.machine(), [f(v) for f in functions for v in x.tolist()]]
    parts += [float(np.linalg.norm(x[i : i + 3])) for i in range(90)]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
