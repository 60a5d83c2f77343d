"""A trained agent in one environment: time of its actions and of its adaptation.

``python scripts/benchmark.py player [--cases maml-trpo reptile rl2] [--calls 3000]``

Agents of the zoo on Meta-World's own environment, one thread. The player's `act` and `observe`, and a step of the same
policy as ONNX (extra onnx), take turns; medians of wall-clock time, on observations of one episode. `adapt` practises
once, as the protocol of the agent's training run says; the environment's share of it is apart. Prints and records in
results/player.json and .md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import metaworld
import numpy as np
import torch
from measured import write_measured

import meta_rl
from meta_rl.agents.agent import Agent
from meta_rl.handover.formats import POLICY_FORMATS
from meta_rl.handover.graph import graph_of
from meta_rl.runs.folder import versions

ZOO = Path(__file__).parents[1] / "zoo"
# case -> (agent of the zoo, family)
CASES = {
    "maml-trpo": ("maml-trpo_reach", "reach-v3"),
    "reptile": ("reptile_door-open", "door-open-v3"),
    "rl2": ("rl2_push", "push-v3"),
}


class Timed(gym.Wrapper[Any, Any, Any, Any]):
    """Counts the seconds that an environment takes, and its steps."""

    seconds, steps = 0.0, 0

    def reset(self, **given: Any) -> Any:
        """As gymnasium."""
        started = time.perf_counter()
        found = super().reset(**given)
        self.seconds += time.perf_counter() - started
        return found

    def step(self, action: Any) -> Any:
        """As gymnasium."""
        started = time.perf_counter()
        found = super().step(action)
        self.seconds += time.perf_counter() - started
        self.steps += 1
        return found


def open_env(family: str) -> Timed:
    """Meta-World's own environment on its first training task."""
    benchmark = metaworld.ML1(family, seed=0)
    env = benchmark.train_classes[family]()
    env.set_task(benchmark.train_tasks[0])
    return Timed(env)


def measure(case: str, calls: int) -> dict[str, Any]:
    """Microseconds of the verbs, seconds of an adaptation."""
    name, family = CASES[case]
    agent, env = meta_rl.load(ZOO / name), open_env(family)
    player = agent.player()
    started = time.perf_counter()
    player.adapt(env)
    took, in_env, steps = time.perf_counter() - started, env.seconds, env.steps
    observation = player.play(env).observation[0, 0]  # [time, obs]
    times: dict[str, list[int]] = {"act": [], "observe": [], "onnx": []}
    step = onnx_step(agent)
    for t in range(calls):
        seen = observation[t % len(observation)]
        marks = [time.perf_counter_ns()]
        for call in (
            lambda seen=seen: player.act(seen),
            lambda: player.observe(0.5, False),
            lambda seen=seen: step(seen),
        ):
            call()
            marks.append(time.perf_counter_ns())
        for what, spent in zip(times, np.diff(marks).tolist(), strict=True):
            times[what].append(spent)
    return {
        "agent": name,
        "microseconds": {what: statistics.median(values[calls // 10 :]) / 1000 for what, values in times.items()},
        "adapt": {"seconds": took, "seconds_in_env": in_env, "env_steps": steps},
    }


def onnx_step(agent: Agent) -> Any:
    """A function of an observation: one step of the exported policy, which remembers."""
    graph, kind = graph_of(agent), POLICY_FORMATS["onnx"]
    run = kind.run(kind.pack(graph))
    memory = np.array([graph.memory], np.float32)
    reward, done = np.array([0.5], np.float32), np.zeros(1, bool)

    def step(seen: Any) -> Any:
        nonlocal memory
        every = {"observation": seen[None], "reward": reward, "done": done, "memory": memory}
        action, *memories = run({name: every[name] for name in graph.inputs})
        memory = memories[0] if memories else memory
        return action[0]

    return step


def main(arguments: list[str]) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="benchmark.py player", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--out", type=Path, default=Path("results/player"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    record: dict[str, Any] = {"command": " ".join(["scripts/benchmark.py player", *arguments])}
    lines = [
        f"Command: `python {record['command']}`, one thread, wall-clock medians; Meta-World's own environment.",
        "",
        "| agent | act, us | observe, us | both as ONNX, us | adapt, s | of it in the environment | env steps |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in options.cases:
        result = record[case] = measure(case, options.calls)
        act, observe, onnx = (result["microseconds"][name] for name in ("act", "observe", "onnx"))
        adapt = result["adapt"]
        lines.append(f"| {result['agent']} | {act:.0f} | {observe:.0f} | {onnx:.0f} | {adapt['seconds']:.1f} | "
                     f"{adapt['seconds_in_env']:.1f} | {adapt['env_steps']:,} |")  # fmt: skip
        print(lines[-1], flush=True)
    record["versions"] = versions()
    write_measured(options.out, record, "\n".join([*lines, ""]))
