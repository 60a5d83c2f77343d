"""Records made up on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from meta_rl.config import default_config
from meta_rl.evaluation.episodes import Evaluation
from meta_rl.evaluation.forms import read_record, write_record
from meta_rl.evaluation.record import Evaluated
from meta_rl.evaluation.scores import Record


def record_of(evaluation: Evaluation, **changes: Any) -> Record:
    """An evaluation of a policy, as a run has it."""
    found: dict[str, Any] = {
        "run": "run",
        "iteration": 1,
        "train_env_steps": 1000,
        "split": "test",
        "protocol": {"adaptation_episodes": 10, "evaluation_episodes": 3},
        "versions": {},
        "task_distribution": {},
        "tasks": len(evaluation.tasks),
        "stages": evaluation.stages(),
        "values": evaluation.values(),
        "families": [task.family for task in evaluation.tasks],
        "vectors": [list(task.vector) for task in evaluation.tasks],
        "has_success": True,
        "deterministic_episodes": True,
        "env_steps": evaluation.env_steps,
    }
    return Record(**found | changes)


def as_json(record: Record) -> dict[str, Any]:
    """What ``evaluation.json`` says of it."""
    found: dict[str, Any] = json.loads(json.dumps(write_record(record)))
    return found


def from_json(found: dict[str, Any]) -> Record:
    """What is read from ``evaluation.json``."""
    record = read_record(found)
    assert record is not None
    return record


def of_run(record: Record, folder: Path, recipe: str = "maml-trpo", env: str = "metaworld/ml10") -> Evaluated:
    """A run of a recipe that was evaluated so."""
    return Evaluated(folder, default_config(recipe, env), record)
