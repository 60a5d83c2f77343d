"""A robot of one's own beside other ways to step it: the arm of docs/your-own-robot.md.

``python scripts/benchmark.py own [--rounds 5] [--seconds 1]``

CPU time per env step, all in turns in one process and with one thread: the engine with the page's rules, goals and
resets; `mujoco.rollout` of the same model, which gives states and nothing else; and the same task as a `gymnasium.Env`
in Python, alone and behind gymnasium's `SyncVectorEnv`. Prints and records the medians in results/own.json and .md.
"""

from __future__ import annotations

import argparse
import importlib
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from measured import write_measured
from mujoco.rollout import Rollout

from meta_rl.runs.folder import versions

PAGE = Path(__file__).parents[1] / "docs" / "your-own-robot.md"
ENVS, HORIZON, SKIP = 64, 60, 5


def unpack(folder: Path) -> Any:
    """The module of the page, with its model beside it."""
    text = PAGE.read_text()
    for kind, name in (("xml", "arm.xml"), ("python", "arm.py")):
        (block, *_) = re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        (folder / name).write_text(block)
    sys.path.insert(0, str(folder))
    return importlib.import_module("arm")


class Reach(gym.Env[Any, Any]):
    """The page's `reach` in Python."""

    def __init__(self, arm: Any) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(arm.MODEL))
        self.data, self.ready = mujoco.MjData(self.model), arm.READY
        self.goal = np.array([0.5, 0.1, 0.1])
        self.low, self.high = self.model.actuator_ctrlrange.T
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (21,), np.float64)
        self.action_space = gym.spaces.Box(self.low.astype(np.float32), self.high.astype(np.float32))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As gymnasium."""
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = self.ready
        self.data.qpos[:7] += self.np_random.uniform(-0.02, 0.02, 7)
        mujoco.mj_forward(self.model, self.data)
        return self._look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As gymnasium."""
        self.data.ctrl[:] = np.clip(action, self.low, self.high)
        mujoco.mj_step(self.model, self.data, SKIP)
        mujoco.mj_kinematics(self.model, self.data)
        distance = float(np.linalg.norm(self.data.site("tip").xpos - self.goal))
        return self._look(), -distance, False, False, {"success": distance < 0.05}

    def _look(self) -> Any:
        return np.concatenate([self.data.qpos[:9], self.data.qvel[:9], self.data.site("tip").xpos])


# -- contenders: each takes a step and yields the number of environments in it ----------------------------------------


def actions(arm: Any, *shape: int) -> Any:
    """Twenty random ones ``[20, *shape, motor]``."""
    high = arm.reach().action_space.high
    return np.random.default_rng(0).uniform(-high, high, (20, *shape, high.size)).astype(np.float32)


def engine(arm: Any) -> Iterator[int]:
    """Ours, new episodes included."""
    distribution = arm.reach()
    distribution.num_threads = 1
    given = actions(arm, 8, 8)
    with distribution.make(8, 8) as env:
        env.set_tasks(distribution.sample(np.random.default_rng(0), 8))
        for t in range(10**9):
            if t % HORIZON == 0:
                env.reset(range(8))
            env.step(given[t % 20])
            yield ENVS


def rollout(arm: Any) -> Iterator[int]:
    """`mujoco.rollout`, an env step per call, as a policy needs it."""
    model = mujoco.MjModel.from_xml_path(str(arm.MODEL))
    data, kind = mujoco.MjData(model), mujoco.mjtState.mjSTATE_FULLPHYSICS
    data.qpos[:] = arm.READY
    state = np.empty(mujoco.mj_stateSize(model, kind))
    mujoco.mj_getState(model, data, state, kind)
    now = first = np.tile(state, (ENVS, 1))
    given = actions(arm, ENVS).astype(np.float64)
    with Rollout(nthread=0) as pool:
        for t in range(10**9):
            if t % HORIZON == 0:
                now = first
            states, _ = pool.rollout(model, [data], now, np.repeat(given[t % 20][:, None], SKIP, 1))
            now = states[:, -1].copy()
            yield ENVS


def python(arm: Any) -> Iterator[int]:
    """One environment in Python."""
    env, given = Reach(arm), actions(arm)
    for t in range(10**9):
        if t % HORIZON == 0:
            env.reset()
        env.step(given[t % 20])
        yield 1


def sync(arm: Any) -> Iterator[int]:
    """The same behind gymnasium's vector environment."""
    vector = gym.vector.SyncVectorEnv([lambda: gym.wrappers.TimeLimit(Reach(arm), HORIZON)] * ENVS)
    vector.reset()
    given = actions(arm, ENVS)
    for t in range(10**9):
        vector.step(given[t % 20])
        yield ENVS


CONTENDERS: dict[str, Callable[[Any], Iterator[int]]] = {
    "engine": engine,
    "mujoco.rollout (states only)": rollout,
    "gymnasium.Env in Python": python,
    "the same in SyncVectorEnv": sync,
}


def main(arguments: list[str]) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="benchmark.py own", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=Path("results/own"))
    options = parser.parse_args(arguments)
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        arm = unpack(Path(folder))
        running = {name: contender(arm) for name, contender in CONTENDERS.items()}
        for steps in running.values():
            next(steps)
        for _ in range(options.rounds):
            for name, steps in running.items():
                started, taken = time.process_time(), 0
                while time.process_time() - started < options.seconds:
                    taken += next(steps)
                times[name].append((time.process_time() - started) / taken * 1e6)
    medians = {name: statistics.median(values) for name, values in times.items()}
    command = " ".join(["scripts/benchmark.py own", *arguments])
    lines = [f"Command: `python {command}`, one thread, CPU time, random actions.", ""]
    lines += ["| | us per env step | this / engine |", "|---|---|---|"]
    lines += [f"| {name} | {value:.1f} | {value / medians['engine']:.2f} |" for name, value in medians.items()]
    print("\n".join(lines))
    record = {"command": command, "microseconds": times, "versions": versions()}
    write_measured(options.out, record, "\n".join([*lines, ""]))
