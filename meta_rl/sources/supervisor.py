"""Workers that may die, hang or fail without any effect on the result, wherever they run.

    down   the parameters once for all, then one request to each worker: the iteration
    up     each worker's shards

Which shards a worker samples is fixed. A worker that dies, raises, or makes no progress for `timeout` seconds is killed
and replaced, and its replacement is asked the same again; the answer is the same, because a shard is a pure function
(see `meta_rl.sources.base`). After `tries` failures of one request the run stops and says what it died of.

Hosts (`meta_rl.sources.processes`, `meta_rl.sources.ray`) say what a worker is, and how to talk to it.
"""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import cloudpickle

from envs import NonFiniteError, TaskDistribution
from meta_rl.algorithms.base import MetaLearner
from meta_rl.core.weights import Weights
from meta_rl.errors import ConfigError, RunError
from meta_rl.sources.base import Plan, join_shards
from meta_rl.sources.collect import Shard, Streams
from meta_rl.sources.worker import Done, Failed, Sight

TRIES = 3
"""Failures of one request, or of one start, that stop the run."""
DELAYS = (0.0, 0.5, 2.0)
"""Seconds to wait before the first, second, ... replacement for one request."""
GLANCE = 0.5
"""Seconds between two looks at whether the workers make progress, at most."""


class WorkerWarning(UserWarning):
    """A worker was lost and is replaced."""


class Handle(ABC):
    """The learner's side of one worker, and of those that replace it."""

    def __init__(self) -> None:
        self.failures = 0
        """Failures during the present request."""
        self.request: tuple[int, Any] = (0, None)
        """Iteration, and what `Supervised.publish` gave."""
        self.shards: list[Shard] = []
        """Shards that the worker has answered with."""
        self._beat, self._since = -1, 0.0

    @property
    @abstractmethod
    def running(self) -> bool:
        """Whether there is a worker, alive or not."""

    @abstractmethod
    def pid(self) -> int:
        """Process id of the present worker, on its machine. Asks the worker, where it may be on another one."""

    @abstractmethod
    def start(self) -> None:
        """Start a worker; if that fails, `answer` tells."""

    @abstractmethod
    def send(self) -> None:
        """Send the request; if nobody is there to take it, `answer` tells."""

    @abstractmethod
    def answer(self) -> Done | Failed | str | None:
        """The worker's answer, or how it died; None as long as it works."""

    @abstractmethod
    def sight(self) -> Sight:
        """The latest known progress of the worker."""

    @abstractmethod
    def kill(self) -> None:
        """End the worker at once, if there is one."""

    def close(self) -> None:
        """End the worker and free what belongs to it."""
        self.kill()

    def ask(self) -> None:
        """Send the request and start the clock."""
        self._beat, self._since = -1, time.monotonic()
        self.send()

    def idle_seconds(self) -> float:
        """Seconds since the worker was last seen to make progress."""
        beat = self.sight().beat
        if beat != self._beat:
            self._beat, self._since = beat, time.monotonic()
        return time.monotonic() - self._since


_H = TypeVar("_H", bound=Handle)


class Supervised(ABC, Generic[_H]):
    """Samples shards in workers; see `meta_rl.sources.base.Source`.

    Args:
        handles: of the workers; number ``i`` of ``n`` has the shards ``i, i + n, ...``.
        timeout: seconds without an env step (or without getting started) after which a worker counts as hung.
        tries: failures of one request that stop the run; 1: never replace a worker.
    """

    def __init__(
        self, distribution: TaskDistribution, plan: Plan, handles: Sequence[_H], timeout: float, tries: int
    ) -> None:
        self._distribution, self._plan, self._handles = distribution, plan, list(handles)
        self._timeout, self._tries = timeout, tries
        self.restarts = 0
        self.busy_seconds = 0.0
        """Time that workers have spent on requests, summed over workers."""

    @property
    def size(self) -> int:
        """Number of workers."""
        return len(self._handles)

    def pids(self) -> list[int]:
        """Process ids of the present workers."""
        return [each.pid() for each in self._handles if each.running]

    @abstractmethod
    def publish(self, weights: Weights) -> Any:
        """Put the parameters where all workers find them, and return what a request must tell them."""

    @abstractmethod
    def wait(self, waiting: Sequence[_H], seconds: float) -> None:
        """Wait until one of these workers answers or dies, or the time is over."""

    def sample(self, weights: Weights, iteration: int) -> Shard:
        """See `Source.sample`. If it raises, all workers are ended first."""
        try:
            published = self.publish(weights)
            for each in self._handles:
                each.failures, each.request = 0, (iteration, published)
                if not each.running:
                    each.start()
                each.ask()
            waiting = self._handles
            while waiting := [each for each in waiting if not self._finished(each)]:
                self.wait(waiting, min(GLANCE, self._timeout / 4))
            count = len(self._handles)
            return join_shards([self._handles[i % count].shards[i // count] for i in range(self._plan.shards)])
        except BaseException:
            for each in self._handles:
                each.kill()
            raise

    def close(self) -> None:
        """End all workers."""
        for each in self._handles:
            each.close()

    def _finished(self, each: _H) -> bool:
        """Whether the request of this worker is done; replaces it if it is lost."""
        answer = each.answer()
        if isinstance(answer, Done):
            each.shards = answer.shards
            self.busy_seconds += answer.busy
            return True
        if isinstance(answer, Failed):
            if answer.non_finite:
                raise NonFiniteError(answer.error.removeprefix("NonFiniteError: "))
            self._replace(each, answer.sight, answer.error, answer.traceback)
        elif answer is not None:
            self._replace(each, each.sight(), answer)
        elif each.idle_seconds() > self._timeout:
            self._replace(each, each.sight(), f"no progress for {self._timeout:g} s")
        return False

    def _replace(self, each: _H, sight: Sight, problem: str, trace: str = "") -> None:
        """Kill a worker and ask another one the same.

        Raises:
            RunError: the request has failed too often.
        """
        each.kill()
        each.failures += 1
        what = f"{self._describe(each.request[0], sight)}: {problem}"
        if each.failures >= self._tries:
            times = f"{each.failures} times in a row" if each.failures > 1 else "once"
            raise RunError(f"a worker failed {times}, {what}" + (f"\n{trace.rstrip()}" if trace else ""))
        warnings.warn(f"a worker failed {what}; another one does the same again", WorkerWarning, stacklevel=4)
        time.sleep(DELAYS[min(each.failures, len(DELAYS)) - 1])
        self.restarts += 1
        each.start()
        each.ask()

    def _describe(self, iteration: int, sight: Sight) -> str:
        """Iteration, shard, step and action that a worker was at when it failed, in words."""
        plan = self._plan
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


def shard_shares(plan: Plan, workers: int) -> list[range]:
    """The shards of each worker.

    Raises:
        ValueError: there is a worker without any.
    """
    if not 1 <= workers <= plan.shards:
        raise ValueError(f"workers must be between 1 and the number of shards, {plan.shards}, got {workers}")
    return [range(i, plan.shards, workers) for i in range(workers)]


def pack(distribution: TaskDistribution, learner: MetaLearner, plan: Plan) -> bytes:
    """Pickled arguments of a worker's `Sampler`; they may hold lambdas and classes of the running script.

    Raises:
        ConfigError: something cannot be sent to another process.
    """
    try:
        packed: bytes = cloudpickle.dumps((distribution, learner, plan))
    except Exception as error:  # what cannot be pickled says so by whatever it likes
        raise ConfigError(
            f"--workers: {distribution.name} cannot be sent to other processes ({error}); valid: 0"
        ) from None
    return packed
