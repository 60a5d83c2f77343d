"""What dynamics as part of the task cost: CPU time of a step beside the plain robot's.

``python scripts/benchmark.py dynamics [--cases push ml10 half-cheetah] [--rounds 10] [--steps 200]``

Both take turns in one process, with one thread, the same goals and the same random actions, so that a noisy moment of
the machine hits both; what counts is CPU time, whole episodes with their resets and new tasks. Prints and records the
medians in results/dynamics.json and .md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from measured import write_measured

import envs
from meta_rl.runs.folder import versions

# case -> (name, tasks, envs per task)
CASES = {
    "push": ("metaworld/ml1-push-v3", 16, 4),
    "ml10": ("metaworld/ml10", 10, 8),
    "half-cheetah": ("cheetah-dir@v5", 8, 8),
    "ant": ("ant-dir@v5", 8, 8),
    "humanoid": ("humanoid-dir@v5", 8, 8),
}
ENDS = ("", "+mass=1", "+physics", "+dynamics")  # the second moves as the first does


def turn(distribution: envs.TaskDistribution, env: envs.TaskVectorEnv, steps: int, seed: int) -> float:
    """Microseconds of CPU time per env step of one stretch: new tasks, a reset, and `steps` steps."""
    rng = np.random.default_rng(seed)
    high = env.action_space.high  # type: ignore[union-attr]
    actions = rng.uniform(-high, high, (20, *env.shape, *env.action_space.shape)).astype(np.float32)
    tasks = distribution.sample(rng, env.num_tasks)
    started, taken = time.process_time(), 0
    env.set_tasks(tasks)
    env.reset(range(env.num_tasks))
    for t in range(steps):
        taken += int((~env.over).sum())
        step = env.step(actions[t % 20])
        if (done := step.terminated | step.truncated).any():
            env.reset(range(t, t + env.num_tasks), done)
    return (time.process_time() - started) / taken * 1e6


def measure(case: str, rounds: int, steps: int) -> dict[str, Any]:
    """Medians of both, and of their ratio."""
    name, tasks, per_task = CASES[case]
    distributions = [envs.make(name + end, num_threads=1) for end in ENDS]
    made = [distribution.make(tasks, per_task) for distribution in distributions]
    for distribution, env in zip(distributions, made, strict=True):
        turn(distribution, env, 5, 0)  # start states are kept
        for seed in range(rounds):
            env.set_tasks(distribution.sample(np.random.default_rng(seed), tasks))
    times = [
        [turn(distribution, env, steps, seed) for distribution, env in zip(distributions, made, strict=True)]
        for seed in range(rounds)
    ]
    for env in made:
        env.close()
    columns = zip(*times, strict=True)
    return {
        "envs": tasks * per_task,
        "microseconds": {name + end: statistics.median(x) for end, x in zip(ENDS, columns, strict=True)},
        "ratios": {end: statistics.median(row[i] / row[0] for row in times) for i, end in enumerate(ENDS) if end},
    }


def main(arguments: list[str]) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="benchmark.py dynamics", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("results/dynamics"))
    options = parser.parse_args(arguments)
    record: dict[str, Any] = {"command": " ".join(["scripts/benchmark.py dynamics", *arguments])}
    lines = [
        f"Command: `python {record['command']}`, one thread, CPU time, random actions.",
        "",
        "| | envs | us per env step | `+mass=1` / plain | `+physics` / plain | `+dynamics` / plain |",
        "|---|---|---|---|---|---|",
    ]
    for case in options.cases:
        result = record[case] = measure(case, options.rounds, options.steps)
        plain = result["microseconds"][CASES[case][0]]
        ratios = " | ".join(f"{ratio:.2f}" for ratio in result["ratios"].values())
        lines.append(f"| {case} | {result['envs']} | {plain:.1f} | {ratios} |")
        print(lines[-1], flush=True)
    record["versions"] = versions()
    write_measured(options.out, record, "\n".join([*lines, ""]))
