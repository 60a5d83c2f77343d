"""How long it takes to learn a skill: env steps and minutes until a part of unseen goals is solved after adaptation.

``python scripts/benchmark.py skill [--tasks push door-open] [--recipes maml-trpo rl2 reptile multitask-trpo]
[--budget 3000000] [--every 5] [--test-tasks 20] [--seed 0]``

Trains by the framework's own loop, one run per task and recipe after another, with the recipe's defaults on Meta-World
and, for all but rl2, meta-batches of ten tasks with five episodes (see `jobs.SMALL_BATCHES`). Every few iterations it
is judged by mode actions on goals that training never saw; a run ends when 90 % of them are solved or the budget is
spent. Time is that of training iterations alone. The skill counts as learned at the first of these judgements that
shows it, so that times are rounded up to the next one. Interrupted, it goes on where it was when started again. Other
work takes time from it: it runs alone, or ``taskset`` gives it cores of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jobs import BATCHES, SMALL_BATCHES, iterations_within
from measured import CORES, write_measured

import envs
from meta_rl import load
from meta_rl.cli.commands import parse_train
from meta_rl.config import RECIPES, TrainConfig, check_choice, make_distribution
from meta_rl.errors import ConfigError
from meta_rl.evaluation import markdown
from meta_rl.evaluation.episodes import evaluate
from meta_rl.runs.folder import versions
from meta_rl.runs.log import Row, read_rows
from meta_rl.training.train import train

LEVELS = (0.5, 0.9)
"""Success on unseen goals; at the last one a run ends."""
RUNS = Path("runs/skill")
CURVE = "skill.jsonl"
"""File in the run directory with a row per judgement."""


def first_at(curve: Sequence[Row], level: float) -> Row | None:
    """The first judgement with a success of at least `level`."""
    return next((row for row in curve if row["success"] >= level), None)


def cell(curve: Sequence[Row], level: float, budget: int) -> str:
    """How long it took to reach `level`, in the table; `curve` is that of a run that is over."""
    if not curve:
        return ""
    if row := first_at(curve, level):
        return f"{row['env_steps']:,.0f} steps, {row['seconds'] / 60:.1f} min"
    return f"not within {budget:,} (best {max(row['success'] for row in curve):.0%})"


def judge(run_dir: Path, test_tasks: int) -> Row:
    """A row of the curve: the newest checkpoint on unseen goals."""
    started, agent = time.perf_counter(), load(run_dir)
    protocol = dataclasses.replace(agent.config.evaluate, test_tasks=test_tasks, judge_sampled=False)
    found = evaluate(agent.learner, agent.weights, make_distribution(agent.config, "test"), protocol)
    seconds = sum(row["time/iteration"] for row in read_rows(run_dir / "timing.jsonl"))
    return {
        "iteration": agent.iteration,
        "env_steps": agent.env_steps,
        "seconds": seconds,
        "success": float(found.solved[:, -1].mean()),
        "return": float(found.returns[:, -1].mean()),
        "tasks": len(found.tasks),
        "judging_seconds": time.perf_counter() - started,
    }


def follow(config: TrainConfig, every: int, test_tasks: int) -> list[Row]:
    """Train and judge in turns until the last level is reached or all iterations are done; the curve, which is also in
    the run directory."""
    path = config.path / CURVE
    curve = read_rows(path)
    while first_at(curve, LEVELS[-1]) is None:
        done = int(curve[-1]["iteration"]) if curve else 0
        if done >= config.iterations:
            break
        train(dataclasses.replace(config, iterations=min(done + every, config.iterations)))
        curve.append(judge(config.path, test_tasks))
        with open(path, "a") as file:
            file.write(json.dumps(curve[-1]) + "\n")
        print("{iteration} iterations: {env_steps:,} env steps, {seconds:,.0f} s, success {success:.0%}"
              .format(**curve[-1]), flush=True)  # fmt: skip
    return curve


def configs(options: argparse.Namespace, rest: Sequence[str]) -> dict[tuple[str, str], TrainConfig]:
    """The runs, by recipe and task.

    Raises:
        ConfigError: anything wrong with the options, or a run that was judged on other goals.
    """
    for name, value in (("--every", options.every), ("--budget", options.budget), ("--test-tasks", options.test_tasks)):
        if value < 1:
            raise ConfigError(f"{name}: must be at least 1, got {value}")
    found = {}
    for task in options.tasks:
        for recipe in options.recipes:
            check_choice("--recipes", recipe, RECIPES)
            batches = BATCHES.get(recipe, SMALL_BATCHES)
            path = RUNS / f"{task}_{recipe}_s{options.seed}"
            arguments = ["--env", f"metaworld/ml1-{task}-v3", *batches, *rest, "--seed", str(options.seed)]
            iterations = str(iterations_within(options.budget, recipe, arguments))
            arguments += ["--iterations", iterations, "--run-dir", str(path)]
            found[recipe, task] = parse_train([recipe, *arguments])
            for row in read_rows(path / CURVE):
                if row["tasks"] != options.test_tasks:
                    raise ConfigError(f"--test-tasks: {path} was judged on {row['tasks']:.0f} goals; valid: as many")
    return found


def table(record: dict[str, Any]) -> list[str]:
    """Recipes in rows, tasks in columns, as Markdown."""
    curves, budget = record["curves"], record["budget"]
    tasks = list(dict.fromkeys(task for row in curves.values() for task in row))
    cells = [["recipe", *(f"{task}: {level:.0%} of unseen goals" for task in tasks for level in LEVELS)]]
    for recipe, row in curves.items():
        cells.append([recipe, *(cell(row.get(task, []), level, budget) for task in tasks for level in LEVELS)])
    return markdown.table(cells)


def write(record: dict[str, Any], out: Path) -> None:
    """The record as ``OUT.json`` and the table as ``OUT.md``."""
    about = (
        f"Training until unseen goals are solved after adaptation (mode actions, {record['test_tasks']} goals, judged "
        f"every {record['every']} iterations): env steps and minutes of training on {record['cores']} cores, "
        f"{record['torch_threads']} torch threads; evaluation is not counted."
    )
    text = [f"Command: `python {record['command']}`. {about}", "", *table(record), ""]
    write_measured(out, record, "\n".join(text))


def main(arguments: list[str]) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(
        prog="benchmark.py skill", description=__doc__.splitlines()[0], epilog="Options of meta-rl train may follow."
    )
    parser.add_argument("--tasks", nargs="+", default=["push", "door-open"], help="families of Meta-World")
    parser.add_argument("--recipes", nargs="+", default=["maml-trpo", "rl2", "reptile", "multitask-trpo"])
    parser.add_argument("--budget", type=int, default=3_000_000, help="env steps of training of each run")
    parser.add_argument("--every", type=int, default=5, help="iterations between two judgements")
    parser.add_argument("--test-tasks", type=int, default=20, help="unseen goals of each judgement")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/skill"))
    options, rest = parser.parse_known_args(arguments)
    try:
        runs = configs(options, rest)
    except (ConfigError, envs.UnknownNameError) as error:
        parser.error(str(error))
    record: dict[str, Any] = {"command": shlex.join(["scripts/benchmark.py", "skill", *arguments])}
    record |= {"cores": CORES, "torch_threads": torch.get_num_threads(), "versions": versions()}
    record |= {name: getattr(options, name) for name in ("budget", "every", "test_tasks", "seed")}
    record["curves"] = {recipe: {} for recipe in options.recipes}
    for (recipe, task), config in runs.items():
        print(f"{recipe} on {task}", flush=True)
        record["curves"][recipe][task] = follow(config, options.every, options.test_tasks)
        write(record, options.out)  # what is known so far
    print("\n".join(table(record)))
