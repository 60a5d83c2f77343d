"""Tables on the page of a run, and the commands that make it all again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meta_rl.evaluation.scores import Record
from meta_rl.runs.log import Row, read_rows


def commands_to_repeat(run_dir: Path, record: Record) -> list[str]:
    """Commands that make the run, its evaluation and this page again."""
    run = str(run_dir)
    options = [part for key, value in record.protocol.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    return [
        shlex.join(["meta-rl", "train", "--config", f"{run}/config.json", "--run-dir", "NEW_FOLDER"]),
        shlex.join(["meta-rl", "evaluate", run, "--split", record.split, *options]),
        shlex.join(["meta-rl", "report", run]),
    ]


def page_table(title: str, cells: Sequence[Sequence[str]], note: str = "") -> dict[str, Any]:
    """A table for `assets/page.html`; the first row of `cells` is its head."""
    head, *rows = cells
    return {"title": title, "head": head, "rows": rows, "note": note}


def words(values: Mapping[str, Any]) -> list[list[str]]:
    """Rows of a name and a value."""
    return [[key.replace("_", " "), str(value)] for key, value in values.items()]


def protocol_table(record: Record, further: Sequence[Sequence[str]] = (), note: str = "") -> dict[str, Any]:
    """How was judged, and `further` rows below."""
    return {"title": "Protocol", "rows": [*words(record.protocol), *further], "note": note}


def robustness(run_dir: Path, rows: list[Row]) -> dict[str, Any]:
    """Resumes, and how often each guard of the training loop had to act."""
    resumed = [f"{row['iteration']:.0f}" for row in read_rows(run_dir / "resumes.jsonl")]
    after = f" (after iteration {', '.join(resumed)})" if resumed else ""
    lines = [["resumed from a checkpoint", f"{len(resumed)} times{after}"]]
    counted = [*rows, *read_rows(run_dir / "timing.jsonl")]
    for key in sorted({key for row in counted for key in row if key.startswith(("guard/", "workers/"))}):
        group, _, name = key.partition("/")
        count = sum(row.get(key, 0) for row in counted)
        lines.append([f"{group}: {name.replace('_', ' ')}", f"{count:.0f} in {len(rows)} iterations"])
    return {"title": "Robustness", "rows": lines, "note": "A guard that acts discards an update, or an episode."}


def versions_table(record: Record) -> dict[str, Any]:
    """Libraries and commit."""
    return {"title": "Versions", "rows": [[name, str(value)] for name, value in record.versions.items()]}
