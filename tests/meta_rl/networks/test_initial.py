"""Initial parameters are those of their seed, also when several threads make networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from meta_rl.algorithms.matching import Matching
from meta_rl.algorithms.meta_lstm import MetaLstm
from meta_rl.config import RECIPES, NetworkConfig
from meta_rl.networks.fewshot import make_embedding, make_network
from meta_rl.networks.policy import make_policy
from meta_rl.networks.recurrent import make_recurrent_policy

FLAT = gym.spaces.Box(-1, 1, (3,), np.float32)
PICTURES = gym.spaces.Box(0, 1, (1, 28, 28), np.float32)
SCALE = gym.spaces.Box(0.5, 5, (1,), np.float32)
ITEMS, WAYS = gym.spaces.Discrete(40), gym.spaces.Discrete(5)
WIDE, NARROW = NetworkConfig(hidden=(32, 32)), NetworkConfig(hidden=(4, 4, 4, 4))


def _recurrent(seed: int) -> nn.Module:
    policy = make_recurrent_policy(FLAT, WAYS, WIDE, seed)
    policy.add_reward_head(act_on_rewards=True)
    return policy


def _matching(seed: int) -> nn.Module:
    config: Any = dataclasses.replace(RECIPES["matching"].algorithm, full_context=True)  # type: ignore[type-var]
    return Matching(config, make_embedding(PICTURES, WAYS, NARROW, seed)).head


def _meta_lstm(seed: int) -> nn.Module:
    config: Any = RECIPES["meta-lstm"].algorithm
    return MetaLstm(config, make_network(FLAT, WAYS, WIDE, seed)).rule


MAKERS: dict[str, Callable[[int], nn.Module]] = {
    "policy": lambda seed: make_policy(FLAT, FLAT, WIDE, seed),
    "recurrent policy": _recurrent,
    "numbers": lambda seed: make_network(FLAT, WAYS, WIDE, seed),
    "items": lambda seed: make_network(ITEMS, SCALE, WIDE, seed),
    "embedding": lambda seed: make_embedding(PICTURES, WAYS, WIDE, seed),
    "context of matching networks": _matching,
    "rule of the LSTM": _meta_lstm,
}


def numbers(module: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


@pytest.mark.parametrize("kind", MAKERS)
def test_threads_make_what_their_seeds_say(kind: str) -> None:
    make = MAKERS[kind]
    alone = [numbers(make(seed)) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: numbers(make(i % 4)), range(160)))
    assert sum(not torch.equal(one, alone[i % 4]) for i, one in enumerate(together)) == 0


@pytest.mark.parametrize("kind", MAKERS)
def test_the_global_generator_is_left_untouched(kind: str) -> None:
    before = torch.random.get_rng_state()
    MAKERS[kind](0)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("kind", "total"),
    [("policy", -12.23295432465602), ("numbers", -15.731231339308579), ("items", 5.325347886817326),
     ("embedding", 68.57385837297397), ("rule of the LSTM", 19.742785937605277)],
)  # fmt: skip
def test_seeds_give_what_they_gave_before(kind: str, total: float) -> None:
    """Sums of all numbers of seed 3, as they were when every maker seeded the generator for itself."""
    assert float(numbers(MAKERS[kind](3)).double().sum()) == pytest.approx(total, abs=1e-6)
