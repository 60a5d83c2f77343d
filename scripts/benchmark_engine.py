"""Sampling speed of the native engine beside every other way to step Meta-World, in one process tree.

``python scripts/benchmark.py engine [--cases pick-place ml10 ml45] [--rounds 5] [--seconds 3] [--envpool-python PATH]``

Each contender runs in a process of its own; the rounds interleave all contenders, so that a noisy moment of the machine
hits each of them alike. Prints and records medians of env-steps/s (random actions, float32) in results/engine.json, .md
and .png. EnvPool is included where ``--envpool-python`` (default: this interpreter) can import it; its environments
draw a new goal at every reset, so it is a measure of speed only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measured import CORES, write_measured

from meta_rl.core.files import with_ending

# case -> (name of the distribution, tasks, envs per task)
CASES = {
    "pick-place": ("metaworld/ml1-pick-place-v3", 16, 4),
    "ml10": ("metaworld/ml10", 20, 10),
    "ml45": ("metaworld/ml45", 45, 10),
}
GYM_SIZES = {"pick-place": (5, 25), "ml10": (10,), "ml45": (45,)}


def rate(step: Callable[[], int], seconds: float) -> float:
    """Env-steps per second of `step`, which returns how many steps it took; the first call does not count."""
    step()
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        steps += step()
    return steps / (time.perf_counter() - started)


# -- contenders: (case, threads, size, seconds) -> env-steps/s ---------------------------------------------------------


def engine(case: str, threads: int, size: int, seconds: float) -> float:
    """Ours, whole episodes including their resets."""
    name, tasks, per_task = CASES[case]
    return engine_rate(name, tasks, per_task, threads, seconds)


def families(case: str, threads: int, size: int, seconds: float) -> dict[str, float]:
    """Ours, one family of a mixture at a time, in batches as large as the whole mixture."""
    import envs

    name, tasks, per_task = CASES[case]
    return {
        family: engine_rate(f"metaworld/ml1-{family}", tasks, per_task, threads, seconds / 4)
        for family in envs.families(name)
    }


def engine_rate(name: str, tasks: int, per_task: int, threads: int, seconds: float) -> float:
    """Env-steps/s of the engine on a distribution."""
    import envs

    distribution = envs.make(name, num_threads=threads, engine="native")
    rng = np.random.default_rng(0)
    with distribution.make(tasks, per_task) as env:
        env.set_tasks(distribution.sample(rng, tasks))
        actions = rng.uniform(-1, 1, (100, tasks, per_task, 4)).astype(np.float32)
        clock = iter(range(10**9))

        def step() -> int:
            t = next(clock)
            if t % env.horizon == 0:
                env.reset(range(tasks))
            env.step(actions[t % 100])
            return tasks * per_task

        return rate(step, seconds)


def mujoco_rollout(case: str, threads: int, size: int, seconds: float) -> float:
    """Physics only: `mujoco.rollout` of the families' models, 5 steps per env step, no observation and no reward. One
    call per env step, as a policy needs it; `size` env steps per call if it is given, which no policy could do."""
    import mujoco
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS
    from mujoco.rollout import Rollout

    import envs
    from envs.metaworld.benchmarks import reset_to, to_metaworld

    name, tasks, per_task = CASES[case]
    rng, length = np.random.default_rng(0), size or 1
    full, spec = mujoco.mjtState.mjSTATE_FULLPHYSICS, mujoco.mjtState.mjSTATE_CTRL | mujoco.mjtState.mjSTATE_MOCAP_POS
    objects: dict[str, Any] = {}
    states: dict[str, list[Any]] = {}
    for task in envs.make(name).sample(rng, tasks):
        env = objects.setdefault(task.family, ALL_V3_ENVIRONMENTS[task.family]())
        env.set_task(to_metaworld(task))
        reset_to(env, task)
        state = np.empty(mujoco.mj_stateSize(env.model, full))
        mujoco.mj_getState(env.model, env.data, state, full)
        states.setdefault(task.family, []).extend([state] * per_task)
    # States of different families differ in size, so each family rolls out as one batch.
    now = {family: np.array(rows) for family, rows in states.items()}
    hands = {family: np.repeat(objects[family].data.mocap_pos, len(rows), 0) for family, rows in now.items()}
    data = {family: [mujoco.MjData(env.model) for _ in range(threads)] for family, env in objects.items()}
    with Rollout(nthread=threads if threads > 1 else 0) as pool:

        def step() -> int:
            for family, env in objects.items():
                action = rng.uniform(-1, 1, (len(now[family]), length, 4))
                path = hands[family][:, None] + 0.01 * action[..., :3].cumsum(1)
                path = path.clip(env.mocap_low, env.mocap_high)
                control = np.concatenate([action[..., 3:], -action[..., 3:], path], -1).repeat(5, 1)
                history, _ = pool.rollout(env.model, data[family], now[family], control, control_spec=int(spec))
                now[family], hands[family] = history[:, -1].copy(), path[:, -1]
            return length * tasks * per_task

        return rate(step, seconds)


def metaworld_loop(case: str, threads: int, size: int, seconds: float) -> float:
    """Meta-World's own env objects in a plain Python loop, one thread."""
    import envs

    name, _, _ = CASES[case]
    distribution = envs.make(name, engine="reference")
    tasks = len(distribution.families)
    rng = np.random.default_rng(0)
    with distribution.make(tasks, 1) as env:
        env.set_tasks(distribution.sample(rng, tasks))
        clock = iter(range(10**9))

        def step() -> int:
            if next(clock) % env.horizon == 0:
                env.reset(range(tasks))
            env.step(rng.uniform(-1, 1, (tasks, 1, 4)).astype(np.float32))
            return tasks

        return rate(step, seconds)


