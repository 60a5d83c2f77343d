"""The page of a run without an evaluation, because it is still training or was stopped: what is there so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meta_rl.config import RECIPES, TrainConfig, about_tasks
from meta_rl.evaluation.scores import RATES
from meta_rl.evaluation.words import StageNames, command_line, counted, wrapped
from meta_rl.runs.log import Row, read_rows
from meta_rl.runs.recorded import FINGERPRINT, read_about
from meta_rl.runs.standing import Begun
from meta_rl.visualise.page.curves import diagnostics, training_charts
from meta_rl.visualise.page.headline import share, with_digits_of
from meta_rl.visualise.page.tables import fact_table, robustness, training_table, words

STAGED = ("return", "success")
"""Scores of a policy while it trains."""
UNJUDGED = "No held-out evaluation yet: what is shown was measured on training tasks."
ASIDE = (FINGERPRINT, "interface", "start")
"""Parts of what a run wrote down when it began that are no versions."""


def introduction(config: TrainConfig) -> dict[str, Any]:
    """What is said first of a run, whether it has finished or not: who learns what."""
    return {
        "eyebrow": f"{config.recipe}, seed {config.seed}",
        "headline": config.env,
        "about": [about_tasks(config), f"Learner: {RECIPES[config.recipe].summary}."],
    }


def gather_begun(run: Begun) -> dict[str, Any]:
    """The data of a run for `assets/page.html`."""
    config, rows, about = run.config, read_rows(run.folder / "metrics.jsonl"), read_about(run.folder)
    names = StageNames(config.algorithm.remembers)
    versions = {key: value for key, value in about.items() if key not in ASIDE}
    steps = f" {counted(run.standing.env_steps, 'env step')} of training so far." if run.standing.env_steps else ""
    charted = [name for name in STAGED if _ever(rows, name)]
    again = command_line("train", "--config", run.folder / "config.json", "--run-dir", "NEW_FOLDER")
    commands = [again, command_line("evaluate", run.folder), command_line("report", run.folder)]
    return {
        **introduction(config),
        "status": run.standing.sentence(),
        "lede": UNJUDGED + steps,
        "stats": _stats(rows, names) if rows else [],
        "stage_names": [],
        "charts": training_charts(rows, charted, names.memory),
        "diagnostics": diagnostics(rows, read_rows(run.folder / "timing.jsonl"), charted),
        "answers": None,
        "parts": [],
        "files": [],
        "split": "",
        "tables": [
            training_table(config),
            robustness(run.folder, rows),
            fact_table("Training tasks", words(about.get(FINGERPRINT, {}))),
            fact_table("Versions", words(versions)),
        ],
        "commands": [wrapped(command) for command in commands],
    }


def _ever(rows: Sequence[Row], name: str) -> bool:
    """Whether a score of a policy is worth a chart: tasks without success never have any."""
    return name != "success" or any(value for row in rows for key, value in row.items() if key.startswith(f"{name}/"))


def _stats(rows: Sequence[Row], names: StageNames) -> list[dict[str, Any]]:
    """Large numbers of the last iteration: of a policy at the first stage and at the last; all scores of labelled
    examples."""
    found, row = [], rows[-1]
    when = f"iteration {row['iteration']:,.0f}"
    for name in STAGED[::-1]:
        stages = sorted(int(key.rpartition("_")[2]) for key in row if key.startswith(f"{name}/stage_"))
        if stages and _ever(rows, name):
            ends = [row[f"{name}/stage_{k}"] for k in (stages[0], stages[-1])]
            called = [names.name(k) for k in (stages[0], stages[-1])]
            found.append(_stat(name, ends, f"{when}, {', then '.join(dict.fromkeys(called))}; sampled actions"))
    for key in row:
        if key.startswith("query/"):
            found.append(_stat(key.removeprefix("query/"), [row[key]], f"{when}, query examples of its tasks"))
    return found


def _stat(name: str, ends: Sequence[float], note: str) -> dict[str, Any]:
    say = share if name in RATES else with_digits_of(*ends)
    title = name if len(name) > 4 else name.upper()
    stat = {"title": f"Training {title}", "before": say(ends[0]), "note": f"{note}."}
    return stat | ({"after": say(ends[-1]), "mood": ""} if len(ends) > 1 else {})
