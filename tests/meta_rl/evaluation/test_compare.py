"""Summaries of several runs; that runs that do not compare are refused is in test_cli.py."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meta_rl.errors import ConfigError
from meta_rl.evaluation.compare import compare, comparison_table, comparison_tables, join_earlier, write_comparison
from meta_rl.evaluation.kinds.base import Comparison, Group
from meta_rl.evaluation.kinds.policies import stage_values
from meta_rl.evaluation.kinds.table import KINDS
from meta_rl.evaluation.scores import MODE, SAMPLED, Score, Stage


def group(stock: list[float | None], curves: list[list[list[float]]], sampled: bool = False) -> Group:
    scores = {MODE: {"success": Score(0.25, 0.0, 1.0), "return": Score(5.0, 0.0, 9.0, by_seed=(5.0,))}}
    if sampled:
        scores[SAMPLED] = {"success": Score(0.5, 0.25, 1.0), "return": Score(4.0, 3.0, 6.0)}
    stages = [Stage(1, scores, dict.fromkeys(scores, 5.0), practice=10)]
    seeds = list(range(len(stock)))
    return Group(seeds, 5, stages, 1000, stock_success_by_seed=stock, training_curves=curves)


def comparison(groups: dict[str, Group], env: str = "metaworld/ml10", has_success: bool = True) -> Comparison:
    names = ["success", "return"] if has_success else ["return"]
    return Comparison(KINDS["rl"], MODE, names, env, 250, {}, groups)


@pytest.mark.parametrize("runs", [[], "runs/one", Path("runs/one")])
def test_what_is_no_list_of_runs_is_refused(runs: Any) -> None:
    with pytest.raises(ConfigError, match=r"^run_dirs: must be a list of run directories, got "):
        compare(runs)


def test_stages_of_a_curve_are_in_the_order_of_their_numbers() -> None:
    row = {f"{name}/stage_{k}": sign * float(k) for name, sign in (("success", -1), ("return", 1)) for k in range(12)}
    assert stage_values(row) == [*range(12), *(-k for k in range(12))]


def test_the_stock_metric_stands_beside_ours_where_it_was_taken() -> None:
    """Two seeds; of 20 iterations the last two count, and of those the last stage's success."""
    one = [[float(i), 1.0, 2.0, 0.9, 0.1 if i < 18 else 0.5] for i in range(20)]
    other = [[float(i), 1.0, 2.0, 0.9, 0.1 if i < 18 else 0.7] for i in range(20)]
    groups = {
        "maml-trpo": group([0.2, 0.6], [one, other]),
        "rl2": group([0.2, None], [one, other]),
        "untrained": group([0.0], [[]]),
    }
    lines = comparison_table(comparison(groups)).splitlines()
    assert "| maml-trpo | 60.0% | 25.0% | 40.0% |" in lines
    assert "| untrained |  | 25.0% | 0.0% |" in lines
    assert not any(line.startswith("| rl2 |") for line in lines[lines.index("| maml-trpo | 60.0% | 25.0% | 40.0% |") :])
    del groups["maml-trpo"], groups["untrained"]
    assert "Meta-World" not in comparison_table(comparison(groups))


def cells(compared: Comparison) -> dict[str, str]:
    """The first row of the table, by the heads of its columns."""
    heads, _, row = (line.strip("| ").split(" | ") for line in comparison_table(compared).splitlines()[2:5])
    return dict(zip(heads, row, strict=True))


def test_sampled_actions_stand_beside_the_mode_where_all_groups_have_them() -> None:
    with_both, without = group([None], [[]], sampled=True), group([None], [[]])
    mode_alone = cells(comparison({"maml-trpo": with_both, "rl2": without}))
    assert mode_alone["success (95 % interval)"] == "25.0% (0.0% to 100.0%)"
    assert mode_alone["return (95 % interval)"] == "5.00 (0.00 to 9.00)"
    assert not any("sampled" in head for head in mode_alone)
    both = cells(comparison({"maml-trpo": with_both, "rl2": with_both}))
    assert both["success, mode actions (95 % interval)"] == "25.0% (0.0% to 100.0%)"
    assert both["success, sampled actions (95 % interval)"] == "50.0% (25.0% to 100.0%)"
    assert both["return, mode actions (95 % interval)"] == "5.00 (0.00 to 9.00)"
    assert sum("sampled" in head for head in both) == 1


