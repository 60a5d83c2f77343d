"""Both back ends compute the same; the faster one is found."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch
from torch import Tensor

from meta_rl.core.task_map import BACKENDS, fastest, over_tasks


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


def test_back_ends_agree_on_trees_and_shared_arguments() -> None:
    pair = Pair(torch.arange(6.0).reshape(3, 2), torch.ones(3))
    shared = {"weight": torch.tensor([1.0, 2.0])}

    def function(shared: dict[str, Tensor], pair: Pair) -> dict[str, Tensor]:
        return {"dot": pair.first @ shared["weight"] + pair.second, "twice": 2 * pair.first}

    results = [over_tasks(backend, function, shared, pair, in_dims=(None, 0)) for backend in BACKENDS]
    assert results[0]["dot"].tolist() == results[1]["dot"].tolist() == [3.0, 9.0, 15.0]
    assert torch.equal(results[0]["twice"], results[1]["twice"])


def test_an_empty_tuple_is_a_tree() -> None:
    for backend in BACKENDS:
        assert over_tasks(backend, lambda support, x: 2 * x, (), torch.ones(3)).tolist() == [2.0] * 3


def test_fastest() -> None:
    calls = {"slow": 0, "quick": 0}

    def slow() -> None:
        calls["slow"] += 1
        time.sleep(0.005)

    def quick() -> None:
        calls["quick"] += 1

    assert fastest({"slow": slow, "quick": quick}, repeats=2) == "quick"
    assert calls == {"slow": 3, "quick": 3}
