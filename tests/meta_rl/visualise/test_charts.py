"""Lines of a page: where they run, what is read from them, how they are smoothed, thinned and put side by side."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup

from meta_rl.config import TrainConfig, default_config, replace_paths
from meta_rl.evaluation.grouping import differing_settings
from meta_rl.evaluation.record import Evaluated
from meta_rl.evaluation.recording import record
from meta_rl.evaluation.scores import Score
from meta_rl.evaluation.words import StageNames
from meta_rl.visualise.page.charts import Series, chart, log_ticks
from meta_rl.visualise.page.curves import diagnostics, training_charts, with_scales
from meta_rl.visualise.page.heatmap import _cell, _scale, short_name
from meta_rl.visualise.page.marks import group_looks, mark
from meta_rl.visualise.page.pairs import Pairs, pairs_chart
from meta_rl.visualise.page.policies import PolicyPage
from meta_rl.visualise.page.smoothing import smoothed, thinned
from meta_rl.visualise.page.together import _over_seeds, _with_dots
from tests.meta_rl.evaluation.test_recording import untrained
from tests.meta_rl.visualise.test_page_tables import adapting


def to_read(svg: Markup) -> dict[str, Any]:
    """What the page's script reads values from."""
    (found,) = re.findall(r'data-read="(.*?)"', str(svg))
    data: dict[str, Any] = json.loads(html.unescape(found))
    return data


def test_a_moving_average_weighs_what_is_near_more() -> None:
    """Over 5 values each keeps 2/3 of the one before: 0, then 6 at weights 1 and 2/3 + 1, and so on."""
    assert np.allclose(smoothed([4.0] * 30), 4.0)
    found = smoothed([0.0, 6.0, 6.0])
    assert np.allclose(found, [0, 6 / (1 + 2 / 3), (6 + 6 * 2 / 3) / (1 + 2 / 3 + 4 / 9)])
    assert np.allclose(smoothed([0.0, np.nan, 6.0]), [0, 0, 6 / (1 + 4 / 9)])


def test_a_thinned_line_keeps_its_ends_and_its_peaks() -> None:
    values = np.sin(np.arange(10_000) / 50)
    values[[1234, 7777]] = 9.0, -9.0
    kept = thinned(values, 100)
    assert len(kept) <= 102
    assert {0, 9_999, 1234, 7777} <= set(kept)
    assert thinned([3.0, 1.0]) == [0, 1]


def test_one_iteration_has_one_tick() -> None:
    svg = str(chart([Series([8000.0], [1.0], "after", "return")], "env steps", "return"))
    assert re.findall(r'class="tick" [^>]*>(.*?)<', svg) == ["8000"]
    assert svg.count("<circle") == 1


def test_a_reader_gets_values_intervals_and_counts() -> None:
    line = Series.of([0, 1], [Score(1.0, 0.5, 1.5), Score(2.0, 1.75, 2.5)], "after", "mean <b>", n="50 tasks")
    data = to_read(chart([line, Series([0, 1], [0, 3], "thin", "one")], "adaptation steps", "return", whole_x=True))
    assert data["lines"][0] == {
        "label": "mean <b>", "style": "after", "xs": [0, 1], "ys": [1, 2], "low": [0.5, 1.75], "high": [1.5, 2.5],
        "n": "50 tasks",
    }  # fmt: skip
    assert [line["label"] for line in data["lines"]] == ["mean <b>", "one"]


def test_a_logarithmic_axis_puts_equal_factors_equally_far_apart() -> None:
    assert log_ticks(0.09, 30) == [0.1, 0.2, 0.5, 1, 2, 5, 10, 20]
    svg = str(chart([Series([0, 1, 2], [0.01, 0.1, 1], "after", "mse")], "x", "mse", log=True))
    points = re.findall(r'points="(.*?)"', svg)[0].split()
    heights = [float(point.split(",")[1]) for point in points]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.11)
    drawn = with_scales("mse", [0.1, 2.0], lambda log: Markup(f"log {log}"))
    assert drawn == {"svg": "log False", "log_svg": "log True"}
    assert with_scales("mse", [1.0, 2.0], lambda log: Markup(""))["log_svg"] is None
    assert with_scales("return", [0.1, 2.0], lambda log: Markup(""))["log_svg"] is None


def test_pairs_are_sorted_by_what_adaptation_changed() -> None:
    means = (Score(2.0, 1.0, 3.0), Score(3.0, 2.0, 4.0))
    pairs = Pairs(["a", "b", "c"], [1, 2, 3], [6, 1, 3], "task", means, ("before", "after"), "3 tasks")
    data = to_read(pairs_chart(pairs, "return", str, None))
    before, after, *averages = data["lines"]
    assert data["names"] == ["b", "c", "a"]
    assert (before["ys"], after["ys"]) == ([2, 3, 1], [1, 3, 6])
    assert [line["ys"][0] for line in averages] == [2, 3]
    many = Pairs([str(i) for i in range(600)], [0.0] * 600, list(range(600)), "episode", means, ("a", "b"), "")
    svg = pairs_chart(many, "mse", str, None)
    assert len(to_read(svg)["names"]) == 120
    assert "120 of 600 episodes" in svg


