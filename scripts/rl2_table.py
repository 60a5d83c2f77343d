"""RL^2 itself on the bandits and tabular MDPs of its paper, beside its published numbers (Duan et al. 2016).

``python scripts/rl2_table.py bandit --k 5 --n 10`` or ``tabular --n 10``: one row: trains, or goes on training, and
plays test tasks. Options of ``meta-rl train`` may follow: ``--iterations 400 --recipe rl2-gru``.
``python scripts/rl2_table.py --write``: adds the rows that were run to results/rl2_table.json, .md and .png.
"""

import argparse
import itertools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import envs
from meta_rl.classical.optimal import optimal_bandit
from meta_rl.classical.protocol import BANDIT_ROWS, RL2_PUBLISHED, TABULAR_ROWS, TableRow, bandit, tabular
from meta_rl.cli.commands import parse_train

RUNS = Path("runs/rl2_table")
OUT = Path("results/rl2_table")
TASKS_AT_ONCE = 500
COLUMNS = 4
"""Panels beside each other in the figure."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Colours of recipes, told apart by the colour-blind too (Okabe and Ito)."""
TRAINED = (25, 100)
"""Episodes in the trials that MDPs are trained on. Each state comes back more often than in a shorter one, so that its
memory pays sooner; shorter rows are the first episodes of such a trial."""


