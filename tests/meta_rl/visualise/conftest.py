"""A Meta-World run that costs little: nobody trained it."""

from __future__ import annotations

from pathlib import Path

import pytest

from meta_rl.config import default_config, replace_paths
from meta_rl.training.train import train

REACH = {
    "iterations": 0,
    "network.hidden": (8,),
    "device": "cpu",
    "evaluate.test_tasks": 3,
    "evaluate.tasks_at_once": 3,
    "evaluate.adaptation_episodes": 1,
}


@pytest.fixture(scope="package")
def reach(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained run in two Meta-World families."""
    folder = tmp_path_factory.mktemp("runs") / "reach"
    config = default_config("maml-trpo", "metaworld/reach-v3,drawer-open-v3")
    return train(replace_paths(config, {**REACH, "run_dir": str(folder)}), say=lambda _: None)
