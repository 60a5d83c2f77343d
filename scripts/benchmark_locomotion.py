"""Sampling speed of locomotion beside EnvPool and gymnasium's async vector env, 64 environments, one process tree.

``python scripts/benchmark.py locomotion [--cases half-cheetah ant] [--rounds 5] [--seconds 3] [--envpool-python PATH]``

All contenders step the same v5 robots under random float32 actions and go on after an episode's end as they do by
themselves: ours resets what is over, the others reset automatically. Each runs in a process of its own; the rounds
interleave all contenders, so that a noisy moment of the machine hits each of them alike. Ours and EnvPool get
``--threads`` threads; the async vector env has a process per environment, and the same cores. Prints and records
medians of env-steps/s in results/locomotion.json, .md and .png. EnvPool is included where ``--envpool-python``
(default: this interpreter) can import it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measured import CORES, write_measured

from meta_rl.core.files import with_ending

# case -> (our name, gymnasium's and EnvPool's name, motors, largest action)
CASES = {
    "half-cheetah": ("cheetah-dir@v5", "HalfCheetah-v5", 6, 1.0),
    "ant": ("ant-dir@v5", "Ant-v5", 8, 1.0),
    "humanoid": ("humanoid-dir@v5", "Humanoid-v5", 17, 0.4),
    "walker2d": ("walker-params@v5", "Walker2d-v5", 6, 1.0),
    "hopper": ("hopper-params@v5", "Hopper-v5", 3, 1.0),
}
OURS = "engine"


def rate(step: Callable[[int], None], num_envs: int, seconds: float) -> float:
    """Env-steps per second of `step(time)`, which steps all environments once; the first 20 calls do not count."""
    for t in range(20):
        step(t)
    started, taken = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        step(20 + taken)
        taken += 1
    return taken * num_envs / (time.perf_counter() - started)


def draw_actions(case: str, shape: tuple[int, ...]) -> Any:
    """100 random actions for `shape` environments, the same for all contenders."""
    _, _, motors, limit = CASES[case]
    return np.random.default_rng(0).uniform(-limit, limit, (100, *shape, motors)).astype(np.float32)


# -- contenders: (case, envs, threads, seconds) -> env-steps/s ---------------------------------------------------------


def engine(case: str, num_envs: int, threads: int, seconds: float) -> float:
    """Ours: 8 environments per task, rewards and resets included."""
    import envs

    distribution = envs.make(CASES[case][0], num_threads=threads)
    tasks, per_task = num_envs // 8, 8
    actions = draw_actions(case, (tasks, per_task))
    with distribution.make(tasks, per_task) as env:
        env.set_tasks(distribution.sample(np.random.default_rng(0), tasks))
        env.reset(range(tasks))

        def step(t: int) -> None:
            result = env.step(actions[t % 100])
            done = result.terminated | result.truncated
            if done.any():
                env.reset(range(t, t + tasks), done)

        return rate(step, num_envs, seconds)


def envpool(case: str, num_envs: int, threads: int, seconds: float) -> float:
    """EnvPool in its synchronous mode, the only one that a batch policy can use."""
    import envpool

    pool = envpool.make_gymnasium(CASES[case][1], num_envs=num_envs, num_threads=threads)
    pool.reset()
    actions = draw_actions(case, (num_envs,)).astype(pool.action_space.dtype)
    return rate(lambda t: pool.step(actions[t % 100]), num_envs, seconds)


def gymnasium_async(case: str, num_envs: int, threads: int, seconds: float) -> float:
    """A process per environment."""
    import gymnasium as gym

    vector = gym.make_vec(CASES[case][1], num_envs=num_envs, vectorization_mode="async")
    vector.reset(seed=0)
    actions = draw_actions(case, (num_envs,))
    result = rate(lambda t: vector.step(actions[t % 100]), num_envs, seconds)
    vector.close()
    return result


CONTENDERS = {function.__name__: function for function in (engine, envpool, gymnasium_async)}


# -- the parent --------------------------------------------------------------------------------------------------------


def child(python: str, **arguments: Any) -> float:
    """Run a contender in a process of its own."""
    # Numerical libraries must not bring threads of their own.
    limits = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [python, __file__, "--child", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | limits, check=False)
    if done.returncode:
        raise RuntimeError(f"{arguments}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'died'}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure(case: str, options: argparse.Namespace, pythons: dict[str, str]) -> dict[str, Any]:
    """Rates of all contenders of a case, round by round; medians; ours over each."""
    rates: dict[str, list[float]] = {name: [] for name in pythons}
    sizes = {"num_envs": options.envs, "threads": options.threads, "seconds": options.seconds}
    for _ in range(options.rounds):
        for name, python in pythons.items():
            rates[name].append(child(python, contender=name, case=case, **sizes))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratios = {name: medians[OURS] / value for name, value in medians.items() if name != OURS}
    return {"rounds": rates, "medians": medians, "ratios": ratios}


def main(arguments: list[str]) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="benchmark.py locomotion", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=["half-cheetah", "ant"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--envs", type=int, default=64, help="a multiple of 8")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--envpool-python", default=sys.executable)
    parser.add_argument("--out", type=Path, default=Path("results/locomotion"))
    options = parser.parse_args(arguments)
    if options.envs < 8 or options.envs % 8:
        parser.error(f"--envs must be a multiple of 8, got {options.envs}")
    pythons = {OURS: sys.executable, "envpool": options.envpool_python, "gymnasium_async": sys.executable}
    probe = subprocess.run([options.envpool_python, "-c", "import envpool"], capture_output=True, check=False)
    if probe.returncode:
        print(f"no EnvPool in {options.envpool_python}: left out", file=sys.stderr)
        del pythons["envpool"]
    record: dict[str, Any] = {
        "command": " ".join(["scripts/benchmark.py locomotion", *arguments]),
        "cores": CORES, "envs": options.envs, "threads": options.threads, "cases": {},
    }  # fmt: skip
    for case in options.cases:
        record["cases"][case] = measure(case, options, pythons)
        print(table(case, record["cases"][case]), flush=True)
    write(record, options.out)


def table(case: str, result: dict[str, Any]) -> str:
    """One case in Markdown."""
    lines = [f"## {case}", "", "| | env-steps/s (median) | engine / this |", "|---|---|---|"]
    for name, value in result["medians"].items():
        ratio = f"{result['ratios'][name]:.2f}" if name in result["ratios"] else ""
        lines.append(f"| {name.replace('_', ' ')} | {value:,.0f} | {ratio} |")
    return "\n".join([*lines, ""])


def write(record: dict[str, Any], out: Path) -> None:
    """JSON, Markdown, plot."""
    from meta_rl.runs.folder import versions

    record["versions"] = versions()
    # The path of another interpreter is this machine's business.
    command = record["command"].partition(" --envpool-python")[0]
    setting = f"{record['envs']} environments, {record['threads']} threads, {record['cores']} cores, random actions"
    text = [f"Command: `python {command}`; {setting}.", ""]
    write_measured(out, record, "\n".join(text + [table(*item) for item in record["cases"].items()]))
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    cases = record["cases"]
    figure, axes = plt.subplots(1, len(cases), figsize=(4 * len(cases), 2.4), dpi=80, constrained_layout=True)
    for axis, (case, result) in zip(np.atleast_1d(axes), cases.items(), strict=True):
        medians = result["medians"]
        colours = ["C0" if name == OURS else "0.6" for name in medians]
        axis.barh([name.replace("_", " ") for name in medians], list(medians.values()), color=colours)
        axis.invert_yaxis()
        axis.set(title=case, xlabel="env-steps/s")
    figure.savefig(with_ending(out, ".png"))


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    print(json.dumps(CONTENDERS[given.pop("contender")](**given)))
