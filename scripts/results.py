"""The learning runs behind the figures in results/: train every group over several seeds, then compare.

``python scripts/results.py NAME [--seeds N] [--first-seed N] [--jobs N] [--only RECIPE ...] [--budget-scale X]``;
interrupted, it goes on where it was when started again. ``--table`` only joins what is evaluated so far. With
``--budget-scale 0.01`` every run has a hundredth of its budget, and the table another name.
"""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from jobs import BATCHES, SMALL_BATCHES, Job, check, finished, iterations_within, parser, run_all, seeds_of

MILLION = 1_000_000


@dataclass(frozen=True)
class Experiment:
    """A table of results/.

    Attributes:
        seeds: runs of each recipe.
        rows: recipe -> its budget in env steps, and its options. Untrained runs are made as the first one.
        begins: recipe -> the row whose runs it begins with, and which spends a part of its budget.
    """

    env: str
    seeds: int
    rows: dict[str, tuple[int, list[str]]]
    begins: dict[str, str] = field(default_factory=dict)

    def iterations(self, recipe: str, scale: float = 1.0) -> int:
        """Iterations that the budget of `recipe` allows."""
        budget, options = self.rows[recipe]
        spent = self.rows[self.begins[recipe]][0] if recipe in self.begins else 0
        return iterations_within(scale * (budget - spent), recipe, ["--env", self.env, *options])


NAVIGATION = dict.fromkeys(("maml-trpo", "multitask-trpo"), 6_400_000)
OTHERS = ("fomaml-trpo", "maml-dice-trpo", "metasgd-trpo", "maml-ppo", "maml-vpg", "promp", "reptile")
ALL = dict.fromkeys(("maml-trpo", *OTHERS), 6_400_000)
ALL |= {"rl2": 3_200_000, "multitask-trpo": 6_400_000, "multitask-ppo": 6_400_000}
EXPERIMENTS = {
    name: Experiment("navigation", 5, {recipe: (budget, []) for recipe, budget in budgets.items()})
    for name, budgets in (("navigation", NAVIGATION), ("navigation-all", ALL))
}
# In millions of env steps.
for family, (maml, reptile, rl2) in {
    "reach": (1, 2.03, 1),
    "push": (20, 20, 5),
    "door-open": (2, 2.03, 2),
    "pick-place": (20, 20, 10),
}.items():
    multitask = min(maml, 2)  # as far as one policy for all goals gets by then
    budgets = {"maml-trpo": maml, "reptile": reptile, "rl2": rl2}
    budgets |= {"multitask-trpo": multitask, "multitask-ppo": multitask, "random": 0}
    EXPERIMENTS[family] = Experiment(
        f"metaworld/ml1-{family}-v3",
        3,
        {recipe: (int(n * MILLION), BATCHES.get(recipe, SMALL_BATCHES)) for recipe, n in budgets.items()},
    )
    if maml > multitask:  # begin with one policy for all goals, and go on with steps that do not destroy it
        EXPERIMENTS[family].begins["maml-trpo"] = "multitask-trpo"
        EXPERIMENTS[family].rows["maml-trpo"] = (maml * MILLION, [*SMALL_BATCHES, "--inner-lr", "0.03"])
        sooner = ["--init-std", "0.7", "--gae-lambda", "0.99"]
        EXPERIMENTS[family].rows["multitask-trpo"] = (multitask * MILLION, [*SMALL_BATCHES, *sooner])
# An expert shows what is to be done; RL2 goes on from there. In millions of env steps.
for family, (dagger, rl2) in {"push": (0.9, 1), "pick-place": (1, 0), "door-open": (0.3, 0)}.items():
    EXPERIMENTS[f"dagger-{family}"] = Experiment(
        f"metaworld/ml1-{family}-v3",
        1,
        {"dagger": (int(dagger * MILLION), [])} | ({"rl2": (int((dagger + rl2) * MILLION), [])} if rl2 else {}),
        {"rl2": "dagger"} if rl2 else {},
    )
