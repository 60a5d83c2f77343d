"""Meta-World's spaces, the same for all families, and the part of an observation that tells the family."""

from __future__ import annotations

from collections.abc import Sequence

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


def action_space() -> gym.spaces.Box:
    """float32 ``[4]`` in [-1, 1]: hand displacement in units of 1 cm per step, gripper effort."""
    return gym.spaces.Box(-1.0, 1.0, (4,), np.float32)


def observation_space(goal_visible: bool = False, told: int = 0) -> gym.spaces.Box:
    """float64 ``[39 + told]``: this frame (hand 3, gripper opening 1, objects 14), the last frame, the goal (3), and
    which of `told` families it is (a one among zeros).

    A hidden goal is all zeros. Where it is visible its bounds depend on the family, so here it has none.
    """
    frame_low = [-0.525, 0.348, -0.0525, -1.0, *[-np.inf] * 14]
    frame_high = [0.525, 1.025, 0.7, 1.0, *[np.inf] * 14]
    goal = np.inf if goal_visible else 0.0
    low = np.array([*frame_low, *frame_low, *[0.0 - goal] * 3, *[0.0] * told])
    high = np.array([*frame_high, *frame_high, *[goal] * 3, *[1.0] * told])
    return gym.spaces.Box(low, high, dtype=np.float64)


def one_hot(families: Sequence[str], told: Sequence[str]) -> NDArray[np.float64]:
    """A row for each of `families` ``[len(families), len(told)]``: a one at its place among `told`.

    Raises:
        ValueError: one of them is not told apart.
    """
    unknown = [family for family in families if told and family not in told]
    if unknown:
        raise ValueError(f"{unknown[0]} is not among the families that observations tell apart: {', '.join(told)}")
    rows = [[float(family == other) for other in told] for family in families]
    return np.array(rows, np.float64).reshape(len(families), len(told))


def with_family(observation: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Observations ``[task, env, 39]`` with the rows of `one_hot` of their tasks behind them."""
    if not rows.shape[1]:
        return observation
    behind = np.broadcast_to(rows[:, None], (*observation.shape[:2], rows.shape[1]))
    return np.concatenate([observation, behind], -1)
