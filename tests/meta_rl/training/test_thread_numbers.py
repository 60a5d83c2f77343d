"""The number of torch's threads, by which sums round, is recorded with a run; going on with another one is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from meta_rl.config import TrainConfig
from meta_rl.runs.log import read_rows
from meta_rl.training.train import train

Tiny = Callable[..., TrainConfig]


def begin(config: TrainConfig) -> Path:
    """A run that began with three threads, whatever this process has."""
    run = train(config, lambda _: None)
    path = run / "environment.json"
    about = json.loads(path.read_text())
    assert about["threads"] == torch.get_num_threads()
    path.write_text(json.dumps(about | {"threads": 3}))
    return run


def lines_of(config: TrainConfig) -> list[str]:
    """What is said from the line on that says that the run goes on."""
    said: list[str] = []
    train(config, said.append)
    return said[next((i for i, line in enumerate(said) if line.startswith("resuming")), 0) :]


def test_another_number_on_a_resume_is_said_once_with_what_keeps_the_bits(tiny: Tiny) -> None:
    run = begin(tiny("run", iterations=1))
    now = torch.get_num_threads()
    resumed, mentioned = lines_of(tiny("run", iterations=2))
    assert resumed.startswith("resuming")
    assert mentioned == (
        f"{run} began with 3 threads of torch and goes on with {now}: sums may round differently from here on; "
        "OMP_NUM_THREADS=3 keeps to the bits that it would have had"
    )
    assert read_rows(run / "resumes.jsonl") == [{"iteration": 1, "threads": now}]
    assert json.loads((run / "environment.json").read_text())["threads"] == 3  # of the beginning


def test_the_same_number_needs_no_word(tiny: Tiny) -> None:
    train(tiny("run", iterations=1), lambda _: None)
    assert len(lines_of(tiny("run", iterations=2))) == 1


def test_a_finished_run_needs_no_word(tiny: Tiny) -> None:
    begin(tiny("run", iterations=1))
    assert len(lines_of(tiny("run", iterations=1))) == 1


@pytest.mark.parametrize("about", ["{}", "[]", "no JSON", None])
def test_a_run_that_recorded_no_number_goes_on(tiny: Tiny, about: str | None) -> None:
    path = train(tiny("run", iterations=1), lambda _: None) / "environment.json"
    path.unlink() if about is None else path.write_text(about)
    assert len(lines_of(tiny("run", iterations=2))) == 1
