"""The map of Meta-World: what each learner learns of each of the 50 families (ML1), for equal env steps.

``python scripts/families.py [--families NAME ...] [--only RECIPE ...] [--budget 2000000] [--jobs 2]``: maml-trpo and
rl2, one run each, judged on 20 unseen goals. Interrupted, it goes on where it was when started again; what the map
needs of every run is kept in results/runs/families, so that it fills up from machine to machine. ``--table`` only draws
what is there. Writes results/families.json, .md and .png: success by mode actions, before adaptation and at its end,
and the return at the end as a share of what Meta-World's own expert earns (results/experts.json).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from jobs import BATCHES, SMALL_BATCHES, Job, check, finished, iterations_within, parser, run_all
from kept import minutes_of
from measured import write_measured

from envs.metaworld.benchmarks import FAMILIES
from meta_rl.core.files import with_ending
from meta_rl.evaluation import markdown

OUT = Path("results/families")
RECIPES = ("maml-trpo", "rl2")
JUDGE = ["--device", "cpu", "--test-tasks", "20"]
Row = dict[str, Any]


def make_jobs(budget: int) -> dict[tuple[str, str], Job]:
    """The runs by family and learner. All families have episodes of one length, so that a budget is as many iterations
    of each."""
    made = {}
    for recipe in RECIPES:
        options = [*BATCHES.get(recipe, SMALL_BATCHES), *JUDGE]
        iterations = iterations_within(budget, recipe, ["--env", f"metaworld/ml1-{FAMILIES[0]}", *options])
        for family in FAMILIES:
            path = Path("runs/families") / f"{recipe}_{family}_s0"
            env = ["--env", f"metaworld/ml1-{family}"]
            made[family, recipe] = Job(recipe, [*env, *options], iterations, 0, path, "families")
    return {key: made[key] for key in sorted(made)}


def summarise(job: Job, family: str, recipe: str, expert: float) -> Row:
    """What the map has of a run."""
    from meta_rl.evaluation.scores import MODE

    result = job.result
    assert result is not None
    first, last = (result.stages[end].scores[MODE] for end in (0, -1))
    return {
        "family": family,
        "recipe": recipe,
        "env_steps": result.train_env_steps,
        "before": first["success"].mean,
        "after": last["success"].mean,
        "return": last["return"].mean,
        "share": last["return"].mean / expert,
        "minutes": minutes_of(job.kept),
    }


def table(rows: list[Row]) -> list[str]:
    """The map in Markdown: a line per family, two columns per learner."""
    recipes = list(dict.fromkeys(row["recipe"] for row in rows))
    found = {(row["family"], row["recipe"]): row for row in rows}
    heads = [head for recipe in recipes for head in (recipe, "of the expert's return")]
    cells = [["family", *heads]]
    for family in dict.fromkeys(row["family"] for row in rows):
        line = [family]
        for recipe in recipes:
            row = found.get((family, recipe))
            line += [f"{row['before']:.0%} -> {row['after']:.0%}", f"{row['share']:.0%}"] if row else ["", ""]
        cells.append(line)
    return markdown.table(cells)


def draw(rows: list[Row], path: Path) -> None:
    """The map as a picture: families from the one that is solved best to the one that is solved worst."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    recipes = list(dict.fromkeys(row["recipe"] for row in rows))
    found = {(row["family"], row["recipe"]): row["after"] for row in rows}
    best = {row["family"]: max(found.get((row["family"], recipe), 0.0) for recipe in recipes) for row in rows}
    families = sorted(best, key=lambda family: (-best[family], family))
    shares = np.array([[found.get((family, recipe), np.nan) for family in families] for recipe in recipes])
    width = 2 + 0.24 * len(families)
    figure, axis = pyplot.subplots(figsize=(width, 2.2 + 0.3 * len(recipes)), dpi=110, layout="constrained")
    image = axis.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    axis.set_xticks(range(len(families)), [family.removesuffix("-v3") for family in families], rotation=90, fontsize=7)
    axis.set_yticks(range(len(recipes)), recipes, fontsize=8)
    axis.set_title("success on unseen goals after adaptation; white: not run", fontsize=9)
    figure.colorbar(image, ax=axis, pad=0.01)
    figure.savefig(path)
    pyplot.close(figure)


def main(arguments: list[str]) -> None:
    """Run what is asked for, and draw all there is."""
    made = parser(__doc__)
    made.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES, metavar="NAME")
    made.add_argument("--budget", type=int, default=2_000_000, help="env steps of each run")
    options = made.parse_args(arguments)
    check(made, options, RECIPES)
    if options.budget < 1:
        made.error(f"--budget: must be at least 1 env step, got {options.budget}")
    jobs, recipes = make_jobs(options.budget), options.only or RECIPES
    wanted = [job for (family, recipe), job in jobs.items() if family in options.families and recipe in recipes]
    failed = [] if options.table else run_all(wanted, options.jobs)
    done = finished([job for job in jobs.values() if job.path.exists() or job.kept.exists()])
    experts = json.loads(Path("results/experts.json").read_text())["families"]
    rows = [summarise(job, *key, experts[key[0]]["return"]) for key, job in jobs.items() if job in done]
    command = "python scripts/families.py"
    title = f"ML1 by family, {options.budget:,} env steps, 20 unseen goals: success before adaptation -> at its end"
    shown = ["![Success by family and learner](families.png)", "", *table(rows)]
    text = [title, "", *shown, "", f"Command: `{command}`", ""]
    write_measured(OUT, {"command": command, "rows": rows}, "\n".join(text))
    draw(rows, with_ending(OUT, ".png"))
    print("\n".join(table(rows)))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
