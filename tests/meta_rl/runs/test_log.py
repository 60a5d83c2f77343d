"""What the console says of an iteration, and of a training."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from meta_rl.runs.log import Display, Row, training_seconds

TIMING = {"time/iteration": 2.0, "time/env_steps_per_second": 50.0}
NO_STEP = {"guard/line_search_failed": 1.0, "guard/bad_curvature": 1.0, "update/accepted": 0.0}


def said(*updates: Row, terminal: bool = False, iterations: int = 3) -> list[str]:
    """The lines of a training whose iterations end with these metrics of their updates."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=200, soft_wrap=True, highlight=False)
    with Display(iterations, 0, success=False, console=console) as display:
        for i, update in enumerate(updates, 1):
            display.show({"iteration": i, "env_steps": 100.0 * i, "return/stage_0": 1.0} | update, TIMING)
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
    assert first == "    1/3 | return 1.0 | 100 env steps | 50 env-steps/s | 4 s left"
    assert f"50 env-steps/s | update refused: {why} | 2 s left" in second
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
