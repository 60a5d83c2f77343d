"""What the report says of an evaluation: by mode actions, by sampled actions, or by the first alone."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs import Task
from meta_rl.config import default_config
from meta_rl.evaluation.episodes import Evaluation
from meta_rl.evaluation.report import family_cells, report, stage_cells
from meta_rl.visualise.page.tables import tables

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


def result(sampled_episodes: int, has_success: bool = True) -> dict[str, Any]:
    """An ``evaluation.json``."""
    return {
        "iteration": 1,
        "train_env_steps": 1000,
        "split": "test",
        "protocol": {"adaptation_episodes": 10, "evaluation_episodes": 3},
        "versions": {},
        "deterministic_episodes": True,
        "has_success": has_success,
        "task_distribution": {},
        "stock": None,
        **evaluation(sampled_episodes).summary(),
    }


def old() -> dict[str, Any]:
    """As evaluations were written before sampled actions were judged."""
    found = copy.deepcopy(result(3))
    for stage in found["stages"]:
        for name in [name for name in stage if name.startswith("sampled_")]:
            del stage[name]
    return found


def test_both_ways_stand_side_by_side() -> None:
    head, before, after = stage_cells(result(3), "stage", ["first", "last"])
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
        ["family", *(f"{when}, {way}" for way in HEADS for when in ("before", "after"))],
        ["reach", "0.0%", "100.0%", "50.0%", "100.0%"],
        ["push", "0.0%", "0.0%", "50.0%", "50.0%"],
    ]


def test_tasks_without_success_have_returns_both_ways() -> None:
    head = stage_cells(result(3, has_success=False), "stage", ["first", "last"])[0]
    assert head[1:3] == [f"return, {way} (95 % interval)" for way in HEADS]
    assert not any("success" in cell for cell in head)


@pytest.mark.parametrize("mode_alone", [old(), result(0)])
def test_mode_actions_alone(mode_alone: dict[str, Any]) -> None:
    """Of an old evaluation, or of one that left sampled actions out."""
    cells = stage_cells(mode_alone, "stage", ["first", "last"])
    assert cells[0] == ["stage", "success (95 % interval)", "return (95 % interval)", "return, IQM"]
    assert cells[2][1] == "50.0% (50.0% to 50.0%)"
    assert family_cells(mode_alone, ["before", "after"])[1] == ["reach", "0.0%", "100.0%"]


def test_the_protocol_says_what_the_headline_is(tmp_path: Path) -> None:
    config = default_config("maml-trpo", "metaworld/ml10")
    both, mode_alone = (report(config, tmp_path, found) for found in (result(3), old()))
    said = "then 1 episode with mode actions (the headline), and 3 with sampled actions, as many published tables have"
    assert said in both
    assert "Before adaptation -> after: success 0.0% -> 50.0%, return 10.00 -> 10.00 (mode actions)." in both
    assert "then 1 episode with mode actions; success at any step" in mode_alone
    assert mode_alone.count("sampled") == 1  # the adaptation episodes


def test_so_does_the_page(tmp_path: Path) -> None:
    both, mode_alone = (
        {table["title"]: table for table in tables(tmp_path, found, [], ["first", "last"])}
        for found in (result(3), old())
    )
    assert "The headline is that of mode actions" in both["Protocol"]["note"]
    assert "The headline" not in mode_alone["Protocol"]["note"]
    assert len(both["Numbers"]["head"]) == len(mode_alone["Numbers"]["head"]) + 2
