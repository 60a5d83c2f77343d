"""How many tasks to compute at once.

All tasks in one batch is the fastest on a GPU. On a CPU, a layer's activations for 100,000 states do not fit the cache,
and every element-wise operation waits for memory; so tasks are taken in groups whose activations fit, side by side on
the cores there are (`meta_rl.core.threads.part_map`), and a graph is freed as soon as its group's gradient is known.
The sum is the same; peak memory is lower too.
"""

from __future__ import annotations

from typing import Any, TypeVar

from torch import Tensor

from meta_rl.core.types import Params, select_rows

_B = TypeVar("_B")

CACHED_BYTES = 2_600_000
"""Activations of one layer that a group may have on a CPU, by measurement (`scripts/benchmark.py learner`)."""


PAIR = 2
"""Tasks per group of the back end ``"groups"`` (`meta_rl.core.task_map`)."""


def tasks_at_once(params: Params, weight: Tensor, backend: str = "vmap") -> int:
    """Tasks per group.

    Args:
        params: of the network (of one task or of all).
        weight: ``[task, ...]``, one number per state.
        backend: of `meta_rl.core.task_map.over_tasks`.
    """
    tasks = len(weight)
    if backend != "vmap":
        return min(PAIR if backend == "groups" else 1, tasks)
    if weight.device.type != "cpu":
        return tasks
    widest = max((p.shape[-2] for p in params.values() if p.dim() >= 2), default=1)
    return max(1, min(tasks, int(CACHED_BYTES // (weight[0].numel() * widest * weight.element_size()))))


def task_groups(params: Params, batch: _B, weight: Tensor, backend: str = "vmap") -> list[tuple[_B, float]]:
    """`batch` (nested tuples of tensors ``[task, ...]``) in groups of tasks as large as `tasks_at_once` says, each
    with its share of the tasks."""
    size, tasks = tasks_at_once(params, weight, backend), len(weight)
    groups: list[tuple[Any, float]] = []
    for first in range(0, tasks, size):
        part = slice(first, min(first + size, tasks))
        groups.append((select_rows(batch, part), (part.stop - part.start) / tasks))
    return groups
