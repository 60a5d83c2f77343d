"""The page of a run in environments: numbers, curves, every task at every stage, a video."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import envs
from envs import NoDisplayError, Task, TaskDistribution
from meta_rl.agents.agent import load
from meta_rl.config import EvaluateConfig, TrainConfig, from_dict
from meta_rl.core.seeding import Purpose, generator
from meta_rl.errors import ConfigError
from meta_rl.evaluation.record import judged_sampled
from meta_rl.evaluation.recording import REPLAYED, Recording, first_of_each, record, replayed, training_tasks
from meta_rl.maths.statistics import bootstrap_interval, interquartile_mean
from meta_rl.runs.log import read_rows
from meta_rl.visualise import side_by_side, video
from meta_rl.visualise.page.curves import curves, task_values
from meta_rl.visualise.page.replay import Replays
from meta_rl.visualise.page.tables import commands, tables

Say = Callable[[str], None]
TRAIN_TASKS = 20
"""Training tasks played for comparison, at most as many as test tasks."""
TITLES = {
    "test": "Test tasks, which no run trained on",
    "train": "Training tasks",
    "training": "Training tasks, of the last iteration",
}
"""Parts of the map of tasks and stages."""
FILMED = 4
"""Tasks in the video."""


def gather(
    run_dir: Path,
    config: TrainConfig,
    result: dict[str, Any],
    replays: Replays,
    share: int,
    say: Say,
    played: Recording | None = None,
) -> dict[str, Any]:
    """The data of a run for `assets/page.html`.

    Args:
        result: its ``evaluation.json``.
        replays: where its replays go.
        share: number of runs on the page; each shows about ``REPLAYED // share`` tasks.
        played: the recording of its test tasks, if it is at hand.
    """
    agent = load(run_dir)
    if agent.iteration != result["iteration"]:
        raise ConfigError(f"RUN: {run_dir} has gone on since its evaluation; run: meta-rl evaluate {run_dir}")
    protocol = from_dict(EvaluateConfig, result["protocol"])
    test = envs.make(config.env, result["split"])
    chosen = replayed(test, protocol, max(1, REPLAYED // share))
    if played is None:
        say(f"playing {len(chosen)} {result['split']} tasks of {run_dir} for the page")
        played = record(agent, protocol, result["split"], chosen)
    else:
        played = played.select(chosen)
    if not np.array_equal(played.returns, task_values(result, "returns")[chosen]):
        say(f"{run_dir} was evaluated elsewhere (machine, libraries): its replays are not quite the evaluated episodes")
    recordings = {result["split"]: (played, test)}
    if result["split"] == "test":
        say("playing training tasks for comparison")
        tasks = training_tasks(agent)
        kept = first_of_each([task.family for task in tasks], min(TRAIN_TASKS, len(chosen)))
        again = record(agent, protocol, "train", kept, tasks)
        recordings["training"] = (again, envs.make(config.env, "train"))
    film, note = _film(played, test)
    if film is None:
        say(f"no video on the page: {note}")
    rows = read_rows(run_dir / "metrics.jsonl")
    has_success = result["has_success"]
    names = [played.stage_name(stage) for stage in range(played.stages)]
    return {
        "tab": run_dir.name,
        "eyebrow": f"{config.recipe}, seed {config.seed}",
        "headline": config.env,
        "lede": _lede(result, names),
        "stats": _stats(result, has_success),
        "has_success": has_success,
        "stage_names": names,
        "video": film,
        "video_note": note,
        "parts": [_part(name, *both, _ranges(recordings)) for name, both in recordings.items()],
        "opened": played.typical(1)[0],
        "replays": {name: _replay(replays, *both) for name, both in recordings.items()},
        "charts": curves(result, rows, names, has_success),
        "tables": tables(run_dir, result, rows, names),
        "commands": commands(run_dir, result),
    }


def _lede(result: dict[str, Any], names: list[str]) -> str:
    return (
        f"{result['iteration']} iterations, {result['train_env_steps']:,} env steps of training. Judged on "
        f"{result['tasks']} {result['split']} tasks, each from the meta-parameters: {names[0]}, and {names[-1]}."
    )


def _stats(result: dict[str, Any], has_success: bool) -> list[dict[str, str]]:
    families = [task["family"] for task in result["per_task"]]
    returns = task_values(result, "returns").mean(-1)
    first, last = result["stages"][0], result["stages"][-1]
    intervals = [
        bootstrap_interval(
            returns[:, stage], families, generator(0, Purpose.BOOTSTRAP, stage=stage), interquartile_mean
        )
        for stage in (0, -1 % returns.shape[1])
    ]
    stats = []
    if has_success:
        edges = [f"{low:.0%} to {high:.0%}" for low, high in (first["success_interval"], last["success_interval"])]
        stats.append(
            {
                "name": "Success",
                "before": f"{first['success']:.0%}",
                "after": f"{last['success']:.0%}",
                "note": f"mean over tasks; 95 % intervals {edges[0]}, then {edges[1]}" + _beside(result),
            }
        )
    edges = [f"{low:,.1f} to {high:,.1f}" for low, high in intervals]
    stats.append(
        {
            "name": "Return, interquartile mean",
            "before": brief(first["return_iqm"]),
            "after": brief(last["return_iqm"]),
            "note": f"over tasks; 95 % intervals {edges[0]}, then {edges[1]}",
        }
    )
    return stats


def _beside(result: dict[str, Any]) -> str:
    """Success by sampled actions, where they were judged."""
    if not judged_sampled(result["stages"]):
        return ""
    before, after = (result["stages"][stage]["sampled_success"] for stage in (0, -1))
    return f"; with sampled actions {before:.0%}, then {after:.0%}"


def brief(value: float) -> str:
    """A return in large type."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.1f}"


