"""Finitely many tasks of one's own, as lists of training and of test tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.api import Task

TaskLists = Mapping[str, Sequence[Sequence[float] | NDArray[Any]]]
"""Split -> the vectors of its tasks, all of one length."""


def list_tasks(name: str, lists: TaskLists, split: str) -> list[Task]:
    """The tasks of a split, in the order of their list.

    Raises:
        ValueError: there is no such split, or a list is empty; a vector holds something else than finite numbers or has
            another length than the others; a task stands in a list twice or in two of them. In one line.
    """
    if not isinstance(lists, Mapping):
        raise ValueError(f'{name}: tasks: must be {{"train": [...], "test": [...]}}, got {type(lists).__name__}')
    seen: dict[Task, str] = {}
    length = -1
    for each, vectors in lists.items():
        for row, vector in enumerate(vectors):
            place = f"{each}[{row}]"
            task = _task(name, place, vector)
            length = len(task.vector) if length < 0 else length
            if len(task.vector) != length:
                raise ValueError(f"{name}: tasks: {place} has {len(task.vector)} numbers, the first task {length}")
            if task in seen:
                raise ValueError(f"{name}: tasks: {place} is {seen[task]} again, {list(task.vector)}; each must be one")
            seen[task] = place
    found = [task for task, place in seen.items() if place.startswith(f"{split}[")]
    if not found:
        raise ValueError(f"{name}: tasks: none for the split {split!r}; given: {', '.join(lists) or 'nothing'}")
    return found


def digest(tasks: Sequence[Task]) -> str:
    """The sha256 of a list of tasks, which tells it from others."""
    return hashlib.sha256("\n".join(task.to_json() for task in tasks).encode()).hexdigest()


def _task(name: str, place: str, vector: Any) -> Task:
    try:
        numbers = np.asarray(vector)
    except ValueError:  # numpy says so of ragged lists
        numbers = np.zeros(0, str)
    if numbers.ndim != 1 or numbers.dtype.kind not in "fiub" or not np.isfinite(numbers).all():
        raise ValueError(f"{name}: tasks: {place} must be a list of finite numbers, got {vector!r}")
    return Task(name, tuple(numbers.tolist()))
