"""Threads: how many an engine may use, what all threads of a process share, and calls that must not overlap."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from envs.whole import whole

_S = TypeVar("_S")
_P = ParamSpec("_P")
_R = TypeVar("_R")

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
        ValueError: `wanted` is below 1, or no whole number.
    """
    if wanted is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(cores, _limit or cores)
    return whole("num_threads", wanted)


def limit_threads(number: int | None) -> None:
    """Engines that this process makes from now on use at most `number` threads, unless they are given a number; None:
    no limit.

    Raises:
        ValueError: `number` is below 1.
    """
    global _limit
    _limit = None if number is None else count_threads(number)


def one_thread_at_a_time(verb: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], _R]:
    """`verb`, a method, refused while another thread is in one of these verbs of the same object: simulators are left
    by a call that breaks into another one in a state that neither meant."""

    @functools.wraps(verb)
    def alone(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        me = threading.get_ident()
        inside = self.__dict__.get("_caller") == me  # one of these verbs called this one
        # One step of the interpreter, so that of two threads only one succeeds.
        if self.__dict__.setdefault("_caller", me) != me:
            raise overlapping(verb.__name__)
        try:
            return verb(self, *args, **kwargs)
        finally:
            if not inside:
                self.__dict__.pop("_caller", None)

    return alone


def overlapping(verb: str) -> RuntimeError:
    """What is said to the thread that comes second."""
    return RuntimeError(
        f"{verb} was called while another thread was inside a call of the same environments; calls must not overlap: "
        "make environments for each thread, or hold a lock"
    )
