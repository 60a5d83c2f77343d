"""Sampling speed in the learner's process and in worker processes.

``python scripts/benchmark.py workers [--env metaworld/ml10] [--shards 4] [--workers 1 2 4] [--rounds 3]``

Env-steps/s of sampling whole meta-batches (no meta-update), medians over rounds in which the sources take turns; and
the share of their time that workers wait for others to finish. Sources with equal shards give the same meta-batch,
which is checked.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import torch

import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.config import default_config
from meta_rl.sources.base import Plan, Source
from meta_rl.sources.in_process import InProcess
from meta_rl.sources.processes import Processes
from meta_rl.train import versions


def measure(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """For each source: median env-steps/s, share of idle time, restarts."""
    config, distribution = default_config(options.recipe, options.env), envs.make(options.env)
    learner = make_learner(config, distribution)
    params = learner.init().params
    plan = Plan(options.tasks, options.episodes, 0, options.shards)
    single = plan._replace(shards=1)
    with ExitStack() as stack:
        sources: dict[str, Source] = {
            "in process, 1 shard": InProcess(distribution, learner, single),
            f"in process, {plan.shards} shards": InProcess(distribution, learner, plan),
        }
        for count in options.workers:
            sources[f"{count} workers, {plan.shards} shards"] = Processes(distribution, learner, plan, count)
        for source in sources.values():
            stack.enter_context(closing(source))
        reference = None
        for name, source in sources.items():  # makes environments and starts processes; not timed
            observation = source.sample(params, 0).batch.query.observation
            if not name.endswith(" 1 shard"):
                reference = observation if reference is None else reference
                assert torch.equal(observation, reference), f"{name}: another meta-batch"
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in sources}
        for iteration in range(1, options.rounds + 1):
            for name, source in sources.items():
                busy, started = busy_seconds(source), time.perf_counter()
                steps = source.sample(params, iteration).env_steps
                seconds = time.perf_counter() - started
                idle = 0.0
                if isinstance(source, Processes):
                    idle = 1 - (busy_seconds(source) - busy) / (len(source.pids) * seconds)
                rows[name].append((steps / seconds, idle))
        return {
            name: {
                "env_steps_per_second": statistics.median(speed for speed, _ in measured),
                "idle_share": statistics.median(idle for _, idle in measured),
                "restarts": float(sources[name].restarts),
            }
            for name, measured in rows.items()
        }


def busy_seconds(source: Source) -> float:
    """Time that workers have spent on requests."""
    return source.busy_seconds if isinstance(source, Processes) else 0.0


def main(arguments: list[str]) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="benchmark.py workers", description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="maml-trpo")
    parser.add_argument("--env", default="metaworld/ml10")
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/workers"))
    options = parser.parse_args(arguments)
    command = shlex.join(["scripts/benchmark.py", "workers", *arguments])
    results = measure(options)
    lines = [
        f"Command: `python {command}`; {os.cpu_count()} cores, {options.recipe} on {options.env}, "
        f"{options.tasks} tasks x {options.episodes} episodes; medians of {options.rounds} rounds.",
        "",
        "| source | env-steps/s | workers idle |",
        "|---|---|---|",
        *(f"| {name} | {x['env_steps_per_second']:,.0f} | {x['idle_share']:.1%} |" for name, x in results.items()),
    ]
    print("\n".join(lines))
    record: dict[str, Any] = {"command": command, "cores": os.cpu_count(), "versions": versions(), "results": results}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    options.out.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
