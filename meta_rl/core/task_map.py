"""The same function for every task: all at once under `vmap`, a few at once, or one after another.

Neither is always faster. On a GPU a loop waits for kernels to start. On a CPU `vmap` saves a lot where tasks share
their weights, but after a first step each task has its own, so convolutions become grouped ones, which CPUs do slowly;
and large activations of many tasks do not fit its cache, those of two may. All back ends stand behind one function, and
`fastest` picks by measurement. On a CPU, what is not computed at once is computed side by side on the cores there are,
unless autograd records it: then its parts belong into losses of their own (`meta_rl.maths.gradient_step.group_losses`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from meta_rl.core.groups import PAIR
from meta_rl.core.threads import part_map
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
    leaves = [x for x in pytree.tree_leaves(arguments) if isinstance(x, Tensor)]
    mapped = [a for a, dim in zip(arguments, dims, strict=True) if dim is not None]
    first = next(x for x in pytree.tree_leaves(mapped) if isinstance(x, Tensor))
    size = min({"vmap": len(first), "groups": PAIR, "loop": 1}[backend], chunk_size or len(first))

    def part(start: int) -> Any:
        def of(index: int | slice) -> list[Any]:
            pairs = zip(arguments, dims, strict=True)
            return [a if dim is None else map_tensors(lambda x: x[index], a) for a, dim in pairs]

        if min(size, len(first) - start) > 1:
            return torch.vmap(function, in_dims=dims)(*of(slice(start, start + size)))
        return map_tensors(lambda x: x.unsqueeze(0), function(*of(start)))  # vmap of one task costs, and gains nothing

    starts = range(0, len(first), size)
    # Autograd sums in the order in which a thread recorded; of several threads that would be a matter of chance.
    recorded = torch.is_grad_enabled() and any(x.requires_grad for x in leaves)
    parts = [part(start) for start in starts] if recorded else part_map(part, starts, first.device)
    return parts[0] if len(parts) == 1 else pytree.tree_map(lambda *tensors: torch.cat(tensors), *parts)


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