def _film(played: Recording, distribution: TaskDistribution) -> tuple[str | None, str]:
    """The video in base64 and its caption, or None and the reason."""
    families = {task.family for task in played.tasks}
    rows = played.typical(1 if len(families) > 1 else 2)[:FILMED]
    try:
        video.require_av()
        distribution.scene(played.tasks[rows[0]]).require_display()
    except (ConfigError, NoDisplayError) as error:
        return None, str(error)
    every = max(1, round(distribution.horizon / 100))
    pictures = side_by_side.frames(played, distribution.scene, rows, every)
    film = base64.b64encode(video.encode(pictures, max(2, min(20, distribution.horizon // 5)))).decode()
    which = ", ".join(str(played.positions[row]) for row in rows)
    return (
        film,
        f"{played.about['split']} tasks {which}, of median improvement: {played.stage_name(0)}, "
        f"{played.stage_name(played.stages - 1)}",
    )


def _ranges(recordings: dict[str, tuple[Recording, TaskDistribution]]) -> dict[str, tuple[float, float]]:
    """Lowest and highest mean return of each family."""
    found: dict[str, list[float]] = {}
    for played, _ in recordings.values():
        for task, returns in zip(played.tasks, played.returns.mean(-1), strict=True):
            found.setdefault(task.family, []).extend(returns.tolist())
    return {family: (min(values), max(values)) for family, values in found.items()}


def _part(
    name: str, played: Recording, distribution: TaskDistribution, ranges: dict[str, tuple[float, float]]
) -> dict[str, Any]:
    """The heatmap of one split."""
    families: dict[str, list[dict[str, Any]]] = {}
    for row, task in enumerate(played.tasks):
        cells = [_cell(name, played, row, stage, ranges[task.family]) for stage in range(played.stages)]
        families.setdefault(task.family, []).append({"row": row, "cells": cells})
    title = TITLES[name]
    shown = [{"name": family, "tasks": tasks} for family, tasks in families.items()]
    return {"name": name, "title": title, "families": shown}


def _cell(name: str, played: Recording, row: int, stage: int, ends: tuple[float, float]) -> dict[str, Any]:
    value, solved = float(played.returns[row, stage].mean()), float(played.solved[row, stage].mean())
    shade = (value - ends[0]) / (ends[1] - ends[0]) if ends[1] > ends[0] else 0.5
    met = f", success {solved:.0%}" if played.solved.any() else ""
    where = f"{played.tasks[row].family}, {name} task {played.positions[row]}, {played.stage_name(stage)}"
    return {"shade": f"{shade:.3f}", "solved": solved >= 0.5, "title": f"{where}: return {value:.2f}{met}"}


def _replay(replays: Replays, played: Recording, distribution: TaskDistribution) -> list[dict[str, Any]]:
    def scene_of(task: Task) -> envs.Scene:
        return distribution.scene(task)

    tasks = replays.tasks(played, scene_of)
    for task, position in zip(tasks, played.positions, strict=True):
        task["position"] = position
    return tasks
