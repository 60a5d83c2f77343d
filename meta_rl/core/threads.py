"""How many threads torch uses for what.

Independent parts of one computation run side by side, each on one thread of its own. A recurrent layer is a long chain
of small products. Torch would split every one of them among its threads, which then wait for each other at every time
step; whole sequences split among the threads wait only once, at the end.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import torch

SMALL = 2e7
"""Floating-point operations below which waking a second thread takes longer than doing without, by measurement."""

T = TypeVar("T")
R = TypeVar("R")


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


def thread_map(function: Callable[[T], R], parts: Iterable[T]) -> list[R]:
    """``[function(part) for part in parts]`` on as many threads as torch has, in each of which torch has one.

    The results do not depend on the number of threads. `function` must not write what another part reads.
    """
    return list(_pool(torch.get_num_threads(), os.getpid()).map(function, parts))


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """One pool per number of threads, and per process: threads do not survive a fork."""
    pool = ThreadPoolExecutor(threads, "meta-rl", torch.set_num_threads, (1,))
    all_started = threading.Barrier(threads)
    list(pool.map(lambda _: all_started.wait(), range(threads)))
    torch.set_num_threads(
        threads
    )  # each thread has its own number, but the last one set is what new threads begin with
    return pool
