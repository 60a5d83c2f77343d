"""What each choice in the defaults for Meta-World is worth: every row changes one of them, for equal env steps.

``python scripts/ablations.py NAME [--only ROW ...] [--budget N] [--seeds 1] [--jobs 2]``: push, reach and ml10 are rl2
on ML1 push-v3, reach-v3 and on ML10; maml-push and maml-ppo-push are maml-trpo and maml-ppo on push-v3, from one policy
for all goals, which is trained first (a row of ``python scripts/results.py push``). Interrupted, it goes on where it
was when started again; ``--table`` only joins what is evaluated so far. Writes results/ablations-NAME.json and .md.
"""

import json
import shlex
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

from experiments import ADAPTING
from jobs import SMALL_BATCHES, Job, check, finished, iterations_within, parser, run_all, seeds_of

import results
from meta_rl.core.files import with_ending

# row -> what differs from the defaults
RL2 = {
    "defaults": "",
    "entropy-5e-3": "--entropy-coef 5e-3",
    "entropy-0": "--entropy-coef 0",
    "no-encoder": "--hidden 128",
    "heads-read-memory-only": "--head-hidden --critic-hidden",
    "clock": "--clock-steps 500",
    "success-bonus": "--success-bonus 10",
    "tells-rewards": "--reward-coef 3 --reward-everywhere True",
    # Judged after as many episodes as they were trained on, as the others are.
    "long-trials": "--episodes-per-task 10 --minibatches 15 --adaptation-steps 9",
}
RAW = {"raw-observations": "--normalise-observations False"}
ONE = {
    "four-epochs": "--epochs 4",
    "large-batches": "--meta-batch-size 30 --minibatches 15",
    "trials-alone": "--normalise-advantages trial",
    "returns-compressed": "--compress-returns True",
    "trials-alone-returns-compressed": "--normalise-advantages trial --compress-returns True",
}
MANY = {
    "ten-epochs": "--epochs 10",
    "small-batches": "--meta-batch-size 10 --minibatches 5",
    "trials-together": "--normalise-advantages together",
    "returns-plain": "--compress-returns False",
    "trials-together-returns-plain": "--normalise-advantages together --compress-returns False",
}
"""What differs between the defaults of one family and of many, from both sides."""
WIDE = {"rewards-read-small": "--reward-scale 0.1", "init-std-0.7": "--init-std 0.7", **RAW}
NARROW = {"rewards-read-large": "--reward-scale 0.5", "init-std-1": "--init-std 1"}
"""What differs between the defaults of reach-v3 and those of the other tasks, from both sides."""
MAML = {
    "defaults": "",
    "inner-lr-0.01": "--inner-lr 0.01",
    "inner-lr-0.1": "--inner-lr 0.1",
    "gae-lambda-0.99": "--gae-lambda 0.99",
    "gae-lambda-0.95": "--gae-lambda 0.95",
    "max-kl-0.003": "--max-kl 0.003",
    "max-kl-0.01": "--max-kl 0.01",
    "large-batches": "--meta-batch-size 20 --episodes-per-task 10",
    "careful": "--meta-batch-size 20 --episodes-per-task 10 --max-kl 0.01 --gae-lambda 0.99",
    "two-inner-steps": "--inner-steps 2 --adaptation-steps 2",
    "metasgd": "",
    "promp": "",
    "outer-ppo": "",
    "reptile": "--inner-lr 1e-3",
    "from-scratch": "--inner-lr 0.1",
}
BY_PPO = {
    "recipe": "",
    "one-step-size": "--learn-inner-lr False",
    "one-step-size-0.3": "--learn-inner-lr False --inner-lr 0.3",
    "five-episodes": "--episodes-per-task 5",
    "gae-lambda-1": "--gae-lambda 1",
    "min-std-free": "--min-std 1e-6",
    "final-meta-lr-1": "--final-meta-lr 1",
    "meta-lr-3e-4": "--meta-lr 3e-4",
    "outer-trpo": "--final-meta-lr 1",
    "start-by-trpo": "",
}
"""Changes of the recipe by which MAML adapts on push, one each."""
RECIPES = {"metasgd": "metasgd-trpo", "promp": "promp", "outer-ppo": "maml-ppo", "reptile": "reptile"} | {
    "outer-trpo": "metasgd-trpo"
}
"""Rows that are another recipe."""
BEGINS = {"from-scratch": None, "start-by-trpo": ("push", "multitask-trpo")}
"""Rows that begin with something else than the others, or with nothing."""