STOCK = ["--stock-goals", "10"]
EXPERIMENTS["ml10"] = Experiment("metaworld/ml10", 1, dict.fromkeys(("maml-trpo", "rl2"), (20 * MILLION, STOCK)))
BONUS = ["--success-bonus", "10"]
for name, bonus in {"push": BONUS, "pick-place": BONUS, "ml10": []}.items():
    budget, options = EXPERIMENTS[name].rows["rl2"]
    EXPERIMENTS[name].rows["rl2"] = (budget, [*options, "--final-learning-rate", "0.1", *bonus])  # over its iterations
# A gradient step wants 20 episodes of its task; there are but two directions to run in, so that more than two tasks of
# each add little. RL2: 100 trials of two episodes, as in its preset; speeds are learned faster with ten minibatches and
# a shorter view of the future.
for name, tasks, budget, finer in (
    ("cheetah-dir@maml2017", "4", 9_600_000, []),
    ("cheetah-vel@promp", "10", 6_400_000, ["--minibatches", "10", "--gae-lambda", "0.95"]),
):
    two_steps = ["--adaptation-steps", "2"]
    twenties = [*two_steps, "--meta-batch-size", tasks, "--episodes-per-task", "20"]
    EXPERIMENTS[name.partition("@")[0]] = Experiment(
        name,
        3,
        {
            "maml-trpo": (budget, twenties),
            "rl2": (budget, [*two_steps, *finer]),
            "multitask-trpo": (budget, twenties),
            "random": (0, twenties),
        },
    )
# VariBAD beside RL2 with the settings of its paper's code, for about twenty minutes of a core each.
STEPS, FOURS = ["--adaptation-steps", "2"], ["--meta-batch-size", "4", "--episodes-per-task", "20"]
EXPERIMENTS["cheetah-dir-varibad"] = Experiment(
    "cheetah-dir@varibad",
    1,
    dict.fromkeys(("varibad", "rl2"), (3_840_000, STEPS)) | {"multitask-ppo": (3_840_000, [*STEPS, *FOURS])},
)


def make_jobs(experiment: Experiment, folder: Path, first: int, seeds: int, scale: float) -> list[Job]:
    """All runs of an experiment that are wanted or begun in `folder`, seed after seed."""
    main = next(iter(experiment.rows))
    jobs = []
    for row in (*experiment.rows, "untrained"):
        recipe = main if row == "untrained" else row
        iterations = 0 if row == "untrained" else experiment.iterations(recipe, scale)
        options = ["--env", experiment.env, *experiment.rows[recipe][1], "--device", "cpu", "--test-tasks", "0"]
        before = experiment.begins.get(row)
        for seed in seeds_of(folder, row, range(first, first + seeds)):
            start = ["--start-from", str(folder / f"{before}_s{seed}")] if before else []
            jobs.append(Job(recipe, [*options, *start], iterations, seed, folder / f"{row}_s{seed}"))
    return sorted(jobs, key=lambda job: job.seed)


def main(arguments: list[str]) -> None:
    """Train, evaluate and compare one experiment."""
    made = parser(__doc__, list(EXPERIMENTS), None)
    made.add_argument("--budget-scale", type=float, default=1.0, help="part of the budget, to try things out")
    options = made.parse_args(arguments)
    experiment, scale = EXPERIMENTS[options.name], options.budget_scale
    rows = [*experiment.rows, "untrained"]
    check(made, options, rows)
    if not scale > 0:
        made.error(f"--budget-scale: must be above 0, got {scale:g}")
    name = options.name if scale == 1 else f"{options.name}-scale{scale:g}".replace(".", "_")
    seeds = range(options.first_seed, options.first_seed + (options.seeds or experiment.seeds))
    jobs = make_jobs(experiment, Path("runs/results") / name, seeds.start, len(seeds), scale)
    wanted = {f"{row}_s{seed}" for row in options.only or rows for seed in seeds}
    todo = [] if options.table else [job for job in jobs if job.path.name in wanted]
    failed = run_all([job for job in todo if job.recipe not in experiment.begins], options.jobs)
    failed += run_all([job for job in todo if job.recipe in experiment.begins], options.jobs)
    command = [sys.executable, "-m", "meta_rl.cli", "compare", *(str(job.path) for job in finished(jobs))]
    subprocess.run([*command, "--out", f"results/{name}"], check=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
