"""Spaces as data, and environments that do not fit."""

from __future__ import annotations

import json

import gymnasium as gym
import numpy as np
import pytest

import envs
from meta_rl.core.interface import Interface
from meta_rl.errors import ConfigError


@pytest.mark.parametrize("name", ["navigation", "bandit/k5-n10", "classic/pendulum", "metaworld/ml1-reach-v3"])
def test_survives_json(name: str) -> None:
    distribution = envs.make(name)
    interface = Interface.of(distribution, distribution.horizon)
    again = Interface.from_dict(json.loads(json.dumps(interface.to_dict(), allow_nan=False)))
    assert again == interface
    assert again.observation_space.dtype == distribution.observation_space.dtype


def test_bounds_survive_to_the_bit() -> None:
    low = np.array([-np.inf, -1 / 3, -np.float32(0.1)], np.float32)
    interface = Interface(gym.spaces.Box(low, -low, dtype=np.float32), gym.spaces.Discrete(3))
    again = Interface.from_dict(json.loads(json.dumps(interface.to_dict())))
    np.testing.assert_array_equal(again.observation_space.low, low)  # type: ignore[attr-defined]


def test_an_environment_that_does_not_fit_is_named() -> None:
    cart, pendulum = gym.make("CartPole-v1"), gym.make("Pendulum-v1")
    Interface.of(pendulum).check(pendulum)
    with pytest.raises(ConfigError, match=r"env: the observation space is Box\(4,\), .* trained with Box\(3,\)"):
        Interface.of(pendulum).check(cart)
    three = Interface(cart.observation_space, gym.spaces.Discrete(3))
    with pytest.raises(ConfigError, match=r"the action space is Discrete\(2\), .* Discrete\(3\)"):
        three.check(cart)
