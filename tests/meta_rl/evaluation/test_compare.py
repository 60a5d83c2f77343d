"""Summaries of several runs; that runs that do not compare are refused is in test_cli.py."""

import csv
from pathlib import Path
from typing import Any

import pytest

from meta_rl.evaluation.compare import _stage_values, table, tables, write

INTERVALS = {"success_interval": (0.0, 1.0), "return_interval": (0.0, 9.0), "return_by_seed": [5.0]}


def group(stock: list[float | None], curves: list[list[tuple[float, ...]]]) -> dict[str, Any]:
    stage = {"adaptation_steps": 1, "practice_episodes": 10, "success": 0.25, "return": 5.0, **INTERVALS}
    return {
        "seeds": list(range(len(stock))),
        "train_env_steps": 1000,
        "stages": [stage],
        "stock_success_by_seed": stock,
        "training_curves": curves,
    }


def test_stages_of_a_curve_are_in_the_order_of_their_numbers() -> None:
    row = {f"{name}/stage_{k}": sign * float(k) for name, sign in (("success", -1), ("return", 1)) for k in range(12)}
    assert _stage_values(row) == [*range(12), *(-k for k in range(12))]


def test_the_stock_metric_stands_beside_ours_where_it_was_taken() -> None:
    """Two seeds; of 20 iterations the last two count, and of those the last stage's success."""
    one = [(float(i), 1.0, 2.0, 0.9, 0.1 if i < 18 else 0.5) for i in range(20)]
    other = [(float(i), 1.0, 2.0, 0.9, 0.1 if i < 18 else 0.7) for i in range(20)]
    groups = {
        "maml-trpo": group([0.2, 0.6], [one, other]),
        "rl2": group([0.2, None], [one, other]),
        "untrained": group([0.0], [[]]),
    }
    summary = {"env": "metaworld/ml10", "tasks": 250, "has_success": True, "groups": groups}
    lines = table(summary).splitlines()
    assert "| maml-trpo | 60.0% | 25.0% | 40.0% |" in lines
    assert "| untrained |  | 25.0% | 0.0% |" in lines
    assert not any(line.startswith("| rl2 |") for line in lines[lines.index("| maml-trpo | 60.0% | 25.0% | 40.0% |") :])
    del groups["maml-trpo"], groups["untrained"]
    assert "Meta-World" not in table(summary)


SAMPLED = {"sampled_success": 0.5, "sampled_success_interval": (0.25, 1.0)}
SAMPLED |= {"sampled_return": 4.0, "sampled_return_interval": (3.0, 6.0)}


def cells(summary: dict[str, Any]) -> dict[str, str]:
    """The first row of the table, by the heads of its columns."""
    heads, _, row = (line.strip("| ").split(" | ") for line in table(summary).splitlines()[2:5])
    return dict(zip(heads, row, strict=True))


def test_sampled_actions_stand_beside_the_mode_where_all_groups_have_them() -> None:
    groups = {name: group([None], [[]]) for name in ("maml-trpo", "rl2")}
    summary = {"env": "metaworld/ml10", "tasks": 250, "has_success": True, "groups": groups}
    groups["maml-trpo"]["stages"][0] |= SAMPLED
    mode_alone = cells(summary)
    assert mode_alone["success (95 % interval)"] == "25.0% (0.0% to 100.0%)"
    assert mode_alone["return (95 % interval)"] == "5.00 (0.00 to 9.00)"
    assert not any("sampled" in head for head in mode_alone)
    groups["rl2"]["stages"][0] |= SAMPLED
    both = cells(summary)
    assert both["success, mode actions (95 % interval)"] == "25.0% (0.0% to 100.0%)"
    assert both["success, sampled actions (95 % interval)"] == "50.0% (25.0% to 100.0%)"
    assert both["return, mode actions (95 % interval)"] == "5.00 (0.00 to 9.00)"
    assert sum("sampled" in head for head in both) == 1


def test_without_success_the_return_of_sampled_actions_is_shown() -> None:
    groups = {"maml-trpo": group([None], [[]])}
    groups["maml-trpo"]["stages"][0] |= SAMPLED
    both = cells({"env": "navigation", "tasks": 40, "has_success": False, "groups": groups})
    assert both["return, mode actions (95 % interval)"] == "5.00 (0.00 to 9.00)"
    assert both["return, sampled actions (95 % interval)"] == "4.00 (3.00 to 6.00)"
    assert not any("success" in head for head in both)


def summary_with_stock() -> dict[str, Any]:
    curve = [(100.0, 1.0, 2.0, 0.0, 0.25), (200.0, 3.0, 4.0, 0.5, 1.0)]  # env steps, two returns, two successes
    groups = {"maml-trpo": group([0.2], [curve]), "untrained": group([0.0], [[]])}
    about = {"env": "metaworld/ml10", "tasks": 250, "has_success": True, "versions": {}, "task_distribution": {}}
    return about | {"groups": groups}


def test_cells_are_what_the_text_shows() -> None:
    """Every table is rectangular, and Meta-World's own evaluator has one of its own."""
    summary = summary_with_stock()
    scores, stock = tables(summary)
    assert [len(row) for row in scores.cells] == [8] * 3
    assert stock.cells[1:] == [["maml-trpo", "100.0%", "25.0%", "20.0%"], ["untrained", "", "25.0%", "0.0%"]]
    lines = table(summary).splitlines()
    for title, cells in (scores, stock):
        assert title in lines
        assert all(f"| {' | '.join(row)} |" in lines for row in cells)


def test_curves_in_csv_have_a_row_per_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meta_rl.evaluation.compare.plot", lambda summary, path: None)
    write(summary_with_stock(), tmp_path / "out", "meta-rl compare")
    head, *rows = csv.reader((tmp_path / "out.csv").read_text().splitlines())
    assert head == ["group", "seed", "env_steps", "stage", "return", "success"]
    assert rows == [
        ["maml-trpo", "0", "100", "0", "1", "0"],
        ["maml-trpo", "0", "100", "1", "2", "0.25"],
        ["maml-trpo", "0", "200", "0", "3", "0.5"],
        ["maml-trpo", "0", "200", "1", "4", "1"],
    ]