def mdp_trials(row: TableRow) -> tuple[int, list[str]]:
    """Episodes in the trials that the row's MDPs are trained on, and options that go with them."""
    trained = next(episodes for episodes in TRAINED if episodes >= row.episodes)
    steps = str(10 * trained)
    # 25,000 env steps per iteration, whatever the trial's length.
    return trained, ["--meta-batch-size", str(2500 // trained), "--memory-steps", steps, "--chunk", steps]


TRIALS: dict[str, Callable[[TableRow], tuple[int, list[str]]]] = {"tabular": mdp_trials}
"""Environment -> how it is trained on; the trials of others are those of the row."""


def run_row(row: TableRow, options: list[str], num_tasks: int) -> dict[str, Any]:
    """Train on the row and play `num_tasks` test tasks: with sampled actions, as while training, and where a trial is
    one episode also with the most probable ones, as in all our evaluations (docs/evaluation.md)."""
    trained, sizes = TRIALS.get(row.env, lambda row: (row.episodes, []))(row)
    arguments = [options[0], "--env", row.env, "--episodes-per-task", str(trained), *sizes, *options[1:]]
    config = parse_train(arguments)
    import meta_rl
    from meta_rl.training.train import train

    run_dir = RUNS / f"{config.recipe}_{row.env.replace('/', '-')}-e{trained}_s{config.seed}"
    train(parse_train([*arguments, "--run-dir", str(run_dir)]))
    agent = meta_rl.load(run_dir)
    sampled, most_probable = play(agent, row, num_tasks)
    metrics = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    stages = [sum(m[f"return/stage_{stage}"] for stage in range(row.episodes)) for m in metrics]
    published = RL2_PUBLISHED.get((row.env, row.episodes))
    mean, error = summary(sampled)
    result = {"env": row.env, "episodes": row.episodes, "recipe": config.recipe, "seed": config.seed,
              "command": f"python scripts/rl2_table.py {' '.join(sys.argv[1:])}",
              "trained_episodes": trained, "tasks": num_tasks,
              "most_probable_actions": summary(most_probable) if row.episodes == 1 else None,
              "iterations": len(metrics), "env_steps": metrics[-1]["env_steps"],
              "mean": mean, "standard_error": error, "published": published,
              "ratio": mean / published if published else None,
              "optimal": optimal(row),
              "classical": dict(row.published),
              "curve": {"env_steps": [m["env_steps"] for m in metrics[::10]],
                        "total_reward": stages[::10]}}  # fmt: skip
    (run_dir / f"row_{row.episodes}.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def summary(totals: np.ndarray) -> tuple[float, float]:
    """Mean and standard error."""
    return float(totals.mean()), float(totals.std(ddof=1) / np.sqrt(len(totals)))


def play(agent: Any, row: TableRow, num_tasks: int) -> tuple[np.ndarray, np.ndarray]:
    """On each of `num_tasks` tasks that training never saw, the total reward of one trial with sampled actions, and of
    one episode with the most probable actions."""
    from meta_rl.config import EvaluateConfig
    from meta_rl.evaluation.episodes import evaluate

    protocol = EvaluateConfig(test_tasks=num_tasks, adaptation_steps=1, adaptation_episodes=row.episodes,
                              tasks_at_once=TASKS_AT_ONCE, evaluation_episodes=1, judge_sampled=False)  # fmt: skip
    result = evaluate(agent.learner, agent.weights, envs.make(row.env, "test"), protocol)
    return result.practice_returns.sum((1, 2)), result.returns[:, 0].sum(1)


def optimal(row: TableRow) -> float | None:
    """The best possible total reward, or None if it cannot be computed."""
    sizes = re.search(r"k(\d+)-n(\d+)", row.env)  # of a bandit
    return optimal_bandit(int(sizes[1]), int(sizes[2])) if sizes and int(sizes[2]) <= 12 else None


def line(result: dict[str, Any]) -> str:
    """A row of the Markdown table."""
    classical = result["classical"]
    best = max(classical.items(), key=lambda item: item[1]) if classical else ("", float("nan"))
    ceiling = f"{result['optimal']:.3f}" if result.get("optimal") else ""
    published = result["published"]

    def cells(mean: float, error: float) -> str:
        return f"{mean:.2f} ± {1.96 * error:.2f} | " + (f"{mean / published:.1%}" if published else "")

    judged = result.get("most_probable_actions")  # younger than some rows
    most_probable = cells(*judged) if judged else " | "
    return (f"| {result['env']} | {result['episodes']} | {result['recipe']} | {result['seed']} "
            f"| {result['env_steps'] / 1e6:.1f}M | {published or ''} "
            f"| {cells(result['mean'], result['standard_error'])} | {most_probable} "
            f"| {ceiling} | {best[0]} {best[1]} "
            f"| `{result['command']}` |")  # fmt: skip


def write() -> None:
    """All rows that were run, here or earlier, in `OUT`."""
    written = OUT.with_suffix(".json")
    rows = json.loads(written.read_text()) if written.exists() else []
    rows += [json.loads(path.read_text()) for path in sorted(RUNS.glob("*/row*.json"))]
    results = list({(r["env"], r["episodes"], r["recipe"], r["seed"]): r for r in rows}.values())  # the last one counts
    order = {(row.env, row.episodes): i for i, row in enumerate([*itertools.chain(*BANDIT_ROWS), *TABULAR_ROWS])}
    results.sort(key=lambda r: (order.get((r["env"], r["episodes"]), 99), r["recipe"], r["seed"]))
    lines = ["RL^2 on the bandits and MDPs of Duan et al. 2016: mean total reward of a trial on test tasks, with 95 % "
             "intervals. MDPs are trained on trials of 25 or 100 episodes, of which a shorter row is the "
             "beginning. *sampled*: played with sampled actions, as in training; *most probable*: with the most "
             "probable action at every step, as in all our other evaluations. *published* is the RL2 column of the "
             "paper (1000 tasks); *best classical* is the highest published number among the other agents. Ours plays "
             "freshly drawn tasks: results/classical.md says by how much the paper's tasks differ from the average. "
             "*optimal* is the expected reward of the Bayes-optimal agent (meta_rl/classical/optimal.py), which none "
             "can surpass; computed for n = 10.", "",
             "| env | episodes | recipe | seed | env steps | published | ours, sampled | ratio | ours, most probable "
             "| ratio | optimal | best classical | command |",
             "|---|---|---|---|---|---|---|---|---|---|---|---|---|", *map(line, results)]  # fmt: skip
    OUT.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    OUT.with_suffix(".md").write_text("\n".join(lines) + "\n")
    draw(results, OUT.with_suffix(".png"))


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Draw the training curve of every row in a grid, beside the published number; one legend for all."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    recipes = list(dict.fromkeys(result["recipe"] for result in results))
    rows = -(-len(results) // COLUMNS)
    figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(10, 2.3 * rows + 0.5), squeeze=False, layout="constrained")
    for axis in axes.flat[len(results) :]:
        axis.set_axis_off()
    for axis, result in zip(axes.flat, results, strict=False):
        millions = [steps / 1e6 for steps in result["curve"]["env_steps"]]
        recipe = result["recipe"]
        axis.plot(millions, result["curve"]["total_reward"], color=COLOURS[recipes.index(recipe)], label=recipe)
        if result["published"]:
            axis.axhline(result["published"], color="grey", linestyle="--", label="RL2 as published")
        episodes = f", {result['episodes']} episodes" if result["episodes"] > 1 else ""
        axis.set_title(f"{result['env']}{episodes}", fontsize=9)
        axis.tick_params(labelsize=7)
    figure.supxlabel("million env steps", fontsize=9)
    figure.supylabel("total reward of a trial", fontsize=9)
    found = [axis.get_legend_handles_labels() for axis in axes.flat[: len(results)]]
    named = {label: handle for handles, labels in found for handle, label in zip(handles, labels, strict=True)}
    figure.legend(named.values(), named, loc="outside upper center", ncols=len(named), fontsize=9, frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    """Run one row, or write down all that were run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", nargs="?", choices=["bandit", "tabular"])
    parser.add_argument("--k", type=int, default=5, help="arms of a bandit")
    parser.add_argument("--n", type=int, default=10, help="pulls of a bandit, episodes of an MDP")
    parser.add_argument("--tasks", type=int, help="test tasks; default: as for the classical agents")
    parser.add_argument("--recipe", default="rl2")
    parser.add_argument("--write", action="store_true", help="write all rows that were run to results/")
    options, rest = parser.parse_known_args()
    if options.write:
        write()
        return
    if not options.family:
        parser.error("say bandit, tabular or --write")
    rows: dict[str, Callable[[], TableRow]] = {
        "bandit": lambda: bandit(options.k, options.n),
        "tabular": lambda: tabular(options.n),
    }
    row = rows[options.family]()
    print(line(run_row(row, [options.recipe, *rest], options.tasks or row.num_tasks)))


if __name__ == "__main__":
    main()
