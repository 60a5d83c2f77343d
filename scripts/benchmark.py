"""Speed of one training iteration on this machine, split into its parts: ``python scripts/benchmark.py [ENV ...]``.

Prints medians over a few iterations and writes them to results/benchmark.json.
"""

import json
import statistics
import sys
from pathlib import Path

import torch

import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.config import default_config, replace_paths
from meta_rl.sources.in_process import InProcess
from meta_rl.train import select_device, train_iteration, versions

ITERATIONS = 3
SIZES = {"meta_batch_size": 10, "episodes_per_task": 5}


def measure(env: str) -> dict[str, float]:
    """Median seconds of sampling and of the meta-update, and end-to-end env-steps/s, of maml-trpo on `env`."""
    config = replace_paths(default_config("maml-trpo", env), SIZES)
    distribution = envs.make(env)
    learner = make_learner(config, distribution)
    state = learner.init()
    source = InProcess(distribution, learner, config.meta_batch_size, config.episodes_per_task, config.seed)
    device = select_device("auto")
    timings = [train_iteration(state, source, learner, device)[1] for _ in range(ITERATIONS + 1)][1:]
    source.close()
    return {name: statistics.median(t[name] for t in timings) for name in timings[0] if name.startswith("time/")} | {
        "env_steps_per_iteration": state.env_steps / state.iteration
    }


def main() -> None:
    """Measure and record."""
    names = sys.argv[1:] or ["navigation", "metaworld/ml1-reach-v3"]
    results = {}
    for name in names:
        results[name] = measure(name)
        print(name, {key: round(value, 3) for key, value in results[name].items()})
    out = Path("results/benchmark.json")
    out.parent.mkdir(exist_ok=True)
    record = {"command": " ".join(sys.argv), "threads": torch.get_num_threads(), **SIZES, "versions": versions()}
    out.write_text(json.dumps(record | {"medians": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
