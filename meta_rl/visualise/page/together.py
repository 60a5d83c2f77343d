"""Several runs on one page, in the groups of `meta-rl compare`: their tables, their curves, and how their settings
differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from meta_rl.evaluation import compare
from meta_rl.evaluation.grouping import differing_settings, group_runs
from meta_rl.evaluation.kinds.base import Comparison, Group
from meta_rl.evaluation.record import Evaluated
from meta_rl.evaluation.scores import Score, Stage, show_below
from meta_rl.evaluation.words import command_line, counted, wrapped
from meta_rl.runs.log import Row, read_rows
from meta_rl.visualise.page.charts import Series, chart
from meta_rl.visualise.page.curves import RANGES, SMOOTH, axis_words, titled, with_scales
from meta_rl.visualise.page.marks import NOT_ADAPTED, group_looks, mark
from meta_rl.visualise.page.smoothing import is_smoothed, smoothed, thinned
from meta_rl.visualise.page.tables import page_table

CHARTED = 2
"""Scores that have charts: the most telling ones."""
FEW_SEEDS = 5
"""Returns of more seeds are dots in a table."""
MANY_SETTINGS = 12
"""More settings that differ are folded."""

Looks = Mapping[str, dict[str, Any]]


def together(comparison: Comparison, runs: Sequence[Evaluated]) -> dict[str, Any]:
    """What `assets/page.html` shows of all runs: the tables of `meta-rl compare`, as cells, and the command itself;
    charts of all groups; the settings in which these differ."""
    tables = [page_table(title, cells) for title, cells in compare.comparison_tables(comparison, show_below)]
    if tables:
        _with_dots(tables[0])
    note = f"{counted(comparison.tasks, 'test task')} each; over seeds and tasks, with 95 % intervals."
    groups, drawn = group_runs(runs), group_looks(comparison.groups)
    command = wrapped(command_line("compare", *(run.folder for run in runs)))
    return {
        "tables": tables,
        "note": note,
        "commands": [command],
        "charts": _charts(comparison, groups, drawn),
        "groups": [(label, _key(**look)) for label, look in drawn.items()],
        "settings": _settings(groups),
    }


def _key(colour: str, marker: str, dash: str) -> Markup:
    """How a group looks in the charts, for the button that shows and hides it."""
    line = f'<path class="line own" d="M0 7H30" stroke-dasharray="{dash}"/>'
    return Markup(
        f'<svg class="look" viewBox="0 0 30 14" aria-hidden="true" style="--own:{colour}">{line}'
        f"{mark(marker, 15, 7, 4, 'own')}</svg>"
    )


def _charts(comparison: Comparison, groups: Mapping[str, Sequence[Evaluated]], drawn: Looks) -> list[dict[str, Any]]:
    """Adaptation and training of all groups, by the most telling scores."""
    rows = {
        label: [[row for row in read_rows(run.folder / "metrics.jsonl") if row["iteration"] <= run.record.iteration]
                for run in runs]
        for label, runs in groups.items()
    }  # fmt: skip
    found = []
    for name in comparison.names[:CHARTED]:
        found += [_adaptation(comparison, name, drawn), _training(rows, name, drawn)]
    return [each for each in found if each]


def _adaptation(comparison: Comparison, name: str, drawn: Looks) -> dict[str, Any]:
    """The score of every group over stages."""
    practised = comparison.stages[0].practice is not None

    def along(stage: Stage) -> int:
        return stage.steps if stage.practice is None else stage.practice

    def line(label: str, group: Group) -> Series:
        scores: list[Score] = [stage.scores[comparison.headline][name] for stage in group.stages]
        n = f"{counted(len(group.seeds), 'seed')}, {counted(comparison.tasks, 'task')}"
        return Series.of([along(stage) for stage in group.stages], scores, "", label, n=n, **drawn[label])

    lines = [line(label, group) for label, group in comparison.groups.items()]
    axis = "episodes of practice" if practised else "adaptation steps"
    scales = _with_scales(lines, name, axis, True)
    note = "test tasks; mean and 95 % interval over seeds and tasks"
    return {"id": f"together-adaptation-{name}", "title": f"Adaptation: {titled(name)}", "note": note} | scales


def _training(rows: Mapping[str, Sequence[Sequence[Row]]], name: str, drawn: Looks) -> dict[str, Any] | None:
    """The score of every group while training, adapted and (dashed) not; None where no run has it."""
    lines: list[Series] = []
    axis = "iteration"
    for label, every in rows.items():
        length = min(map(len, every))
        if not length:
            continue
        keys = _keys(every[0][0], name)
        if any(key.startswith(name) for key in keys):
            axis = "env steps"
        x = "env_steps" if axis == "env steps" else "iteration"
        for key, called in keys.items():
            values = np.array([[row.get(key, np.nan) for row in mine[:length]] for mine in every])
            xs = np.array([[row[x] for row in mine[:length]] for mine in every]).mean(0)
            look = drawn[label] | ({"dash": NOT_ADAPTED, "marker": ""} if called else {})
            lines.append(_over_seeds(xs, values, f"{label}{called}", look))
    if not lines:
        return None
    scales = _with_scales(lines, name, axis, axis == "iteration")
    note = "training tasks; mean and range over seeds"
    if any("before" in each.label for each in lines):
        note += "; dashed: before adaptation"
    if any(is_smoothed(mine) for every in rows.values() for mine in every):
        note += f"; {SMOOTH.partition(';')[0]}"
    return {"id": f"together-training-{name}", "title": f"Training: {titled(name)}", "note": note} | scales


def _with_scales(lines: Sequence[Series], name: str, axis: str, whole_x: bool) -> dict[str, Any]:
    """The chart of `lines`, see `meta_rl.visualise.page.curves.with_scales`."""
    values = [value for each in lines for edge in each.edges for value in edge]

    def draw(log: bool) -> Markup:
        return chart(lines, axis, titled(name), axis_words(name), whole_x, RANGES.get(name), log)

    return with_scales(name, values, draw)


def _keys(row: Row, name: str) -> dict[str, str]:
    """Metrics that tell of a score, and what they add to the label of a group: of a policy at its last stage and its
    first, of labelled examples of the queries."""
    stages = sorted(int(key.rsplit("_", 1)[1]) for key in row if key.startswith(f"{name}/stage_"))
    if not stages:
        return {key: "" for key in (f"query/{name}",) if key in row}
    found = {f"{name}/stage_{stages[-1]}": ""}
    return found | ({f"{name}/stage_{stages[0]}": ", before adaptation"} if len(stages) > 1 else {})


def _over_seeds(xs: np.ndarray, values: np.ndarray, label: str, look: dict[str, Any]) -> Series:
    """The mean of ``[seed, row]`` with the range as a band; long ones smoothed, each seed by itself."""
    found = smoothed(values) if is_smoothed(xs) else values
    kept = np.flatnonzero(np.isfinite(found).all(0))
    found, xs = found[:, kept], xs[kept]
    shown = thinned(found.mean(0))
    found, n = found[:, shown], counted(len(values), "seed")
    band = (found.min(0).tolist(), found.max(0).tolist()) if len(values) > 1 else None
    return Series(xs[shown].tolist(), found.mean(0).tolist(), "", label, band, n=n, **look)


def _settings(groups: Mapping[str, Sequence[Evaluated]]) -> dict[str, Any] | None:
    """The settings in which the groups differ, a column for each group; None where there is but one."""
    if len(groups) < 2:
        return None
    rows = [[name.rpartition(".")[2].replace("_", " "), *values] for name, values in differing_settings(groups)]
    table = page_table("What differs between the groups", [["setting", *groups], *rows])
    return table | {"folded": len(rows) > MANY_SETTINGS, "count": len(rows)}


def _with_dots(table: dict[str, Any]) -> None:
    """The returns of many seeds become dots, in the last column of a table."""
    if "by seed" not in table["head"][-1]:
        return
    texts = [row[-1] for row in table["rows"]]
    numbers = [[float(part) for part in text.split(", ")] if text else [] for text in texts]
    every = [value for row in numbers for value in row]
    if max(map(len, numbers)) <= FEW_SEEDS:
        return
    low, high = min(every), max(every)
    for row, values, text in zip(table["rows"], numbers, texts, strict=True):
        row[-1] = _dots(values, low, high, text)


def _dots(values: Sequence[float], low: float, high: float, text: str) -> Markup:
    """Numbers as dots on a line from `low` to `high`; as `text` for those who do not see them."""
    width, wide = 120, high - low or 1
    dots = "".join(f'<circle cx="{4 + (v - low) / wide * (width - 8):.1f}" cy="8" r="3"/>' for v in values)
    line = f'<line x1="4" x2="{width - 4}" y1="8" y2="8"/>'
    return Markup(
        f'<svg class="seeds" viewBox="0 0 {width} 16" role="img" aria-label="{escape(text)}">{line}{dots}'
        f'<title>{escape(text)}</title></svg><span class="below">{low:.1f} to {high:.1f}</span>'
    )
