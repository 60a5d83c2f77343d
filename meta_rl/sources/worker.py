"""The life of a worker process: it samples shards, one request after another.

A worker has no state that a result depends on, so a lost one is replaced by a new one. It is told the iteration and
finds the parameters in shared memory; it leaves its shards in shared memory and tells where. Before every env step it
notes in its `BlackBox` what it is about to do, which the learner reads to see that it is alive and, when it is not,
what killed it.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection, forkserver, parent_process
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray

from envs import NonFiniteError
from meta_rl.sources.base import Sampler
from meta_rl.sources.shared_memory import Place, Segment


class Done(NamedTuple):
    """All shards of a request."""

    shards: list[Any]
    """`Shard`s with places for arrays."""
    busy: float
    """Seconds it took."""


class Sight(NamedTuple):
    """The last note in a black box: shard, stage and step; -1 means before the first."""

    beat: int
    """Counter that grows with every note."""
    shard: int
    stage: int
    time: int
    action: list[float]
    """Action of that step, in the first environment of the shard's first task."""


class Failed(NamedTuple):
    """The request, or the start of the worker, raised."""

    error: str
    """One line."""
    traceback: str
    non_finite: bool
    """A NaN or an infinity, which the same request gives again."""
    sight: Sight
    """Progress at the time of the failure."""

    @classmethod
    def of(cls, error: BaseException, sight: Sight) -> Failed:
        """The failure for `error`; called while it is handled. A new worker is needed, as environments may be in any
        state."""
        line = f"{type(error).__name__}: {error}".splitlines()[0]
        return cls(line, traceback.format_exc(), isinstance(error, NonFiniteError), sight)


class BlackBox:
    """Notes in shared memory that survive their writer."""

    ACTION = 64
    """Most numbers of an action that are noted."""

    def __init__(self, segment: Segment) -> None:
        segment.reserve(4096)
        self._numbers = segment.view(Place(0, (5,), "<i8", False))
        self._action = segment.view(Place(64, (self.ACTION,), "<f8", False))

    def begin(self, shard: int) -> None:
        """Note the beginning of a shard; -1: of a start."""
        self._numbers[1:] = shard, -1, -1, 0
        self._numbers[0] += 1

    def note_step(self, stage: int, time: int, action: NDArray[Any]) -> None:
        """Note a step; see `meta_rl.sources.collect.BeforeStep`."""
        first = action[0, 0].ravel()[: self.ACTION]
        self._action[: len(first)] = first
        self._numbers[2:] = stage, time, len(first)
        self._numbers[0] += 1

    def read(self) -> Sight:
        """The last note."""
        beat, shard, stage, step, size = (int(x) for x in self._numbers)
        return Sight(beat, shard, stage, step, self._action[:size].tolist())


def run_worker(
    pipe: connection.Connection, down: Segment, up: Segment, box: Segment, payload: bytes, shards: Sequence[int],
    cores: Sequence[int], threads: int,
) -> None:  # fmt: skip
    """The life of a worker.

    Args:
        pipe: brings ``(iteration, weights)``, weights with places in `down`; takes a `Done` or a `Failed` for each.
        down, up, box: shared memory: parameters, results, and the black box.
        payload: pickled arguments of `Sampler`.
        shards: the numbers of the shards to sample at every request.
        cores: cores to keep to; native environments take one thread for each.
        threads: torch's.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of a terminal's processes; the learner decides
    die_with_the_learner()
    black_box = BlackBox(box)
    try:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)
        sampler = Sampler(*pickle.loads(payload))
        while True:
            iteration, weights = pipe.recv()
            started = time.perf_counter()
            results = []
            for shard in shards:
                black_box.begin(shard)
                results.append(sampler.sample(down.read(weights), iteration, shard, black_box.note_step))
            pipe.send(Done(up.write(results), time.perf_counter() - started))
    except EOFError:  # the learner is gone
        return
    except BaseException as error:
        pipe.send(Failed.of(error, black_box.read()))


def preload(*modules: str) -> None:
    """Let the fork server import what takes long, for all processes that it will start. Has an effect before its first
    use only. torch.vmap imports torch._dynamo when it is first used."""
    forkserver.set_forkserver_preload([__name__, "torch._dynamo", *modules])


@contextmanager
def ignoring_interrupts() -> Iterator[None]:
    """Context in which processes start with SIGINT blocked, from their very first instruction on."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_with_the_learner() -> None:
    """End this process when the learner ends, however that ends, whatever this process is doing."""
    parent = parent_process()
    assert parent is not None

    def wait() -> None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True, name="die-with-the-learner").start()
    if sys.platform == "linux":  # for an environment that never lets that thread run, and for a stopped process
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: when the fork server ends
        # It ends with the last process that could ask it for another one: the learner, if workers give up their right.
        server: Any = forkserver._forkserver  # type: ignore[attr-defined]
        if server._forkserver_alive_fd is not None:
            os.close(server._forkserver_alive_fd)
            server._forkserver_alive_fd = None


def core_shares(workers: int, each: int = 0) -> list[list[int]]:
    """The cores of each worker: `each`, in turn; 0: all, shared out, or one each where there are more workers."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    if each:
        return [[cores[(i * each + j) % len(cores)] for j in range(min(each, len(cores)))] for i in range(workers)]
    return [cores[i::workers] or [cores[i % len(cores)]] for i in range(workers)]


def exit_in_words(code: int | None) -> str:
    """How a process ended, from its exit code."""
    if code is not None and code < 0:
        return f"killed by signal {-code} ({signal.Signals(-code).name})"
    return f"exit code {code}"
