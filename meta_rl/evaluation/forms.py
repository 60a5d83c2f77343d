"""Evaluations as JSON: ``evaluation.json``, and stages in the tables of `meta_rl.evaluation.compare`.

There are two forms, and files of earlier versions have them too. Of a policy, a stage holds every number under a name
of its own (``"return_interval"``), those of sampled actions with ``sampled_`` before it; ``per_task`` is a list of
tasks. Of labelled examples, a stage holds ``transductive`` and ``inductive``, each score by name; so does ``per_task``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from meta_rl.evaluation.scores import INDUCTIVE, MODE, SAMPLED, TRANSDUCTIVE, Record, Score, Scores, Stage

Json = dict[str, Any]
PREFIXES = {MODE: "", SAMPLED: "sampled_"}
"""Ways of judging a policy, and how their keys begin."""
EPISODES = {"return": "returns", "success": "solved"}
"""Scores of a policy, and what their numbers per task are called."""
SHARED = ("run", "iteration", "train_env_steps", "split", "protocol", "versions")
POLICY = (
    *(*SHARED, "deterministic_episodes", "has_success", "task_distribution", "tasks", "env_steps"),
    *("stages", "practice_returns", "stock", "per_task"),
)
EXAMPLES = (*SHARED, "task_distribution", "batch_statistics", "tasks", "stages", "baselines", "per_task")
"""Keys of the two forms, in order; all but ``per_task`` are fields of a `Record`."""


def write_score(score: Score) -> Json:
    """A score with a normal interval."""
    over_seeds = {"seed_sd": score.seed_sd, "by_seed": list(score.by_seed)} if score.by_seed else {}
    return {"mean": score.mean, "interval": score.half, **over_seeds}


def write_scores(scores: Scores) -> Json:
    """Scores with normal intervals, by name."""
    return {name: write_score(score) for name, score in scores.items()}


def read_scores(found: Mapping[str, Any]) -> Scores:
    """The inverse of `write_scores`."""
    return {name: Score.around(v["mean"], v["interval"], v.get("by_seed", ())) for name, v in found.items()}


def write_stage(stage: Stage) -> Json:
    """A stage of an evaluation, or of a comparison."""
    found: Json = {"adaptation_steps": stage.steps}
    if stage.practice is not None:
        found["practice_episodes"] = stage.practice
    for way, scores in stage.scores.items():
        found |= _write_policy(stage, way) if way in PREFIXES else {way: write_scores(scores)}
    return found


def _write_policy(stage: Stage, way: str) -> Json:
    """The numbers of a policy that was judged in one way."""
    found: Json = {}
    for name, score in stage.scores[way].items():
        found |= {name: score.mean, f"{name}_interval": [score.low, score.high]}
        if score.by_seed:
            found[f"{name}_by_seed"] = list(score.by_seed)
    found["return_iqm"] = stage.iqm[way]
    if way in stage.by_family:
        found["success_by_family"] = stage.by_family[way]
    return {PREFIXES[way] + key: value for key, value in found.items()}


def read_stage(found: Mapping[str, Any]) -> Stage:
    """The inverse of `write_stage`, of an evaluation or of a comparison, in either form."""
    steps = found["adaptation_steps"]
    if INDUCTIVE in found:
        return Stage(steps, {way: read_scores(found[way]) for way in (TRANSDUCTIVE, INDUCTIVE)})
    judged = {way: prefix for way, prefix in PREFIXES.items() if f"{prefix}success" in found}

    def score(name: str) -> Score:
        low, high = found[f"{name}_interval"]
        return Score(found[name], low, high, by_seed=tuple(found.get(f"{name}_by_seed", ())))

    return Stage(
        steps,
        {way: {name: score(prefix + name) for name in ("success", "return")} for way, prefix in judged.items()},
        {way: found[f"{prefix}return_iqm"] for way, prefix in judged.items()},
        {
            way: found[f"{prefix}success_by_family"]
            for way, prefix in judged.items()
            if f"{prefix}success_by_family" in found
        },
        found.get("practice_episodes"),
    )


def write_record(record: Record) -> Json:
    """The contents of ``evaluation.json``."""
    acts = record.headline in PREFIXES
    made = {
        "stages": [write_stage(stage) for stage in record.stages],
        "baselines": {label: write_scores(scores) for label, scores in record.baselines.items()},
        "per_task": _write_tasks(record) if acts else _write_episodes(record),
    }
    return {key: made[key] if key in made else getattr(record, key) for key in (POLICY if acts else EXAMPLES)}


def read_record(found: Mapping[str, Any]) -> Record | None:
    """The inverse of `write_record`; None if a version of this software wrote it that knew no env steps of training."""
    if "train_env_steps" not in found:
        return None
    keys, read = (POLICY, _read_tasks) if "has_success" in found else (EXAMPLES, _read_episodes)
    plain = {key: found[key] for key in keys if key not in ("stages", "baselines", "per_task")}
    stages = [read_stage(stage) for stage in found["stages"]]
    baselines = {label: read_scores(scores) for label, scores in found.get("baselines", {}).items()}
    return Record(**plain, stages=stages, baselines=baselines, **read(found["per_task"]))


def _write_tasks(record: Record) -> list[Json]:
    """Every task of a policy with its numbers ``[stage][episode]``; success as true and false."""
    columns = {
        PREFIXES[way] + EPISODES[name]: (values > 0 if name == "success" else values).tolist()
        for way, found in record.values.items()
        for name, values in found.items()
    }
    return [
        {"family": family, "vector": vector, **{key: column[task] for key, column in columns.items()}}
        for task, (family, vector) in enumerate(zip(record.families, record.vectors, strict=True))
    ]


def _read_tasks(found: list[Json]) -> Json:
    """The inverse of `_write_tasks`."""
    judged = {way: prefix for way, prefix in PREFIXES.items() if all(f"{prefix}returns" in task for task in found)}
    values = {
        way: {name: np.array([task[prefix + key] for task in found], float) for name, key in EPISODES.items()}
        for way, prefix in judged.items()
    }
    return {"values": values, "families": [t["family"] for t in found], "vectors": [t["vector"] for t in found]}


def _write_episodes(record: Record) -> Json:
    """The number of every episode at each stage, by way and name ``[episode][stage]``."""
    numbers = {way: {name: v[..., 0].tolist() for name, v in found.items()} for way, found in record.values.items()}
    return {"points": [stage.steps for stage in record.stages], **numbers}


def _read_episodes(found: Json) -> Json:
    """The inverse of `_write_episodes`."""
    ways = (TRANSDUCTIVE, INDUCTIVE)
    return {"values": {way: {name: np.array(v)[..., None] for name, v in found[way].items()} for way in ways}}
