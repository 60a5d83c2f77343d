"""Evaluations of a run, read without importing anything heavy: ``evaluation.json``, the headline, is that of its last
checkpoint; those of earlier ones, where asked for, are in the folder ``evaluations``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from meta_rl.errors import ConfigError
from meta_rl.runs.folder import results_dir


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


def evaluations(run_dir: Path, iteration: int) -> Iterator[tuple[Files, dict[str, Any]]]:
    """Evaluations of the checkpoint of an iteration: the headline, if it is of this checkpoint, then its own. Those
    written by an earlier version of this software are left out."""
    for place in (files(run_dir), files(run_dir, iteration)):
        if place.evaluation.exists():
            result = json.loads(place.evaluation.read_text())
            if "train_env_steps" in result and result["iteration"] == iteration:
                yield place, result


def read_evaluation(run_dir: Path) -> dict[str, Any]:
    """The latest ``evaluation.json`` of a run, or of an exported agent: its own, or what its run handed over with it.

    Raises:
        ConfigError: there is none, or an earlier version of this software wrote it.
    """
    path = evaluation_path(run_dir)
    if not path.exists():
        raise ConfigError(f"RUN: {run_dir} has no evaluation.json; run: meta-rl evaluate {run_dir}")
    result: dict[str, Any] = json.loads(path.read_text())
    if "train_env_steps" not in result:
        raise ConfigError(f"RUN: {path} is of an earlier version; run: meta-rl evaluate {run_dir}")
    return result


def judged_sampled(stages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the `stages` of an evaluation, or of a comparison, tell of sampled actions beside mode actions; older
    ones do not."""
    return all("sampled_success" in stage for stage in stages)


def ways_judged(stages: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The ways in which policies were judged: the prefix of the keys in `stages`, and what heads of tables add."""
    return {"": ", mode actions", "sampled_": ", sampled actions"} if judged_sampled(stages) else {"": ""}
