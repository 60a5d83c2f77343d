"""Numbers that describe tasks, for learners that infer them while training (privileged: no agent ever reads them)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from meta_rl.core import parallel
from meta_rl.core.moments import Moments

WIDTH = 16
"""How many numbers describe a task: the first ones of its vector, then zeros."""


def of_vectors(vectors: Sequence[Sequence[float]]) -> Tensor:
    """``[task, WIDTH]`` from the vectors of tasks."""
    rows = [[*vector[:WIDTH], *[0.0] * (WIDTH - len(vector))] for vector in vectors]
    return torch.tensor(rows, dtype=torch.float64)


def with_batch(moments: Moments, numbers: Tensor) -> Moments:
    """`moments` with those of `numbers` ``[task, WIDTH]``, of all processes that share the update."""
    count = torch.full((), float(len(numbers)), dtype=torch.float64, device=numbers.device)
    seen, total = parallel.sums([count, numbers.sum(0)])
    mean = total / seen
    return moments.merge(Moments(seen, mean, parallel.sum_of((numbers - mean).square().sum(0))))


def standardised(moments: Moments, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """`numbers` in standard deviations from the mean ``[task, WIDTH]``, and which of them differ between tasks
    ``[WIDTH]`` (1 or 0); those that do not are 0."""
    std = (moments.square / moments.seen.clamp(min=1)).sqrt()
    differ = (std > 1e-6 * moments.mean.abs().clamp(min=1)).to(numbers.dtype)
    return (numbers - moments.mean) / std.clamp(min=1e-9) * differ, differ
