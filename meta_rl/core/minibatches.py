"""Minibatches of the data that all processes that share an update hold together.

Every process draws the same order and takes its own part of each minibatch, so sharing the update does not change what
a minibatch holds.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl.core import parallel
from meta_rl.core.types import Batch, MetaBatch, select_rows


def shuffled_parts(total: int, count: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """The numbers below `total` in a new order, cut into `count` parts as large as each other to within one (or one
    number each, if there are fewer)."""
    return np.array_split(rng.permutation(total), min(count, total))


def between_tasks(batch: MetaBatch, count: int, rng: np.random.Generator) -> Iterator[tuple[MetaBatch, float]]:
    """The tasks of all processes that share the update in a new order, cut into `count` minibatches (or one per task).

    Yields:
        This process's own tasks of each minibatch, maybe none, and their weight. The mean over processes of the
        weighted means is the mean over the minibatch.
    """
    tasks = len(batch.query.weight)
    everyone, first = tasks * parallel.size(), tasks * parallel.rank()
    for part in shuffled_parts(everyone, count, rng):
        index = torch.from_numpy(part[(part >= first) & (part < first + tasks)] - first)  # [picked], maybe [0]
        mine = select_rows(batch, index.to(batch.query.weight.device))  # [picked, env, time, ...]
        yield mine, len(index) * parallel.size() / len(part)


def between_steps(batch: MetaBatch, count: int, rng: np.random.Generator) -> Iterator[tuple[MetaBatch, float]]:
    """The query's valid steps of each task in a new order, cut into `count` minibatches (or one per step). Every
    minibatch has steps of all tasks.

    Yields:
        A minibatch ``[task, 1, step, ...]`` and its weight, 1, as all processes have equally many tasks.
    """
    query = Batch(*(x.flatten(1, 2) for x in batch.query))  # [task, env * time, ...]
    tasks, steps = query.weight.shape
    everyone, first = tasks * parallel.size(), tasks * parallel.rank()
    # Every process draws for all tasks and takes its own rows, so sharing the update does not change the order.
    key = torch.from_numpy(rng.random((everyone, steps))[first : first + tasks]).to(query.weight.device)
    # Keys of valid steps are below 1 and those of padding are not. So padding comes last, and every minibatch has the
    # same number of valid steps, to within one.
    order = (key + (query.weight == 0)).argsort(1)  # [task, step]
    for i in range(min(count, steps)):
        index = order[:, i::count]  # [task, picked]
        # The index gets an axis of 1 for each that x has beyond [task, step]; the result is [task, picked, ...].
        picked = (x.take_along_dim(index.reshape(*index.shape, *[1] * (x.dim() - 2)), 1) for x in query)
        yield MetaBatch((), Batch(*(x.unsqueeze(1) for x in picked))), 1.0  # [task, 1, picked, ...]


def used_places(used: Tensor, most: int) -> Tensor:
    """Places of the parts of sequences that hold something, in all processes that share the update.

    Args:
        used: ``[sequence, part]``, whether a part of this process holds something; as many sequences in every process.
        most: parts that a sequence can have, the same number in every process; in this one there may be fewer.
    Returns:
        ``[place, 3]`` on the CPU: process, sequence and part of each.
    """
    everyone = torch.zeros(parallel.size(), len(used), most, device=used.device)  # [process, sequence, part]
    everyone[parallel.rank(), :, : used.shape[1]] = used.to(everyone.dtype)
    return parallel.sum_of(everyone).cpu().nonzero()


def between_places(places: Tensor, count: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """The places of `used_places` in a new order, cut into `count` minibatches (or one per place).

    Yields:
        This process's own places of each minibatch ``[picked, 2]``, maybe none: sequence and part.
    """
    for part in shuffled_parts(len(places), count, rng):
        picked = places[torch.from_numpy(part)]  # [picked, 3]
        yield picked[picked[:, 0] == parallel.rank(), 1:]  # [mine, 2]
