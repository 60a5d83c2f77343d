"""The experiments of scripts/results.py: which runs each table of results/ is made of."""

from collections.abc import Mapping
from dataclasses import dataclass

from jobs import SMALL_BATCHES, iterations_within

MILLION = 1_000_000


@dataclass(frozen=True)
class Row:
    """A row of a table, whose runs differ in their seed alone.

    Attributes:
        budget: env steps, with those of the row that it begins with.
        options: of ``meta-rl train``, besides those of all rows.
        recipe: if the row is not called by it.
        begins: the row whose runs its own begin with.
    """

    budget: int
    options: str = ""
    recipe: str = ""
    begins: str = ""


@dataclass(frozen=True)
class Experiment:
    """A table of results/.

    Attributes:
        seeds: runs of each row.
        rows: by name. Untrained runs are made as the first one.
    """

    env: str
    seeds: int
    rows: Mapping[str, Row]

    def recipe(self, row: str) -> str:
        """The recipe of a row."""
        return self.rows[row].recipe or row

    def options(self, row: str) -> list[str]:
        """Options of a row's runs that do not depend on their seed."""
        return ["--env", self.env, *self.rows[row].options.split()]

    def iterations(self, row: str, scale: float = 1.0) -> int:
        """Iterations that the budget of `row` allows."""
        begins = self.rows[row].begins
        spent = self.rows[begins].budget if begins else 0
        return iterations_within(scale * (self.rows[row].budget - spent), self.recipe(row), self.options(row))


def rows_of(budget: int, options: str, *recipes: str) -> dict[str, Row]:
    """Rows that differ in their recipe alone."""
    return dict.fromkeys(recipes, Row(budget, options))


SMALL = " ".join(SMALL_BATCHES)
BASELINES = ("multitask-trpo", "multitask-ppo")
BONUS = "--success-bonus 10"
FALLING_RATE = "--final-learning-rate 0.1"
"""RL2: the step size falls over the iterations of the run."""
WIDE_PRACTICE = "--meta-batch-size 10 --episodes-per-task 10 --gae-lambda 0.95 --min-std 0.5"
LEARNED_STEPS = "--learn-inner-lr True --final-meta-lr 0.1"
ADAPTING = f"{WIDE_PRACTICE} {LEARNED_STEPS}"
"""MAML by Adam on minibatches in the place of a trust region, smaller steps in the end, a step size of its own for
every parameter, and practice by a wide deviation and a short view of the future."""
STOCK = "--stock-goals 10"
"""Judge by Meta-World's own evaluator too."""

RELATIVES = ("fomaml-trpo", "maml-dice-trpo", "metasgd-trpo", "maml-ppo", "maml-vpg", "promp", "reptile")
NAVIGATION = 6_400_000
SMALL_WORLD = {
    "navigation": Experiment("navigation", 5, rows_of(NAVIGATION, "", "maml-trpo", "multitask-trpo")),
    "navigation-all": Experiment(
        "navigation",
        5,
        {
            **rows_of(NAVIGATION, "", "maml-trpo", *RELATIVES),
            "rl2": Row(3_200_000),
            "rl2-sac": Row(800_000),
            "varibad": Row(3_200_000),
            **rows_of(NAVIGATION, "", *BASELINES),
        },
    ),
}


def from_one_policy(reptile: int, rl2: int) -> dict[str, Row]:
    """Rows of families where MAML and Reptile begin with one policy for all goals, as far as that gets by 2 M env
    steps, and go on with steps that do not destroy it."""
    return {
        "maml-trpo": Row(20 * MILLION, f"{SMALL} --inner-lr 0.03", begins="multitask-trpo"),
        "reptile": Row(reptile, SMALL, begins="multitask-ppo"),
        "rl2": Row(rl2, f"{FALLING_RATE} {BONUS}"),
        "multitask-trpo": Row(2 * MILLION, f"{SMALL} --init-std 0.7 --gae-lambda 0.99"),
        "multitask-ppo": Row(2 * MILLION, SMALL),
        "random": Row(0, SMALL),
        "maml-ppo": Row(20 * MILLION, ADAPTING, begins="multitask-ppo"),
    }


