"""Pages of runs: evaluated and played here, drawn by `meta_rl.visualise.page`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from meta_rl.config import EvaluateConfig
from meta_rl.errors import Say
from meta_rl.evaluation.compare import compare_runs
from meta_rl.evaluation.playing import play
from meta_rl.evaluation.record import evaluated, files
from meta_rl.evaluation.recording import Recording
from meta_rl.evaluation.report import evaluate_and_record
from meta_rl.evaluation.scores import Record
from meta_rl.visualise.page.write import write_page


def evaluate_with_page(run_dir: Path, protocol: EvaluateConfig, say: Say = print) -> Record:
    """Evaluate the newest checkpoint of a run (see `meta_rl.evaluation.report.evaluate_run`), and write the page of it
    beside its report."""
    record, played = evaluate_and_record(run_dir, protocol, say)
    report_page([run_dir], files(run_dir).report.with_suffix(".html"), say, played)
    return record


def report_page(run_dirs: Sequence[Path], out: Path, say: Say = print, at_hand: Recording | None = None) -> Path:
    """Write the page of evaluated runs, and say where it is.

    Args:
        out: the .html file.
        at_hand: a recording of the test tasks of the only run; otherwise they are played again.
    Raises:
        ConfigError: a run has no evaluation or has gone on since, or runs do not compare.
    """
    runs = evaluated(run_dirs, "go on one page")
    comparison = compare_runs(runs) if len(runs) > 1 else None
    shown = [play(run, len(runs), say, at_hand) for run in runs]
    say(f"report: {write_page(shown, out, say, comparison)}")
    return out
