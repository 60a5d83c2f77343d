"""Both back ends compute the same; the faster one is found."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

import pytest
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


@pytest.mark.parametrize("chunk_size", [None, 1, 2, 3, 7])
@pytest.mark.parametrize("backend", BACKENDS)
def test_chunks_cover_all_tasks_in_order_and_are_differentiable(backend: str, chunk_size: int | None) -> None:
    weight, x = torch.tensor(2.0, requires_grad=True), torch.arange(10.0).reshape(5, 2)
    sizes = []

    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        sizes.append(
            1 if not torch._C._functorch.is_batchedtensor(x) else torch._C._functorch.get_unwrapped(x).shape[0]
        )
        return x.sum() * weight**2, x

    total, same = over_tasks(backend, function, x, chunk_size=chunk_size)
    assert total.tolist() == [4, 20, 36, 52, 68]
    assert torch.equal(same, x)
    assert torch.autograd.grad(total.sum(), weight)[0] == 2 * 2 * 45
    limit = min({"vmap": 5, "groups": 2, "loop": 1}[backend], chunk_size or 5)
    assert (max(sizes), sum(sizes)) == (limit, 5)


def test_only_what_is_not_recorded_runs_side_by_side() -> None:
    """A graph of several threads is summed in an order of chance."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for gradient, grad in [(False, True), (True, True), (True, False)]:
            threads = []
            weight = torch.ones((), requires_grad=gradient)

            def function(weight: Tensor, x: Tensor, threads: list[int] = threads) -> Tensor:
                threads.append(threading.get_ident())
                return weight * x

            with torch.set_grad_enabled(grad):
                over_tasks("loop", function, weight, torch.ones(4), in_dims=(None, 0))
            assert (threading.get_ident() in threads) == (gradient and grad)
            assert len(threads) == 4
    finally:
        torch.set_num_threads(before)


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
