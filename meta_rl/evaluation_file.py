"""``evaluation.json`` of a run, read without importing anything heavy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meta_rl.errors import ConfigError


def read_evaluation(run_dir: Path) -> dict[str, Any]:
    """The ``evaluation.json`` of a run.

    Raises:
        ConfigError: there is none, or an earlier version of this software wrote it.
    """
    path = run_dir / "evaluation.json"
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
