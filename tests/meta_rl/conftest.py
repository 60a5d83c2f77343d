"""A training run small enough for a unit test: 3 navigation tasks, 2 episodes each, a net of 8 units."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., TrainConfig]:
    """``tiny(name, **changes)``: the config of a small run in the folder ``tmp_path / name``."""

    def make(name: str = "run", **changes: Any) -> TrainConfig:
        config = replace_paths(default_config("maml-trpo", "navigation"), TINY)
        return replace_paths(config, {"iterations": 4, "run_dir": str(tmp_path / name), **changes})

    return make
