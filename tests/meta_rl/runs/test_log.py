"""What the console says of an iteration, and of a training."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from meta_rl.errors import RunError
from meta_rl.runs.display import Display
from meta_rl.runs.log import Row, RunLog, TrainingProgress, read_rows, training_seconds

TIMING = {"time/iteration": 2.0, "time/env_steps_per_second": 50.0}
NO_STEP = {"guard/line_search_failed": 1.0, "guard/bad_curvature": 1.0, "update/accepted": 0.0}


def said(
    *updates: Row,
    terminal: bool = False,
    iterations: int = 3,
    seconds: float = 2.0,
    done: int = 0,
    success: bool = False,
) -> list[str]:
    """The lines of a training whose iterations, of so many seconds, end with these metrics of their updates."""
    out, now = io.StringIO(), [0.0]
    console = Console(file=out, force_terminal=terminal, width=200, highlight=False, _environ={})
    with TrainingProgress(Display(console=console), iterations, done, success, lambda: now[0]) as progress:
        for i, update in enumerate(updates, done + 1):
            now[0] += seconds
            progress.show({"iteration": i, "env_steps": 100.0 * i, "return/stage_0": 1.0} | update, TIMING)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("update", "why"),
    [
        (NO_STEP, "no step within --max-kl lowered the loss"),
        ({"guard/bad_curvature": 1.0, "update/accepted": 0.0}, "the curvature was not positive"),
        ({"guard/non_finite_gradient": 1.0}, "the gradient was not finite"),  # PPO and RL2 do not say "accepted"
    ],
)
def test_the_line_of_an_iteration_says_that_its_update_was_refused(update: Row, why: str) -> None:
    first, second, last = said({"guard/non_finite_gradient": 0.0}, update)
    assert first == "    1/3 | return 1.0 | 100 env steps, 50/s | 0:00:02 so far"
    assert second == f"    2/3 | return 1.0 | 200 env steps, 50/s | update refused: {why} | 0:00:02 left"
    assert last.startswith(f"1 of 2 updates were refused: {why} (1; see --")


def test_a_shortened_step_was_not_refused() -> None:
    assert len(said({"guard/bad_curvature": 1.0, "update/accepted": 1.0})) == 1


def test_the_last_line_counts_by_reason_the_most_frequent_first() -> None:
    last = said({"guard/non_finite_gradient": 1.0}, NO_STEP, NO_STEP)[-1]
    assert last == (
        "3 of 3 updates were refused: no step within --max-kl lowered the loss (2; see --curvature-stride, --inner-lr),"
        " the gradient was not finite (1; see --inner-lr, --meta-lr, --learning-rate)"
    )


def test_a_terminal_shows_the_same_words() -> None:
    text = "\n".join(said(NO_STEP, terminal=True))
    assert "update refused: no step within --max-kl lowered the loss" in text
    assert "1 of 1 updates were refused" in text


def test_the_time_that_training_took_up_to_an_iteration(tmp_path: Path) -> None:
    assert training_seconds(tmp_path, 3) == 0
    rows = [{"iteration": i, "time/iteration": seconds} for i, seconds in ((1, 0.5), (2, 0.25), (3, 4.0))]
    (tmp_path / "timing.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [training_seconds(tmp_path, i) for i in (0, 1, 2, 3)] == [0, 0.5, 0.75, 4.75]


@pytest.mark.parametrize(
    ("iterations", "seconds", "printed"),
    [
        (10, 2.0, list(range(1, 11))),  # each is more than a per cent
        (10, 0.25, [1, 5, 9, 10]),  # one in a second, and the last
        (2000, 2.0, [1, *range(20, 2001, 20)]),  # one for each per cent
        (60_000, 0.002, [1, *range(600, 60_001, 600)]),
        (100_000, 30.0, [1, 3, 5, 7]),  # one in a minute, where a per cent takes long
    ],
)
def test_a_pipe_gets_a_line_for_each_second_and_per_cent_at_most(
    iterations: int, seconds: float, printed: list[int]
) -> None:
    shown = iterations if iterations < 100_000 else 7
    lines = said(*[{}] * shown, iterations=iterations, seconds=seconds)
    assert [int(line.split("/")[0]) for line in lines] == printed


def test_the_first_refused_update_is_said_at_once() -> None:
    lines = said({}, {}, NO_STEP, NO_STEP, {}, iterations=100, seconds=0.001)
    assert [line.split(" |")[0].strip() for line in lines[:-1]] == ["1/100", "3/100", "5/100"]
    assert lines[-1].startswith("2 of 5 updates were refused")


def test_the_time_left_counts_what_a_resumed_run_still_does() -> None:
    lines = said({}, {}, {}, iterations=10, done=4, seconds=3.0)
    assert [line.rsplit(" | ")[-1] for line in lines] == ["0:00:03 so far", "0:00:12 left", "0:00:09 left"]


@pytest.mark.parametrize(("stages", "words"), [(1, "0.0"), (2, "0.0 -> 1.0"), (11, "0.0 -> 10.0")])
def test_of_all_stages_the_first_and_the_last_are_shown(stages: int, words: str) -> None:
    row = {f"{name}/stage_{k}": float(k) for name in ("return", "success") for k in range(stages)}
    (line,) = said(row, success=True, iterations=9)
    assert line.split(" | ")[1:3] == [f"return {words}", f"success {words.replace('.0', '.00')}"]


@pytest.mark.parametrize("line", ["hello\n", "[1]\n", '{"env_steps": 3}\n', "null\n"])
def test_a_damaged_line_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"iteration": 1}\n' + line)
    said = rf"^{path}: line 2 is damaged \("
    with pytest.raises(RunError, match=said):
        read_rows(path)
    with pytest.raises(RunError, match=said):
        RunLog(tmp_path, 1)
    path.write_text('{"iteration": 1}\n' + line.rstrip("\n"))  # half a line at the end is none
    assert read_rows(path) == [{"iteration": 1}]
