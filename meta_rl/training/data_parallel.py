"""One meta-update shared by several processes, each with its part of the tasks and, on CUDA, a GPU of its own.

    down   the state and each process's tasks, through shared memory
    among  means of losses, gradients and curvature products (`torch.distributed`; `meta_rl.core.parallel`)

All of them end with the same state; that of the learner's own process, which has the first part, is the result.
Everything else (sampling, logs, checkpoints, signals) stays with the learner. The others keep nothing from one update
to the next, and die with the learner.
"""

from __future__ import annotations

import multiprocessing
import operator
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from multiprocessing import connection
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import torch
from torch import distributed as dist

from meta_rl.algorithms.base import MetaLearner
from meta_rl.algorithms.supervised import FewShotLearner
from meta_rl.core.state import GROUPS, TrainState
from meta_rl.core.types import MetaBatch, Metrics, map_tensors, to_device
from meta_rl.errors import RunError
from meta_rl.sources import fork_server
from meta_rl.sources.shared_memory import Segment
from meta_rl.sources.worker import die_with_the_learner, exit_in_words, ignoring_interrupts, preload

PATIENCE = timedelta(minutes=10)
"""Time after which an exchange that nobody answers is an error."""
Learner = MetaLearner | FewShotLearner


class GroupSettings(NamedTuple):
    """Settings by which a process joins the others.

    Args:
        store: a file that all can write, for their first meeting.
        size: processes in all.
        device: ``cpu`` or ``cuda``.
    """

    store: str
    size: int
    device: str

    def join(self, rank: int) -> torch.device:
        """Join as process number `rank`; returns its device."""
        backend = "nccl" if self.device == "cuda" else "gloo"
        device = torch.device("cuda", rank) if self.device == "cuda" else torch.device("cpu")
        store: Any = torch.distributed.FileStore(self.store, self.size)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=rank, world_size=self.size, timeout=PATIENCE)
        return device


class Shared:
    """A learner whose meta-update is shared; the rest of it is the learner's business.

    Args:
        learner: that of the run; it is pickled.
        size: processes in all; divides the number of tasks.
        device: of the learner.
    Raises:
        ConfigError: the running script does not let processes start.
        RunError: one did not start.
    """

    def __init__(self, learner: Learner, size: int, device: torch.device) -> None:
        self._learner, self._size = learner, size
        self._folder = tempfile.TemporaryDirectory(prefix="meta-rl-")
        group = GroupSettings(str(Path(self._folder.name) / "store"), size, device.type)
        self._threads = torch.get_num_threads()
        threads = max(1, self._threads // size)
        preload(__name__, type(learner).__module__)
        payload = cloudpickle.dumps(learner)
        self._helpers: list[tuple[Any, connection.Connection, Segment]] = []
        try:
            for rank in range(1, size):
                ours, theirs = multiprocessing.Pipe()
                memory = Segment()
                process = fork_server.make(_help, (theirs, memory, group, rank, threads, payload))
                with ignoring_interrupts():
                    process.start()
                theirs.close()
                self._helpers.append((process, ours, memory))
            for rank, (process, pipe, _) in enumerate(self._helpers, 1):
                _await_start(rank, process, pipe)
        except BaseException:
            self._end_helpers()
            raise
        torch.set_num_threads(threads)
        group.join(0)

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """See `MetaLearner.meta_update`.

        Raises:
            RunError: one of the other processes is lost.
        """
        parts = split(batch, self._size)
        try:
            for (_, pipe, memory), part in zip(self._helpers, parts[1:], strict=True):
                places = memory.write(map_tensors(_on_cpu, (_groups(state), part)))
                pipe.send((state.iteration, state.env_steps, places))
            metrics = self._learner.meta_update(state, parts[0])
            for _, pipe, _ in self._helpers:
                pipe.recv()
        except (RuntimeError, OSError, EOFError) as error:
            for process, _, _ in self._helpers:
                process.join(1)  # how it ended is known only some time after
            lost = [rank for rank, (process, _, _) in enumerate(self._helpers, 1) if process.exitcode is not None]
            if not lost:
                raise
            raise RunError(f"process {lost[0]} of those that share the meta-update is lost ({error})") from error
        return metrics

    @property
    def pids(self) -> list[int]:
        """The other processes."""
        return [process.pid for process, _, _ in self._helpers]

    def close(self) -> None:
        """End the other processes."""
        self._end_helpers()
        dist.destroy_process_group()
        torch.set_num_threads(self._threads)

    def _end_helpers(self) -> None:
        for process, pipe, memory in self._helpers:
            process.kill()
            process.join()
            pipe.close()
            memory.close()
        self._folder.cleanup()


def _await_start(rank: int, process: Any, pipe: connection.Connection) -> None:
    """Wait until a process has started.

    Raises:
        ConfigError: the running script does not let it.
        RunError: it has ended instead.
    """
    with suppress(EOFError):
        pipe.recv()
        return
    process.join()
    fork_server.check_exit(process.exitcode, "--learners", 1)
    how = exit_in_words(process.exitcode)
    raise RunError(f"process {rank} of those that share the meta-update did not start: {how}")


@contextmanager
def shared(learner: Learner, size: int, device: torch.device) -> Iterator[Learner | Shared]:
    """The learner, its meta-updates shared by `size` processes."""
    if size == 1:
        yield learner
        return
    made = Shared(learner, size, device)
    try:
        yield made
    finally:
        made.close()


def split(batch: MetaBatch, size: int) -> list[MetaBatch]:
    """Neighbouring tasks in `size` equal parts."""
    tasks = len(torch.utils._pytree.tree_leaves(batch)[0]) // size
    parts = [slice(i * tasks, (i + 1) * tasks) for i in range(size)]
    return [map_tensors(operator.itemgetter(part), batch) for part in parts]


def _on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu()


def _groups(state: TrainState) -> tuple[Any, ...]:
    return tuple(getattr(state, name) for name in GROUPS)


def _help(
    pipe: connection.Connection, memory: Segment, group: GroupSettings, rank: int, threads: int, payload: bytes
) -> None:
    """The life of one of the other processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_the_learner()
    pipe.send(rank)  # it has started
    torch.set_num_threads(threads)
    device = group.join(rank)
    learner: Learner = cloudpickle.loads(payload)
    while True:
        try:
            iteration, env_steps, places = pipe.recv()
        except EOFError:  # the learner is gone
            return
        groups, part = to_device(memory.read(places), device)
        learner.meta_update(TrainState(iteration, env_steps, **dict(zip(GROUPS, groups, strict=True))), part)
        pipe.send(iteration)
