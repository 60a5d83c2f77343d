"""Threads: how many an engine may use, and what all threads of a process share."""

from __future__ import annotations

import os
import threading

SHARED = threading.RLock()
"""Held while a simulator that the threads of this process share is made, changed or read: Meta-World's own env objects,
which give start states and scenes, the models of scenes, and numpy's global generator, which Meta-World draws goals
from. MuJoCo lets other threads run meanwhile. Environments are each one thread's own at a time and need no lock."""

if hasattr(os, "register_at_fork"):  # a child has no thread that would finish what another one had begun
    os.register_at_fork(before=SHARED.acquire, after_in_parent=SHARED.release, after_in_child=SHARED.release)

_limit: int | None = None


def count_threads(wanted: int | None) -> int:
    """`wanted`, or one per core that this process may run on, up to the limit.

    Raises:
        ValueError: `wanted` is below 1.
    """
    if wanted is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(cores, _limit or cores)
    if wanted < 1:
        raise ValueError(f"num_threads must be at least 1, got {wanted}")
    return wanted


def limit_threads(number: int | None) -> None:
    """Engines that this process makes from now on use at most `number` threads, unless they are given a number; None:
    no limit.

    Raises:
        ValueError: `number` is below 1.
    """
    global _limit
    _limit = None if number is None else count_threads(number)
