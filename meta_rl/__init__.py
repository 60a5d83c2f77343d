"""Meta-reinforcement learning: agents that learn to learn.

    import meta_rl
    agent = meta_rl.load("runs/maml-trpo_metaworld-ml1-reach-v3_s0")

The names below are imported when first used, so ``import meta_rl`` itself costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meta_rl.agent import Agent, load
    from meta_rl.config import TrainConfig, default_config
    from meta_rl.evaluate import Evaluation, evaluate
    from meta_rl.train import train

__all__ = ["Agent", "Evaluation", "TrainConfig", "default_config", "evaluate", "load", "train"]

_HOME = {
    "Agent": "meta_rl.agent",
    "load": "meta_rl.agent",
    "TrainConfig": "meta_rl.config",
    "default_config": "meta_rl.config",
    "Evaluation": "meta_rl.evaluate",
    "evaluate": "meta_rl.evaluate",
    "train": "meta_rl.train",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'meta_rl' has no attribute {name!r}")
