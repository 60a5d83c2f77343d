"""Training runs small enough for a unit test: 3 navigation tasks, 2 episodes each, a net of 8 units; 2 sinusoids."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meta_rl.cli import main
from meta_rl.config import TrainConfig, default_config, replace_paths

TINY = {
    "meta_batch_size": 3,
    "episodes_per_task": 2,
    "network.hidden": (8,),
    "checkpoint_every": 1,
    "device": "cpu",
    "evaluate.test_tasks": 4,
    "evaluate.tasks_at_once": 3,
    "evaluate.adaptation_episodes": 2,
    "evaluate.adaptation_steps": 1,
}
TINY_COMMAND = """
train maml-trpo --env navigation --meta-batch-size 3 --episodes-per-task 2 --hidden 8 --checkpoint-every 1
--device cpu --test-tasks 4 --tasks-at-once 3 --adaptation-episodes 2 --adaptation-steps 1
"""
TINY_OPTIONS = TINY_COMMAND.split()
TINY_FEWSHOT_COMMAND = """
train maml --env sinusoid-5shot --meta-batch-size 2 --hidden 4 --checkpoint-every 1 --device cpu --test-tasks 3
--adaptation-steps 1 --task-map vmap
"""
KINDS = {"acting": TINY_OPTIONS, "predicting": TINY_FEWSHOT_COMMAND.split()}
"""Commands that train in an environment, and from labelled examples."""


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., TrainConfig]:
    """``tiny(name, **changes)``: the config of a small run in the folder ``tmp_path / name``."""

    def make(name: str = "run", **changes: Any) -> TrainConfig:
        config = replace_paths(default_config("maml-trpo", "navigation"), TINY)
        return replace_paths(config, {"iterations": 4, "run_dir": str(tmp_path / name), **changes})

    return make


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """A key of `KINDS`."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def finished(kind: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of four iterations that keeps the last three, and the same one stopped after two; both evaluated."""
    place = tmp_path_factory.mktemp(kind)
    for name, iterations in (("run", "4"), ("stopped", "2")):
        assert main([*KINDS[kind], "--iterations", iterations, "--run-dir", str(place / name)]) == 0
    return place / "run", place / "stopped"


@pytest.fixture
def kept(finished: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the run that keeps three, to be changed."""
    return Path(shutil.copytree(finished[0], tmp_path / "run"))


@pytest.fixture
def stopped(finished: tuple[Path, Path]) -> Path:
    """The run that was stopped; not to be changed."""
    return finished[1]
