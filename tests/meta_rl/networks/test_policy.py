"""What the feed-forward policies promise beside their distributions."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch

from meta_rl.config import NetworkConfig
from meta_rl.networks.policy import GaussianPolicy, make_policy

OBSERVATION = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
CONTINUOUS = gym.spaces.Box(-1, 1, (2,), np.float32)


def gaussian(**config: float) -> GaussianPolicy:
    policy = make_policy(OBSERVATION, CONTINUOUS, NetworkConfig(hidden=(8,), **config), seed=0)  # type: ignore[arg-type]
    assert isinstance(policy, GaussianPolicy)
    return policy


def test_a_mean_with_a_bound_is_the_tanh_of_the_one_without() -> None:
    """2 tanh(m / 2): nearly m near 0, never beyond 2; the standard deviation knows nothing of it."""
    free, bound = gaussian(), gaussian(mean_bound=2.0)
    observation = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * torch.logspace(-2, 4, 50)[:, None]
    with torch.no_grad():
        for policy in (free, bound):
            policy.mean[-1].weight.mul_(100)
        mean, within = free(observation).mean, bound(observation).mean
        assert torch.equal(free(observation).log_std, bound(observation).log_std)
    torch.testing.assert_close(within, 2 * torch.tanh(mean / 2))
    assert mean.abs().max() > 5
    assert within.abs().max() <= 2


@pytest.mark.parametrize("normalised", [False, True])
def test_statistics_are_of_as_many_numbers_as_are_observed(normalised: bool) -> None:
    statistics = gaussian(normalise_observations=normalised).statistics()
    shapes = {name: tuple(tensor.shape) for name, tensor in statistics.items()}
    assert shapes == ({"seen": (), "mean": (3,), "square": (3,)} if normalised else {})
