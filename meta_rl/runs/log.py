"""Logging of metrics: two JSON-lines files, the progress of training, and the loggers of `meta_rl.runs.loggers`.

``metrics.jsonl`` holds what a run computed and nothing else, so two equal runs have equal files, byte for byte;
``timing.jsonl`` holds how long it took. Both are flushed at every row and cut back to the checkpoint on resume.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from meta_rl.errors import RunError
from meta_rl.runs.display import Bar, Display, Pace
from meta_rl.runs.durable import replace_durably
from meta_rl.runs.loggers import Logger

Row = dict[str, float]
FILES = ("metrics.jsonl", "timing.jsonl")
TAIL = 65536
"""Bytes at the end of a file that the last row is looked for in."""


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
                kept = "".join(line for line, row in _parsed(path) if row["iteration"] <= iteration)
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
    """The rows of a JSON-lines file; none where there is no such file, as in an exported agent.

    Raises:
        RunError: a line is damaged.
    """
    return [row for _, row in _parsed(path)] if path.exists() else []


def last_row(path: Path) -> Row:
    """The last of the rows that `read_rows` gives, without reading those before it; empty where there is none."""
    if not path.exists():
        return {}
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL))
        lines = file.read().splitlines(keepends=True)
    complete = [line for line in lines if line.endswith(b"\n")]
    if size > TAIL and len(complete) < 2:  # the first one may be cut
        return (read_rows(path) or [{}])[-1]
    row: Row = json.loads(complete[-1]) if complete else {}
    return row


def training_seconds(run_dir: Path, iteration: int) -> float:
    """Seconds that the first `iteration` iterations of a run took; 0 if unknown, as for an exported agent."""
    rows = read_rows(run_dir / "timing.jsonl")
    return sum(row["time/iteration"] for row in rows if row["iteration"] <= iteration)


def _parsed(path: Path) -> list[tuple[str, Row]]:
    """The complete lines of a file that is there, each with its row."""
    parsed: list[tuple[str, Row]] = []
    for number, line in enumerate(_complete_lines(path), 1):
        try:
            row = dict(json.loads(line))
            row["iteration"]  # every row has it
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(f"{path}: line {number} is damaged ({type(error).__name__}: {error})") from error
        parsed.append((line, row))
    return parsed


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


class TrainingProgress:
    """Progress of the training loop: on a terminal a bar with the numbers of the last iteration below it; elsewhere
    plain lines, at most one in a second and one for each per cent of the run (or a minute of it). At the end, a line
    about updates that were refused.

    Args:
        display: whose console shows it, whoever gets its lines.
        done: finished iterations.
        success: whether there is one to show.
        clock: seconds.
    """

    def __init__(
        self,
        display: Display,
        iterations: int,
        done: int,
        success: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._display, self._iterations, self._success, self._told = display, iterations, success, False
        self._shown, self._refused = 0, Counter[Refusal]()
        self._clock, self._pace = clock, Pace(clock)
        self._line, self._last = "", (-math.inf, -1)  # not printed yet; second and per cent of the last one printed
        self._running = False
        self._bar = Bar(display.console, "", iterations, display.live, done=done)

    def __enter__(self) -> TrainingProgress:
        self._bar.__enter__()
        self._running = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = False
        with self._display.heard():
            self._bar.__exit__(kind, value, trace)
        if self._line:
            self._display.line(self._line)
        if self._refused:
            reasons = [f"{one.words} ({n}; see {one.options})" for one, n in self._refused.most_common()]
            count = f"{self._refused.total()} of {self._shown} updates were refused"
            self._display.line(f"{count}: {', '.join(reasons)}")

    def tell(self, sentence: str) -> None:
        """Print the first `sentence` that this is called with, if any, and nothing more."""
        if sentence and not self._told:
            self._told = True
            self._display.line(sentence)

    def note(self, sentence: str) -> bool:
        """Show a sentence below the bar; False if there is none. Prints nothing itself, so a signal handler may ask."""
        if self._running and self._bar.shown:
            self._bar.note = sentence
            return True
        return False

    def show(self, row: Row, timing: Row) -> None:
        """One iteration's numbers; stages are numbered by the adaptation steps behind them.

        Raises:
            BrokenPipeError: nobody reads them any more, and the display is not lasting.
        """
        done, words, refused = int(row["iteration"]), _describe(row, timing, self._success), refusal(row)
        self._shown += 1
        if refused:
            words.append(f"update refused: {refused.words}")
        if self._bar.shown:
            self._bar.reach(done, words)
        else:
            self._write(done, words, bool(refused) and refused not in self._refused)
        if refused:
            self._refused[refused] += 1

    def _write(self, done: int, words: Sequence[str], news: bool) -> None:
        """Print the line of an iteration if it is due, or keep it for the end.

        Args:
            news: it is due in any case.
        """
        self._pace.note(done)
        left = self._pace.words(self._iterations)
        self._line = " | ".join([f"{done:>5}/{self._iterations}", *words, left])
        now, percent = self._clock(), 100 * done // self._iterations
        waited = now - self._last[0]
        if news or (waited >= 1 and (percent > self._last[1] or waited >= 60)):
            self._display.line(self._line)
            self._line, self._last = "", (now, percent)


def _describe(row: Row, timing: Row, success: bool) -> list[str]:
    """The numbers of an iteration; of stages the first and the last."""
    stages = sorted(int(key.rsplit("_", 1)[1]) for key in row if key.startswith("return/stage_"))
    if not stages:  # labelled examples
        shown = {"loss": row.get("update/loss_before")}
        shown |= {key.removeprefix("query/"): value for key, value in row.items() if key.startswith("query/")}
        words = [f"{name} {value:.4f}" for name, value in shown.items() if value is not None]
        return [*words, f"{1 / timing['time/iteration']:,.1f} iterations/s"]

    def span(group: str, digits: int) -> str:
        ends = dict.fromkeys((stages[0], stages[-1]))
        return " -> ".join(f"{row[f'{group}/stage_{k}']:.{digits}f}" for k in ends)

    success = success and "success/stage_0" in row  # it may be unknown
    words = [f"return {span('return', 1)}", *([f"success {span('success', 2)}"] if success else [])]
    return [*words, f"{row['env_steps']:,.0f} env steps, {timing['time/env_steps_per_second']:,.0f}/s"]
