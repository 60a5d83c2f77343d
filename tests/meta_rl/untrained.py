"""Agents nobody trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import envs
from meta_rl.agents.agent import Agent
from meta_rl.algorithms.base import make_learner
from meta_rl.config import default_config, replace_paths


def untrained(recipe: str, env: str, changes: Mapping[str, Any]) -> Agent:
    """An agent with its first parameters; `changes` to the config, by dotted paths."""
    config = replace_paths(default_config(recipe, env), changes)
    distribution = envs.make(env)
    learner: Any = make_learner(config, distribution)
    interface = replace(learner.interface, horizon=distribution.horizon)
    return Agent(config, learner, learner.init().weights, 0, 0, interface)
