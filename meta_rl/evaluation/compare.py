"""Several runs together: grouped by what was trained, over seeds, before and after adaptation."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl.core.files import with_ending
from meta_rl.errors import ConfigError
from meta_rl.evaluation import markdown
from meta_rl.evaluation.forms import read_scores, read_stage, write_scores, write_stage
from meta_rl.evaluation.grouping import by_recipe, group_runs
from meta_rl.evaluation.kinds.base import Comparison, Group, Table
from meta_rl.evaluation.kinds.table import KINDS, Kind, kind_of
from meta_rl.evaluation.record import Evaluated, evaluated
from meta_rl.evaluation.scores import Score, Shower, Stage, baseline_cells, cells, head_cells, show
from meta_rl.fewshot.published import caution
from meta_rl.maths.statistics import interquartile_mean
from meta_rl.runs.display import Part
from meta_rl.runs.durable import replace_durably
from meta_rl.runs.folder import write_json


def compare(run_dirs: Sequence[str | Path]) -> Comparison:
    """Summary of evaluated runs, in groups of those that differ in their seeds alone. A group is called by its recipe
    (``untrained`` if its runs have not begun to learn) and, where there are several of a recipe, by what differs.

    Returns:
        Per group its seeds, what training took, and per adaptation step the mean of every score over seeds and tasks
        with a 95 % interval (of policies a stratified bootstrap) and the mean of each seed, and of policies the
        interquartile mean of the return; in every way in which all runs were judged by equally many episodes.
    Raises:
        ConfigError: a run has no evaluation; runs are of two kinds, or were evaluated on different tasks or for a
            different number of episodes; those of one recipe had different numbers of adaptation episodes; or runs of
            one config and seed have different numbers.
    """
    if isinstance(run_dirs, str | Path) or not run_dirs:
        raise ConfigError(f"run_dirs: must be a list of run directories, got {run_dirs!r}")
    return compare_runs(evaluated(run_dirs))


def compare_runs(runs: Sequence[Evaluated]) -> Comparison:
    """See `compare`; the runs are of one kind."""
    first = runs[0]
    kind, record = kind_of(first.config), first.record
    _require_same(runs, kind.judged_on)
    for mine in by_recipe(runs).values():
        _require_same(
            mine, lambda run: [(stage.steps, kind.practice(run.record, stage)) for stage in run.record.stages]
        )
    groups = group_runs(runs)
    judged = _ways(runs)
    return Comparison(
        kind=kind,
        headline=record.headline,
        names=[name for name in record.names if all(name in run.record.names for run in runs)],
        env=first.config.env,
        tasks=record.tasks,
        versions=record.versions,
        groups={label: _summarise(mine, kind, judged) for label, mine in groups.items()},
        task_distribution=record.task_distribution,
        has_success=all(run.record.has_success for run in runs),
        episodes=kind.judged_on(first),
        baselines=record.baselines,
    )


def _require_same(runs: Sequence[Evaluated], key: Callable[[Evaluated], object]) -> None:
    """Raises ConfigError unless `key` is the same for all `runs`."""
    for run in runs:
        if key(run) != key(runs[0]):
            both = f"{run.record.run} and {runs[0].record.run}"
            differ = "were evaluated on different tasks, or by different protocols; run meta-rl evaluate on both"
            raise ConfigError(f"RUN: {both} {differ}")


def _ways(runs: Sequence[Evaluated]) -> list[str]:
    """The ways in which all were judged, and by as many episodes."""

    def episodes(run: Evaluated, way: str) -> int:
        return next((values.shape[-1] for values in run.record.values.get(way, {}).values()), 0)

    return [way for way in runs[0].record.values if len({episodes(run, way) for run in runs}) == 1]


def _summarise(runs: Sequence[Evaluated], kind: Kind, judged: Sequence[str]) -> Group:
    """One group, of the ways in which all groups were `judged`."""
    first = runs[0].record
    values = {way: _over_episodes(runs, way) for way in judged}

    def score(v: NDArray[np.float64], k: int) -> Score:
        return replace(kind.over_seeds(v[..., k], first.families, k), by_seed=tuple(v[..., k].mean(1).tolist()))

    stages = []
    for k, stage in enumerate(first.stages):
        scores = {way: {name: score(v, k) for name, v in found.items()} for way, found in values.items()}
        iqm = {way: interquartile_mean(found["return"][..., k]) for way, found in values.items() if "return" in found}
        stages.append(Stage(stage.steps, scores, iqm, practice=kind.practice(first, stage)))
    seeds = [run.config.seed for run in runs]
    return Group(seeds, first.iteration, stages, **kind.group(runs))


def _over_episodes(runs: Sequence[Evaluated], way: str) -> dict[str, NDArray[np.float64]]:
    """Means over the episodes of each task ``[seed, task, stage]``, by the name of the score."""
    names = runs[0].record.stages[0].scores[way]
    return {name: np.array([run.record.values[way][name] for run in runs]).mean(-1) for name in names}


def join_earlier(comparison: Comparison, table: Path) -> Comparison:
    """The comparison with the groups of an earlier one that it lacks, as they stand in its file ``OUT.json``, each with
    the command and the versions that made it. They come first.

    Raises:
        ConfigError: there is no such table, its runs are of the other kind, or they were judged on other tasks or by
            another number of episodes.
    """
    try:
        earlier, command = read_comparison(table)
    except ConfigError as error:
        raise ConfigError(f"RUN: {error}") from error
    if earlier.kind is not comparison.kind:
        raise ConfigError(f"RUN: {table}: few-shot runs and runs in environments do not compare; name one kind")
    if comparison.kind.shared(earlier) != comparison.kind.shared(comparison):
        raise ConfigError(f"RUN: the runs of {table} were evaluated on different episodes")
    origin = {"command": command, "versions": earlier.versions}
    kept = {
        label: replace(group, origin=origin | group.origin)
        for label, group in earlier.groups.items()
        if label not in comparison.groups
    }
    names = [name for name in comparison.names if name in earlier.names]
    return replace(comparison, groups=kept | comparison.groups, names=names)


def read_comparison(table: Path) -> tuple[Comparison, str]:
    """What `write_comparison` wrote as ``OUT.json`` and ``OUT.csv``, maybe in an earlier version, and the command that
    made it.

    Raises:
        ConfigError: there is no such table.
    """
    try:
        found = json.loads(table.read_text())
        kind = KINDS["examples" if "episodes" in found else "rl"]
        # Earlier versions wrote one protocol for all groups.
        named = {label: _read_group(kind, {"protocol": {}} | group) for label, group in found["groups"].items()}
        curves = with_ending(table, ".csv")
        groups = _with_curves(named, curves.read_text()) if curves.exists() else named
        first = next(iter(groups.values())).stages[0]
        names = first.names(found.get("has_success", True))
        made = {key: found[key] for key in kind.keys if key in found and key not in ("groups", "baselines")}
        baselines = {label: read_scores(scores) for label, scores in found.get("baselines", {}).items()}
        return Comparison(kind, first.headline, names, groups=groups, baselines=baselines, **made), found["command"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ConfigError(f"{table} is not a table that meta-rl compare wrote") from error


def _with_curves(groups: dict[str, Group], text: str) -> dict[str, Group]:
    """The groups with the training curves that `_curves` wrote."""
    found: dict[tuple[str, int], dict[int, list[tuple[float, float]]]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        stages = found.setdefault((row["group"], int(row["seed"])), {}).setdefault(int(row["env_steps"]), [])
        stages.append((float(row["return"]), float(row["success"])))

    def curve(label: str, seed: int) -> list[list[float]]:
        return [[steps, *np.array(stages).T.ravel()] for steps, stages in found.get((label, seed), {}).items()]

    return {
        label: replace(group, training_curves=[curve(label, seed) for seed in group.seeds])
        for label, group in groups.items()
    }


def comparison_tables(comparison: Comparison, shower: Shower = show) -> list[Table]:
    """The comparison as cells: the scores of every group and stage as `shower` says them, and what its kind has beside
    them."""
    kind, columns, several = comparison.kind, comparison.kind.columns(comparison), len(comparison.ways) > 1
    words = {way: f", {way}" if several else "" for way in comparison.ways}
    before, after = kind.heads
    rows = [[*before, *head_cells(comparison.stages[0], columns, words, shower), *after]]
    for label, group in comparison.groups.items():
        for stage in group.stages:
            left, right = kind.cells(label, group, stage)
            rows.append([*left, *cells(stage, columns, shower), *right])
    for label, scores in comparison.baselines.items():
        rows.append([label, *[""] * (len(before) - 1), *baseline_cells(scores, columns, shower), *("" for _ in after)])
    return [Table(kind.title(comparison), rows), *kind.further(comparison)]


def comparison_parts(comparison: Comparison) -> list[Part]:
    """The comparison as a document: `comparison_tables`, one below the other."""
    tables = comparison_tables(comparison)
    parts = [part for title, cells in tables for part in (Part(title, role="bold"), Part(cells=cells))]
    return [*parts, *map(Part, caution(comparison.env))]


def comparison_table(comparison: Comparison) -> str:
    """The comparison in Markdown."""
    return markdown.document(comparison_parts(comparison))


def write_comparison(comparison: Comparison, out: Path, command: str) -> None:
    """``OUT.json`` (summary), ``OUT.md`` (tables), ``OUT.csv`` (training curves of policies: a row for each stage of
    each iteration), and ``OUT.png`` (if matplotlib is installed)."""
    summary = {key: getattr(comparison, key) for key in comparison.kind.keys} | {
        "groups": {label: _write_group(comparison.kind, group) for label, group in comparison.groups.items()}
    }
    if "baselines" in summary:
        summary["baselines"] = {label: write_scores(scores) for label, scores in comparison.baselines.items()}
    write_summary(
        summary, comparison_table(comparison), out, command, lambda path: comparison.kind.plot(comparison, path)
    )
    if any(group.training_curves for group in comparison.groups.values()):
        replace_durably(with_ending(out, ".csv"), _curves(comparison).encode())


def _write_group(kind: Kind, group: Group) -> dict[str, Any]:
    """A group as JSON has it."""
    found = {key: getattr(group, key) for key in kind.group_keys}
    return {**group.origin, **found, "stages": [write_stage(stage) for stage in group.stages]}


def _read_group(kind: Kind, found: dict[str, Any]) -> Group:
    """The inverse of `_write_group`."""
    origin: dict[str, Any] = {key: found[key] for key in ("command", "versions") if key in found}
    rest = {key: found[key] for key in kind.group_keys} | {"stages": [read_stage(stage) for stage in found["stages"]]}
    return Group(**rest, origin=origin)


def _curves(comparison: Comparison) -> str:
    """Training curves as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["group", "seed", "env_steps", "stage", "return", "success"])
    for name, group in comparison.groups.items():
        for seed, curve in zip(group.seeds, group.training_curves, strict=True):
            for env_steps, *values in curve:
                by_stage = zip(*np.split(np.array(values), 2), strict=True)  # returns, then successes
                scores = ((stage, *(f"{value:.5g}" for value in pair)) for stage, pair in enumerate(by_stage))
                writer.writerows([name, seed, int(env_steps), *score] for score in scores)
    return text.getvalue()


def made_by(command: str) -> Part:
    """The last line of a summary: what makes it."""
    return Part(f"Command: `{command}`", role="command")


def write_summary(summary: dict[str, Any], text: str, out: Path, command: str, draw: Callable[[Path], None]) -> None:
    """``OUT.json`` (summary) and ``OUT.md`` (text), both with the command that makes them, and what `draw` draws in
    ``OUT.png`` (if matplotlib is installed), which the text shows below its title."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(with_ending(out, ".json"), {"command": command, **summary})
    write_text(text, out, command, draw)


def write_text(text: str, out: Path, command: str, draw: Callable[[Path], None]) -> None:
    """What `write_summary` writes but for ``OUT.json``."""
    picture = with_ending(out, ".png")
    try:
        import matplotlib
    except ImportError:
        shown = text
    else:
        matplotlib.use("Agg")
        draw(picture)
        title, gap, rest = text.partition("\n\n")
        shown = f"{title}\n\n![{title.strip('# ')}]({picture.name}){gap}{rest}"
    replace_durably(with_ending(out, ".md"), f"{shown}\n\n{made_by(command).text}\n".encode())
