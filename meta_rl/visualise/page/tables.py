"""Tables on the page of a run, and the commands that make it all again."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from meta_rl.config import TrainConfig, default_config, dotted, settled, to_dict
from meta_rl.evaluation.record import Evaluated
from meta_rl.evaluation.scores import Record
from meta_rl.evaluation.words import command_line, counted, options, wrapped
from meta_rl.runs.log import Row, read_rows

TOLD_ELSEWHERE = ("recipe", "env", "seed", "run_dir", "evaluate")
"""Settings that stand in the title or in the protocol."""


def commands_to_repeat(run: Evaluated) -> list[str]:
    """Commands that make the run, its evaluation and this page again: options where the evaluation was by another
    protocol than the run's own."""
    record, folder = run.record, run.folder
    protocol = options(record.protocol, to_dict(run.config.evaluate))
    split = [] if record.split == "test" else ["--split", record.split]
    commands = [
        run.training_command,
        command_line("evaluate", folder, *split, *protocol),
        command_line("report", folder),
    ]
    return [wrapped(command) for command in commands]


def page_table(title: str, cells: Sequence[Sequence[str]], note: str = "") -> dict[str, Any]:
    """A table over the full width of `assets/page.html`; the first row of `cells` is its head. What follows the first
    line of a cell is small."""
    head, *rows = cells
    return {"title": title, "head": head, "rows": rows, "note": note}


def fact_table(title: str, rows: Sequence[Sequence[str]], note: str = "") -> dict[str, Any]:
    """A narrow table of names and values."""
    return {"title": title, "rows": rows, "note": note}


def in_words(value: Any) -> str:
    """A value as readers have it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(in_words, value)) or "none"
    return json.dumps(value) if isinstance(value, dict) else str(value)


def words(values: Mapping[str, Any]) -> list[list[str]]:
    """Rows of a name and a value; what is empty is left out."""
    return [[key.replace("_", " "), in_words(value)] for key, value in values.items() if value not in (None, "", [])]


def training_table(config: TrainConfig) -> dict[str, Any]:
    """What of the settings differs from the defaults of the recipe, each with its default below; all of them folded,
    and as a file."""
    every = dotted(to_dict(config))
    default = default_config(config.recipe, config.env)
    usual = dotted(to_dict(settled(replace(default, iterations=config.iterations)))) | {
        "iterations": default.iterations
    }
    rows = [
        [_setting(name), f"{_value(value)}\ndefault {_value(usual[name])}"]
        for name, value in every.items()
        if value != usual[name] and not name.startswith(TOLD_ELSEWHERE)
    ]
    note = "" if rows else f"All settings are the defaults of {config.recipe} on {config.env}."
    text = json.dumps(to_dict(config), indent=1).encode()
    folded = {
        "summary": f"All {len(every)} settings",
        "rows": [[_setting(name), _value(value)] for name, value in every.items()],
        "file": "config.json",
        "link": f"data:application/json;base64,{base64.b64encode(text).decode()}",
    }
    return fact_table("Training", rows, note) | {"folded": folded}


def _setting(name: str) -> str:
    """A setting by its dotted name: its part of the config in brackets."""
    part, _, field = name.rpartition(".")
    called = field.replace("_", " ")
    return f"{called} ({part})" if part else called


def _value(value: Any) -> str:
    return "not set" if value in (None, "") else in_words(value)


def robustness(run_dir: Path, rows: list[Row]) -> dict[str, Any]:
    """Resumes, and how often each guard of the training loop had to act."""
    resumed = [f"{row['iteration']:.0f}" for row in read_rows(run_dir / "resumes.jsonl")]
    after = f" (after iteration {', '.join(resumed)})" if resumed else ""
    lines = [["resumed from a checkpoint", f"{counted(len(resumed), 'time')}{after}"]]
    every = [*rows, *read_rows(run_dir / "timing.jsonl")]
    for key in sorted({key for row in every for key in row if key.startswith(("guard/", "workers/"))}):
        group, _, name = key.partition("/")
        count = sum(row.get(key, 0) for row in every)
        lines.append([f"{group}: {name.replace('_', ' ')}", f"{count:.0f} in {counted(len(rows), 'iteration')}"])
    return fact_table("Robustness", lines, "A guard that acts discards an update, or an episode.")


def versions_table(record: Record) -> dict[str, Any]:
    """Libraries and commit."""
    return fact_table("Versions", words(record.versions))
