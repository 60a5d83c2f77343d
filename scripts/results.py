"""The learning runs behind the figures in results/: train every group over several seeds, then compare.

``python scripts/results.py NAME [JOBS] [SEEDS]``; interrupted, it goes on where it was when started again.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Equal training budgets in env steps: an iteration of multi-task training has one rollout stage, MAML's two, Reptile's
# four.
NAVIGATION = ["--env", "navigation"]
MAML_NAVIGATION = [*NAVIGATION, "80"]
EXPERIMENTS: dict[str, tuple[int, dict[str, list[str]]]] = {
    "navigation": (5, {"maml-trpo": MAML_NAVIGATION, "multitask-trpo": [*NAVIGATION, "160"]}),
    "navigation-all": (
        5,
        {
            "maml-trpo": MAML_NAVIGATION,
            "fomaml-trpo": MAML_NAVIGATION,
            "maml-dice-trpo": MAML_NAVIGATION,
            "metasgd-trpo": MAML_NAVIGATION,
            "maml-ppo": MAML_NAVIGATION,
            "maml-vpg": MAML_NAVIGATION,
            "promp": MAML_NAVIGATION,
            "reptile": [*NAVIGATION, "40"],
            "rl2": [*NAVIGATION, "200"],
            "multitask-trpo": [*NAVIGATION, "160"],
            "multitask-ppo": [*NAVIGATION, "160"],
        },
    ),
}
# The published single minibatch takes ten gradient steps per iteration, few for a budget this small.
FINER = ["--minibatches", "5"]
for family, seeds in (("reach", 3), ("push", 1), ("door-open", 1)):
    options = ["--env", f"metaworld/ml1-{family}-v3", "--meta-batch-size", "10"]
    five = [*options, "--episodes-per-task", "5"]
    EXPERIMENTS[family] = (
        seeds,
        {
            "maml-trpo": [*five, "40"],
            "reptile": [*five, "20"],
            "rl2": [*options, *FINER, "40"],  # trials of ten episodes
            "multitask-trpo": [*five, "80"],
            "multitask-ppo": [*five, "80"],
            "random": [*five, "0"],
        },
    )
EXPERIMENTS["ml10"] = (
    1,
    {
        "maml-trpo": ["--env", "metaworld/ml10", "--stock-goals", "10", "50"],
        "rl2": ["--env", "metaworld/ml10", "--stock-goals", "10", *FINER, "100"],
    },
)
# 9.6 and 6.4 million env steps each. A gradient step wants 20 episodes of its task; there are but two directions to run
# in, so that more than two tasks of each add little. RL2: 100 trials of two episodes, as in its preset; speeds are
# learned faster with ten minibatches and a shorter view of the future.
for name, tasks, iterations, finer in (
    ("cheetah-dir@maml2017", "4", (300, 240, 600), []),
    ("cheetah-vel@promp", "10", (160, 320, 320), ["--minibatches", "10", "--gae-lambda", "0.95"]),
):
    maml, rl2, multitask = map(str, iterations)
    preset_options = ["--env", name, "--adaptation-steps", "2"]
    twenties = [*preset_options, "--meta-batch-size", tasks, "--episodes-per-task", "20"]
    EXPERIMENTS[name.partition("@")[0]] = (
        3,
        {
            "maml-trpo": [*twenties, maml],
            "rl2": [*preset_options, *finer, rl2],
            "multitask-trpo": [*twenties, multitask],
            "random": [*twenties, "0"],
        },
    )
JOBS = 2


def run(job: tuple[str, int, list[str], str, Path]) -> None:
    """One training run with its evaluation, on one core; what is there already is not done again."""
    recipe, seed, options, iterations, path = job
    command = [sys.executable, "-m", "meta_rl.cli", "train", recipe, *options, "--iterations", iterations]
    command += ["--seed", str(seed), "--run-dir", str(path), "--device", "cpu", "--test-tasks", "0"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".log"), "a") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})


def main() -> None:
    """Train, evaluate and compare one experiment."""
    name, jobs_at_once, first_seeds = (*sys.argv[1:], "", "", "")[:3]
    if name not in EXPERIMENTS:
        sys.exit(f"usage: results.py {'|'.join(EXPERIMENTS)} [JOBS] [SEEDS]")
    seeds, groups = EXPERIMENTS[name]
    folder = Path("runs/results") / name
    jobs = []
    for seed in range(int(first_seeds or seeds)):
        for recipe, (*options, iterations) in groups.items():
            jobs.append((recipe, seed, options, iterations, folder / f"{recipe}_s{seed}"))
        recipe, (*options, _) = next(iter(groups.items()))
        jobs.append((recipe, seed, options, "0", folder / f"untrained_s{seed}"))
    with ThreadPoolExecutor(int(jobs_at_once or JOBS)) as pool:
        list(pool.map(run, jobs))
    command = [sys.executable, "-m", "meta_rl.cli", "compare", *(str(job[-1]) for job in jobs)]
    subprocess.run([*command, "--out", f"results/{name}"], check=True)


if __name__ == "__main__":
    main()