def gymnasium_vector(case: str, threads: int, size: int, seconds: float, strategy: str) -> float:
    """`gymnasium.make_vec` as Meta-World registers it."""
    import gymnasium as gym
    import metaworld  # noqa: F401  (registers)

    import envs

    name, _, _ = CASES[case]
    kind, *families = envs.stock_benchmark(name)
    options: dict[str, Any] = {"meta_batch_size": size, "vector_strategy": strategy, "seed": 1}
    options |= dict(zip(["env_name"], families, strict=False))  # ML1 has a family
    vector = gym.make_vec(f"Meta-World/{kind}-train", **options)
    vector.call("sample_tasks")  # resets fail before
    vector.reset()
    rng = np.random.default_rng(0)

    def step() -> int:
        vector.step(rng.uniform(-1, 1, (vector.num_envs, 4)).astype(np.float32))
        return vector.num_envs

    result = rate(step, seconds)
    vector.close()
    return result


def gymnasium_sync(case: str, threads: int, size: int, seconds: float) -> float:
    """One process."""
    return gymnasium_vector(case, threads, size, seconds, "sync")


def gymnasium_async(case: str, threads: int, size: int, seconds: float) -> float:
    """A process per environment."""
    return gymnasium_vector(case, threads, size, seconds, "async")


def envpool(case: str, threads: int, size: int, seconds: float) -> float:
    """EnvPool's C++ port (draws its own goals); one family only."""
    import envpool

    _, tasks, per_task = CASES[case]
    pool = envpool.make_gymnasium("MetaWorld/PickPlace-v3", num_envs=tasks * per_task, num_threads=threads)
    pool.reset()
    rng = np.random.default_rng(0)
    dtype = pool.action_space.dtype

    def step() -> int:
        pool.step(rng.uniform(-1, 1, (tasks * per_task, 4)).astype(dtype))
        return tasks * per_task

    return rate(step, seconds)


def construction(case: str, threads: int, size: int, seconds: float) -> dict[str, float]:
    """Seconds to make the distribution and its environments and reset all goals once, and resident memory after
    100 steps."""
    import envs

    name, tasks, per_task = CASES[case]
    started = time.perf_counter()
    distribution = envs.make(name, num_threads=threads, engine="native")
    with distribution.make(tasks, per_task) as env:
        goals = distribution.tasks() or []
        for first in range(0, len(goals), tasks):
            env.set_tasks([goals[i % len(goals)] for i in range(first, first + tasks)])
        env.set_tasks(distribution.sample(np.random.default_rng(0), tasks))
        env.reset(range(tasks))
        made = time.perf_counter() - started
        for _ in range(100):
            env.step(np.zeros((tasks, per_task, 4), np.float32))
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"seconds": made, "resident_gb": pages * os.sysconf("SC_PAGE_SIZE") / 1e9, "goals": len(goals)}


CONTENDERS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        engine, families, mujoco_rollout, metaworld_loop, gymnasium_sync, gymnasium_async, envpool, construction
    )
}  # fmt: skip


# -- the parent --------------------------------------------------------------------------------------------------------


def child(python: str, environment: dict[str, str] | None = None, script: str = __file__, **arguments: Any) -> Any:
    """Run a contender in a process of its own: one of `script`, which is given its arguments."""
    command = [python, script, "--child", json.dumps(arguments)]
    # Numerical libraries must not bring threads of their own.
    limits = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **limits, **(environment or {})}, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{arguments}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'died'}")
    return json.loads(done.stdout.splitlines()[-1])


def contenders(case: str, threads: list[int], envpool_python: str | None) -> dict[str, dict[str, Any]]:
    """Label -> what to run, for one case."""
    runs: dict[str, dict[str, Any]] = {}
    for count in threads:
        runs[f"engine, {count} threads"] = {"contender": "engine", "threads": count}
        runs[f"mujoco.rollout (physics only), {count} threads"] = {"contender": "mujoco_rollout", "threads": count}
        runs[f"mujoco.rollout (20 env steps a call), {count} threads"] = {
            "contender": "mujoco_rollout", "threads": count, "size": 20
        }  # fmt: skip
        if case == "pick-place" and envpool_python:
            runs[f"EnvPool, {count} threads"] = {"contender": "envpool", "threads": count, "python": envpool_python}
    runs["Meta-World's own loop"] = {"contender": "metaworld_loop"}
    for size in GYM_SIZES[case]:
        runs[f"gymnasium sync, {size} envs"] = {"contender": "gymnasium_sync", "size": size}
        runs[f"gymnasium async, {size} envs"] = {"contender": "gymnasium_async", "size": size}
    return runs


