"""Evaluations of a run, read without importing anything heavy: ``evaluation.json``, the headline, is that of its last
checkpoint; those of earlier ones, where asked for, are in the folder ``evaluations``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from meta_rl.config import RECIPES, TrainConfig, load_config
from meta_rl.errors import ConfigError
from meta_rl.evaluation.forms import read_record, write_record
from meta_rl.evaluation.scores import Record
from meta_rl.evaluation.words import command_line
from meta_rl.runs.folder import about_run, results_dir, write_json
from meta_rl.runs.recorded import learned_on


@dataclass(frozen=True)
class Evaluated:
    """A run with its evaluation.

    Attributes:
        folder: of the run, or of an exported agent.
    """

    folder: Path
    config: TrainConfig
    record: Record

    @property
    def acts(self) -> bool:
        """Whether it has learned to act in environments, rather than from labelled examples."""
        return RECIPES[self.config.recipe].learns == "rl"

    @property
    def training_command(self) -> str:
        """Command that trains such a run, on the tasks that it learned from."""
        others = learned_on(about_run(self.folder))
        changed = ["--env", others] if others else []
        return command_line("train", "--config", self.folder / "config.json", *changed, "--run-dir", "NEW_FOLDER")


def evaluation_path(run_dir: Path) -> Path:
    """Path of the latest ``evaluation.json`` of a run or an exported agent, or the path it would have."""
    mine, handed = (folder / "evaluation.json" for folder in (results_dir(run_dir), run_dir))
    return handed if handed.exists() and not mine.exists() else mine


class Files(NamedTuple):
    """An evaluation (JSON), and its report (Markdown)."""

    evaluation: Path
    report: Path


def files(run_dir: Path, iteration: int | None = None) -> Files:
    """Paths of an evaluation of a run: of its headline (None), or of the checkpoint of an iteration."""
    folder = results_dir(run_dir)
    if iteration is None:
        return Files(folder / "evaluation.json", folder / "report.md")
    path = folder / "evaluations" / f"{iteration:08d}.json"
    return Files(path, path.with_suffix(".md"))


def evaluations(run_dir: Path, iteration: int) -> Iterator[tuple[Files, Record]]:
    """Evaluations of the checkpoint of an iteration: the headline, if it is of this checkpoint, then its own. Those
    written by an earlier version of this software are left out."""
    for place in (files(run_dir), files(run_dir, iteration)):
        if place.evaluation.exists():
            record = read_record_file(place.evaluation)
            if record and record.iteration == iteration:
                yield place, record


def read_record_file(path: Path) -> Record | None:
    """An evaluation from its file; None if an earlier version of this software wrote it."""
    return read_record(json.loads(path.read_text()))


def write_record_file(record: Record, path: Path) -> None:
    """Write the file that `read_record_file` reads, in a folder that may have to be made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, write_record(record))


def read_evaluation(run_dir: Path) -> Record:
    """The latest ``evaluation.json`` of a run, or of an exported agent: its own, or what its run handed over with it.

    Raises:
        ConfigError: there is none, or an earlier version of this software wrote it.
    """
    path = evaluation_path(run_dir)
    if not path.exists():
        raise ConfigError(f"RUN: {run_dir} has no evaluation.json; run: {command_line('evaluate', run_dir)}")
    record = read_record_file(path)
    if record is None:
        raise ConfigError(f"RUN: {path} is of an earlier version; run: {command_line('evaluate', run_dir)}")
    return record


def evaluated(run_dirs: Sequence[str | Path], verb: str = "compare") -> list[Evaluated]:
    """Runs of one kind with their evaluations.

    Args:
        verb: what runs of two kinds do not do together.
    Raises:
        ConfigError: a run has no evaluation (see `read_evaluation`), or the runs are of two kinds.
    """
    found = [(Path(run_dir), read_evaluation(Path(run_dir))) for run_dir in run_dirs]
    runs = [Evaluated(folder, load_config(folder / "config.json"), record) for folder, record in found]
    if len({run.acts for run in runs}) > 1:
        raise ConfigError(f"RUN: few-shot runs and runs in environments do not {verb}; name one kind")
    return runs
