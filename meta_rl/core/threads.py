"""How many threads torch uses for what.

Independent parts of one computation run side by side, each on one thread of its own. A recurrent layer is a long chain
of small products. Torch would split every one of them among its threads, which then wait for each other at every time
step; whole sequences split among the threads wait only once, at the end.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import torch

SMALL = 2e7
"""Floating-point operations below which waking a second thread takes longer than doing without, by measurement."""

_T = TypeVar("_T")
_R = TypeVar("_R")


def threads_for(operations: float) -> AbstractContextManager[None]:
    """Inside, torch uses one thread if the work is small: `operations` is what all of it takes, additions and
    multiplications. Acting is a small piece of work done very often."""
    return one_thread(operations < SMALL)


@contextmanager
def one_thread(wanted: bool) -> Iterator[None]:
    """Inside, torch uses one thread if `wanted`."""
    threads = torch.get_num_threads()
    if threads == 1 or not wanted:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def thread_map(function: Callable[[_T], _R], parts: Iterable[_T]) -> list[_R]:
    """``[function(part) for part in parts]`` on as many threads as torch has, in each of which torch has one.

    The results do not depend on the number of threads. `function` must not write what another part reads. It finds the
    caller's grad mode, which is a thread's own otherwise, and may call `thread_map` itself.
    """
    threads, grad = torch.get_num_threads(), torch.is_grad_enabled()
    if threads == 1:
        return [function(part) for part in parts]

    def in_thread(part: _T) -> _R:
        with torch.set_grad_enabled(grad):
            return function(part)

    return list(_pool(threads, os.getpid()).map(in_thread, parts))


def part_map(function: Callable[[_T], _R], parts: Sequence[_T], device: torch.device) -> list[_R]:
    """``[function(part) for part in parts]``, side by side (`thread_map`) where that helps: if there are several, whose
    tensors lie on a CPU. A single part has all of torch's threads for itself."""
    if len(parts) == 1 or device.type != "cpu":
        return [function(part) for part in parts]
    return thread_map(function, parts)


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """One pool per number of threads, and per process: threads do not survive a fork."""
    pool = ThreadPoolExecutor(threads, "meta-rl", _alone)
    all_started = threading.Barrier(threads)
    list(pool.map(lambda _: all_started.wait(), range(threads)))
    # Each thread has its own number, but the last one set is what new threads begin with.
    torch.set_num_threads(threads)
    return pool


def _alone() -> None:
    """Give the calling thread one of torch's threads. A thread takes the number that was set last when it first asks
    for it, and would forget one that is set before."""
    torch.get_num_threads()
    torch.set_num_threads(1)
