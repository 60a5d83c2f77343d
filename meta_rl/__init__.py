"""Meta-reinforcement learning: agents that learn to learn.

    import meta_rl
    agent = meta_rl.load("runs/maml-trpo_metaworld-ml1-reach-v3_s0")

    run = meta_rl.train(meta_rl.default_config("maml-trpo", "navigation"))
    result = meta_rl.evaluate(run)
    agent = meta_rl.load(run)

The names below are imported when first used, so ``import meta_rl`` itself costs nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meta_rl.agents.agent import Agent, load, load_player
    from meta_rl.config import AlgorithmConfig, Recipe, TrainConfig, default_config, register_recipe
    from meta_rl.evaluation.compare import compare
    from meta_rl.evaluation.report import evaluate_run as evaluate
    from meta_rl.fewshot.tasks import register_tasks
    from meta_rl.training.train import train

    __version__: str

__all__ = [
    "Agent",
    "AlgorithmConfig",
    "Recipe",
    "TrainConfig",
    "compare",
    "default_config",
    "evaluate",
    "load",
    "load_player",
    "register_recipe",
    "register_tasks",
    "train",
]

# The environments' threads and torch's take turns. Left alone, torch's would spin while the others work and nearly
# double the time that stepping takes on few cores. Has an effect only if torch is not loaded yet.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Name -> module that has it, and what it is called there.
_HOME = {
    "Agent": ("agents.agent", "Agent"),
    "load": ("agents.agent", "load"),
    "load_player": ("agents.agent", "load_player"),
    "compare": ("evaluation.compare", "compare"),
    "evaluate": ("evaluation.report", "evaluate_run"),
    "register_tasks": ("fewshot.tasks", "register_tasks"),
    "train": ("training.train", "train"),
} | {
    name: ("config", name) for name in ("AlgorithmConfig", "Recipe", "TrainConfig", "default_config", "register_recipe")
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        module, attribute = _HOME[name]
        return getattr(import_module(f"meta_rl.{module}"), attribute)
    if name == "__version__":
        from importlib import metadata

        return metadata.version("meta-rl")
    raise AttributeError(f"module 'meta_rl' has no attribute {name!r}")
