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
from dataclasses import dataclass, field
from pathlib import Path

from jobs import BATCHES, SMALL_BATCHES, Job, check, finished, iterations_within, parser, run_all, seeds_of
from kept import Check, agent_of, check_again

MILLION = 1_000_000


@dataclass(frozen=True)
class Experiment:
    """A table of results/.

    Attributes:
        seeds: runs of each row.
        rows: row -> its budget in env steps, and its options. Untrained runs are made as the first one.
        begins: row -> the row whose runs it begins with, and which spends a part of its budget.
        recipes: row -> its recipe, of rows that are not called by it: those of one recipe with other options.
    """

    env: str
    seeds: int
    rows: dict[str, tuple[int, list[str]]]
    begins: dict[str, str] = field(default_factory=dict)
    recipes: dict[str, str] = field(default_factory=dict)

    def recipe(self, row: str) -> str:
        """The recipe of a row."""
        return self.recipes.get(row, row)

    def iterations(self, row: str, scale: float = 1.0) -> int:
        """Iterations that the budget of `row` allows."""
        budget, options = self.rows[row]
        spent = self.rows[self.begins[row]][0] if row in self.begins else 0
        return iterations_within(scale * (budget - spent), self.recipe(row), ["--env", self.env, *options])


NAVIGATION = dict.fromkeys(("maml-trpo", "multitask-trpo"), 6_400_000)
OTHERS = ("fomaml-trpo", "maml-dice-trpo", "metasgd-trpo", "maml-ppo", "maml-vpg", "promp", "reptile")
ALL = dict.fromkeys(("maml-trpo", *OTHERS), 6_400_000)
ALL |= {"rl2": 3_200_000, "rl2-sac": 800_000, "varibad": 3_200_000}
ALL |= dict.fromkeys(("multitask-trpo", "multitask-ppo"), 6_400_000)
EXPERIMENTS = {
    name: Experiment("navigation", 5, {recipe: (budget, []) for recipe, budget in budgets.items()})
    for name, budgets in (("navigation", NAVIGATION), ("navigation-all", ALL))
}
# In millions of env steps.
for family, (maml, reptile, rl2) in {
    "reach": (1, 2.03, 1),
    "push": (20, 5, 5),
    "door-open": (2, 2.03, 2),
    "pick-place": (20, 10, 10),
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
        EXPERIMENTS[family].begins.update({"maml-trpo": "multitask-trpo", "reptile": "multitask-ppo"})
        EXPERIMENTS[family].rows["maml-trpo"] = (maml * MILLION, [*SMALL_BATCHES, "--inner-lr", "0.03"])
        sooner = ["--init-std", "0.7", "--gae-lambda", "0.99"]
        EXPERIMENTS[family].rows["multitask-trpo"] = (multitask * MILLION, [*SMALL_BATCHES, *sooner])
# What Reptile's inner learner makes of the policy that Reptile begins with: whether it is Reptile that taught to adapt.
push = EXPERIMENTS["push"]
push.rows["as-it-came"], push.recipes["as-it-came"] = (push.rows["multitask-ppo"][0], SMALL_BATCHES), "reptile"
push.begins["as-it-came"] = "multitask-ppo"
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
# Adam on minibatches in the place of a trust region, smaller steps in the end, a step size of its own for every
# parameter, practice by a wide deviation and a short view of the future, from what PPO made of all goals at once.
LEARNED_STEPS = ["--learn-inner-lr", "True", "--final-meta-lr", "0.1"]
WIDE_PRACTICE = ["--meta-batch-size", "10", "--episodes-per-task", "10", "--gae-lambda", "0.95", "--min-std", "0.5"]
ADAPTING = [*WIDE_PRACTICE, *LEARNED_STEPS]
EXPERIMENTS["reach"].rows["maml-ppo"] = (MILLION, [*SMALL_BATCHES, *LEARNED_STEPS])
for name in ("push", "pick-place"):
    EXPERIMENTS[name].rows["maml-ppo"] = (20 * MILLION, ADAPTING)
    EXPERIMENTS[name].begins["maml-ppo"] = "multitask-ppo"
ml10 = EXPERIMENTS["ml10"]
ml10.rows["multitask-ppo"] = (4 * MILLION, [*SMALL_BATCHES, *STOCK])
ml10.rows["maml-ppo"], ml10.begins["maml-ppo"] = (20 * MILLION, [*ADAPTING, *STOCK]), "multitask-ppo"
# One policy that is told family and goal, judged on its training tasks, as Meta-World does.
EXPERIMENTS["mt10"] = Experiment(
    "metaworld/mt10", 1, dict.fromkeys(("multitask-ppo", "multitask-trpo"), (20 * MILLION, SMALL_BATCHES))
)
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
# PEARL takes few env steps and many gradient steps. With the paper's networks and batches, which want a GPU, they would
# take days on a core.
SMALL_STEPS = ["--hidden", "128", "128", "--encoder-hidden", "128", "128", "--update-tasks", "8", "--batch-size", "64"]
EXPERIMENTS["cheetah-vel-pearl"] = Experiment(
    "cheetah-vel@pearl",
    3,
    {
        "pearl": (MILLION, ["--adaptation-steps", "2", *SMALL_STEPS, "--update-steps", "1000"]),
        "rl2": (6_400_000, ["--adaptation-steps", "2", "--minibatches", "10", "--gae-lambda", "0.95"]),
        "maml-trpo": (6_400_000, ["--adaptation-steps", "2", "--meta-batch-size", "10", "--episodes-per-task", "20"]),
    },
)

# Tasks that differ in their dynamics: learners that adapt, between one policy for all tasks that does not see them
# (randomisation) and one that does (the oracle); scripts/dynamics_table.py says how much of that gap each closes.
ORACLE = ["--task-visible", "True"]
for name, env, budget, (rma, rl2, maml, multitask) in (
    (
        "adapt-hopper",
        "hopper-params@promp",
        1_500_000,
        (
            [],
            ["--meta-batch-size", "50", "--minibatches", "10", "--gae-lambda", "0.95"],
            ["--meta-batch-size", "10", "--episodes-per-task", "10", "--adaptation-steps", "2"],
            ["--meta-batch-size", "10", "--episodes-per-task", "10", "--normalise-observations", "True"],
        ),
    ),
    ("adapt-push", "metaworld/ml1-push-v3+dynamics", 3 * MILLION, (BONUS, BONUS, SMALL_BATCHES, SMALL_BATCHES)),
):
    EXPERIMENTS[name] = Experiment(
        env,
        1,
        {
            "rma": (budget, rma),
            "rl2": (budget, rl2),
            "maml-trpo": (budget, maml),
            "multitask-trpo": (budget, multitask),
            "oracle": (budget, [*multitask, *ORACLE]),
        },
        recipes={"oracle": "multitask-trpo"},
    )
# An agent that has never seen its dynamics change, as it comes.
EXPERIMENTS["adapt-push"].rows["trained-without"] = (0, ["--start-from", "zoo/rl2_push"])
EXPERIMENTS["adapt-push"].recipes["trained-without"] = "rl2"
# VariBAD beside RL2 with the settings of its paper's code, for about twenty minutes of a core each.
STEPS, FOURS = ["--adaptation-steps", "2"], ["--meta-batch-size", "4", "--episodes-per-task", "20"]
EXPERIMENTS["cheetah-dir-varibad"] = Experiment(
    "cheetah-dir@varibad",
    1,
    dict.fromkeys(("varibad", "rl2"), (3_840_000, STEPS)) | {"multitask-ppo": (3_840_000, [*STEPS, *FOURS])},
)


def make_jobs(experiment: Experiment, name: str, wanted: range, scale: float) -> list[Job]:
    """All runs of the table `name` that are wanted, begun or kept, seed after seed."""
    folder = Path("runs/results") / name
    main = next(iter(experiment.rows))
    jobs = []
    for row in (*experiment.rows, "untrained"):
        made_as = main if row == "untrained" else row
        iterations = 0 if row == "untrained" else experiment.iterations(made_as, scale)
        options = ["--env", experiment.env, *experiment.rows[made_as][1], "--device", "cpu", "--test-tasks", "0"]
        before = experiment.begins.get(row)
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
    failed = run_all([job for job in todo if job.row not in experiment.begins], options.jobs)
    failed += run_all([job for job in todo if job.row in experiment.begins], options.jobs)
    earlier = Path(f"results/{name}.json")  # has rows whose runs were not kept
    joined = [*(str(job.kept) for job in finished(jobs)), *([str(earlier)] if earlier.exists() else [])]
    command = [sys.executable, "-m", "meta_rl.cli", "compare", *joined, "--out", f"results/{name}"]
    subprocess.run(command, check=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
