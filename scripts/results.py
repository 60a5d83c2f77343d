"""The learning runs behind the figures in results/: train every group over several seeds, then compare.

``python scripts/results.py navigation`` or ``reach``; interrupted, it goes on where it was when started again.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Equal training budgets in env steps: an iteration of multi-task training has one rollout stage, MAML's has two.
REACH = ["--env", "metaworld/ml1-reach-v3", "--meta-batch-size", "10", "--episodes-per-task", "5"]
NAVIGATION = ["--env", "navigation"]
EXPERIMENTS = {
    "navigation": (5, {"maml-trpo": [*NAVIGATION, "80"], "multitask-trpo": [*NAVIGATION, "160"]}),
    "reach": (3, {"maml-trpo": [*REACH, "40"], "multitask-trpo": [*REACH, "80"]}),
}
JOBS = 2


def run(job: tuple[str, int, list[str], str, Path]) -> None:
    """One training run with its evaluation, on one core."""
    recipe, seed, options, iterations, path = job
    command = [sys.executable, "-m", "meta_rl.cli", "train", recipe, *options, "--iterations", iterations]
    command += ["--seed", str(seed), "--run-dir", str(path), "--device", "cpu", "--test-tasks", "0"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".log"), "a") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})


def main() -> None:
    """Train, evaluate and compare one experiment."""
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in EXPERIMENTS:
        sys.exit(f"usage: results.py {'|'.join(EXPERIMENTS)}")
    seeds, groups = EXPERIMENTS[name]
    folder = Path("runs/results") / name
    jobs = []
    for seed in range(seeds):
        for recipe, (*options, iterations) in groups.items():
            jobs.append((recipe, seed, options, iterations, folder / f"{recipe}_s{seed}"))
        recipe, (*options, _) = next(iter(groups.items()))
        jobs.append((recipe, seed, options, "0", folder / f"untrained_s{seed}"))
    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(run, jobs))
    command = [sys.executable, "-m", "meta_rl.cli", "compare", *(str(job[-1]) for job in jobs)]
    subprocess.run([*command, "--out", f"results/{name}"], check=True)


if __name__ == "__main__":
    main()
