"""Spaces that no learner takes are refused in a sentence that says what would do."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from envs import misfit

FLAT = gym.spaces.Box(-1, 1, (2,), np.float32)


@pytest.mark.parametrize(
    "observation", [FLAT, gym.spaces.Box(-np.inf, np.inf, (1,)), gym.spaces.Box(0, 255, (3,), np.uint8)]
)
@pytest.mark.parametrize(
    "action",
    [FLAT, gym.spaces.Box(0, np.inf, (1,), np.float64), gym.spaces.Discrete(1), gym.spaces.Discrete(3, start=-1)],
)
def test_flat_observations_and_flat_or_discrete_actions_fit(observation: Any, action: Any) -> None:
    assert misfit(observation, action) == ""


@pytest.mark.parametrize(
    ("observation", "action", "said"),
    [
        (gym.spaces.Box(-1, 1, (0,)), FLAT, "observation_space must hold at least one number, got a Box of shape (0,)"),
        (gym.spaces.Box(-1, 1, (2, 0)), FLAT, "observation_space must hold at least one number"),
        (FLAT, gym.spaces.Box(-1, 1, (0,)), "action_space must hold at least one number, got a Box of shape (0,)"),
        (
            FLAT,
            gym.spaces.Box(-3, 3, (1,), np.int32),
            "action_space must be a Box of floats or Discrete, got Box(-3, 3",
        ),
        (FLAT, gym.spaces.Box(0, 1, (1,), np.bool_), "action_space must be a Box of floats or Discrete"),
    ],
)
def test_what_no_learner_takes_is_a_sentence(observation: Any, action: Any, said: str) -> None:
    """Floats would be sent where whole numbers are declared."""
    assert misfit(observation, action).startswith(said)
