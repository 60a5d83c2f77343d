"""What is registered is a function that makes a distribution."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest

import envs


@pytest.mark.parametrize(
    ("name", "maker", "said"),
    [
        ("an-object", envs.make("navigation"), "'an-object' needs a function of the split .*, got a Navigation$"),
        (3, lambda split: envs.make("navigation", split), "a name is a text, got 3$"),
    ],
)
def test_what_cannot_be_registered_is_refused(name: Any, maker: Any, said: str) -> None:
    with pytest.raises(TypeError, match=f"^register: {said}"):
        envs.register(name, maker)
    assert name not in envs.registry.TABLE


def test_a_maker_of_something_else_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.registry.TABLE", dict(envs.registry.TABLE))
    made: Any = gym.make("CartPole-v1")
    envs.register("a-single-one", lambda split: made)
    with pytest.raises(TypeError, match=r"^a-single-one: its maker returned a \w+; valid: .*GymDistribution makes one"):
        envs.make("a-single-one")
