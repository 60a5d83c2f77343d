"""Checkpoints that are either whole or absent, and checked before they are believed.

A checkpoint is a folder ``checkpoints/00000120`` with ``state.safetensors`` (all tensors), ``state.json`` (counters)
and ``manifest.json`` (schema, versions, byte count and sha256 of each file); beside them ``replay.safetensors`` where
the learner keeps a replay, which only a run that goes on reads. It is written under a temporary name, every file is
fsynced, and it takes its name by one rename. No pickle anywhere. The loader walks from the newest to the oldest, says
what is wrong with a damaged one, and takes the first that is sound.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import Tensor

from meta_rl.core.state import GROUPS, TrainState
from meta_rl.runs.durable import (
    CheckpointError,
    digests,
    fsync_folder,
    json_bytes,
    read_checked,
    write_durably,
)
from meta_rl.runs.folder import kept

CHECKPOINT_SCHEMA = 2
"""Version 1 had shared parameters among the others and no statistics; it is read as well."""
REPLAY = "replay.safetensors"
"""The file with the replay of a state that has one."""


class CheckpointWarning(UserWarning):
    """A damaged checkpoint was passed over."""


def save_checkpoint(folder: Path, state: TrainState, keep: int) -> Path:
    """Write `state` as a new checkpoint in `folder`; then remove what is newer (damaged: `load_newest` passed it over)
    and all but the newest `keep` (0: nothing else).

    Raises:
        OSError: no space, read-only, ...; what was there before is intact.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"{state.iteration:08d}"
    if final.exists():
        try:
            load_checkpoint(final, replay=True)  # written before a stop: the same bits by construction
            return final
        except CheckpointError:
            _remove(final)
    temporary = folder / f".tmp-{final.name}-{os.getpid()}"
    try:
        temporary.mkdir()
        tensors = _flatten(state)
        counters = {"iteration": state.iteration, "env_steps": state.env_steps}
        # safetensors sorts its tensors; sums over all parameters round differently in another order.
        orders = {"order": list(tensors)} | ({"replay": list(state.replay)} if state.replay else {})
        files = {
            "state.safetensors": safetensors_torch.save(tensors),
            "state.json": json_bytes(counters | orders),
        }
        if state.replay:
            files[REPLAY] = safetensors_torch.save(state.replay)
        manifest = {
            "schema": CHECKPOINT_SCHEMA,
            "versions": {name: metadata.version(name) for name in ("torch", "numpy", "safetensors")},
            "files": digests(files),
        }
        for name, data in (files | {"manifest.json": json_bytes(manifest)}).items():
            write_durably(temporary / name, data)
        fsync_folder(temporary)
        temporary.rename(final)
        fsync_folder(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    found = kept(folder)
    newer = [path for path in found if int(path.name) > state.iteration]
    older = found[len(newer) + keep :] if keep else []
    for path in newer + older:
        _remove(path)
    return final


def load_newest(folder: Path, device: torch.device | str = "cpu", replay: bool = False) -> TrainState | None:
    """The newest sound checkpoint in `folder`, or None where there is none at all.

    Damaged ones are reported by a `CheckpointWarning` each and passed over.

    Args:
        replay: see `load_checkpoint`.
    Raises:
        CheckpointError: there are checkpoints, but none is sound.
    """
    found = kept(folder)
    problems = []
    for path in found:
        try:
            return load_checkpoint(path, device, replay)
        except CheckpointError as error:
            problems.append(str(error))
            warnings.warn(f"{error}; falling back to the previous checkpoint", CheckpointWarning, stacklevel=2)
    if problems:
        raise CheckpointError(f"no sound checkpoint in {folder}: {'; '.join(problems)}")
    return None


def load_checkpoint(path: Path, device: torch.device | str = "cpu", replay: bool = False) -> TrainState:
    """Read one checkpoint after verifying every byte of it.

    Args:
        replay: read the replay too, if there is one: to train on. It stays on the CPU.
    Raises:
        CheckpointError: something is missing, altered, of another schema, or not readable.
    """
    try:
        manifest = json.loads((path / "manifest.json").read_bytes())
        if manifest["schema"] not in (1, CHECKPOINT_SCHEMA):
            raise CheckpointError(f"{path}: schema {manifest['schema']}, this version reads schema {CHECKPOINT_SCHEMA}")
        names = ("state.safetensors", "state.json")
        contents = {name: read_checked(path / name, manifest["files"][name]) for name in names}
        counters = json.loads(contents["state.json"])
        tensors = read_tensors(contents["state.safetensors"], counters["order"])
        state = _unflatten(counters, {name: tensor.to(device) for name, tensor in tensors.items()})
        if replay and REPLAY in manifest["files"]:
            kept = safetensors_torch.load(read_checked(path / REPLAY, manifest["files"][REPLAY]))
            state.replay = {name: kept[name] for name in counters["replay"]}
        return state
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{path}: unreadable ({type(error).__name__}: {error})") from error


def read_tensors(data: bytes, order: list[str]) -> dict[str, Tensor]:
    """The tensors of a safetensors file in `order`, each in memory of its own, not a view into the file's bytes: see
    `types.from_numpy` for why that matters."""
    tensors = safetensors_torch.load(data)
    return {name: tensors[name].clone() for name in order}


def remove_leftovers(folder: Path) -> None:
    """Delete what an interrupted `save_checkpoint` left behind. Only call while holding the lock."""
    for path in folder.glob(".tmp-*"):
        _remove(path)


def _remove(path: Path) -> None:
    """A folder, or a file that somebody put in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _flatten(state: TrainState) -> dict[str, Tensor]:
    return {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group in GROUPS
        for name, tensor in getattr(state, group).items()
    }


def _unflatten(counters: dict[str, Any], tensors: dict[str, Tensor]) -> TrainState:
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in GROUPS}
    for full, tensor in tensors.items():
        group, _, name = full.partition("/")
        groups[group][name] = tensor
    return TrainState(counters["iteration"], counters["env_steps"], **groups)
