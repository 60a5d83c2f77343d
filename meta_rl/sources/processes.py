"""Sampling in worker processes, which may die, hang or fail without any effect on the result.

    down   parameters into shared memory once, then one message to each worker: the iteration
    up     each worker's shards into its shared memory, then one message: where they lie

Which shards a worker samples is fixed. A worker that dies, raises, or makes no progress for `timeout` seconds is killed
and replaced, and its replacement is asked the same again; the answer is the same, because a shard is a pure function
(see `meta_rl.sources.base`). After `tries` failures of one request the run stops and says what it died of.

Workers come from a fork server: a clean process without threads, which has imported torch already, so that a
replacement is there within a fraction of a second. They die with the learner and take no notice of Ctrl-C.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
import time
import warnings
from collections.abc import Iterator
from multiprocessing import connection, forkserver
from typing import Any

import cloudpickle
import torch

from envs import NonFiniteError, TaskDistribution
from meta_rl.algorithms.base import MetaLearner
from meta_rl.core.types import Params
from meta_rl.errors import ConfigError, RunError
from meta_rl.sources import worker
from meta_rl.sources.base import Plan, join
from meta_rl.sources.collect import Shard, Streams
from meta_rl.sources.shared_memory import Segment

TRIES = 3
"""Failures of one request, or of one start, that stop the run."""
DELAYS = (0.0, 0.5, 2.0)
"""Seconds to wait before the first, second, ... replacement for one request."""
GLANCE = 0.5
"""Seconds between two looks at whether the workers make progress, at most."""


class WorkerWarning(UserWarning):
    """A worker was lost and is replaced."""


class Processes:
    """Samples shards in `workers` processes; see `meta_rl.sources.base.Source`.

    Args:
        distribution: of training tasks; it and `learner` are pickled.
        learner: gives the policy and adapts it between the stages.
        plan: see `meta_rl.sources.base.Plan`.
        workers: processes, at most one per shard.
        timeout: seconds without an env step (or without getting started) after which a worker counts as hung.
        tries: failures of one request that stop the run; 1: never replace a worker.
    Raises:
        ConfigError: the task distribution or the learner cannot be sent to another process.
    """

    def __init__(
        self,
        distribution: TaskDistribution,
        learner: MetaLearner,
        plan: Plan,
        workers: int,
        timeout: float = 120.0,
        tries: int = TRIES,
    ) -> None:
        if not 1 <= workers <= plan.shards:
            raise ValueError(f"workers must be between 1 and the number of shards, {plan.shards}, got {workers}")
        self._distribution, self._plan = distribution, plan
        self._timeout, self._tries = timeout, tries
        self.restarts = 0
        self.busy_seconds = 0.0
        """Time that workers have spent on requests, summed over workers."""
        try:
            payload = cloudpickle.dumps((distribution, learner, plan))  # lambdas and scripts' own classes too
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"--workers: {distribution.name} cannot be sent to other processes ({error}); valid: 0"
            ) from None
        # They share what takes long to import; has an effect on the first use of the fork server only. torch.vmap
        # imports torch._dynamo when it is first used.
        modules = (type(distribution).__module__, type(learner).__module__)
        forkserver.set_forkserver_preload([worker.__name__, "torch._dynamo", *modules])
        threads = 1 if plan.shards > 1 else torch.get_num_threads()
        self._down = Segment()
        self._workers = [
            _Worker(self._down, payload, range(i, plan.shards, workers), cores, threads)
            for i, cores in enumerate(worker.core_shares(workers))
        ]

    def sample(self, params: Params, iteration: int) -> Shard:
        """See `Source.sample`. Whatever it raises, no process is left behind."""
        try:
            places = self._down.write(params)
            for each in self._workers:
                each.failures = 0
                each.request = (iteration, places)
                if each.process is None:
                    each.start()
                each.ask()
            waiting = list(self._workers)
            while waiting:
                waiting = [each for each in waiting if not self._finished(each)]
                self._glance(waiting)
            return join([each.shards[i // len(self._workers)] for i, each in self._by_shard()])
        except BaseException:
            for each in self._workers:
                each.kill()
            raise

    def close(self) -> None:
        """End all workers."""
        for each in self._workers:
            each.close()
        self._down.close()

    @property
    def pids(self) -> list[int]:
        """The worker processes that there are now."""
        return [each.process.pid or 0 for each in self._workers if each.process is not None]

    def _by_shard(self) -> Iterator[tuple[int, _Worker]]:
        for shard in range(self._plan.shards):
            yield shard, self._workers[shard % len(self._workers)]

    def _glance(self, waiting: list[_Worker]) -> None:
        """Wait until one of the workers says something, dies, or may have hung."""
        handles = [handle for each in waiting for handle in each.handles]
        if handles:
            connection.wait(handles, min(GLANCE, self._timeout / 4))

    def _finished(self, each: _Worker) -> bool:
        """Whether the request of this worker is done; replaces it if it is lost."""
        answer = each.answer()
        if isinstance(answer, worker.Done):
            each.shards = each.up.read(answer.shards)
            self.busy_seconds += answer.busy
            return True
        if isinstance(answer, worker.Failed):
            if answer.non_finite:
                raise NonFiniteError(answer.error.removeprefix("NonFiniteError: "))
            self._replace(each, answer.error, answer.traceback)
        elif answer is not None:
            self._replace(each, answer)
        elif each.idle_seconds() > self._timeout:
            self._replace(each, f"no progress for {self._timeout:g} s")
        return False

    def _replace(self, each: _Worker, problem: str, trace: str = "") -> None:
        """Kill a worker and ask another one the same.

        Raises:
            RunError: the request has failed too often.
        """
        each.kill()
        each.failures += 1
        what = f"{self._describe(each)}: {problem}"
        if each.failures >= self._tries:
            times = f"{each.failures} times in a row" if each.failures > 1 else "once"
            raise RunError(f"a worker failed {times}, {what}" + (f"\n{trace.rstrip()}" if trace else ""))
        warnings.warn(f"a worker failed {what}; another one does the same again", WorkerWarning, stacklevel=4)
        time.sleep(DELAYS[min(each.failures, len(DELAYS)) - 1])
        self.restarts += 1
        each.start()
        each.ask()

    def _describe(self, each: _Worker) -> str:
        """Where a worker was when it failed."""
        sight, plan, iteration = each.box.read(), self._plan, each.request[0]
        if sight.shard < 0:
            return f"before it began with iteration {iteration}"
        indices = plan.indices(sight.shard)
        task = plan.tasks(self._distribution, iteration)[indices.start]
        where = (
            f"in iteration {iteration}, shard {sight.shard} (tasks {indices.start} to {indices.stop - 1}, the first of "
            f"them {task.to_json()})"
        )
        if sight.stage < 0:
            return f"{where}, before its first step"
        seed = Streams(plan.seed, iteration).env_seeds(sight.stage, indices[:1])[0]
        return f"{where}, stage {sight.stage}, step {sight.time}, env seed {seed}, after action {sight.action}"


class _Worker:
    """The learner's side of one worker, and of those that replace it."""

    def __init__(self, down: Segment, payload: bytes, shards: range, cores: list[int], threads: int) -> None:
        self.up, self._box = Segment(), Segment()
        self.box = worker.BlackBox(self._box)
        self._arguments = (down, self.up, self._box, payload, shards, cores, threads)
        self.process: Any = None
        self._pipe: connection.Connection | None = None
        self.failures = 0
        self.request: tuple[int, Any] = (0, None)
        self.shards: list[Shard] = []
        self._trouble = ""
        self._beat, self._since = -1, 0.0

    def start(self) -> None:
        """Start a process; if that fails, `answer` tells."""
        context = multiprocessing.get_context("forkserver")
        pipe, theirs = context.Pipe()
        process = context.Process(target=worker.main, args=(theirs, *self._arguments), daemon=True)
        try:
            with _ignoring_interrupts():
                process.start()
            self.process, self._pipe = process, pipe
        except (OSError, EOFError) as error:  # somebody has killed the fork server; the next start starts another one
            self._trouble = f"cannot start a process: {error}"
            pipe.close()
        theirs.close()

    def ask(self) -> None:
        """Send the request; if nobody is there to take it, `answer` tells."""
        self._beat, self._since = -1, time.monotonic()
        self.box.begin(-1)  # it is idle: nobody else is writing there
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                self._pipe.send(self.request)

    @property
    def handles(self) -> list[Any]:
        """One of them is ready when there is an answer."""
        return [] if self.process is None else [self._pipe, self.process.sentinel]

    def answer(self) -> worker.Done | worker.Failed | str | None:
        """What the worker sent, or how it died, or None as long as it works."""
        if self._pipe is None:
            return self._trouble
        try:
            if self._pipe.poll():
                message: worker.Done | worker.Failed = self._pipe.recv()
                return message
        except (OSError, EOFError):
            self.process.join(GLANCE)
        if self.process.is_alive():
            return None
        return worker.exit_in_words(self.process.exitcode)

    def idle_seconds(self) -> float:
        """Seconds since a note in the black box was seen to be new."""
        if self.box.beat != self._beat:
            self._beat, self._since = self.box.beat, time.monotonic()
        return time.monotonic() - self._since

    def kill(self) -> None:
        """End the process at once and take it off the process table."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process.close()
            self.process = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def close(self) -> None:
        """End the process and free its memory."""
        self.kill()
        self.up.close()
        self._box.close()


@contextlib.contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """What starts inside has SIGINT blocked, from its very first instruction on."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
