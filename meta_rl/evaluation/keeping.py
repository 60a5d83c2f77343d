"""Recordings in the folder ``episodes`` beside ``evaluation.json``: whoever shows an evaluation plays nothing again.

A recording is sealed with the digest of the evaluation that it belongs to; beside any other evaluation it counts as
absent. States fill nearly all of it. They are rounded to 32 bits, and of many long episodes some moments are left out
and put back on the line between their neighbours. Everything that numbers are made of is kept as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl.errors import Say
from meta_rl.evaluation.record import evaluation_path, files
from meta_rl.evaluation.recording import Recording
from meta_rl.runs.durable import fsync_folder

JUDGED, TRAINING = "judged", "training"
"""Names of recordings: the tasks that were judged, and those of the last training iteration."""
SEAL = "evaluation"
"""Key of the digest in `Recording.about`."""
LARGEST = 64_000_000
"""Bytes of states, before they are compressed."""


def recording_path(run_dir: Path, name: str) -> Path:
    """The file of a recording."""
    return files(run_dir).evaluation.with_name("episodes") / f"{name}.npz"


def keep_recording(recording: Recording, run_dir: Path, name: str, say: Say) -> None:
    """Keep a recording of the latest evaluation of a run, whole or not at all. Where it cannot be written, a line says
    so: it can be played again."""
    path = recording_path(run_dir, name)
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sealed = replace(recording, about=recording.about | {SEAL: _seal(run_dir)}, state=_thinned(recording.state))
        sealed.save(temporary)
        temporary.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        say(f"{path}: the episodes are not kept: {error.strerror or error}")


def kept_recording(run_dir: Path, name: str, positions: Collection[int] | None = None) -> Recording | None:
    """A recording of the latest evaluation of a run; None where none is kept that is whole and of that evaluation.

    Args:
        positions: of the tasks that are wanted, in this order, if not all.
    """
    path = recording_path(run_dir, name)
    if not path.exists():
        return None
    try:
        found = Recording.load(path)
        if found.about.get(SEAL) != _seal(run_dir):
            return None
    except Exception:  # of a damaged file: whatever its reader stumbles over
        return None
    if positions is not None:
        if not {*positions} <= {*found.positions}:
            return None
        found = found.select(list(positions))
    return replace(found, state=_filled(found.state, found.reward.shape[-1] + 1))


def _seal(run_dir: Path) -> str:
    return hashlib.sha256(evaluation_path(run_dir).read_bytes()).hexdigest()


def _moments(length: int, kept: int) -> NDArray[np.int64]:
    """The moments of an episode of `length` that are kept, first and last among them."""
    return np.linspace(0, length - 1, kept).round().astype(np.int64)


def _thinned(state: NDArray[np.float64]) -> NDArray[Any]:
    """float32 states ``[..., moment, state]`` at as many moments as fit into `LARGEST`, two at least."""
    length = state.shape[-2]
    kept = min(length, max(2, LARGEST * length // max(1, 4 * state.size)))
    return np.asarray(state[..., _moments(length, kept), :], np.float32)


def _filled(state: NDArray[Any], length: int) -> NDArray[np.float64]:
    """The inverse of `_thinned` for episodes of `length` moments: those left out lie between their neighbours."""
    kept = state.shape[-2]
    if kept == length:
        return state.astype(np.float64)
    moments, every = _moments(length, kept), np.arange(length)
    after = np.searchsorted(moments, every).clip(1)
    before = after - 1
    share = ((every - moments[before]) / (moments[after] - moments[before]))[:, None]
    return np.asarray(state[..., before, :] * (1 - share) + state[..., after, :] * share, np.float64)
