"""What the report says of an evaluation: by mode actions, by sampled actions, or by the first alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from envs import Task
from meta_rl.errors import ConfigError
from meta_rl.evaluation.episodes import Evaluation
from meta_rl.evaluation.report import evaluate_run, report
from meta_rl.evaluation.scores import Record, family_cells, score_cells
from meta_rl.evaluation.words import StageNames
from meta_rl.visualise.page.policies import PolicyPage
from tests.meta_rl.evaluation.records import as_json, from_json, of_run, record_of

HEADS = ["mode actions", "sampled actions"]


def evaluation(sampled_episodes: int) -> Evaluation:
    """Four tasks of two families; the mode solves none before adaptation and `reach` after it, samples half of each
    family's episodes more."""
    modes, samples = (4, 2, 1), (4, 2, sampled_episodes)
    solved = np.zeros(modes, bool)
    solved[:2, 1] = True
    sampled_solved = np.zeros(samples, bool)
    sampled_solved[:2, 1] = True
    sampled_solved[::2, 0] = sampled_solved[2, 1] = True
    tasks = [Task(family, (float(i),)) for i, family in enumerate(["reach", "reach", "push", "push"])]
    returns, sampled = np.full(modes, 10.0), np.full(samples, 7.0)
    return Evaluation(tasks, returns, solved, sampled, sampled_solved, np.zeros((4, 1, 2)), 99)


def result(sampled_episodes: int, has_success: bool = True) -> Record:
    return record_of(evaluation(sampled_episodes), has_success=has_success)


def old() -> Record:
    """As evaluations were written before sampled actions were judged."""
    found = as_json(result(3))
    for part in [*found["stages"], *found["per_task"]]:
        for name in [name for name in part if name.startswith("sampled_")]:
            del part[name]
    return from_json(found)


def cells_of(record: Record) -> list[list[str]]:
    return score_cells(record, "stage", ["first", "last"], record.ways)


def test_both_ways_stand_side_by_side() -> None:
    head, before, after = cells_of(result(3))
    rows = [dict(zip(head, row, strict=True)) for row in (before, after)]
    assert list(rows[0]) == [
        "stage",
        "success, mode actions (95 % interval)",
        "success, sampled actions (95 % interval)",
        "return, mode actions (95 % interval)",
        "return, sampled actions (95 % interval)",
        "return, mode actions, IQM",
    ]
    assert [row["success, mode actions (95 % interval)"] for row in rows] == [
        "0.0% (0.0% to 0.0%)",
        "50.0% (50.0% to 50.0%)",  # within families nothing varies
    ]
    assert [row["success, sampled actions (95 % interval)"] for row in rows] == [
        "50.0% (0.0% to 100.0%)",
        "75.0% (50.0% to 100.0%)",
    ]
    assert rows[0]["return, sampled actions (95 % interval)"] == "7.00 (7.00 to 7.00)"
    assert rows[0]["return, mode actions, IQM"] == "10.00"


def test_families_both_ways() -> None:
    assert family_cells(result(3), ["before", "after"]) == [
        [
            "family",
            *(f"success {when}, {way}" for way in HEADS for when in ("before", "after")),
            *(f"return {when}, mode actions" for when in ("before", "after")),
        ],
        ["reach", "0.0%", "100.0%", "50.0%", "100.0%", "10.00", "10.00"],
        ["push", "0.0%", "0.0%", "50.0%", "50.0%", "10.00", "10.00"],
    ]


def test_tasks_without_success_have_returns_both_ways() -> None:
    without = result(3, has_success=False)
    assert family_cells(without, ["before", "after"])[:2] == [
        ["family", "return before, mode actions", "return after, mode actions"],
        ["reach", "10.00", "10.00"],
    ]
    head = cells_of(without)[0]
    assert head[1:3] == [f"return, {way} (95 % interval)" for way in HEADS]
    assert not any("success" in cell for cell in head)


@pytest.mark.parametrize("mode_alone", [old(), result(0)])
def test_mode_actions_alone(mode_alone: Record) -> None:
    """Of an old evaluation, or of one that left sampled actions out."""
    cells = cells_of(mode_alone)
    assert cells[0] == ["stage", "success (95 % interval)", "return (95 % interval)", "return, IQM"]
    assert cells[2][1] == "50.0% (50.0% to 50.0%)"
    assert family_cells(mode_alone, ["before", "after"])[1] == ["reach", "0.0%", "100.0%", "10.00", "10.00"]


def test_the_protocol_says_what_the_headline_is(tmp_path: Path) -> None:
    both, mode_alone = (report(of_run(found, tmp_path)) for found in (result(3), old()))
    said = "then 1 episode with mode actions (the headline), and 3 with sampled actions, as many published tables have"
    assert said in both
    assert "Before adaptation -> after: success 0.0% -> 50.0%, return 10.00 -> 10.00 (mode actions)." in both
    assert "then 1 episode with mode actions; success at any step" in mode_alone
    assert mode_alone.count("sampled") == 1  # the adaptation episodes


def test_so_does_the_page(tmp_path: Path) -> None:
    both, mode_alone = (
        {table["title"]: table for table in PolicyPage().tables(of_run(found, tmp_path), StageNames())}
        for found in (result(3), old())
    )
    assert "The headline is that of mode actions" in both["Protocol"]["note"]
    assert "The headline" not in mode_alone["Protocol"]["note"]
    assert len(both["Numbers"]["head"]) == len(mode_alone["Numbers"]["head"]) + 2


def test_what_cannot_be_evaluated_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^RUN: {tmp_path} is not a run directory \(no config.json\)"):
        evaluate_run(tmp_path)
    with pytest.raises(ConfigError, match=r"^--logger: unknown 'foo'; valid: tensorboard, wandb, trackio$"):
        evaluate_run(tmp_path, loggers=["foo"])
