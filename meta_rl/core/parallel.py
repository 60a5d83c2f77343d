"""Means and sums over the processes that share a meta-update, each with as many tasks.

Whatever an update decides by (losses, gradients, curvature products) passes through here, so all of them take the same
path and end with the same parameters. In a process that shares nothing these functions give back what they get.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch import distributed as dist


def mean(tensor: Tensor) -> Tensor:
    """The mean of what every process has; without a graph."""
    return means([tensor])[0]


def means(tensors: Sequence[Tensor]) -> list[Tensor]:
    """`mean` of each, in one exchange."""
    return [total / size() for total in sums(tensors)] if _shared() else list(tensors)


def sum_of(tensor: Tensor) -> Tensor:
    """The sum of what all processes have; without a graph."""
    return sums([tensor])[0]


def sums(tensors: Sequence[Tensor]) -> list[Tensor]:
    """`sum_of` each, in one exchange."""
    if not _shared():
        return list(tensors)
    flat = torch.cat([t.detach().reshape(-1) for t in tensors])
    dist.all_reduce(flat)
    pieces = torch.split(flat, [t.numel() for t in tensors])
    # Own memory for each tensor, as where nothing is shared: see `types.from_numpy` for why that matters. Its own dtype
    # too: together they take the widest of all.
    return [piece.view_as(t).to(t.dtype, copy=True) for piece, t in zip(pieces, tensors, strict=True)]


def mean_of_all(value: Tensor, weight: Tensor) -> Tensor:
    """Mean of `value` over the positions with `weight` (same shape) 1 of all processes, a scalar; without a graph where
    several share the update."""
    total, count = sums([(value * weight).sum(), weight.sum()])
    return total / count


def size() -> int:
    """Number of processes that share the update; 1 if none is shared."""
    return dist.get_world_size() if _shared() else 1


def rank() -> int:
    """Number of this process among them, from 0."""
    return dist.get_rank() if _shared() else 0


def mean_number(number: float) -> float:
    """`mean` of a number."""
    return float(mean(torch.tensor(number, dtype=torch.float64, device=_device())))


def _device() -> str:
    """Device that tensors must be on to be exchanged."""
    return "cuda" if _shared() and dist.get_backend() == "nccl" else "cpu"


def _shared() -> bool:
    return dist.is_available() and dist.is_initialized()
