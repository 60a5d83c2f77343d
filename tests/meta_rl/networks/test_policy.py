"""What the feed-forward policies promise beside their distributions."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from meta_rl.config import NetworkConfig
from meta_rl.networks.policy import GaussianPolicy, make_policy

OBSERVATION = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
CONTINUOUS = gym.spaces.Box(-1, 1, (2,), np.float32)


def gaussian(**config: float) -> GaussianPolicy:
    policy = make_policy(OBSERVATION, CONTINUOUS, NetworkConfig(hidden=(8,), **config), seed=0)  # type: ignore[arg-type]
    assert isinstance(policy, GaussianPolicy)
    return policy


@pytest.mark.parametrize("normalised", [False, True])
def test_statistics_are_of_as_many_numbers_as_are_observed(normalised: bool) -> None:
    statistics = gaussian(normalise_observations=normalised).statistics()
    shapes = {name: tuple(tensor.shape) for name, tensor in statistics.items()}
    assert shapes == ({"seen": (), "mean": (3,), "square": (3,)} if normalised else {})
