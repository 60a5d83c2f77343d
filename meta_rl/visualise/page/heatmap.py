"""The map of every task at every stage, in which a reader chooses what to replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meta_rl.evaluation.playing import Played
from meta_rl.evaluation.recording import Recording
from meta_rl.evaluation.words import StageNames
from meta_rl.visualise.page.headline import with_digits_of

TITLES = {
    "test": "Test tasks, which no run trained on",
    "seen": "Test tasks, which are training tasks too",
    "train": "Training tasks",
    "training": "Training tasks, of the last iteration",
}
"""Parts of the map."""

Ends = tuple[float, float]


def heat_map(recordings: Mapping[str, Played]) -> list[dict[str, Any]]:
    """The parts of the map for `assets/page.html`: families of tasks, of each task a cell per stage. Its shade is the
    mean return within that family, in all parts alike."""
    ends = _ranges(recordings)
    return [_part(name, played, ends) for name, (played, _) in recordings.items()]


def short_name(names: StageNames, steps: int) -> str:
    """A stage in a word or two, for the left of a row of cells."""
    if names.memory:
        return f"episode {names.along(steps) + 1}"
    return f"after {steps}" if steps else "before"


def _ranges(recordings: Mapping[str, Played]) -> dict[str, Ends]:
    """Lowest and highest mean return of each family."""
    found: dict[str, list[float]] = {}
    for played, _ in recordings.values():
        for task, returns in zip(played.tasks, played.returns.mean(-1), strict=True):
            found.setdefault(task.family, []).extend(returns.tolist())
    return {family: (min(values), max(values)) for family, values in found.items()}


def _part(name: str, played: Recording, ranges: Mapping[str, Ends]) -> dict[str, Any]:
    """The map of one split."""
    families: dict[str, list[dict[str, Any]]] = {}
    rises = played.returns.mean(-1)[:, -1] - played.returns.mean(-1)[:, 0]
    solved = played.solved.mean(-1)
    # Tasks that are solved by adaptation come before those whose return alone rises; the largest gain is the first.
    order = sorted(range(len(rises)), key=lambda row: (solved[row, 0] - solved[row, -1], -rises[row]))
    for row in order:
        family = played.tasks[row].family
        cells = [_cell(name, played, row, stage, ranges[family]) for stage in range(played.stages)]
        families.setdefault(family, []).append({"row": row, "position": played.positions[row], "cells": cells})
    stages = [short_name(played.stage_names, stage) for stage in range(played.stages)]
    in_order = dict.fromkeys(task.family for task in played.tasks)
    shown = [{"name": family, "tasks": families[family], **_scale(ranges[family])} for family in in_order]
    title = TITLES["seen" if name == "test" and played.about.get("multitask") else name]
    return {"name": name, "title": title, "families": shown, "stages": stages}


def _scale(ends: Ends) -> dict[str, Any]:
    """The ends of a family's scale in words; `flat` where these say the same: its shades would tell of nothing."""
    low, high = map(with_digits_of(*ends), ends)
    return {"low": low, "high": high, "flat": low == high}


def _cell(name: str, played: Recording, row: int, stage: int, ends: Ends) -> dict[str, Any]:
    value, solved = float(played.returns[row, stage].mean()), float(played.solved[row, stage].mean())
    shade = "" if _scale(ends)["flat"] else f"{(value - ends[0]) / (ends[1] - ends[0]):.3f}"
    met = f", success {solved:.0%}" if played.solved.any() else ""
    where = f"{played.tasks[row].family}, {name} task {played.positions[row]}, {played.stage_name(stage)}"
    return {"shade": shade, "solved": solved >= 0.5, "title": f"{where}: return {value:z.2f}{met}"}
