"""The page of a few-shot run: scores, curves, and how they were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meta_rl.config import TrainConfig
from meta_rl.evaluation.report_fewshot import SYNTHETIC, show
from meta_rl.runs.log import Row, read_rows
from meta_rl.visualise.page.charts import Series, chart, number, percent
from meta_rl.visualise.page.tables import commands, robustness, versions_table


def gather(run_dir: Path, config: TrainConfig, result: dict[str, Any]) -> dict[str, Any]:
    """The data of a run for `assets/page.html`; `result` is its ``evaluation.json``."""
    stages, rows = result["stages"], read_rows(run_dir / "metrics.jsonl")
    names = list(stages[0]["inductive"])
    lede = (
        f"{result['iteration']} iterations of {config.meta_batch_size} tasks. Judged on {result['tasks']} "
        f"{result['split']} episodes, the same for every learner."
    )
    return {
        "tab": run_dir.name,
        "eyebrow": f"{config.recipe}, seed {config.seed}",
        "headline": config.env,
        "lede": f"{lede} {SYNTHETIC}" if config.env.startswith("synthetic") else lede,
        "stats": [_stat(name, stages) for name in names[:2]],
        "stage_names": [f"after {stage['adaptation_steps']} steps" for stage in stages],
        "parts": [],
        "charts": [*(_adaptation(name, stages) for name in names), *_training(rows)],
        "tables": _tables(run_dir, result, rows, names),
        "commands": commands(run_dir, result),
    }


def _stat(name: str, stages: list[dict[str, Any]]) -> dict[str, str]:
    first, last = (stages[i]["inductive"][name] for i in (0, -1))
    title = name.capitalize() if len(name) > 4 else name.upper()
    return {
        "name": f"{title} after {stages[0]['adaptation_steps']} and {stages[-1]['adaptation_steps']} steps",
        "before": _short(name, first["mean"]),
        "after": _short(name, last["mean"]),
        "note": f"inductive, mean over episodes +- 95 %: {show(name, first)}, then {show(name, last)}",
    }


def _short(name: str, value: float) -> str:
    return f"{value:.1%}" if name == "accuracy" else f"{value:.3f}"


def _adaptation(name: str, stages: list[dict[str, Any]]) -> dict[str, Any]:
    xs = [stage["adaptation_steps"] for stage in stages]
    series = []
    for kind, style in (("transductive", "before"), ("inductive", "after")):
        means = [stage[kind][name]["mean"] for stage in stages]
        halves = [stage[kind][name]["interval"] for stage in stages]
        band = (
            [m - h for m, h in zip(means, halves, strict=True)],
            [m + h for m, h in zip(means, halves, strict=True)],
        )
        series.append(Series(xs, means, style, f"{kind} {name}", band))
    return {
        "id": f"adaptation-{name}",
        "title": f"Adaptation: {name}",
        "note": "test episodes, 95 % interval",
        "legend": [("before", "transductive"), ("after", "inductive")],
        "svg": chart(series, "adaptation steps", name, percent if name == "accuracy" else number, len(xs) < 12),
    }


def _training(rows: list[Row]) -> list[dict[str, Any]]:
    """A curve per score of the training tasks."""
    charts = []
    for key in sorted(rows[0]) if rows else []:
        group, _, name = key.partition("/")
        if group == "query":
            series = [Series([r["iteration"] for r in rows], [r[key] for r in rows], "after", f"training {name}")]
            show_y = percent if name == "accuracy" else number
            note = "query examples of each iteration's tasks"
            svg = chart(series, "iteration", name, show_y)
            charts.append({"id": f"training-{name}", "title": f"Training: {name}", "note": note, "svg": svg})
    return charts


def _tables(run_dir: Path, result: dict[str, Any], rows: list[Row], names: list[str]) -> list[dict[str, Any]]:
    kinds = ("transductive", "inductive")
    head = ["adaptation steps", *(f"{name}, {kind}" for name in names for kind in kinds)]
    scores = [
        [str(stage["adaptation_steps"]), *(show(name, stage[kind][name]) for name in names for kind in kinds)]
        for stage in result["stages"]
    ]
    for baseline, found in result["baselines"].items():
        scores.append([baseline, *(show(name, found[name]) for name in names for _ in kinds)])
    protocol = [[key.replace("_", " "), str(value)] for key, value in result["protocol"].items()]
    return [
        {"title": "Numbers", "head": head, "rows": scores},
        {"title": "Protocol", "rows": protocol},
        robustness(run_dir, rows),
        versions_table(result),
    ]
