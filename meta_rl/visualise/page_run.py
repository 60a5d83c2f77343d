"""What a run in environments shows on the page: numbers, curves, every task at every stage, a video."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import envs
from envs import NoDisplayError, Task, TaskDistribution
from meta_rl.agent import load
from meta_rl.config import EvaluateConfig, TrainConfig, from_dict
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.statistics import bootstrap_interval, interquartile_mean
from meta_rl.errors import ConfigError
from meta_rl.logging import Row, read_rows
from meta_rl.recording import REPLAYED, Recording, first_of_each, record, replayed, training_tasks
from meta_rl.visualise import side_by_side, video
from meta_rl.visualise.charts import Series, chart, percent
from meta_rl.visualise.replay import Replays

Say = Callable[[str], None]
Values = NDArray[np.float64]

TRAIN_TASKS = 20
"""Training tasks played for comparison, at most as many as test tasks."""
TITLES = {"test": "Test tasks, which no run trained on", "train": "Training tasks, of the last iteration"}
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
    """What `assets/page.html` reads of a run.

    Args:
        result: its ``evaluation.json``.
        replays: where its replays go.
        share: of the page's tasks, as one part in so many.
        played: the recording of its test tasks, if it is at hand.
    """
    agent = load(run_dir)
    protocol = from_dict(EvaluateConfig, result["protocol"])
    test = envs.make(config.env, result["split"])
    chosen = replayed(test, protocol, max(1, REPLAYED // share))
    if played is None:
        say(f"playing {len(chosen)} {result['split']} tasks of {run_dir} for the page")
        played = record(agent, protocol, result["split"], chosen)
    else:
        played = played.select(chosen)
    if not np.array_equal(played.returns, _values(result, "returns")[chosen]):
        raise ConfigError(f"RUN: {run_dir} has changed since its evaluation; run: meta-rl evaluate {run_dir}")
    recordings = {result["split"]: (played, test)}
    if result["split"] == "test":
        say("playing training tasks for comparison")
        tasks = training_tasks(agent)
        kept = first_of_each([task.family for task in tasks], min(TRAIN_TASKS, len(chosen)))
        again = record(agent, protocol, "train", kept, tasks)
        recordings["train"] = (again, envs.make(config.env, "train"))
    film, note = _film(played, test)
    if film is None:
        say(f"no video on the page: {note}")
    solved = _values(result, "solved")
    rows = read_rows(run_dir / "metrics.jsonl")
    has_success = bool(solved.any()) or any(row.get("success/stage_0", 0) for row in rows)
    names = [played.stage_name(stage) for stage in range(played.stages)]
    return {
        "tab": run_dir.name,
        "eyebrow": f"{config.recipe}, seed {config.seed}",
        "headline": config.env,
        "lede": _lede(result, rows, names),
        "stats": _stats(result, has_success),
        "has_success": has_success,
        "stage_names": names,
        "video": film,
        "video_note": note,
        "parts": [_part(name, *both, _ranges(recordings)) for name, both in recordings.items()],
        "replays": {name: _replay(replays, *both) for name, both in recordings.items()},
        "charts": _charts(result, rows, names, has_success),
        "tables": _tables(run_dir, result, rows, names),
        "commands": commands(run_dir, result),
    }


def commands(run_dir: Path, result: dict[str, Any]) -> list[str]:
    """What makes the run, its evaluation and this page again."""
    run = str(run_dir)
    options = [part for key, value in result["protocol"].items() for part in (f"--{key.replace('_', '-')}", str(value))]
    return [
        shlex.join(["meta-rl", "train", "--config", f"{run}/config.json", "--run-dir", "NEW_FOLDER"]),
        shlex.join(["meta-rl", "evaluate", run, "--split", result["split"], *options]),
        shlex.join(["meta-rl", "report", run]),
    ]


def _values(result: dict[str, Any], key: str) -> Values:
    """``[task, stage, episode]``."""
    return np.array([task[key] for task in result["per_task"]], dtype=np.float64)


def _lede(result: dict[str, Any], rows: list[Row], names: list[str]) -> str:
    steps = rows[-1]["env_steps"] if rows else 0
    return (
        f"{result['iteration']} iterations, {steps:,.0f} env steps of training. Judged on {result['tasks']} "
        f"{result['split']} tasks, each from the meta-parameters: {names[0]}, and {names[-1]}."
    )


def _stats(result: dict[str, Any], has_success: bool) -> list[dict[str, str]]:
    families = [task["family"] for task in result["per_task"]]
    returns = _values(result, "returns").mean(-1)
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
                "note": f"mean over tasks; 95 % intervals {edges[0]}, then {edges[1]}",
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


def brief(value: float) -> str:
    """A return in large type."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.1f}"


