"""The same function for every task: all at once under `vmap`, a few at once, or one after another.

Neither is always faster. On a GPU a loop waits for kernels to start. On a CPU `vmap` saves a lot where tasks share
their weights, but after a first step each task has its own, so convolutions become grouped ones, which CPUs do slowly;
and large activations of many tasks do not fit its cache, those of two may. All back ends stand behind one function, and
`fastest` picks by measurement.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from meta_rl.core.groups import PAIR
from meta_rl.core.types import map_tensors

BACKENDS = ("vmap", "groups", "loop")
"""All tasks at once, `meta_rl.core.groups.PAIR` at once, or one after another."""


def over_tasks(
    backend: str,
    function: Callable[..., Any],
    *arguments: Any,
    in_dims: tuple[int | None, ...] | None = None,
    chunk_size: int | None = None,
) -> Any:
    """``torch.vmap(function, in_dims)(*arguments)`` by one of the `BACKENDS`.

    Args:
        arguments: trees of tensors; those with 0 in `in_dims` (default: all) have a leading task axis.
        chunk_size: the most tasks at once.
    Returns:
        What `function` returns, a tree of tensors, with a leading task axis.
    """
    dims = in_dims or (0,) * len(arguments)
    if backend == "groups":
        chunk_size = min(PAIR, chunk_size or PAIR)
    if backend != "loop":
        return torch.vmap(function, in_dims=dims, chunk_size=chunk_size)(*arguments)
    mapped = [a for a, dim in zip(arguments, dims, strict=True) if dim is not None]
    tasks = next(len(x) for x in pytree.tree_leaves(mapped) if isinstance(x, Tensor))
    results = [
        function(*(a if dim is None else _row(a, task) for a, dim in zip(arguments, dims, strict=True)))
        for task in range(tasks)
    ]
    return pytree.tree_map(lambda *parts: torch.stack(parts), *results)


def _row(tree: Any, task: int) -> Any:
    return map_tensors(lambda x: x[task], tree)


def fastest(candidates: Mapping[str, Callable[[], object]], repeats: int = 3) -> str:
    """Name of the candidate with the shortest best time; each runs once unmeasured and `repeats` times in turn."""
    for run in candidates.values():
        run()
    best = dict.fromkeys(candidates, float("inf"))
    for _ in range(repeats):
        for name, run in candidates.items():
            _wait()
            started = time.perf_counter()
            run()
            _wait()
            best[name] = min(best[name], time.perf_counter() - started)
    return min(best, key=lambda name: best[name])


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
