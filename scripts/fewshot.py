"""The few-shot results: train every learner over seeds, evaluate on shared episodes, write results/fewshot_NAME.*

``python scripts/fewshot.py NAME [--seeds 3] [--jobs 2] [--only RECIPE ...] [--device cuda]``, NAME one of the rows
below; interrupted, it goes on where it was when started again. With --only, rows join the table that is there.
``python scripts/fewshot.py one-shot RUN ... --out FILE``: Lake's within-alphabet runs for models trained on a
background set. ``python scripts/fewshot.py sinusoid-fits RUN ... --out FILE``: the curves that sinusoid learners draw.
Omniglot lies in $META_RL_DATA or ../shared/data.
"""

import argparse
import json
import shlex
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from jobs import Job, run_all

from meta_rl.core.files import with_ending

METRIC = {"prototypical": 2000, "matching": 4000, "matching-fce": 4000, "siamese": 2000, "siamese-koch": 2000}
FEW_WAYS = {"maml": 12000, "fomaml": 6000, "reptile-supervised": 20000, "meta-lstm": 4000, **METRIC}
MORE_SHOTS = FEW_WAYS | {"maml": 4000, "fomaml": 3000, "reptile-supervised": 10000, "meta-lstm": 1000}
MANY_WAYS = FEW_WAYS | {"maml": 1000, "fomaml": 2500, "reptile-supervised": 2000, "meta-lstm": 1000}
REGRESSION = {"maml": 70000, "reptile-supervised": 30000, "pretrained": 70000}
RATINGS = {"maml": 5000, "reptile-supervised": 5000, "pretrained": 5000}
# name -> recipe -> iterations
EXPERIMENTS = {"omniglot-5way-1shot": FEW_WAYS, "omniglot-5way-5shot": MORE_SHOTS, "omniglot-20way-1shot": MANY_WAYS}
ONE_SHOT = METRIC | {"siamese-koch": 8000, "maml": 2000}
EXPERIMENTS |= {f"omniglot-{part}-20way-1shot": ONE_SHOT for part in ("background", "small1", "small2")}
EXPERIMENTS |= {f"sinusoid-{shots}shot": REGRESSION for shots in (5, 10)}
EXPERIMENTS |= {f"synthetic-ratings-{shots}shot": RATINGS for shots in (1, 5, 10)}


LONG = ["--shown-steps", "0", "1"]
"""25 or 100 queries, each alone beside the whole support: a point of the curve takes minutes."""
MORE_UPDATES = ["--meta-batch-size", "8"]
"""Published: 16; with so few iterations more updates learn more."""
OPTIONS = [
    ("*", "omniglot-5way-5shot", LONG),
    ("*", "omniglot-20way-1shot", LONG),
    ("maml", "omniglot-20way-1shot", MORE_UPDATES),
    ("fomaml", "omniglot-20way-1shot", MORE_UPDATES),
]
"""(recipes, tasks, options that their runs have), patterns as in the shell."""


def make_job(env: str, recipe: str, iterations: int, seed: int, device: str) -> Job:
    """One training run with its evaluation."""
    options = ["--env", env, "--device", device]
    for recipes, tasks, more in OPTIONS:
        if fnmatchcase(recipe, recipes) and fnmatchcase(env, tasks):
            options += more
    path = Path("runs/fewshot") / env / f"{recipe}_s{seed}"
    return Job(recipe, options, iterations, seed, path, f"fewshot_{env}")


def main() -> None:
    """Train, evaluate and compare one experiment, or the one-shot runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*EXPERIMENTS, "one-shot", "sinusoid-fits"])
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    out = options.out or Path(f"results/fewshot_{options.name}")
    if options.name == "one-shot":
        from meta_rl import load
        from meta_rl.studies.one_shot import error_table, one_shot_error

        found = [one_shot_error(load(run)) for run in options.runs]
        with_ending(out, ".json").write_text(json.dumps(found, indent=1) + "\n")
        command = shlex.join(["python", "scripts/fewshot.py", *sys.argv[1:]])
        with_ending(out, ".md").write_text(f"{error_table(found)}\n\nCommand: `{command}`\n")
        print(error_table(found))
        return
    if options.name == "sinusoid-fits":
        from meta_rl import load
        from meta_rl.studies.sinusoid_fits import plot_fits

        plot_fits([load(run) for run in options.runs], 3, with_ending(out, ".png"))
        return
    rows = {r: n for r, n in EXPERIMENTS[options.name].items() if not options.only or r in options.only}
    seeds = range(options.seeds)
    jobs = [make_job(options.name, recipe, n, seed, options.device) for seed in seeds for recipe, n in rows.items()]
    if run_all(jobs, options.jobs):
        sys.exit(1)
    standing = with_ending(out, ".json")
    earlier = [str(standing)] if options.only and standing.exists() else []
    paths = [str(job.path) for job in jobs]
    command = [sys.executable, "-m", "meta_rl.cli", "compare", *paths, *earlier, "--out", str(out)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