@dataclass(frozen=True)
class Ablation:
    """A table of single changes.

    Attributes:
        options: of all rows.
        rows: row -> what differs from the defaults.
        budget: env steps of each run, besides those of the one that it begins with.
        begins: table of scripts/results.py, and the row of it whose runs the rows begin with.
    """

    recipe: str
    options: list[str]
    rows: dict[str, str]
    budget: int = 450_000
    begins: tuple[str, str] | None = None

    def start(self, row: str) -> tuple[str, str] | None:
        """Table and row of scripts/results.py whose runs those of `row` begin with."""
        return BEGINS.get(row, self.begins)


PUSH = ["--env", "metaworld/ml1-push-v3"]
FROM_ONE_POLICY = [*PUSH, *SMALL_BATCHES, "--inner-lr", "0.03"]
"""A step from one policy for all goals may not go further, see docs/learning-meta-world.md."""
EXPERIMENTS = {
    "push": Ablation("rl2", PUSH, RL2 | ONE | WIDE),
    "reach": Ablation(
        "rl2",
        ["--env", "metaworld/ml1-reach-v3"],
        RL2 | ONE | NARROW | {"normalised": "--normalise-observations True"},
    ),
    "ml10": Ablation("rl2", ["--env", "metaworld/ml10"], RL2 | MANY | WIDE),
    "maml-push": Ablation("maml-trpo", FROM_ONE_POLICY, MAML, 3_000_000, ("push", "multitask-trpo")),
    "maml-ppo-push": Ablation("maml-ppo", [*PUSH, *ADAPTING.split()], BY_PPO, 3_000_000, ("push", "multitask-ppo")),
}
JUDGE = ["--device", "cpu", "--test-tasks", "20"]


def make_jobs(name: str, budget: int, seeds: range) -> dict[str, list[Job]]:
    """The runs of each row that are wanted or begun."""
    about = EXPERIMENTS[name]
    folder, table = Path("runs/ablations") / name, f"ablations-{name}"
    made: dict[str, list[Job]] = {}
    for row, changes in about.rows.items():
        recipe, options = RECIPES.get(row, about.recipe), [*about.options, *changes.split(), *JUDGE]
        begins = about.start(row)
        iterations = iterations_within(budget, recipe, options)
        made[row] = []
        for seed in seeds_of(folder, table, row, seeds):
            start = ["--start-from", str(run_of(*begins, seed).path)] if begins else []
            made[row].append(Job(recipe, [*options, *start], iterations, seed, folder / f"{row}_s{seed}", table))
    return made


@cache
def run_of(table: str, row: str, seed: int) -> Job:
    """A run of a table of scripts/results.py."""
    made = results.make_jobs(results.EXPERIMENTS[table], table, range(seed, seed + 1), 1.0)
    return next(job for job in made if job.path.name == f"{row}_s{seed}")


def changes(name: str, row: str) -> str:
    """What differs from the defaults in a row that there is."""
    recipe = f"the recipe {RECIPES[row]}" if row in RECIPES else ""
    start = BEGINS.get(row, ("", ""))
    begun = "begun with nothing" if start is None else start[1] and f"begun with {start[1]}"
    return ", ".join(filter(None, (recipe, begun, EXPERIMENTS[name].rows[row])))


