"""Sampling in worker processes of this machine.

Parameters and shards lie in shared memory; a pipe to each worker carries one message down and one up per iteration.

Workers come from a fork server: a clean process without threads, which has imported torch already, so that a
replacement is there within a fraction of a second. They die with the learner and take no notice of Ctrl-C.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Sequence
from multiprocessing import connection
from typing import Any

import torch

from envs import TaskDistribution
from meta_rl.algorithms.base import MetaLearner
from meta_rl.core.weights import Weights
from meta_rl.sources import fork_server, worker
from meta_rl.sources.base import Plan
from meta_rl.sources.shared_memory import Segment
from meta_rl.sources.supervisor import GLANCE, TRIES, Handle, Supervised, pack, shard_shares
from meta_rl.sources.worker import Done, Failed, Sight


class Processes(Supervised["_Process"]):
    """Samples shards in processes; see `meta_rl.sources.base.Source`.

    Args:
        distribution: of training tasks; it and `learner` are pickled.
        learner: gives the policy and adapts it between the stages.
        plan: see `meta_rl.sources.base.Plan`.
        workers: processes, at most one per shard.
        cores: of each worker; 0: all cores are shared out.
        timeout: see `meta_rl.sources.supervisor.Supervised`.
        tries: the same.
    Raises:
        ConfigError: the task distribution or the learner cannot be sent to another process, or none can be started.
    """

    def __init__(
        self,
        distribution: TaskDistribution,
        learner: MetaLearner,
        plan: Plan,
        workers: int,
        cores: int = 0,
        timeout: float = 120.0,
        tries: int = TRIES,
    ) -> None:
        fork_server.require_processes("--workers", 0)
        worker.preload(type(distribution).__module__, type(learner).__module__)
        threads = 1 if plan.shards > 1 else torch.get_num_threads()
        payload = pack(distribution, learner, plan)
        self._down = Segment()
        handles = [
            _Process(self._down, payload, mine, own_cores, threads)
            for mine, own_cores in zip(shard_shares(plan, workers), worker.core_shares(workers, cores), strict=True)
        ]
        super().__init__(distribution, plan, handles, timeout, tries)

    def publish(self, weights: Weights) -> Any:
        """See `Supervised.publish`."""
        return self._down.write(weights)

    def wait(self, waiting: Sequence[_Process], seconds: float) -> None:
        """See `Supervised.wait`."""
        if handles := [handle for each in waiting for handle in each.handles]:
            connection.wait(handles, seconds)

    def close(self) -> None:
        """End all workers and free the memory."""
        super().close()
        self._down.close()


class _Process(Handle):
    """A worker process."""

    def __init__(self, down: Segment, payload: bytes, mine: range, cores: list[int], threads: int) -> None:
        super().__init__()
        self._up, self._box = Segment(), Segment()
        self._black_box = worker.BlackBox(self._box)
        self._arguments = (down, self._up, self._box, payload, mine, cores, threads)
        self._trouble = ""
        self._pipe: connection.Connection | None = None
        self.process: Any = None

    @property
    def running(self) -> bool:
        """See `Handle.running`."""
        return self.process is not None

    def pid(self) -> int:
        """See `Handle.pid`."""
        return int(self.process.pid)

    def start(self) -> None:
        """See `Handle.start`."""
        pipe, theirs = multiprocessing.Pipe()
        process = fork_server.make(worker.run_worker, (theirs, *self._arguments))
        try:
            with worker.ignoring_interrupts():
                process.start()
            self.process, self._pipe = process, pipe
        except (OSError, EOFError) as error:  # somebody has killed the fork server; the next start starts another one
            self._trouble = f"cannot start a process: {error}"
            pipe.close()
        theirs.close()

    def send(self) -> None:
        """See `Handle.send`."""
        self._black_box.begin(-1)  # it is idle: nobody else is writing there
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                self._pipe.send(self.request)

    @property
    def handles(self) -> list[Any]:
        """One of them is ready when there is an answer."""
        return [] if self.process is None else [self._pipe, self.process.sentinel]

    def answer(self) -> Done | Failed | str | None:
        """See `Handle.answer`."""
        if self._pipe is None:
            return self._trouble
        try:
            if self._pipe.poll():
                message: Done | Failed = self._pipe.recv()
                return message._replace(shards=self._up.read(message.shards)) if isinstance(message, Done) else message
        except (OSError, EOFError):
            self.process.join(GLANCE)
        if self.process.is_alive():
            return None
        fork_server.check_exit(self.process.exitcode, "--workers", 0)
        return worker.exit_in_words(self.process.exitcode)

    def sight(self) -> Sight:
        """See `Handle.sight`."""
        return self._black_box.read()

    def kill(self) -> None:
        """See `Handle.kill`."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process.close()
            self.process = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def close(self) -> None:
        """See `Handle.close`."""
        self.kill()
        self._up.close()
        self._box.close()
