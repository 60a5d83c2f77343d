"""Sampling speed in the learner's process, in worker processes and on Ray; what supervision and a lost worker cost.

``python scripts/benchmark.py workers [--env metaworld/ml10] [--shards 4] [--workers 1 2 4] [--rounds 3]``

Env-steps/s of sampling whole meta-batches (no meta-update), medians over rounds in which the sources of a group take
turns; the share of their time that workers wait; and by how much a round takes longer in which a worker is killed
right after the request. Sources with equal shards give the same meta-batch, which is checked. Ray is measured where it
is installed (``make test-ray`` installs it), on one and on two simulated machines.

The projection to more cores assumes one worker with one shard on each core, all as fast as the single-core worker
measured here, and that the learner's part per shard (sending parameters, taking and joining results) and its
meta-update grow with the number of shards. It knows nothing of networks, nor of cores that share caches and memory.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shlex
import signal
import statistics
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import torch
from measured import CORES, write_measured

import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.config import default_config
from meta_rl.core.weights import Weights
from meta_rl.runs.folder import versions
from meta_rl.sources.base import Plan, Source
from meta_rl.sources.in_process import InProcess
from meta_rl.sources.processes import Processes
from meta_rl.sources.supervisor import Supervised, WorkerWarning

PROJECTED = (16, 64, 256)
"""Cores."""
ONE_CORE = "1 worker on one core"
Sources = dict[str, Source]


class Bench:
    """Settings that all measurements share."""

    def __init__(self, options: argparse.Namespace) -> None:
        config, self.distribution = default_config(options.recipe, options.env), envs.make(options.env)
        self.learner = make_learner(config, self.distribution)
        self.weights: Weights = self.learner.init().weights
        self.plan = Plan(options.tasks, options.episodes, 0, options.shards)
        self.workers, self.rounds = options.workers, options.rounds
        self.reference: Any = None

    def groups(self) -> Iterator[Callable[[], contextlib.AbstractContextManager[Sources]]]:
        """Sources that are measured in turns."""
        yield self.here
        if importlib.util.find_spec("ray") is None:
            print("Ray is not installed and not measured; make test-ray installs it", flush=True)
            return
        for machines in (1, 2):
            yield lambda machines=machines: self.ray(machines)

    @contextlib.contextmanager
    def here(self) -> Iterator[Sources]:
        """The learner's process, and worker processes."""
        work = self.distribution, self.learner
        shards = f"{self.plan.shards} shards"
        sources: Sources = {
            "in process, 1 shard": InProcess(*work, self.plan._replace(shards=1)),
            f"in process, {shards}": InProcess(*work, self.plan),
            ONE_CORE: Processes(*work, self.plan, 1, cores=1),
        }
        sources |= {plural(n, "worker"): Processes(*work, self.plan, n) for n in self.workers}
        with ExitStack() as stack:
            for source in sources.values():
                stack.enter_context(closing(source))
            yield sources

    @contextlib.contextmanager
    def ray(self, machines: int) -> Iterator[Sources]:
        """Actors on a simulated cluster."""
        from ray.cluster_utils import Cluster

        from meta_rl.sources.ray import Ray

        count = max(self.workers)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": -(-count // machines)})
        for _ in range(machines - 1):
            cluster.add_node(num_cpus=-(-count // machines))
        name = f"{plural(count, 'Ray actor')}, {plural(machines, 'machine')}"
        try:
            with closing(Ray(self.distribution, self.learner, self.plan, count, cluster.address)) as source:
                yield {name: source}
        finally:
            cluster.shutdown()

    def measure(self, sources: Sources) -> dict[str, dict[str, Any]]:
        """For each source the medians of seconds, env-steps/s and idle share, and what a killed worker costs."""
        for name, source in sources.items():  # makes environments and starts processes; not timed
            self.check(name, source.sample(self.weights, 0).batch.query.observation)
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in sources}
        for iteration in range(1, self.rounds + 1):
            for name, source in sources.items():
                rows[name].append(self.round(source, iteration))
        found: dict[str, dict[str, Any]] = {}
        for name, measured in rows.items():
            found[name] = {key: statistics.median(row[key] for row in measured) for key in measured[0]}
            source = sources[name]
            if isinstance(source, Supervised) and name != ONE_CORE:
                found[name]["extra_seconds_after_a_kill"] = self.recovery(source) - found[name]["seconds"]
        return found

    def round(self, source: Source, iteration: int) -> dict[str, float]:
        """One meta-batch."""
        busy, started = busy_seconds(source), time.perf_counter()
        steps = source.sample(self.weights, iteration).env_steps
        seconds = time.perf_counter() - started
        busy = busy_seconds(source) - busy
        idle = 1 - busy / (source.size * seconds) if isinstance(source, Supervised) else 0.0
        return {"seconds": seconds, "env_steps": steps, "env_steps_per_second": steps / seconds,
                "busy_seconds": busy, "idle_share": idle}  # fmt: skip

    def recovery(self, source: Supervised[Any]) -> float:
        """Median seconds of a meta-batch during which a worker is killed."""
        measured = []
        for iteration in range(1, self.rounds + 1):
            before, pid = source.restarts, source.pids()[0]
            killer = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
            killer.start()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", WorkerWarning)
                measured.append(self.round(source, iteration)["seconds"])
            killer.join()
            assert source.restarts == before + 1, "the worker was done before it was killed; sample more"
        return statistics.median(measured)

    def check(self, name: str, observation: torch.Tensor) -> None:
        """Whether a source gives the meta-batch of the others with as many shards."""
        if name.endswith(" 1 shard"):
            return
        self.reference = observation if self.reference is None else self.reference
        assert torch.equal(observation, self.reference), f"{name}: another meta-batch"

    def update_seconds(self) -> float:
        """One meta-update on the whole meta-batch, in this process."""
        with closing(InProcess(self.distribution, self.learner, self.plan)) as source:
            batch = source.sample(self.weights, 0).batch
        self.learner.meta_update(self.learner.init(), batch)  # the first one is slower
        started = time.perf_counter()
        self.learner.meta_update(self.learner.init(), batch)
        return time.perf_counter() - started

    def projection(self, single: dict[str, float], update: float) -> list[dict[str, float]]:
        """Env-steps/s on more cores; see the head of this file."""
        shards = self.plan.shards
        shard = single["busy_seconds"] / shards
        overhead = (single["seconds"] - single["busy_seconds"]) / shards
        rows = []
        for cores in PROJECTED:
            steps, sampling = cores * single["env_steps"] / shards, shard + cores * overhead
            whole = sampling + cores * update / shards
            rows.append({"cores": cores, "tasks": cores * self.plan.meta_batch_size / shards,
                         "sampling": steps / sampling, "training": steps / whole})  # fmt: skip
        return rows


def plural(count: int, noun: str) -> str:
    """``1 worker``, ``2 workers``."""
    return f"{count} {noun}{'s' * (count > 1)}"


def busy_seconds(source: Source) -> float:
    """Time that workers have spent on requests."""
    return source.busy_seconds if isinstance(source, Supervised) else 0.0


def report(record: dict[str, Any], plan: Plan, heading: str) -> str:
    """The tables."""
    results, update = record["results"], record["update_seconds"]
    lines = [heading, "", "| source | env-steps/s | workers idle | extra seconds after a kill |", "|---|---|---|---|"]
    for name, x in results.items():
        extra = x.get("extra_seconds_after_a_kill")
        lines.append(
            f"| {name} | {x['env_steps_per_second']:,.0f} | {x['idle_share']:.1%} | "
            f"{'' if extra is None else f'{extra:.1f}'} |"
        )
    lines += ["", f"One worker takes {record['supervision']:+.1%} more time than the same shards in process.",
              "", f"Projection from \"{ONE_CORE}\" ({plan.meta_batch_size / plan.shards:g} tasks a shard) and a "
              f"meta-update of {update:.2f} s for {plan.meta_batch_size} tasks:", "",
              "| cores | tasks | sampling, env-steps/s | with the meta-update |", "|---|---|---|---|"]  # fmt: skip
    lines += [
        f"| {row['cores']} | {row['tasks']:g} | {row['sampling']:,.0f} | {row['training']:,.0f} |"
        for row in record["projection"]
    ]
    assumptions = (__doc__ or "").partition("The projection")[2]
    return "\n".join([*lines, "", "The projection" + assumptions.rstrip().replace("\n", " "), ""])


def main(arguments: list[str]) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="benchmark.py workers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", default="maml-trpo")
    parser.add_argument("--env", default="metaworld/ml10")
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--episodes", type=int, default=2)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/workers"))
    options = parser.parse_args(arguments)
    command = shlex.join(["scripts/benchmark.py", "workers", *arguments])
    bench, results = Bench(options), {}
    for group in bench.groups():
        with group() as sources:
            results |= bench.measure(sources)
    in_process, one = results[f"in process, {options.shards} shards"], results[plural(options.workers[0], "worker")]
    record: dict[str, Any] = {"command": command, "cores": CORES, "versions": versions(), "results": results}
    record |= {"supervision": one["seconds"] / in_process["seconds"] - 1, "update_seconds": bench.update_seconds()}
    record["projection"] = bench.projection(results[ONE_CORE], record["update_seconds"])
    heading = (
        f"Command: `python {command}`; {CORES} cores, {options.recipe} on {options.env}, "
        f"{options.tasks} tasks x {options.episodes} episodes, {options.shards} shards; medians of "
        f"{options.rounds} rounds."
    )
    text = report(record, bench.plan, heading)
    print(text)
    write_measured(options.out, record, text)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
