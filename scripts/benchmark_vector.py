"""Speed of our vector envs beside Meta-World's own of the same names: MT10, MT50, ML10.

``python scripts/benchmark.py vector [--cases MT10 MT50] [--rounds 5] [--seconds 3]``

All take the same arguments (environments, seed, one-hot codes) and random actions; each contender runs in a process of
its own, and rounds interleave them. Prints medians of env-steps/s, and writes them to
results/vector.json and .md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from measured import CORES, write_measured

sys.path.insert(0, str(Path(__file__).parent))  # as a process of its own

from benchmark_engine import child, rate

CASES: dict[str, dict[str, Any]] = {
    "MT10": {"use_one_hot": True},
    "MT50": {"use_one_hot": True},
    "ML10-train": {"meta_batch_size": 20},
}
"""Vector env -> its arguments."""
CONTENDERS = {
    "ours": {"namespace": "meta-rl", "vector_strategy": "sync"},
    "Meta-World's, sync": {"namespace": "Meta-World", "vector_strategy": "sync"},
    "Meta-World's, async": {"namespace": "Meta-World", "vector_strategy": "async"},
}


def measure(case: str, namespace: str, vector_strategy: str, seconds: float) -> float:
    """Env-steps/s of `gymnasium.make_vec`, with the ends of its episodes."""
    import gymnasium as gym
    import metaworld  # noqa: F401  (registers)

    import envs  # noqa: F401  (registers)

    vector = gym.make_vec(f"{namespace}/{case}", seed=1, vector_strategy=vector_strategy, **CASES[case])
    if case.startswith("ML"):
        vector.call("toggle_sample_tasks_on_reset", True)
    vector.reset()
    actions = np.random.default_rng(0).uniform(-1, 1, (100, vector.num_envs, 4)).astype(np.float32)
    clock = iter(range(10**9))

    def step() -> int:
        vector.step(actions[next(clock) % 100])
        return int(vector.num_envs)

    found = rate(step, seconds)
    vector.close()
    return found


def main(arguments: list[str]) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="benchmark.py vector", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--out", type=Path, default=Path("results/vector"))
    options = parser.parse_args(arguments)
    command = " ".join(["python scripts/benchmark.py vector", *arguments])
    record: dict[str, Any] = {"command": command, "cores": CORES, "cases": {}}
    for case in options.cases:
        rounds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        for _ in range(options.rounds):
            for name, contender in CONTENDERS.items():
                one = {"case": case, "seconds": options.seconds, **contender}
                rounds[name].append(child(sys.executable, script=__file__, **one))
        medians = {name: statistics.median(values) for name, values in rounds.items()}
        record["cases"][case] = {"rounds": rounds, "medians": medians}
    from meta_rl.runs.folder import versions

    record["versions"] = versions()
    text = table(record)
    write_measured(options.out, record, text)
    print(text, end="")


def table(record: dict[str, Any]) -> str:
    """All cases in Markdown."""
    heads = " | ".join(CONTENDERS)
    lines = [
        f"Command: `{record['command']}` on {record['cores']} cores, random actions; medians of env-steps/s.",
        "",
        f"| | {heads} | ours / the better of theirs |",
        "|---" * (len(CONTENDERS) + 2) + "|",
    ]
    for case, found in record["cases"].items():
        ours, *theirs = (found["medians"][name] for name in CONTENDERS)
        cells = " | ".join(f"{value:,.0f}" for value in (ours, *theirs))
        lines.append(f"| {case} | {cells} | {ours / max(theirs):.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    print(json.dumps(measure(**given)))
