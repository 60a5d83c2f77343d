"""Which runs differ in their seeds alone: the groups of a comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meta_rl.config import TrainConfig, default_config, from_dict, load_config, settings
from meta_rl.errors import ConfigError
from meta_rl.evaluation.record import Evaluated
from meta_rl.runs.folder import began_with

UNTRAINED = "untrained"
"""Label of runs that have not begun to learn."""
AS_IT_CAME = "as it came"
"""What is said of runs that began with an agent and have not learned since: it is judged on their tasks as it is."""


def group_runs(runs: Sequence[Evaluated]) -> dict[str, list[Evaluated]]:
    """Runs that differ in nothing but their seeds (and what does not change a run's numbers), by a label: the recipe
    and, where there are several groups of it, the settings in which these differ. A run that is named twice counts
    once.

    Raises:
        ConfigError: two runs of one group have the same seed and were not judged alike.
    """
    named: dict[str, list[Evaluated]] = {}
    for label, mine in by_recipe(runs).items():
        groups: dict[str, tuple[dict[str, Any], list[Evaluated]]] = {}
        for run, described in zip(mine, _described(mine), strict=True):
            groups.setdefault(json.dumps(described, sort_keys=True), (described, []))[1].append(run)
        every = [described for described, _ in groups.values()]
        for described, group in groups.values():
            named[" ".join([label, *_differences(described, every)])] = _once_each(group)
    return named


def differing_settings(groups: Mapping[str, Sequence[Evaluated]]) -> list[tuple[str, list[str]]]:
    """The settings in which groups differ, by their dotted names, each with its value in every group: empty where a
    group has no such setting."""
    described = [settings(runs[0].config) | {"iterations": runs[0].record.iteration} for runs in groups.values()]
    found = []
    for name in dict.fromkeys(name for one in described for name in one):
        values = [json.dumps(one[name]) if name in one else None for one in described]
        if len(set(values)) > 1:
            found.append((name, [_shown(one[name]) if name in one else "" for one in described]))
    return found


def by_recipe(runs: Sequence[Evaluated]) -> dict[str, list[Evaluated]]:
    """The runs of each recipe by its name; those that have not begun to learn are apart."""
    found: dict[tuple[str, str], list[Evaluated]] = {}
    for run in runs:
        found.setdefault((run.config.recipe, _so_far(run)), []).append(run)
    several = sum(so_far == UNTRAINED for _, so_far in found) > 1

    def label(recipe: str, so_far: str) -> str:
        if so_far == UNTRAINED:
            return f"{UNTRAINED} {recipe}" if several else UNTRAINED
        return f"{recipe} {so_far}".rstrip()

    return {label(*key): mine for key, mine in found.items()}


def _so_far(run: Evaluated) -> str:
    """How far a run has come, as labels say it: nothing for one that has learned, or that never does, as random."""
    if run.record.iteration > 0 or default_config(run.config.recipe, run.config.env).iterations == 0:
        return ""
    return AS_IT_CAME if began_with(run.folder) else UNTRAINED


def _described(runs: Sequence[Evaluated]) -> list[dict[str, Any]]:
    """What each run's numbers come from, but for seeds: its settings, its iterations, and what it began with.

    The settings of the agents that the runs began with tell runs apart only if they are known of all.
    """
    begun = [began_with(run.folder) for run in runs]
    theirs = [_settings_of_start(run, start) for run, start in zip(runs, begun, strict=True)]
    known = all(found is not None for found in theirs)
    described = []
    for run, start, found in zip(runs, begun, theirs, strict=True):
        first = {"start_from": start.get("recipe", "none")}
        first |= {f"start_from.{name}": start[name] for name in ("env", "iteration") if name in start}
        first |= {f"start_from.{name}": value for name, value in (found or {}).items() if known}
        described.append(settings(run.config) | {"iterations": run.record.iteration} | first)
    return described


def _settings_of_start(run: Evaluated, start: dict[str, Any]) -> dict[str, Any] | None:
    """The settings of the agent that a run began with: as the run recorded them, else from the folder, if it is still
    there; None if they are not known, nothing if there was no such agent."""
    folder = Path(run.config.start_from)
    try:
        if "config" in start:
            return settings(from_dict(TrainConfig, start["config"]))
        return settings(load_config(folder / "config.json")) if start else {}
    except ConfigError:
        return None


def _differences(described: dict[str, Any], every: Sequence[dict[str, Any]]) -> list[str]:
    """The settings in which groups of a recipe differ, as one of them has them: ``inner_lr=0.5``."""

    def differs(name: str) -> bool:
        return len({json.dumps(other[name]) for other in every if name in other}) > 1

    return [f"{_short(name)}={_shown(value)}" for name, value in described.items() if differs(name)]


def _short(name: str) -> str:
    """A field as options name it; one of the start keeps its first word."""
    first, _, rest = name.partition(".")
    last = rest.rpartition(".")[2]
    return f"{first}.{last}" if first == "start_from" and last else last or first


def _shown(value: Any) -> str:
    """A value without spaces."""
    return (",".join(map(str, value)) or "none") if isinstance(value, list) else str(value)


def _once_each(group: Sequence[Evaluated]) -> list[Evaluated]:
    """The first run of each seed; the others must be the same run."""
    found: dict[int, Evaluated] = {}
    for run in group:
        first = found.setdefault(run.config.seed, run)
        if not _same_numbers(first, run):
            raise ConfigError(
                f"RUN: {first.folder} and {run.folder} are one run by config and seed ({run.config.seed}), and their "
                "numbers differ; name one of them"
            )
    return list(found.values())


def _same_numbers(a: Evaluated, b: Evaluated) -> bool:
    """Whether two runs were judged alike by the headline."""
    one, other = (run.record.values[run.record.headline] for run in (a, b))
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k], equal_nan=True) for k in one)
