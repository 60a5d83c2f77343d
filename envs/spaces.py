"""Which spaces learners take: flat observations, and flat or discrete actions. Said once, for whoever has to refuse."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


def misfit(observation_space: Any, action_space: Any) -> str:
    """What no learner takes of these spaces, and the wrapper of Gymnasium that helps, in a sentence; empty if all is
    well."""
    if not isinstance(observation_space, gym.spaces.Box):
        return f"observation_space must be a Box, got {observation_space}; {_flatten(observation_space)}"
    if 0 in observation_space.shape:
        return f"observation_space must hold at least one number, got a Box of shape {observation_space.shape}"
    if len(observation_space.shape) != 1:
        shape = observation_space.shape
        return f"observation_space must be flat, (n,), got a Box of shape {shape}; {_flatten(observation_space)}"
    if isinstance(action_space, gym.spaces.Discrete):
        return ""
    if not isinstance(action_space, gym.spaces.Box):
        fold = "TransformAction can make them of one Discrete or of a flat Box"
        return f"action_space must be a Box or Discrete, got {action_space}; gymnasium.wrappers.{fold}"
    if np.dtype(action_space.dtype).kind != "f":
        fold = "gymnasium.wrappers.TransformAction can make them of floats or of one Discrete"
        return f"action_space must be a Box of floats or Discrete, got {action_space}; {fold}"
    if 0 in action_space.shape:
        return f"action_space must hold at least one number, got a Box of shape {action_space.shape}"
    if len(action_space.shape) != 1:
        shape = action_space.shape
        fold = f"gymnasium.wrappers.TransformAction(env, lambda action: action.reshape({shape}), FLAT_BOX)"
        return f"action_space must be flat, (n,), got a Box of shape {shape}; {fold} makes it so"
    return ""


def _flatten(space: Any) -> str:
    """What makes `space` a flat Box."""
    if isinstance(space, gym.Space) and space.is_np_flattenable:
        return "gymnasium.wrappers.FlattenObservation(env) makes it so"
    return "gymnasium.wrappers.TransformObservation can make a flat Box of it"