def test_two_stages_are_pairs_of_tasks_or_families() -> None:
    solved = [[False, True], [False, False], [True, True], [False, True]]
    record = adapting([[0.0, 1.0]] * 4, ["a", "a", "b", "b"], solved)
    pairs = PolicyPage().lines(record, "success", StageNames()).pairs
    assert pairs is not None
    assert (pairs.names, pairs.before, pairs.after, pairs.what) == (["a", "b"], [0.0, 0.5], [0.5, 1.0], "family")
    one = PolicyPage().lines(adapting([[0.0, 1.0], [2.0, 5.0]], ["a", "a"]), "return", StageNames()).pairs
    assert one is not None
    assert (one.names, one.before, one.after) == (["a, task 0", "a, task 1"], [0.0, 2.0], [1.0, 5.0])
    three = adapting([[0.0, 1.0, 2.0]] * 2, ["a", "a"])
    assert PolicyPage().lines(three, "return", StageNames()).pairs is None


def test_training_is_smoothed_with_what_was_measured_behind() -> None:
    rows = [{"iteration": i, "env_steps": 10.0 * i, "return/stage_0": float(i % 2)} for i in range(1, 41)]
    (found,) = training_charts(rows, ["return"], False)
    (line,) = to_read(found["svg"])["lines"]
    assert line["raw"] == [1, 0] * 20
    assert np.abs(np.array(line["ys"][10:]) - 0.5).max() < 0.2
    assert "moving average" in found["note"]


def test_diagnostics_are_what_has_no_chart_and_changes() -> None:
    rows = [
        {"iteration": i, "env_steps": i, "return/stage_0": i, "update/kl": 0.1 * i, "guard/discarded_episodes": 0.0,
         "policy/entropy": float("nan") if i == 2 else -float(i)}
        for i in (1, 2, 3)
    ]  # fmt: skip
    timing = [{"iteration": i, "time/env_steps_per_second": 100.0 + i, "workers/restarts": float(i)} for i in (1, 2, 3)]
    found = diagnostics(rows, timing, ["return"])
    assert [chart["title"] for chart in found] == ["kl", "entropy", "env steps per second"]
    assert to_read(found[1]["svg"])["lines"][0]["xs"] == [1, 3]


def test_a_family_without_spread_is_neutral() -> None:
    played = record(untrained("maml-trpo", "navigation", 1))
    value = float(played.returns[0, 0].mean())
    assert _cell("test", played, 0, 0, (value, value))["shade"] == ""
    assert _cell("test", played, 0, 0, (value - 1, value + 3))["shade"] == "0.250"
    assert _scale((0.0, 0.0001)) == {"low": "0.000", "high": "0.000", "flat": True}
    assert _scale((-2.0, 10.0)) == {"low": "-2.0", "high": "10.0", "flat": False}


def test_stages_have_short_names() -> None:
    assert [short_name(StageNames(), steps) for steps in (0, 2)] == ["before", "after 2"]
    assert [short_name(StageNames(True, 2), steps) for steps in (0, 1)] == ["episode 1", "episode 3"]


def test_groups_look_as_in_pictures() -> None:
    """Colours of Okabe and Ito; groups of one recipe are told apart by dashes, and black is ink on a dark page."""
    looks = group_looks(["rl2 lr=1", "rl2 lr=2", "maml-trpo", "siamese"])
    assert looks["rl2 lr=1"] == {"colour": "#009e73", "marker": "^", "dash": ""}
    assert looks["rl2 lr=2"]["dash"] == "9 3 2 3"
    assert looks["siamese"]["colour"] == "var(--ink)"
    corners = re.findall(r'points="(.*?)"', mark("^", 10, 10, 4, "own"))[0].split()
    assert corners[0] == "10.0,5.0"  # the top
    assert len(corners) == 3


def test_seeds_are_a_band_around_their_mean() -> None:
    line = _over_seeds(np.array([1.0, 2.0]), np.array([[0.0, 4.0], [2.0, 8.0]]), "rl2", {"colour": "red"})
    assert (line.ys, line.band, line.n) == ([1, 6], ([0, 4], [2, 8]), "2 seeds")
    assert _over_seeds(np.array([1.0]), np.array([[0.0]]), "rl2", {}).band is None


def test_only_what_differs_between_groups_is_told() -> None:
    def run(config: TrainConfig, iteration: int) -> Evaluated:
        return Evaluated(Path("run"), config, replace(adapting([[0.0]], ["f"]), iteration=iteration))

    default = default_config("maml-trpo", "navigation")
    usual = default.algorithm.inner_lr  # type: ignore[attr-defined]
    groups = {
        "a": [run(default, 3)],
        "b": [run(replace_paths(default, {"algorithm.inner_lr": 0.5, "seed": 7}), 3)],
        "c": [run(default, 5)],
    }
    assert differing_settings(groups) == [
        ("algorithm.inner_lr", [str(usual), "0.5", str(usual)]),
        ("iterations", ["3", "3", "5"]),
    ]


def test_many_seeds_are_dots() -> None:
    few, many = "1.0, 2.0", ", ".join(f"{i}.0" for i in range(18))
    table: dict[str, Any] = {"head": ["group", "return by seed"], "rows": [["a", few], ["b", many]]}
    _with_dots(table)
    assert table["rows"][1][1].count("<circle") == 18
    assert table["rows"][0][1].count("<circle") == 2
    assert many in table["rows"][1][1]
    table = {"head": ["group", "return by seed"], "rows": [["a", few]]}
    _with_dots(table)
    assert table["rows"] == [["a", few]]
