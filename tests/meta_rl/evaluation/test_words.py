"""Numbers, stages and commands in words."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from meta_rl.evaluation.words import StageNames, command_line, counted, options, wrapped


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 iterations"), (1, "1 iteration"), (2, "2 iterations"), (31000, "31,000 iterations")]
)
def test_one_thing_has_no_plural(number: int, said: str) -> None:
    assert counted(number, "iteration") == said


def test_stages_of_steps_and_of_a_trial() -> None:
    steps, trial = StageNames(False, 10), StageNames(True, 10)
    assert [steps.name(k) for k in range(3)] == [
        "before adaptation",
        "after 1 adaptation step",
        "after 2 adaptation steps",
    ]
    assert [trial.name(k) for k in range(3)] == [f"episode {n} of the trial" for n in (1, 11, 21)]
    assert [(names.axis, names.along(2)) for names in (steps, trial)] == [
        ("adaptation steps", 2),
        ("episodes of practice", 20),
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        ({"shown_steps": [0, 5]}, ["--shown-steps", "0", "5"]),
        ({"judge_sampled": False, "test_tasks": 7}, ["--judge-sampled", "False", "--test-tasks", "7"]),
    ],
)
def test_options_are_what_differs(changed: dict[str, Any], said: list[str]) -> None:
    defaults = {"judge_sampled": True, "test_tasks": 0, "shown_steps": []}
    assert options(defaults | changed, defaults) == said


def test_a_default_that_is_no_empty_list_is_made_empty() -> None:
    assert options({"shown_steps": []}, {"shown_steps": [1]}) == ["--shown-steps"]


@pytest.mark.parametrize("folder", ["runs/a", "my runs/it's", "x" * 90])
def test_a_long_command_is_broken_before_its_options(folder: str) -> None:
    command = command_line("evaluate", folder, "--shown-steps", 0, 1, "--test-tasks", 123456789, "--evaluation-seed", 5)
    shown = wrapped(command)
    assert all(line.startswith("  --") for line in shown.split(" \\\n")[1:])
    assert all(len(line) <= 76 for line in shown.split("\n") if folder not in line)
    assert shlex.split(shown.replace("\\\n", "")) == shlex.split(command)
    assert "\n" not in wrapped("meta-rl report runs/a")
