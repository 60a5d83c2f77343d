"""Sampling in Ray actors on a cluster (extra ``ray``), so that a run outgrows one machine; see docs/scaling-out.md.

    down   the parameters by one `ray.put`, then one call per shard and iteration
    up     the shard, as the result of the call

Ray places a worker, which it calls an actor, on any machine with cores to spare and carries the data. Who is hung, dead
or to be replaced is the supervisor's business here as for processes, so both survive the same faults with the same
bits. Ray itself restarts no worker and repeats no call, because it knows neither the black box nor the limit of tries.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import ray
import torch
from ray.exceptions import RayError
from torch import Tensor

import envs
from envs import TaskDistribution
from meta_rl.algorithms.base import MetaLearner
from meta_rl.core.types import map_tensors
from meta_rl.core.weights import Weights
from meta_rl.errors import ConfigError
from meta_rl.sources.base import Plan, Sampler
from meta_rl.sources.collect import Shard
from meta_rl.sources.shared_memory import Segment
from meta_rl.sources.supervisor import TRIES, Handle, Supervised, pack, shard_shares
from meta_rl.sources.worker import BlackBox, Done, Failed, Sight

NOWHERE = Sight(-1, -1, -1, -1, [])
"""Progress of a worker that has not started."""


class Ray(Supervised["_Handle"]):
    """Samples shards in Ray actors; see `meta_rl.sources.base.Source`.

    Args:
        distribution: of training tasks; it and `learner` are pickled.
        learner: gives the policy and adapts it between the stages.
        plan: see `meta_rl.sources.base.Plan`.
        workers: at most one per shard.
        address: of the cluster: ``host:port``, ``auto`` for the one that this machine belongs to, or ``local`` to start
            one on this machine alone. A connection that the process has already is used as it is.
        cores: of each worker, reserved on its machine; also the threads of native environments.
        timeout: see `meta_rl.sources.supervisor.Supervised`; a worker that waits for a free place does not get started.
        tries: the same.
    Raises:
        ConfigError: no cluster, or a too small one; the task distribution or the learner cannot be sent to it.
    """

    def __init__(
        self,
        distribution: TaskDistribution,
        learner: MetaLearner,
        plan: Plan,
        workers: int,
        address: str,
        cores: int = 1,
        timeout: float = 120.0,
        tries: int = TRIES,
    ) -> None:
        packed, parts = pack(distribution, learner, plan), shard_shares(plan, workers)
        self._connected_here = not ray.is_initialized()
        if self._connected_here:
            connect(address)
        try:
            check_size(workers, cores)
            payload = ray.put(packed)
        except BaseException:
            self._disconnect()
            raise
        threads = 1 if plan.shards > 1 else torch.get_num_threads()
        handles = [_Handle(mine, cores, (payload, cores, threads)) for mine in parts]
        super().__init__(distribution, plan, handles, timeout, tries)

    def publish(self, weights: Weights) -> Any:
        """See `Supervised.publish`."""
        return ray.put(map_tensors(as_array, weights))

    def wait(self, waiting: Sequence[_Handle], seconds: float) -> None:
        """See `Supervised.wait`."""
        ray.wait([each.calls[0] for each in waiting], timeout=seconds)

    def close(self) -> None:
        """End all workers, and the connection if it was made here."""
        super().close()
        self._disconnect()

    def _disconnect(self) -> None:
        if self._connected_here and ray.is_initialized():
            ray.shutdown()


def connect(address: str) -> None:
    """Join the cluster at `address`.

    Raises:
        ConfigError: there is none.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options = {"include_dashboard": False} if address == "local" else {}
    try:
        if address not in ("auto", "local"):
            knock(address)  # Ray itself would wait for minutes
        ray.init(address, log_to_driver=False, logging_level="ERROR", **options)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"--ray-address: no Ray cluster at {address} ({reason}); ray start --head starts one"
        ) from None


def knock(address: str) -> None:
    """See whether anybody listens there.

    Raises:
        OSError, ValueError: nobody, or it is no address.
    """
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("an address is HOST:PORT, auto or local")
    socket.create_connection((host, int(port)), timeout=10).close()


def check_size(workers: int, cores: int) -> None:
    """Refuse more workers than the cluster has room for.

    Raises:
        ConfigError: naming how many fit.
    """
    there = int(ray.cluster_resources().get("CPU", 0))
    if workers * cores > there:
        raise ConfigError(
            f"--workers: {workers} workers of {cores} cores each need more than the {there} cores of the cluster; "
            f"closest: {there // cores}"
        )


