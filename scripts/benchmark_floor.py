"""What a step of a robot costs at least: CPU time of the engine's step, of MuJoCo alone, and of Gymnasium's own step.

``python scripts/benchmark.py floor [--cases half-cheetah ant] [--rounds 15]``

One thread each, interleaved, medians of the rounds and of their ratios. MuJoCo alone is `mj_step` as
often as in an env step, and the contact forces, along the very episodes that Gymnasium's step makes: an engine that
gives the same bits hardly does with less. Writes results/locomotion_floor.json and .md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from benchmark_locomotion import CASES, draw_actions
from measured import write_measured

import envs
from meta_rl.evaluation import markdown
from meta_rl.runs.folder import versions

ENVS, STEPS = 64, 3000
"""Environments of the engine; env steps of the others."""


def cpu_time(step: Callable[[int], None], count: int) -> float:
    """Microseconds of CPU time of a call."""
    started = time.process_time()
    for t in range(count):
        step(t)
    return (time.process_time() - started) / count * 1e6


def contenders(case: str) -> dict[str, Callable[[], float]]:
    """Name -> a measurement, in microseconds per env step."""
    name, gym_id, _, _ = CASES[case]
    actions = draw_actions(case, (ENVS, 1))
    distribution = envs.make(name, num_threads=1)
    ours = distribution.make(ENVS, 1)
    ours.set_tasks([distribution.sample(np.random.default_rng(0), 1)[0]] * ENVS)
    ours.reset(range(ENVS))
    theirs = gym.make(gym_id)
    robot: Any = theirs.unwrapped
    model, data = robot.model, mujoco.MjData(robot.model)
    starts: dict[int, Any] = {}  # step -> (qpos, qvel) of the episode that begins there

    def engine(t: int) -> None:
        step = ours.step(actions[t % 100])
        over = step.terminated | step.truncated
        if over.any():
            ours.reset(range(t, t + ENVS), over)

    def gymnasium(t: int) -> None:
        if t == 0 or t in starts:
            theirs.reset(seed=t)
            starts[t] = robot.data.qpos.copy(), robot.data.qvel.copy()
        _, _, terminated, truncated, _ = theirs.step(actions[t % 100, t // 100 % ENVS, 0])
        if terminated or truncated:
            starts[t + 1] = None

    def physics(t: int) -> None:
        if t in starts:
            mujoco.mj_resetData(model, data)
            data.qpos[:], data.qvel[:] = starts[t]
        data.ctrl[:] = actions[t % 100, t // 100 % ENVS, 0]
        mujoco.mj_step(model, data, robot.frame_skip)
        mujoco.mj_rnePostConstraint(model, data)

    return {
        "engine": lambda: cpu_time(engine, STEPS // ENVS) / ENVS,
        "Gymnasium's step": lambda: cpu_time(gymnasium, STEPS),
        "MuJoCo alone": lambda: cpu_time(physics, STEPS),
    }


def main(arguments: list[str]) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="benchmark.py floor", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=["half-cheetah", "ant"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("results/locomotion_floor"))
    options = parser.parse_args(arguments)
    record: dict[str, Any] = {"command": " ".join(["scripts/benchmark.py floor", *arguments]), "cases": {}}
    cells = [["robot", "engine, us", "Gymnasium's step, us", "MuJoCo alone, us", "engine / MuJoCo alone"]]
    for case in options.cases:
        measured = contenders(case)
        rounds = [{name: measure() for name, measure in measured.items()} for _ in range(options.rounds)]
        medians = {name: statistics.median(one[name] for one in rounds) for name in measured}
        ratio = statistics.median(one["engine"] / one["MuJoCo alone"] for one in rounds)
        record["cases"][case] = {"rounds": rounds, "medians": medians, "ratio": ratio}
        cells.append([case, *(f"{value:.0f}" for value in medians.values()), f"{ratio:.2f}"])
    record["versions"] = versions()
    text = [
        *markdown.table(cells),
        "",
        "CPU time of one env step, one thread. " + f"Command: `python {record['command']}`",
    ]
    print("\n".join(text))
    write_measured(options.out, record, "\n".join(text) + "\n")
