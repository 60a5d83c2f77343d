"""Logging of metrics: two JSON-lines files, a progress display, and the loggers of `meta_rl.runs.loggers`.

``metrics.jsonl`` holds what a run computed and nothing else, so two equal runs have equal files, byte for byte;
``timing.jsonl`` holds how long it took. Both are flushed at every row and cut back to the checkpoint on resume.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from meta_rl.runs.durable import replace_durably
from meta_rl.runs.loggers import Logger

Row = dict[str, float]
FILES = ("metrics.jsonl", "timing.jsonl")


class RunLog:
    """Append rows to the files of a run directory.

    Args:
        run_dir: existing folder.
        iteration: finished iterations; later rows (of work that is done again after a stop) are removed.
        loggers: get every row too, after the files.
    """

    def __init__(self, run_dir: Path, iteration: int, loggers: Sequence[Logger] = ()) -> None:
        self._loggers = loggers
        for name in FILES:
            path = run_dir / name
            if path.exists():
                kept = "".join(row for row in _complete_lines(path) if json.loads(row)["iteration"] <= iteration)
                if kept != path.read_text():  # else it keeps its age
                    replace_durably(path, kept.encode())
        self._metrics, self._timing = (open(run_dir / name, "a") for name in FILES)  # noqa: SIM115

    def write(self, row: Row, timing: Row) -> None:
        """One row to each file; both need the key ``iteration``."""
        for file, values in ((self._metrics, row), (self._timing, timing)):
            file.write(json.dumps(values) + "\n")
            file.flush()
        for logger in self._loggers:
            logger.write(int(row["iteration"]), {k: v for k, v in (row | timing).items() if k != "iteration"})

    def close(self) -> None:
        """Close both files and the loggers."""
        self._metrics.close()
        self._timing.close()
        for logger in self._loggers:
            logger.close()


def note_resume(run_dir: Path, iteration: int, threads: int) -> None:
    """Remember in ``resumes.jsonl`` that the run went on after `iteration`, with that many threads of torch."""
    with open(run_dir / "resumes.jsonl", "a") as file:
        file.write(json.dumps({"iteration": iteration, "threads": threads}) + "\n")


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON-lines file; none where there is no such file, as in an exported agent."""
    return [json.loads(line) for line in _complete_lines(path)] if path.exists() else []


def training_seconds(run_dir: Path, iteration: int) -> float:
    """Seconds that the first `iteration` iterations of a run took; 0 if unknown, as for an exported agent."""
    rows = read_rows(run_dir / "timing.jsonl")
    return sum(row["time/iteration"] for row in rows if row["iteration"] <= iteration)


def _complete_lines(path: Path) -> list[str]:
    """The complete rows of a file. A stop may leave half a line at the end, which is none."""
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


class Refusal(NamedTuple):
    """Why an update changed nothing: what the metrics call it, in words, and the options to look at."""

    guard: str
    words: str
    options: str


REFUSALS = (
    Refusal("guard/non_finite_gradient", "the gradient was not finite", "--inner-lr, --meta-lr, --learning-rate"),
    Refusal("guard/line_search_failed", "no step within --max-kl lowered the loss", "--curvature-stride, --inner-lr"),
    Refusal("guard/bad_curvature", "the curvature was not positive", "--cg-damping, --curvature-stride"),
)


def refusal(row: Row) -> Refusal | None:
    """Why the update of this iteration was refused, if it was. Bad curvature may also just shorten a step."""
    if row.get("update/accepted"):
        return None
    return next((one for one in REFUSALS if row.get(one.guard)), None)


class _Console(Console):
    """A console that raises BrokenPipeError if nobody reads any more, instead of ending the process."""

    def on_broken_pipe(self) -> None:
        """See `Console`."""
        self.quiet = True
        raise BrokenPipeError


class Display:
    """Progress of the training loop: a live bar on a terminal, one plain line per iteration elsewhere; at the end, a
    line about updates that were refused.

    Args:
        success: whether there is one to show.
    """

    def __init__(self, iterations: int, done: int, success: bool, console: Console | None = None) -> None:
        self._console = console or _Console(highlight=False, soft_wrap=True)
        self._iterations, self._success, self._told = iterations, success, False
        self._shown, self._refused = 0, Counter[Refusal]()
        self._progress = Progress(
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=iterations, completed=done)

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._refused:
            reasons = [f"{one.words} ({n}; see {one.options})" for one, n in self._refused.most_common()]
            count = f"{self._refused.total()} of {self._shown} updates were refused"
            self._console.print(f"{count}: {', '.join(reasons)}")

    def tell(self, sentence: str) -> None:
        """Print the first `sentence` that this is called with, if any, and nothing more."""
        if sentence and not self._told:
            self._told = True
            self._console.print(sentence)

    def show(self, row: Row, timing: Row) -> None:
        """One iteration's numbers; stages are numbered by the adaptation steps behind them.

        Raises:
            BrokenPipeError: nobody reads them any more.
        """
        text, refused = _describe(row, timing, self._success), refusal(row)
        self._shown += 1
        if refused:
            self._refused[refused] += 1
            text += f" | update refused: {refused.words}"
        if self._console.is_terminal:
            self._progress.update(self._task, completed=int(row["iteration"]), description=text)
        else:
            left = timing["time/iteration"] * (self._iterations - row["iteration"])
            self._console.print(f"{row['iteration']:>5.0f}/{self._iterations} | {text} | {left:,.0f} s left")


def _describe(row: Row, timing: Row, success: bool) -> str:
    stages = sorted(int(key.rsplit("_", 1)[1]) for key in row if key.startswith("return/stage_"))
    if not stages:  # labelled examples
        shown = {"loss": row.get("update/loss_before")}
        shown |= {key.removeprefix("query/"): value for key, value in row.items() if key.startswith("query/")}
        words = [f"{name} {value:.4f}" for name, value in shown.items() if value is not None]
        return " | ".join([*words, f"{1 / timing['time/iteration']:,.1f} iterations/s"])

    def span(group: str, digits: int) -> str:
        return " -> ".join(f"{row[f'{group}/stage_{k}']:.{digits}f}" for k in stages)

    success = success and "success/stage_0" in row  # it may be unknown
    words = [f"return {span('return', 1)}", *([f"success {span('success', 2)}"] if success else [])]
    words += [f"{row['env_steps']:,.0f} env steps", f"{timing['time/env_steps_per_second']:,.0f} env-steps/s"]
    return " | ".join(words)
