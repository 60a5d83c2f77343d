"""An agent as a folder that stands for itself: what ``meta-rl export`` writes, `meta_rl.load` reads, and the Hub holds.

``model.safetensors`` (meta-parameters and statistics, of returns too), ``config.json`` (of the training run),
``agent.json`` (spaces, horizon, counters, versions, sha256) and ``README.md`` (the model card). No optimizer, no
pickle, and no need of the environments that the agent was trained in.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors import torch as safetensors_torch

from meta_rl.config import TrainConfig, to_dict, without_places
from meta_rl.core.interface import Interface
from meta_rl.core.types import Params
from meta_rl.core.weights import Weights
from meta_rl.runs import checkpoint, durable
from meta_rl.runs.durable import CheckpointError
from meta_rl.runs.folder import MANIFEST, PLAYER_MANIFEST, RESULTS

AGENT_SCHEMA = 2
"""Version 1 had no groups of tensors; it is read as well."""
MODEL = "model.safetensors"
RETURNED = "returned"
"""The group of a bundle's tensors besides those of `Weights`."""
PLAYER_TENSORS = "player.safetensors"
"""Tensors of an adapted player, see `meta_rl.agents.saved`."""


@dataclass(frozen=True)
class Bundle:
    """Contents of an agent besides its config.

    Attributes:
        weights: what was meta-learned, on the CPU.
        iteration: finished meta-updates.
        env_steps: env steps of training.
        about: JSON-able: versions, device and task distribution of the training run.
        returned: statistics of returns, in whose units a value head among the parameters speaks; for a run that begins
            with the agent. Empty if there is none, or the agent is of an earlier version.
    """

    weights: Weights
    iteration: int
    env_steps: int
    interface: Interface
    about: dict[str, Any]
    returned: Params = field(default_factory=dict)


def write_bundle(folder: Path, config: TrainConfig, bundle: Bundle) -> None:
    """Write the three files of the agent into `folder`, without what `config` says of this machine. A player that was
    saved there, and results of the agent that lay there, go.

    Raises:
        OSError: no space, read-only, ...
    """
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group, named in {**bundle.weights._asdict(), RETURNED: bundle.returned}.items()
        for name, tensor in named.items()
    }
    files = {
        MODEL: safetensors_torch.save(tensors, {"format": "pt"}),
        "config.json": durable.json_bytes(to_dict(without_places(config))),
    }
    manifest = {
        "schema": AGENT_SCHEMA,
        "iteration": bundle.iteration,
        "env_steps": bundle.env_steps,
        "interface": bundle.interface.to_dict(),
        "about": bundle.about,
        "order": list(tensors),
        "files": durable.digests(files),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for left in (PLAYER_MANIFEST, PLAYER_TENSORS):
        (folder / left).unlink(missing_ok=True)
    for name, data in (files | {MANIFEST: durable.json_bytes(manifest)}).items():
        durable.replace_durably(folder / name, data)
    shutil.rmtree(folder / RESULTS, ignore_errors=True)


def read_bundle(folder: Path) -> Bundle:
    """The inverse of `write_bundle`, every byte of the parameters verified.

    Raises:
        CheckpointError: something is missing, altered, or of another schema.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        if manifest["schema"] not in (1, AGENT_SCHEMA):
            raise CheckpointError(f"{folder}: schema {manifest['schema']}, this version reads schema {AGENT_SCHEMA}")
        contents = {name: durable.read_checked(folder / name, file) for name, file in manifest["files"].items()}
        tensors = checkpoint.read_tensors(contents[MODEL], manifest["order"])
        groups: dict[str, Params] = {name: {} for name in (*Weights._fields, RETURNED)}
        for full, tensor in tensors.items():
            group, _, name = full.partition("/") if manifest["schema"] == AGENT_SCHEMA else ("params", "", full)
            groups[group][name] = tensor
        interface, returned = Interface.from_dict(manifest["interface"]), groups.pop(RETURNED)
        counted = manifest["iteration"], manifest["env_steps"]
        return Bundle(Weights(**groups), *counted, interface, manifest["about"], returned)
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: unreadable ({type(error).__name__}: {error})") from error
