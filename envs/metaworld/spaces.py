"""Meta-World's spaces, the same for all families, and the order of its info fields."""

from __future__ import annotations

import gymnasium as gym
import numpy as np


def action_space() -> gym.spaces.Box:
    """float32 ``[4]`` in [-1, 1]: hand displacement in units of 1 cm per step, gripper effort."""
    return gym.spaces.Box(-1.0, 1.0, (4,), np.float32)


def observation_space(goal_visible: bool = False) -> gym.spaces.Box:
    """float64 ``[39]``: this frame (hand 3, gripper opening 1, objects 14), the last frame, the goal (3).

    A hidden goal is all zeros. Where it is visible its bounds depend on the family, so here it has none.
    """
    frame_low = [-0.525, 0.348, -0.0525, -1.0, *[-np.inf] * 14]
    frame_high = [0.525, 1.025, 0.7, 1.0, *[np.inf] * 14]
    goal = np.inf if goal_visible else 0.0
    low = np.array([*frame_low, *frame_low, *[0.0 - goal] * 3])
    high = np.array([*frame_high, *frame_high, *[goal] * 3])
    return gym.spaces.Box(low, high, dtype=np.float64)
