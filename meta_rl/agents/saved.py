"""An adapted player as a folder that stands for itself: what `Player.save` writes and `meta_rl.load_player` reads.

The folder is an agent (`meta_rl.agents.bundle`) with two files more: ``player.safetensors``, the tensors in which the
player differs from its agent, and ``player.json``: its other numbers, what it practised, and the sha256 of the files of
the agent and of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import Tensor
from torch.utils import _pytree as pytree

from meta_rl.agents.bundle import PLAYER_TENSORS, Bundle, write_bundle
from meta_rl.agents.practised import Practised
from meta_rl.config import TrainConfig
from meta_rl.core.types import Adapted
from meta_rl.errors import ConfigError, RunError
from meta_rl.runs import checkpoint, durable
from meta_rl.runs.durable import CheckpointError
from meta_rl.runs.folder import MANIFEST, PLAYER_MANIFEST, check_free, is_exported

PLAYER_SCHEMA = 1


@dataclass(frozen=True)
class Kept:
    """What a folder keeps of a player besides its agent.

    Attributes:
        leaves: path in the learner's `Adapted` -> a tensor or number that differs from the state before adaptation.
        seed, stage, played: what later practice and episodes draw their randomness from.
        practice: see `Player`.
    """

    leaves: dict[str, Any]
    seed: int
    stage: int
    played: int
    practice: Practised | None


def adapted_leaves(adapted: Adapted, fresh: Adapted) -> dict[str, Any]:
    """The leaves of `adapted` in which it differs from `fresh`, the state before adaptation, by their paths."""
    before = _leaves(fresh)
    return {path: leaf for path, leaf in _leaves(adapted).items() if not _equal(leaf, before.get(path))}


def with_leaves(leaves: dict[str, Any], fresh: Adapted) -> Adapted:
    """The inverse of `adapted_leaves`.

    Raises:
        ValueError: a leaf is not part of `fresh`, or has another shape there.
    """
    found = _leaves(fresh)
    for path, leaf in leaves.items():
        if path not in found:
            raise ValueError(f"the player is of another agent: it has {path}")
        if _form(leaf) != _form(found[path]):
            raise ValueError(f"the player is of another agent: {path} is {_form(leaf)}, not {_form(found[path])}")
    return pytree.tree_unflatten(list((found | leaves).values()), pytree.tree_structure(fresh))


def _leaves(tree: Adapted) -> dict[str, Any]:
    return {pytree.keystr(path): leaf for path, leaf in pytree.tree_flatten_with_path(tree)[0]}


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return _form(one) == _form(other) and torch.equal(one, other)
    return bool(one == other)


def _form(leaf: Any) -> str:
    return f"{leaf.dtype} {list(leaf.shape)}" if isinstance(leaf, Tensor) else type(leaf).__name__


def write_player(folder: Path, agent: Bundle, config: TrainConfig, kept: Kept) -> Path:
    """Write the agent and what is kept of its player; returns the folder.

    Raises:
        ConfigError: the folder holds anything but a saved player.
        RunError: it cannot be written.
    """
    check_player_out(folder)
    tensors = {path: leaf for path, leaf in kept.leaves.items() if isinstance(leaf, Tensor)}
    contents = safetensors_torch.save({path: tensor.detach().cpu().contiguous() for path, tensor in tensors.items()})
    manifest = {
        "schema": PLAYER_SCHEMA,
        "seed": kept.seed,
        "stage": kept.stage,
        "played": kept.played,
        "practice": kept.practice.to_dict() if kept.practice else None,
        "order": list(tensors),
        "numbers": {path: leaf for path, leaf in kept.leaves.items() if path not in tensors},
        "files": durable.digests({PLAYER_TENSORS: contents}),
    }
    try:
        write_bundle(folder, config, agent)  # takes away what was kept of another player
        durable.replace_durably(folder / PLAYER_TENSORS, contents)
        manifest["agent"] = _agent_files(folder)
        durable.replace_durably(folder / PLAYER_MANIFEST, durable.json_bytes(manifest))
    except OSError as error:
        raise RunError(f"{folder}: {error.strerror or error}") from error
    return folder


def check_player_out(folder: Path, option: str = "") -> None:
    """Refuse a folder that holds anything but a saved player, see `check_free`."""
    check_free(folder, PLAYER_MANIFEST, "a saved player", option)


def read_player(folder: Path) -> Kept:
    """What a folder keeps of a player, every byte verified.

    Raises:
        ConfigError: it holds no player.
        CheckpointError: something is missing, altered, of another schema, or beside another agent.
    """
    path = folder / PLAYER_MANIFEST
    if not (is_exported(folder) and path.exists()):
        raise ConfigError(f"{folder} holds no saved player (no {PLAYER_MANIFEST}); player.save(folder) writes one")
    try:
        manifest = json.loads(path.read_bytes())
        if manifest["schema"] != PLAYER_SCHEMA:
            raise CheckpointError(f"{path}: schema {manifest['schema']}, this version reads schema {PLAYER_SCHEMA}")
        if manifest["agent"] != _agent_files(folder):
            raise CheckpointError(f"{path}: it is of another agent than the one beside it")
        contents = durable.read_checked(folder / PLAYER_TENSORS, manifest["files"][PLAYER_TENSORS])
        leaves = checkpoint.read_tensors(contents, manifest["order"]) | manifest["numbers"]
        practice = manifest["practice"] and Practised.from_dict(manifest["practice"])
        return Kept(leaves, manifest["seed"], manifest["stage"], manifest["played"], practice)
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{path}: unreadable ({type(error).__name__}: {error})") from error


def _agent_files(folder: Path) -> Any:
    """Sizes and sha256 of the files of the agent in `folder`."""
    return json.loads((folder / MANIFEST).read_bytes())["files"]
