"""End-to-end speed of meta-training, split into its parts.

``python scripts/benchmark.py training [--env metaworld/ml10] [--iterations 5] [--out results/training] [CASE ...]``

A case is a recipe and its options in one argument: ``"maml-trpo --hidden 512 512"``. Prints and records medians of
seconds per iteration: stepping environments (with their resets), acting, preparing batches (baseline, advantages),
adapting, the meta-update, and the rest; and env-steps/s of the whole.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measured import CORES, write_measured

import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.cli.commands import parse_train
from meta_rl.runs.folder import versions
from meta_rl.sources.base import Plan
from meta_rl.sources.in_process import InProcess
from meta_rl.training.train import move_state, select_device, train_iteration

CASES = ["maml-trpo --hidden 128 128", "maml-trpo --hidden 512 512", "multitask-trpo"]


class Clock:
    """Seconds spent in the functions it wraps, by label."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def wrap(self, label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, timed."""

        def timed(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds[label] = self.seconds.get(label, 0.0) + time.perf_counter() - started

        return timed


def measure(case: str, env: str, iterations: int) -> dict[str, Any]:
    """Medians over `iterations` (after one that does not count)."""
    config = parse_train([*case.split(), "--env", env])
    distribution = envs.make(env)
    learner = make_learner(config, distribution)
    state, clock = learner.init(), Clock()
    device = select_device(config.device)
    move_state(state, device)
    source = InProcess(distribution, learner, Plan(config.meta_batch_size, config.episodes_per_task, config.seed))
    vector = source._sampler.env(config.meta_batch_size)
    vector.step, vector.reset = clock.wrap("envs", vector.step), clock.wrap("envs", vector.reset)  # type: ignore[method-assign]
    make_actor = learner.actor

    def actor(adapted: Any) -> Any:
        made = make_actor(adapted)
        made.act = clock.wrap("act", made.act)
        return made

    learner.actor = actor  # type: ignore[method-assign]
    learner.prepare = clock.wrap("prepare", learner.prepare)  # type: ignore[method-assign]
    learner.adapt = clock.wrap("adapt", learner.adapt)  # type: ignore[method-assign]
    learner.meta_update = clock.wrap("meta-update", learner.meta_update)  # type: ignore[method-assign]
    rows = []
    for _ in range(iterations + 1):
        clock.seconds, before = {}, state.env_steps
        started = time.perf_counter()
        train_iteration(state, source, learner, device)
        total = time.perf_counter() - started
        parts = dict(clock.seconds)
        rows.append({**parts, "rest": total - sum(parts.values()), "iteration": total,
                     "env_steps_per_second": (state.env_steps - before) / total})  # fmt: skip
    source.close()
    keys = list(dict.fromkeys(key for row in rows for key in row))
    medians = {key: statistics.median(row.get(key, 0.0) for row in rows[1:]) for key in keys}
    stages = learner.stages(config.episodes_per_task)
    return {"env": env, "meta_batch_size": config.meta_batch_size, "episodes_per_task": config.episodes_per_task,
            "stages": stages, "horizon": distribution.horizon,
            "medians": medians}  # fmt: skip


def main(arguments: list[str]) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="benchmark.py training", description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=CASES, metavar="CASE")
    parser.add_argument("--env", default="metaworld/ml10")
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/training"))
    options = parser.parse_args(arguments)
    record: dict[str, Any] = {"command": shlex.join(["scripts/benchmark.py", "training", *arguments])}
    record |= {"cores": CORES, "torch_threads": torch.get_num_threads(), "versions": versions()}
    lines = [f"Command: `python {record['command']}`; medians of {options.iterations} iterations, "
             f"{record['torch_threads']} torch threads.", ""]  # fmt: skip
    for case in options.cases:
        record[case] = measure(case, options.env, options.iterations)
        medians = record[case]["medians"]
        shape = "{meta_batch_size} tasks x {episodes_per_task} episodes x {horizon} steps, {stages} stages"
        lines += [f"## {case} on {options.env}: {medians['env_steps_per_second']:,.0f} env-steps/s", "",
                  shape.format(**record[case]), "", "| part | seconds | share |", "|---|---|---|"]  # fmt: skip
        for key, value in medians.items():
            if key != "env_steps_per_second":
                lines.append(f"| {key} | {value:.2f} | {value / medians['iteration']:.0%} |")
        lines.append("")
        print("\n".join(lines[-10:]), flush=True)
    write_measured(options.out, record, "\n".join(lines))


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
