"""Checkpoints and exported agents of version 1, which knew no shared parameters and no statistics."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import torch as safetensors_torch
from torch import Tensor

import envs
from meta_rl import load
from meta_rl.config import default_config, load_config, replace_paths
from meta_rl.core.types import Params
from meta_rl.evaluation.episodes import evaluate
from meta_rl.handover.export import export
from meta_rl.runs import checkpoint, durable
from meta_rl.runs.durable import CheckpointError
from meta_rl.training.train import train
from tests.meta_rl.conftest import TINY
from tests.meta_rl.training.test_train import assert_same_run, quiet

# Recipe, tasks, options, and what the names of shared parameters, if there are any, began with.
RUNS: dict[str, tuple[str, dict[str, Any], str]] = {
    "maml-ppo": ("navigation", {}, ""),
    "metasgd-trpo": ("navigation", {}, "inner_lr."),
    "metasgd": ("sinusoid-5shot", {"algorithm.task_map": "vmap"}, "inner_lr."),
    "meta-lstm": ("sinusoid-5shot", {}, "rule."),
    "reptile-supervised": (
        "sinusoid-5shot",
        {
            "algorithm.task_map": "vmap",
            "algorithm.inner_optimizer": "adam",
            "algorithm.meta_optimizer": "adam",
            "algorithm.meta_lr_iterations": 20000,  # as it was recorded
        },
        "inner_optimizer.",
    ),
    "rl2": ("navigation", {}, ""),
}


def run_of(recipe: str, folder: Path, iterations: int) -> Path:
    env, changes, _ = RUNS[recipe]
    sizes = {key: value for key, value in TINY.items() if not key.startswith("evaluate")}
    changes = {**sizes, **changes, "iterations": iterations, "run_dir": str(folder)}
    return train(replace_paths(default_config(recipe, env), changes), quiet)


def earlier(name: str, prefix: str) -> str:
    """What version 1 called ``group/name``."""
    group, _, rest = name.partition("/")
    if group == "shared":
        return f"params/{prefix}{rest}"
    return name.replace("/shared.", f"/{prefix}") if group == "optimizer" else name


def as_version_1(run: Path, prefix: str) -> None:
    """Write the run's checkpoints as version 1 did."""
    for folder in (run / "checkpoints").iterdir():
        counters = json.loads((folder / "state.json").read_text())
        tensors = safetensors_torch.load((folder / "state.safetensors").read_bytes())
        assert not any(name.startswith("statistics") for name in tensors)
        files = {
            "state.safetensors": safetensors_torch.save({earlier(n, prefix): t for n, t in tensors.items()}),
            "state.json": json.dumps(counters | {"order": [earlier(n, prefix) for n in counters["order"]]}).encode(),
        }
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest |= {"schema": 1, "files": durable.digests(files)}
        for name, data in (files | {"manifest.json": json.dumps(manifest).encode()}).items():
            (folder / name).write_bytes(data)


def same(a: Params, b: Params) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("recipe", RUNS)
def test_a_run_of_version_1_is_loaded_and_goes_on_bit_for_bit(recipe: str, tmp_path: Path) -> None:
    whole = run_of(recipe, tmp_path / "whole", 3)
    old = run_of(recipe, tmp_path / "old", 2)
    expected = load(old).weights
    as_version_1(old, RUNS[recipe][2])
    assert checkpoint.load_checkpoint(max((old / "checkpoints").iterdir())).shared == {}
    found = load(old).weights
    assert all(same(a, b) for a, b in zip(found, expected, strict=True))
    assert bool(found.shared) == bool(RUNS[recipe][2])
    assert_same_run(whole, run_of(recipe, old, 3))


def write_bundle_1(folder: Path, rename: Callable[[str], str]) -> None:
    """Write the agent in `folder` as version 1 did: no groups, and no statistics of returns."""
    manifest = json.loads((folder / "agent.json").read_text())
    tensors: dict[str, Tensor] = safetensors_torch.load((folder / "model.safetensors").read_bytes())
    order = [name for name in manifest["order"] if not name.startswith("returned/")]
    data = safetensors_torch.save({rename(name): tensors[name] for name in order}, {"format": "pt"})
    (folder / "model.safetensors").write_bytes(data)
    files = manifest["files"] | durable.digests({"model.safetensors": data})
    manifest |= {"schema": 1, "order": [rename(name) for name in order], "files": files}
    (folder / "agent.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("recipe", RUNS)
def test_an_exported_agent_of_version_1_is_loaded(recipe: str, tmp_path: Path) -> None:
    prefix = RUNS[recipe][2]
    run = run_of(recipe, tmp_path / "run", 1)
    folder, expected = export(run, tmp_path / "agent"), load(run)
    write_bundle_1(folder, lambda name: earlier(name, prefix).removeprefix("params/"))
    found = load(folder)
    assert all(same(a, b) for a, b in zip(found.weights, expected.weights, strict=True))
    if expected.env_steps:
        protocol = replace_paths(expected.config.evaluate, {"test_tasks": 2, "adaptation_steps": 1})
        test = envs.make("navigation", "test")
        results = [evaluate(agent.learner, agent.weights, test, protocol).returns for agent in (found, expected)]
        np.testing.assert_array_equal(*results)
    shutil.rmtree(run / "checkpoints")
    changes = {"start_from": str(folder), "run_dir": str(tmp_path / "next"), "iterations": 0}
    begun = load(train(replace_paths(found.config, changes), quiet)).weights
    assert all(same(a, b) for a, b in zip(begun, found.weights, strict=True))


@pytest.mark.parametrize("exported", [False, True])
def test_another_network_is_refused_by_the_folder_and_what_differs(exported: bool, tmp_path: Path) -> None:
    """A config that was changed behind its run's back."""
    folder = run_of("maml-ppo", tmp_path / "run", 1)
    if exported:
        folder = export(folder, tmp_path / "agent")
        manifest = json.loads((folder / "agent.json").read_text())
        del manifest["files"]["config.json"]
        (folder / "agent.json").write_text(json.dumps(manifest))
    config = json.loads((folder / "config.json").read_text())
    config["network"]["hidden"] = [9]
    (folder / "config.json").write_text(json.dumps(config))
    said = rf"^{folder}: its network is another one: mean.0.weight is \[8, 2\], not \[9, 2\]$"
    with pytest.raises(CheckpointError, match=said):
        load(folder)
    if not exported:
        with pytest.raises(CheckpointError, match=said):
            train(load_config(folder / "config.json"), quiet)
