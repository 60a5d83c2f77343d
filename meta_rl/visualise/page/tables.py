"""Tables on the page of a run, and the commands that make it all again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from meta_rl.evaluation.record import judged_sampled
from meta_rl.evaluation.report import family_cells, stage_cells
from meta_rl.runs.log import Row, read_rows

PROTOCOL = (
    "Adaptation episodes have sampled actions, judged ones mode actions. Every task starts from the meta-parameters; "
    "every episode counts once."
)
BOTH = " The headline is that of mode actions; sampled ones are judged beside them, as many published tables have it."
SUCCESS = " Success is success at any step of an episode."
STOCK = "Meta-World's evaluator counts the first episodes to finish, and successes finish early: it reads too high."


def commands(run_dir: Path, result: dict[str, Any]) -> list[str]:
    """Commands that make the run, its evaluation and this page again."""
    run = str(run_dir)
    options = [part for key, value in result["protocol"].items() for part in (f"--{key.replace('_', '-')}", str(value))]
    return [
        shlex.join(["meta-rl", "train", "--config", f"{run}/config.json", "--run-dir", "NEW_FOLDER"]),
        shlex.join(["meta-rl", "evaluate", run, "--split", result["split"], *options]),
        shlex.join(["meta-rl", "report", run]),
    ]


def tables(run_dir: Path, result: dict[str, Any], rows: list[Row], names: list[str]) -> list[dict[str, Any]]:
    """Tables for `assets/page.html`; `names` are those of the stages."""
    head, *stages = stage_cells(result, "stage", names)
    found: list[dict[str, Any]] = [{"title": "Numbers", "head": head, "rows": stages}]
    if families := family_cells(result, [names[0], names[-1]]):
        found.append({"title": "Success by family", "head": families[0], "rows": families[1:]})
    if result["stock"]:
        stock = result["stock"]
        row = ["success", f"{result['stages'][-1]['success']:.1%}", f"{stock['success']:.1%}"]
        head = ["after adaptation", "ours", "Meta-World's own evaluator"]
        found.append({"title": "Beside the usual number", "head": head, "rows": [row], "note": STOCK})
    protocol = [[key.replace("_", " "), str(value)] for key, value in result["protocol"].items()]
    fingerprint = [[key.replace("_", " "), str(value)] for key, value in result["task_distribution"].items()]
    note = PROTOCOL + BOTH * judged_sampled(result["stages"]) + SUCCESS * result["has_success"]
    found.append({"title": "Protocol", "rows": protocol + fingerprint, "note": note})
    return [*found, robustness(run_dir, rows), versions_table(result)]


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


def versions_table(result: dict[str, Any]) -> dict[str, Any]:
    """Libraries and commit."""
    return {"title": "Versions", "rows": [[name, str(value)] for name, value in result["versions"].items()]}