def test_without_success_the_return_of_sampled_actions_is_shown() -> None:
    both = cells(comparison({"maml-trpo": group([None], [[]], sampled=True)}, "navigation", False))
    assert both["return, mode actions (95 % interval)"] == "5.00 (0.00 to 9.00)"
    assert both["return, sampled actions (95 % interval)"] == "4.00 (3.00 to 6.00)"
    assert not any("success" in head for head in both)


def with_stock() -> Comparison:
    curve = [[100.0, 1.0, 2.0, 0.0, 0.25], [200.0, 3.0, 4.0, 0.5, 1.0]]  # env steps, two returns, two successes
    return comparison({"maml-trpo": group([0.2], [curve]), "untrained": group([0.0], [[]])})


def test_cells_are_what_the_text_shows() -> None:
    """Every table is rectangular, and Meta-World's own evaluator has one of its own."""
    compared = with_stock()
    scores, stock = comparison_tables(compared)
    assert [len(row) for row in scores.cells] == [8] * 3
    assert stock.cells[1:] == [["maml-trpo", "100.0%", "25.0%", "20.0%"], ["untrained", "", "25.0%", "0.0%"]]
    lines = comparison_table(compared).splitlines()
    for title, cells in (scores, stock):
        assert title in lines
        assert all(f"| {' | '.join(row)} |" in lines for row in cells)


def test_curves_in_csv_have_a_row_per_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meta_rl.evaluation.kinds.plots.plot_policies", lambda compared, path: None)
    write_comparison(with_stock(), tmp_path / "out", "meta-rl compare")
    head, *rows = csv.reader((tmp_path / "out.csv").read_text().splitlines())
    assert head == ["group", "seed", "env_steps", "stage", "return", "success"]
    assert rows == [
        ["maml-trpo", "0", "100", "0", "1", "0"],
        ["maml-trpo", "0", "100", "1", "2", "0.25"],
        ["maml-trpo", "0", "200", "0", "3", "0.5"],
        ["maml-trpo", "0", "200", "1", "4", "1"],
    ]


def test_a_policy_joins_an_earlier_table(tmp_path: Path) -> None:
    """The rows that the runs lack are taken as they stand; the runs' own come from the runs."""
    protocol = {"test_tasks": 0, "evaluation_seed": 0, "evaluation_episodes": 3}
    one, other, newer = (
        replace(group([None], [[[100.0, n, 2.0, 0.0, 0.25]]]), protocol=protocol, iterations=n) for n in (1, 2, 3)
    )
    write_comparison(comparison({"maml-trpo": one, "rl2": other}), tmp_path / "table", "meta-rl compare a b")
    joined = join_earlier(comparison({"rl2": newer, "random": other}), tmp_path / "table.json")
    assert list(joined.groups) == ["maml-trpo", "rl2", "random"]
    assert [found.iterations for found in joined.groups.values()] == [1, 3, 2]
    assert joined.groups["maml-trpo"].origin["command"] == "meta-rl compare a b"
    assert joined.groups["maml-trpo"].training_curves == one.training_curves
    assert joined.groups["rl2"].origin == {}
    few = replace(newer, protocol=protocol | {"evaluation_episodes": 1})
    for alone in (comparison({"rl2": few}), comparison({"rl2": newer}, "metaworld/ml45")):
        with pytest.raises(ConfigError, match=r"RUN: the runs of .*table.json were evaluated on different episodes"):
            join_earlier(alone, tmp_path / "table.json")
