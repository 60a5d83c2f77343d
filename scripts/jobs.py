"""What the scripts of learning runs share: many runs of ``meta-rl train`` side by side, and budgets in env steps."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kept import KEPT, keep

if TYPE_CHECKING:
    from meta_rl.evaluation.scores import Record

SMALL_BATCHES = ["--meta-batch-size", "10", "--episodes-per-task", "5"]
"""Options for training on ML1, for all recipes but rl2, whose defaults are as small: more updates for the same env
steps."""
BATCHES: dict[str, list[str]] = {"rl2": [], "rl2-gru": []}
"""Recipe -> its options for training on ML1; those that are not here have small batches."""


@dataclass(frozen=True)
class Job:
    """A training run with its evaluation.

    Attributes:
        options: of ``meta-rl train``, besides the other attributes.
        path: the run directory; what is there already is not done again.
        table: the name in results/ of the table that the run belongs to.
    """

    recipe: str
    options: Sequence[str]
    iterations: int
    seed: int
    path: Path
    table: str

    @property
    def row(self) -> str:
        """Row of the table that it belongs to."""
        return self.path.name.rpartition("_s")[0]

    @property
    def kept(self) -> Path:
        """Folder in results/ for what the table needs of the run, see `kept.keep`."""
        return KEPT / self.table / self.path.name

    @property
    def command(self) -> list[str]:
        """Command line of the training."""
        rest = ["--iterations", self.iterations, "--seed", self.seed, "--run-dir", self.path]
        return [sys.executable, "-m", "meta_rl.cli", "train", self.recipe, *self.options, *map(str, rest)]

    @property
    def result(self) -> Record | None:
        """Its evaluation, once the whole budget is spent and judged, here or where the run was made."""
        from meta_rl.evaluation.record import evaluations

        places = (self.path, self.kept)
        return next((record for place in places for _, record in evaluations(place, self.iterations)), None)

    def keep(self) -> None:
        """Keep what the table needs, if the run is here and judged."""
        from meta_rl.evaluation.record import evaluations

        for files, _ in evaluations(self.path, self.iterations):
            keep(self.path, files.evaluation, self.kept)
            return

    def run(self) -> int:
        """Train and evaluate on one core, with what is said in PATH.log; the exit code."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.parent / f"{self.path.name}.log", "a") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            return subprocess.run(self.command, check=False, stdout=log, stderr=log, env=environment).returncode


def run_all(jobs: Sequence[Job], at_once: int) -> list[Job]:
    """Run all of them, some at a time; the ones that failed, of which is said where they say why."""
    with ThreadPoolExecutor(at_once) as pool:
        codes = list(pool.map(Job.run, jobs))
    failed = [job for job, code in zip(jobs, codes, strict=True) if code]
    for job in failed:
        print(f"failed: {job.path}, see {job.path}.log", file=sys.stderr)
    return failed


def iterations_within(env_steps: float, recipe: str, options: Sequence[str]) -> int:
    """As many iterations as fit into `env_steps` where every episode has its full length, but one if there are any."""
    from meta_rl.cli.commands import parse_train

    config = parse_train([recipe, *options])
    from meta_rl.algorithms.base import make_learner
    from meta_rl.config import make_distribution
    from meta_rl.sources.collect import envs_per_task

    distribution = make_distribution(config)
    learner, episodes = make_learner(config, distribution), config.episodes_per_task
    stages = learner.stages(episodes) * envs_per_task(learner, episodes)
    whole = int(env_steps) // (config.meta_batch_size * stages * distribution.horizon)
    return max(whole, min(1, int(env_steps)))


def parser(description: str, names: Sequence[str] = (), seeds: int | None = None) -> argparse.ArgumentParser:
    """The options of every such script.

    Args:
        names: of its experiments; none: it has a single one, of one seed.
        seeds: default of their number; None: as the experiment says.
    """
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if names:
        made.add_argument("name", choices=names)
        made.add_argument("--seeds", type=int, default=seeds, help="runs of each row")
        made.add_argument("--first-seed", type=int, default=0)
    made.add_argument("--jobs", type=int, default=2, help="runs at a time, each on one core")
    made.add_argument("--only", nargs="+", default=[], metavar="ROW", help="rows to train; the table has all there are")
    made.add_argument("--table", action="store_true", help="train nothing: the table of what is evaluated so far")
    return made


def check(made: argparse.ArgumentParser, options: argparse.Namespace, rows: Sequence[str]) -> None:
    """End with a line that names the option and what is valid if `options` are impossible."""
    for name in options.only:
        if name not in rows:
            made.error(f"--only: unknown row {name!r}; valid: {', '.join(rows)}")
    for name, least in (("seeds", 1), ("first_seed", 0), ("jobs", 1)):
        value = getattr(options, name, None)
        if value is not None and value < least:
            made.error(f"--{name.replace('_', '-')}: must be at least {least}, got {value}")


def seeds_of(folder: Path, table: str, row: str, wanted: Sequence[int]) -> list[int]:
    """The seeds `wanted`, and those whose runs of `row` are in `folder` already, or kept for the table."""
    found = [path for place in (folder, KEPT / table) for path in place.glob(f"{row}_s*") if path.is_dir()]
    return sorted({*wanted, *(int(path.name.rpartition("_s")[2]) for path in found)})


def finished(jobs: Sequence[Job]) -> list[Job]:
    """The jobs that are evaluated, each now kept in results/. Names the others on stderr; ends the script if none is
    evaluated."""
    done = [job for job in jobs if job.result]
    for job in done:
        job.keep()
    if missing := [job.path.name for job in jobs if job not in done]:
        print(f"not evaluated yet, or not at the budget: {', '.join(missing)}", file=sys.stderr)
    if not done:
        sys.exit("nothing is evaluated yet")
    return done