def summarise(name: str, jobs: list[Job]) -> dict[str, Any]:
    """Means over the seeds of a row: success in the last tenth of training and on unseen goals, fully adapted."""
    from meta_rl.evaluation.scores import MODE, SAMPLED
    from meta_rl.runs.log import read_rows

    results = [result for job in jobs if (result := job.result)]
    trained = []
    for job in jobs:
        rows = read_rows(job.kept / "metrics.jsonl")
        stages = (key for key in rows[-1] if key.startswith("success/stage_"))
        last = max(stages, key=lambda key: int(key.rpartition("_")[2]))
        trained += [mean(row[last] for row in rows[-max(1, len(rows) // 10) :])]
    kinds = {"success": (MODE, "success"), "sampled_success": (SAMPLED, "success"), "return": (MODE, "return")}
    judged = {
        f"{when}_{key}": mean(result.stages[end].scores[way][score].mean for result in results)
        for when, end in (("before", 0), ("after", -1))
        for key, (way, score) in kinds.items()
    }
    return {
        "command": shlex.join(["meta-rl", "train", jobs[0].recipe, *jobs[0].options]),
        "changes": changes(name, jobs[0].row),
        "seeds": [job.seed for job in jobs],
        "iterations": jobs[0].iterations,
        "env_steps": mean(result.train_env_steps for result in results),
        "training_success": mean(trained),
        **judged,
    }


def earlier_rows(table: Path) -> dict[str, dict[str, Any]]:
    """Rows of the table that is there, whose runs may be gone."""
    rows: dict[str, dict[str, Any]] = json.loads(table.read_text())["rows"] if table.exists() else {}
    return rows


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """The table in Markdown."""
    from meta_rl.evaluation import markdown

    heads = ["row", "what differs", "seeds", "env steps", "training, last tenth"]
    cells = [[*heads, "unseen, before", "unseen, mode actions", "unseen, sampled actions", "return, mode actions"]]
    for row, one in found.items():
        scores = [f"{one[key]:.0%}" for key in ("training_success", "before_success", "after_success")]
        scores += [f"{one['after_sampled_success']:.0%}", f"{one['after_return']:.0f}"]
        cells.append([row, one["changes"], str(len(one["seeds"])), f"{one['env_steps']:,.0f}", *scores])
    return markdown.table(cells)


def main(arguments: list[str]) -> None:
    """Train and evaluate the rows, and write what came of them."""
    made = parser(__doc__, list(EXPERIMENTS), 1)
    made.add_argument("--budget", type=int, help="env steps of each run (default: 450,000; MAML: 3,000,000)")
    options = made.parse_args(arguments)
    about = EXPERIMENTS[options.name]
    check(made, options, list(about.rows))
    budget = about.budget if options.budget is None else options.budget
    if budget < 1:
        made.error(f"--budget: must be at least 1 env step, got {budget}")
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    jobs = make_jobs(options.name, budget, seeds)
    wanted = [job for row in options.only or about.rows for job in jobs[row] if job.seed in seeds]
    begins = dict.fromkeys(filter(None, map(about.start, options.only or about.rows)))
    before = [run_of(*begun, seed) for begun in begins for seed in seeds]
    failed = [] if options.table else run_all(before, options.jobs) or run_all(wanted, options.jobs)
    done = finished([job for row in jobs.values() for job in row])
    out = Path(f"results/ablations-{options.name}")
    found = {
        row: summarise(options.name, mine)
        for row, all_ in jobs.items()
        if (mine := [job for job in all_ if job in done])
    }
    found = earlier_rows(with_ending(out, ".json")) | found
    lines = table(found)
    print("\n".join(lines))
    command = shlex.join(["python", "scripts/ablations.py", *arguments])
    out.parent.mkdir(exist_ok=True)
    with_ending(out, ".json").write_text(json.dumps({"command": command, "rows": found}, indent=1) + "\n")
    begun = f" Begun with a run of {about.begins[1]} of results/{about.begins[0]}.md." if about.begins else ""
    head = f"{about.recipe}, {shlex.join(about.options)}; success, fully adapted, on 20 unseen goals. One change each."
    with_ending(out, ".md").write_text("\n".join([head + begun, "", *lines, "", f"Command: `{command}`", ""]))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
