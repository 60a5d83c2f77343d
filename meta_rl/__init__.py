"""Meta-reinforcement learning: agents that learn to learn.

    import meta_rl
    agent = meta_rl.load("runs/maml-trpo_metaworld-ml1-reach-v3_s0")

The names below are imported when first used, so ``import meta_rl`` itself costs nothing. Training and evaluation are
the functions of `meta_rl.training.train` and `meta_rl.evaluation.episodes`.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meta_rl.agents.agent import Agent, load
    from meta_rl.config import AlgorithmConfig, Recipe, TrainConfig, default_config, register_recipe

__all__ = ["Agent", "AlgorithmConfig", "Recipe", "TrainConfig", "default_config", "load", "register_recipe"]

# The environments' threads and torch's take turns. Left alone, torch's would spin while the others work and nearly
# double the time that stepping takes on few cores. Has an effect only if torch is not loaded yet.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_HOME = {"Agent": "agents.agent", "load": "agents.agent"} | dict.fromkeys(
    ["AlgorithmConfig", "Recipe", "TrainConfig", "default_config", "register_recipe"], "config"
)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"meta_rl.{_HOME[name]}"), name)
    raise AttributeError(f"module 'meta_rl' has no attribute {name!r}")
