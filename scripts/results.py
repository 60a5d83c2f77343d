"""The learning runs behind the figures in results/: train every group over several seeds, then compare.

``python scripts/results.py NAME [--seeds N] [--first-seed N] [--jobs N] [--only RECIPE ...] [--budget-scale X]``;
interrupted, it goes on where it was when started again. What the table needs of every run is kept in results/runs/NAME,
so that it grows from machine to machine. ``--table`` only joins what is evaluated so far; ``--check`` plays the agents
of its rows again, from their run directories or the zoo, and says whether they give the numbers that are kept.
``python scripts/results_page.py`` then shows the tables in README.md and docs/results.md. With ``--budget-scale 0.01``
every run has a hundredth of its budget, and the table another name.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import EXPERIMENTS, Experiment
from jobs import Job, check, finished, parser, run_all, seeds_of
from kept import Check, agent_of, check_again


def make_jobs(experiment: Experiment, name: str, wanted: range, scale: float) -> list[Job]:
    """All runs of the table `name` that are wanted, begun or kept, seed after seed."""
    folder = Path("runs/results") / name
    main = next(iter(experiment.rows))
    jobs = []
    for row in (*experiment.rows, "untrained"):
        made_as = main if row == "untrained" else row
        iterations = 0 if row == "untrained" else experiment.iterations(made_as, scale)
        options = [*experiment.options(made_as), "--device", "cpu", "--test-tasks", "0"]
        before = "" if row == "untrained" else experiment.rows[row].begins
        for seed in seeds_of(folder, name, row, wanted):
            start = ["--start-from", str(folder / f"{before}_s{seed}")] if before else []
            recipe, path = experiment.recipe(made_as), folder / f"{row}_s{seed}"
            jobs.append(Job(recipe, [*options, *start], iterations, seed, path, name))
    return sorted(jobs, key=lambda job: job.seed)


def check_rows(jobs: Sequence[Job]) -> int:
    """Play the agents of the kept runs again; 1 if one does not give its numbers, or if none is kept."""
    from meta_rl.evaluation.record import evaluated

    kept = [job for job in jobs if (job.kept / "evaluation.json").exists()]
    good = bool(kept)
    for job, run in zip(kept, evaluated([job.kept for job in kept], "are checked"), strict=True):
        agent = agent_of(run, job.path)
        result = (
            check_again(run, agent) if agent else f"{job.path.name}: its agent is neither in {job.path} nor in zoo/"
        )
        print(result, flush=True)
        good &= not isinstance(result, Check) or result.fits
    return int(not good)


def main(arguments: list[str]) -> None:
    """Train, evaluate and compare one experiment."""
    made = parser(__doc__, list(EXPERIMENTS), None)
    made.add_argument("--check", action="store_true", help="train nothing: play the agents of the kept rows again")
    made.add_argument("--budget-scale", type=float, default=1.0, help="part of the budget, to try things out")
    options = made.parse_args(arguments)
    experiment, scale = EXPERIMENTS[options.name], options.budget_scale
    rows = [*experiment.rows, "untrained"]
    check(made, options, rows)
    if not scale > 0:
        made.error(f"--budget-scale: must be above 0, got {scale:g}")
    name = options.name if scale == 1 else f"{options.name}-scale{scale:g}".replace(".", "_")
    seeds = range(options.first_seed, options.first_seed + (options.seeds or experiment.seeds))
    jobs = make_jobs(experiment, name, seeds, scale)
    if options.check:
        sys.exit(check_rows([job for job in jobs if job.row in (options.only or rows)]))
    wanted = {f"{row}_s{seed}" for row in options.only or rows for seed in seeds}
    todo = [] if options.table else [job for job in jobs if job.path.name in wanted]
    later = [job for job in todo if job.row in experiment.rows and experiment.rows[job.row].begins]
    failed = run_all([job for job in todo if job not in later], options.jobs) + run_all(later, options.jobs)
    earlier = Path(f"results/{name}.json")  # has rows whose runs were not kept
    joined = [*(str(job.kept) for job in finished(jobs)), *([str(earlier)] if earlier.exists() else [])]
    command = [sys.executable, "-m", "meta_rl.cli", "compare", *joined, "--out", f"results/{name}"]
    subprocess.run(command, check=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