def measure(case: str, rounds: int, seconds: float, threads: list[int], envpool_python: str | None) -> dict[str, Any]:
    """Medians of all contenders of one case, and for mixtures what single-family batches would predict."""
    import envs

    runs = contenders(case, threads, envpool_python)
    rates: dict[str, list[float]] = {label: [] for label in runs}
    of_mixture = []
    for _ in range(rounds):
        for label, run in runs.items():
            options = {"case": case, "threads": 1, "size": 0, "seconds": seconds} | run
            rates[label].append(child(options.pop("python", sys.executable), **options))
        if len(envs.families(CASES[case][0])) > 1:
            single = child(
                sys.executable, contender="families", case=case, threads=threads[-1], size=0, seconds=seconds
            )
            predicted = len(single) / sum(1 / value for value in single.values())
            of_mixture.append({"families": single, "predicted": predicted})
    medians = {label: statistics.median(values) for label, values in rates.items()}
    result = {"envs": CASES[case][1] * CASES[case][2], "rounds": rates, "medians": medians}
    ours = medians[f"engine, {threads[-1]} threads"]
    # At equal numbers of threads; all of our threads against what has no such number.
    result["ratios"] = {
        label: medians[f"engine, {runs[label].get('threads', threads[-1])} threads"] / value
        for label, value in medians.items()
        if not label.startswith("engine")
    }
    if of_mixture:
        result["single_families"] = of_mixture
        predicted = statistics.median(one["predicted"] for one in of_mixture)
        result["predicted_from_single_families"] = predicted
        result["of_predicted"] = ours / predicted
    return result


def main(arguments: list[str]) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="benchmark.py engine", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--envpool-python", default=sys.executable)
    parser.add_argument("--out", type=Path, default=Path("results/engine"))
    options = parser.parse_args(arguments)
    probe = subprocess.run([options.envpool_python, "-c", "import envpool"], capture_output=True, check=False)
    envpool_python = options.envpool_python if probe.returncode == 0 else None
    threads = sorted({1, CORES})
    record: dict[str, Any] = {"command": " ".join(["scripts/benchmark.py engine", *arguments]), "cores": CORES}
    for case in options.cases:
        record[case] = measure(case, options.rounds, options.seconds, threads, envpool_python)
        with tempfile.TemporaryDirectory() as cache:
            one = {"contender": "construction", "case": case, "threads": CORES, "size": 0, "seconds": 0}
            first, second = (child(sys.executable, {"META_RL_CACHE": cache}, **one) for _ in range(2))
        record[case]["construction"] = {"first": first, "second": second}
        print(table(case, record[case]), flush=True)
    write(record, options.cases, options.out)


def table(case: str, result: dict[str, Any]) -> str:
    """One case in Markdown."""
    lines = [f"## {case}, {result['envs']} envs", "", "| | env-steps/s (median) | engine / this |", "|---|---|---|"]
    for label, value in result["medians"].items():
        ratio = f"{result['ratios'][label]:.2f}" if label in result["ratios"] else ""
        lines.append(f"| {label} | {value:,.0f} | {ratio} |")
    if "of_predicted" in result:
        lines += ["", f"Single-family batches predict {result['predicted_from_single_families']:,.0f} env-steps/s for "
                  f"this mixture; it reaches {result['of_predicted']:.2f} of that."]  # fmt: skip
    first, second = result["construction"]["first"], result["construction"]["second"]
    lines += ["", f"Making the environments and all {first['goals']} goals: {first['seconds']:.1f} s the first time, "
              f"{second['seconds']:.1f} s from the cache; {second['resident_gb']:.2f} GB resident."]  # fmt: skip
    return "\n".join([*lines, ""])


def write(record: dict[str, Any], cases: list[str], out: Path) -> None:
    """JSON, Markdown, plot."""
    from meta_rl.runs.folder import versions

    record["versions"] = versions()
    text = [f"Command: `python {record['command']}` on {record['cores']} cores, random actions.", ""]
    write_measured(out, record, "\n".join(text + [table(case, record[case]) for case in cases]))
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(cases), figsize=(5 * len(cases), 3.4), dpi=80, constrained_layout=True)
    for axis, case in zip(np.atleast_1d(axes), cases, strict=True):
        medians = record[case]["medians"]
        colours = ["C0" if label.startswith("engine") else "0.6" for label in medians]
        axis.barh(list(medians), list(medians.values()), color=colours)
        axis.invert_yaxis()
        axis.tick_params(labelsize=7)
        axis.set(title=f"{case}, {record[case]['envs']} envs", xlabel="env-steps/s")
    figure.savefig(with_ending(out, ".png"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        given = json.loads(sys.argv[2])
        print(json.dumps(CONTENDERS[given.pop("contender")](**given)))
    else:
        main(sys.argv[1:])
