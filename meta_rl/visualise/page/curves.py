"""Curves on the page of a run: adaptation on unseen tasks, and training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl.runs.log import Row
from meta_rl.visualise.page.charts import Series, chart, percent

Values = NDArray[np.float64]


def curves(result: dict[str, Any], rows: list[Row], names: list[str], has_success: bool) -> list[dict[str, Any]]:
    """Charts for `assets/page.html`; `result` is the run's ``evaluation.json``, `rows` its metrics."""
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
    values, stages = task_values(result, key).mean(-1), result["stages"]
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


def task_values(result: dict[str, Any], key: str) -> Values:
    """``returns`` or ``solved`` of an evaluation, ``[task, stage, episode]``."""
    return np.array([task[key] for task in result["per_task"]], dtype=np.float64)