class _Handle(Handle):
    """The supervisor's side of one Ray actor."""

    def __init__(self, mine: range, cores: int, arguments: tuple[Any, ...]) -> None:
        super().__init__()
        self._mine, self._cores, self._arguments = mine, cores, arguments
        self._worker: Any = None
        self._done: list[Done] = []
        self._sight, self._asked = NOWHERE, None
        self.calls: list[Any] = []
        """One for each shard, as long as its result was not taken."""

    @property
    def running(self) -> bool:
        """See `Handle.running`."""
        return self._worker is not None

    def pid(self) -> int:
        """See `Handle.pid`."""
        return int(ray.get(self._worker.process.options(concurrency_group="sight").remote()))

    def start(self) -> None:
        """See `Handle.start`."""
        remote = ray.remote(concurrency_groups={"sight": 1})(RayWorker)
        options = {"num_cpus": self._cores, "max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        self._worker = remote.options(**options).remote(*self._arguments)

    def send(self) -> None:
        """See `Handle.send`."""
        iteration, weights = self.request
        self._sight, self._asked, self._done = NOWHERE, None, []
        self.calls = [self._worker.sample.remote(weights, iteration, shard) for shard in self._mine]

    def answer(self) -> Done | Failed | str | None:
        """See `Handle.answer`."""
        while self.calls:
            if not ray.wait(self.calls[:1], timeout=0)[0]:
                return None
            try:
                result: Done | Failed = ray.get(self.calls[0])
            except RayError as error:
                return error_in_words(error)
            if isinstance(result, Failed):
                return result
            self._done.append(result)
            del self.calls[0]
        return Done([from_arrays(done.shards[0]) for done in self._done], sum(done.busy for done in self._done))

    def sight(self) -> Sight:
        """See `Handle.sight`: the worker's latest answer. Asks it again for the next time."""
        if self._asked is not None and ray.wait([self._asked], timeout=0)[0]:
            with contextlib.suppress(RayError):  # `answer` tells
                self._sight = ray.get(self._asked)
            self._asked = None
        if self._asked is None and self._worker is not None:
            self._asked = self._worker.sight.options(concurrency_group="sight").remote()
        return self._sight

    def kill(self) -> None:
        """See `Handle.kill`."""
        if self._worker is not None:
            ray.kill(self._worker)
            self._worker, self.calls = None, []


class RayWorker:
    """The life of a worker. Ray calls `sample` on one thread and `sight` on another.

    Args:
        payload: pickled arguments of `Sampler`.
        cores: threads of native environments.
        threads: torch's.
    """

    def __init__(self, payload: bytes, cores: int, threads: int) -> None:
        self._payload, self._cores, self._threads = payload, cores, threads
        self._sampler: Sampler | None = None
        self._black_box = BlackBox(Segment())
        self._black_box.begin(-1)

    def sample(self, weights: Weights, iteration: int, shard: int) -> Done | Failed:
        """One shard, with arrays for tensors: Ray hands arrays over without a copy."""
        started = time.perf_counter()
        try:
            if self._sampler is None:
                envs.limit_threads(self._cores)
                self._sampler = Sampler(*pickle.loads(self._payload))
            torch.set_num_threads(self._threads)  # counts for the calling thread
            self._black_box.begin(shard)
            tensors = torch.utils._pytree.tree_map_only(np.ndarray, torch.tensor, weights)
            sampled = self._sampler.sample(tensors, iteration, shard, self._black_box.note_step)
            return Done([map_tensors(as_array, sampled)], time.perf_counter() - started)
        except BaseException as error:  # a dead worker could not say what it was
            return Failed.of(error, self._black_box.read())

    def process(self) -> int:
        """Process id of the worker."""
        return os.getpid()

    def sight(self) -> Sight:
        """Progress of the worker, for its supervisor."""
        return self._black_box.read()


def as_array(tensor: Tensor) -> Any:
    """The same memory as an array."""
    return tensor.numpy()


def from_arrays(shard: Shard) -> Shard:
    """The shard whose batch holds arrays, with tensors again. Arrays from Ray are read-only."""
    batch, measured = torch.utils._pytree.tree_map_only(np.ndarray, torch.tensor, (shard.batch, shard.measured))
    return shard._replace(batch=batch, measured=measured, returns=shard.returns.copy(), solved=shard.solved.copy())


def error_in_words(error: RayError) -> str:
    """Ray's message about a lost worker, in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text.partition('. ')[0]}"