def _film(played: Recording, distribution: TaskDistribution) -> tuple[str | None, str]:
    """The video in base64 and what it shows, or None and why there is none."""
    families = [task.family for task in played.tasks]
    rows = first_of_each(families, 1)[:FILMED]
    if len(rows) == 1:
        rows = list(range(min(2, len(families))))
    try:
        video.require_av()
        distribution.scene(played.tasks[rows[0]]).require_display()
    except (ConfigError, NoDisplayError) as error:
        return None, str(error)
    every = max(1, round(distribution.horizon / 125))
    pictures = side_by_side.frames(played, distribution.scene, rows, every)
    film = base64.b64encode(video.encode(pictures, max(2, min(20, distribution.horizon // 5)))).decode()
    which = ", ".join(str(played.positions[row]) for row in rows)
    return (
        film,
        f"{played.about['split']} tasks {which}: {played.stage_name(0)}, {played.stage_name(played.stages - 1)}",
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


def _charts(result: dict[str, Any], rows: list[Row], names: list[str], has_success: bool) -> list[dict[str, Any]]:
    charts = [_adaptation(result, names, "returns", "return")]
    if has_success:
        charts.append(_adaptation(result, names, "solved", "success"))
    if rows:
        charts.append(_training(rows, "return"))
        if has_success:
            charts.append(_training(rows, "success"))
    return charts


def _adaptation(result: dict[str, Any], names: list[str], key: str, what: str) -> dict[str, Any]:
    """A thin line per task (success: per family), the mean bold, its interval as a band."""
    values, stages = _values(result, key).mean(-1), result["stages"]
    xs = list(range(len(names)))
    families = [task["family"] for task in result["per_task"]]
    if what == "success":
        groups = dict.fromkeys(families)
        lines = {f: values[[g == f for g in families]].mean(0) for f in groups} if len(groups) > 1 else {}
    else:
        lines = {f"{families[i]}, task {i}": row for i, row in enumerate(values)}
    series = [Series(xs, line.tolist(), "thin", label) for label, line in lines.items()]
    low, high = zip(*(stage[f"{what}_interval"] for stage in stages), strict=True)
    series.append(Series(xs, [stage[what] for stage in stages], "after", f"mean {what}", (low, high)))
    thin = "family" if what == "success" else "task"
    legend = [("after", "mean over tasks, 95 % interval"), *([("thin", f"one {thin}")] if lines else [])]
    return {
        "id": f"adaptation-{what}",
        "title": f"Adaptation: {what}",
        "note": f"{result['tasks']} {result['split']} tasks",
        "legend": legend,
        "svg": chart(series, "adaptation steps", what, percent, True, (0, 1))
        if what == "success"
        else chart(series, "adaptation steps", what, whole_x=True),
    }


def _training(rows: list[Row], what: str) -> dict[str, Any]:
    """A line per stage of meta-training."""
    stages = sorted(int(key.rsplit("_", 1)[1]) for key in rows[0] if key.startswith(f"{what}/stage_"))
    shown = [stages[0], *([stages[-1]] if len(stages) > 1 else [])]
    xs = [row["env_steps"] for row in rows]
    styles = dict(zip(shown, ("before", "after"), strict=False))
    words = {stage: f"stage {stage}, after {stage} adaptations" for stage in shown}
    series = [Series(xs, [row[f"{what}/stage_{s}"] for row in rows], styles[s], words[s]) for s in shown]
    return {
        "id": f"training-{what}",
        "title": f"Training: {what}",
        "note": "sampled actions, training tasks of each iteration",
        "legend": [(styles[stage], words[stage]) for stage in shown],
        "svg": chart(series, "env steps", what, percent, False, (0, 1))
        if what == "success"
        else chart(series, "env steps", what),
    }


def _tables(run_dir: Path, result: dict[str, Any], rows: list[Row], names: list[str]) -> list[dict[str, Any]]:
    stages = [
        [
            name,
            f"{s['success']:.1%} ({s['success_interval'][0]:.1%} to {s['success_interval'][1]:.1%})",
            f"{s['return']:.2f} ({s['return_interval'][0]:.2f} to {s['return_interval'][1]:.2f})",
            f"{s['return_iqm']:.2f}",
        ]
        for name, s in zip(names, result["stages"], strict=True)
    ]
    tables: list[dict[str, Any]] = [
        {"title": "Numbers", "head": ["stage", "success (95 %)", "return (95 %)", "return, IQM"], "rows": stages}
    ]
    families = result["stages"][0]["success_by_family"]
    if len(families) > 1:
        ends = [result["stages"][i]["success_by_family"] for i in (0, -1)]
        by_family = [[family, f"{ends[0][family]:.1%}", f"{ends[1][family]:.1%}"] for family in families]
        tables.append({"title": "Success by family", "head": ["family", names[0], names[-1]], "rows": by_family})
    if result["stock"]:
        stock = result["stock"]
        row = ["success", f"{result['stages'][-1]['success']:.1%}", f"{stock['success']:.1%}"]
        head = ["after adaptation", "ours", "Meta-World's own evaluator"]
        tables.append({"title": "Beside the usual number", "head": head, "rows": [row], "note": STOCK})
    protocol = [[key.replace("_", " "), str(value)] for key, value in result["protocol"].items()]
    fingerprint = [[key.replace("_", " "), str(value)] for key, value in result["task_distribution"].items()]
    tables.append({"title": "Protocol", "rows": protocol + fingerprint, "note": PROTOCOL})
    return [*tables, robustness(run_dir, rows), versions_table(result)]


PROTOCOL = (
    "Adaptation episodes have sampled actions, judged ones mode actions. Success is success at any step of an episode. "
    "Every task starts from the meta-parameters; every episode counts once."
)
STOCK = "Meta-World's evaluator counts the first episodes to finish, and successes finish early: it reads too high."


def robustness(run_dir: Path, rows: list[Row]) -> dict[str, Any]:
    """Resumes, and how often each guard of the training loop had to act."""
    path = run_dir / "resumes.jsonl"
    resumed = [f"{row['iteration']:.0f}" for row in read_rows(path)] if path.exists() else []
    after = f" (after iteration {', '.join(resumed)})" if resumed else ""
    lines = [["resumed from a checkpoint", f"{len(resumed)} times{after}"]]
    guards = sorted({key for row in rows for key in row if key.startswith(("guard/", "workers/"))})
    for key in guards:
        group, _, name = key.partition("/")
        count = sum(row.get(key, 0) for row in rows)
        lines.append([f"{group}: {name.replace('_', ' ')}", f"{count:.0f} in {len(rows)} iterations"])
    if not any(key.startswith("workers/") for key in guards):
        lines.append(["workers restarted", "none: sampled in the learner's own process"])
    return {"title": "Robustness", "rows": lines, "note": "A guard that acts discards an update, or an episode."}


def versions_table(result: dict[str, Any]) -> dict[str, Any]:
    """Libraries and commit."""
    return {"title": "Versions", "rows": [[name, str(value)] for name, value in result["versions"].items()]}