ML1 = {
    "reach": {
        "maml-trpo": Row(MILLION, SMALL),
        "reptile": Row(2_030_000, SMALL),
        "rl2": Row(MILLION),
        **rows_of(MILLION, SMALL, *BASELINES),
        "random": Row(0, SMALL),
        "maml-ppo": Row(MILLION, f"{SMALL} {LEARNED_STEPS}"),
    },
    "push": from_one_policy(reptile=5 * MILLION, rl2=5 * MILLION)
    # What Reptile's inner learner makes of the policy that Reptile begins with: is it Reptile that taught to adapt?
    | {"as-it-came": Row(2 * MILLION, SMALL, recipe="reptile", begins="multitask-ppo")},
    "door-open": {
        "maml-trpo": Row(2 * MILLION, SMALL),
        "reptile": Row(2_030_000, SMALL),
        "rl2": Row(2 * MILLION),
        **rows_of(2 * MILLION, SMALL, *BASELINES),
        "random": Row(0, SMALL),
    },
    "pick-place": from_one_policy(reptile=10 * MILLION, rl2=10 * MILLION),
}
"""Family -> rows."""
DAGGER = {
    "push": {"dagger": Row(900_000), "rl2": Row(1_900_000, begins="dagger")},
    "pick-place": {"dagger": Row(MILLION)},
    "door-open": {"dagger": Row(300_000)},
}
"""An expert labels the states of a student; RL2 goes on from there."""
META_WORLD = {
    **{family: Experiment(f"metaworld/ml1-{family}-v3", 3, rows) for family, rows in ML1.items()},
    **{f"dagger-{family}": Experiment(f"metaworld/ml1-{family}-v3", 1, rows) for family, rows in DAGGER.items()},
    "ml10": Experiment(
        "metaworld/ml10",
        1,
        {
            "maml-trpo": Row(20 * MILLION, STOCK),
            "rl2": Row(20 * MILLION, f"{STOCK} {FALLING_RATE}"),
            "multitask-ppo": Row(4 * MILLION, f"{SMALL} {STOCK}"),
            "maml-ppo": Row(20 * MILLION, f"{ADAPTING} {STOCK}", begins="multitask-ppo"),
        },
    ),
    # One policy that is told family and goal, judged on its training tasks, as Meta-World does.
    "mt10": Experiment("metaworld/mt10", 1, rows_of(20 * MILLION, SMALL, *BASELINES)),
}

TWO_STEPS = "--adaptation-steps 2"


def running(env: str, budget: int, tasks: int, finer: str = "") -> Experiment:
    """Two steps of adaptation. A gradient step wants 20 episodes of its task; RL2: 100 trials of two episodes, as in
    its preset."""
    twenties = f"{TWO_STEPS} --meta-batch-size {tasks} --episodes-per-task 20"
    rows = {"maml-trpo": Row(budget, twenties), "rl2": Row(budget, f"{TWO_STEPS} {finer}")}
    return Experiment(env, 3, rows | {"multitask-trpo": Row(budget, twenties), "random": Row(0, twenties)})


FINER = "--minibatches 10 --gae-lambda 0.95"
"""RL2: speeds are learned faster with ten minibatches and a shorter view of the future."""
# PEARL takes few env steps and many gradient steps. With the paper's networks and batches, which want a GPU, they would
# take days on a core.
SMALL_STEPS = "--hidden 128 128 --encoder-hidden 128 128 --update-tasks 8 --batch-size 64 --update-steps 1000"
LOCOMOTION = {
    # There are but two directions to run in, so that more than two tasks of each add little.
    "cheetah-dir": running("cheetah-dir@maml2017", 9_600_000, tasks=4),
    "cheetah-vel": running("cheetah-vel@promp", 6_400_000, tasks=10, finer=FINER),
    "cheetah-vel-pearl": Experiment(
        "cheetah-vel@pearl",
        3,
        {
            "pearl": Row(MILLION, f"{TWO_STEPS} {SMALL_STEPS}"),
            "rl2": Row(6_400_000, f"{TWO_STEPS} {FINER}"),
            "maml-trpo": Row(6_400_000, f"{TWO_STEPS} --meta-batch-size 10 --episodes-per-task 20"),
        },
    ),
    # VariBAD beside RL2 with the settings of its paper's code, for about twenty minutes of a core each.
    "cheetah-dir-varibad": Experiment(
        "cheetah-dir@varibad",
        1,
        {
            **rows_of(3_840_000, TWO_STEPS, "varibad", "rl2"),
            "multitask-ppo": Row(3_840_000, f"{TWO_STEPS} --meta-batch-size 4 --episodes-per-task 20"),
        },
    ),
}


def adapting(env: str, budget: int, rma: str, rl2: str, maml: str, one_policy: str) -> Experiment:
    """Tasks that differ in their dynamics: learners that adapt, between one policy for all tasks that does not see them
    (randomisation) and one that does (the oracle); scripts/dynamics_table.py says how much of that gap each closes."""
    rows = {"rma": Row(budget, rma), "rl2": Row(budget, rl2), "maml-trpo": Row(budget, maml)}
    rows["multitask-trpo"] = Row(budget, one_policy)
    rows["oracle"] = Row(budget, f"{one_policy} --task-visible True", recipe="multitask-trpo")
    return Experiment(env, 1, rows)


TENS = "--meta-batch-size 10 --episodes-per-task 10"
PUSH = adapting("metaworld/ml1-push-v3+dynamics", 3 * MILLION, rma=BONUS, rl2=BONUS, maml=SMALL, one_policy=SMALL)
# An agent that has never seen its dynamics change, as it comes.
TRAINED_WITHOUT = {"trained-without": Row(0, "--start-from zoo/rl2_push", recipe="rl2")}
DYNAMICS = {
    "adapt-hopper": adapting(
        "hopper-params@promp",
        1_500_000,
        rma="",
        rl2=f"--meta-batch-size 50 {FINER}",
        maml=f"{TENS} {TWO_STEPS}",
        one_policy=f"{TENS} --normalise-observations True",
    ),
    "adapt-push": Experiment(PUSH.env, PUSH.seeds, {**PUSH.rows, **TRAINED_WITHOUT}),
}
EXPERIMENTS = SMALL_WORLD | META_WORLD | LOCOMOTION | DYNAMICS
