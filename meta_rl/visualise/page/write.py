"""``report.html``: one file that holds everything it shows, and asks nothing of the network.

What a run has to show is gathered by `page_run` (episodes) or `page_fewshot` (labelled examples); the page itself is
``assets/page.html`` with its style sheet and scripts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from meta_rl.config import RECIPES, EvaluateConfig, TrainConfig, load_config
from meta_rl.errors import ConfigError
from meta_rl.evaluation import compare
from meta_rl.evaluation.record import files, read_evaluation
from meta_rl.evaluation.recording import Recording
from meta_rl.evaluation.report import evaluate_and_record
from meta_rl.runs.durable import replace_durably
from meta_rl.visualise.page import fewshot as page_fewshot
from meta_rl.visualise.page import run as page_run
from meta_rl.visualise.page.replay import Replays

Say = Callable[[str], None]
LIMIT = 5_000_000
"""Bytes that a page may take; one that takes more goes without its videos."""


def evaluate_with_page(run_dir: Path, protocol: EvaluateConfig, say: Say = print) -> dict[str, Any]:
    """Evaluate the newest checkpoint of a run (see `meta_rl.evaluation.report.evaluate_run`), and write the page of it
    beside its report."""
    result, played = evaluate_and_record(run_dir, protocol, say)
    say_page([run_dir], files(run_dir).report.with_suffix(".html"), say, {} if played is None else {run_dir: played})
    return result


def say_page(run_dirs: Sequence[Path], out: Path, say: Say, played: Mapping[Path, Recording]) -> None:
    """`write_page`, and where it is."""
    say(f"report: {write_page(run_dirs, out, say, played)}")


def write_page(
    run_dirs: Sequence[Path], out: Path, say: Say = print, played: Mapping[Path, Recording] | None = None
) -> Path:
    """Write the page of evaluated runs.

    Args:
        out: the .html file.
        played: recordings of test tasks that are at hand; the others are played again.
    Raises:
        ConfigError: a run has no evaluation, or runs do not compare.
    """
    runs = [_open(run_dir) for run_dir in run_dirs]
    kinds = {RECIPES[config.recipe].learns == "rl" for config, _ in runs}
    if len(kinds) > 1:
        raise ConfigError("RUN: few-shot runs and runs in environments do not go on one page; name one kind")
    comparison = _compare(run_dirs) if len(runs) > 1 and kinds == {True} else None
    replays = Replays()
    shown = []
    for run_dir, (config, result) in zip(run_dirs, runs, strict=True):
        if kinds == {True}:
            at_hand = (played or {}).get(run_dir)
            shown.append(page_run.gather(run_dir, config, result, replays, len(runs), say, at_hand))
        else:
            shown.append(page_fewshot.gather(run_dir, config, result))
    opened = [
        {"parts": run.pop("replays", {}), "names": run["stage_names"], "opened": run.pop("opened", 0)} for run in shown
    ]
    data = replays.data() | {"runs": opened}
    page = _render(shown, comparison, data).encode()
    if len(page) > LIMIT:
        for run in shown:
            run |= {"video": None, "video_note": f"no video: the page would be larger than {LIMIT / 1e6:.0f} MB"}
        page = _render(shown, comparison, data).encode()
    replace_durably(out, page)
    return out


def _open(run_dir: Path) -> tuple[TrainConfig, dict[str, Any]]:
    return load_config(run_dir / "config.json"), read_evaluation(run_dir)


def _compare(run_dirs: Sequence[Path]) -> dict[str, Any]:
    """The tables of `meta-rl compare`, as cells."""
    summary = compare.compare(run_dirs)
    tables = [{"title": title, "head": head, "rows": rows} for title, (head, *rows) in compare.tables(summary)]
    note = f"{summary['tasks']} test tasks each; over seeds and tasks, with 95 % intervals. Command: meta-rl compare"
    return {"tables": tables, "note": note}


def _render(runs: list[dict[str, Any]], comparison: dict[str, Any] | None, data: dict[str, Any]) -> str:
    assets = resources.files("meta_rl.visualise") / "assets"

    def asset(name: str) -> Markup:
        return Markup((assets / name).read_text(encoding="utf-8"))

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    # A script element ends at the first "</", whatever the text around it.
    text = Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"))
    return environment.from_string(asset("page.html")).render(
        page={"title": f"meta-rl: {', '.join(run['headline'] for run in runs[:1])}"},
        runs=runs,
        comparison=comparison,
        data=text,
        css=asset("page.css"),
        page_js=asset("page.js"),
        replay_js=asset("replay.js"),
    )
