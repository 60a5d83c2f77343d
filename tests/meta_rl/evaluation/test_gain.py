"""What adaptation changed, from the differences of the same tasks."""

from __future__ import annotations

import numpy as np
import pytest

from meta_rl.evaluation.gain import Gain, best, bootstrap_gain, normal_gain, within_families

SPREAD = np.array([0.0, 100.0, 200.0, 300.0])


def mean(values: np.ndarray) -> float:
    return float(values.mean())


def test_tasks_that_differ_among_themselves_hide_no_gain_that_all_have() -> None:
    """Every task gains 1 or 2; the intervals of both sides overlap widely, that of the difference is within 1 to 2."""
    gain = bootstrap_gain(SPREAD, SPREAD + np.array([1, 2, 1, 2]), ["f"] * 4, mean)
    assert gain.change == 1.5
    assert gain.interval is not None
    assert 1 <= gain.interval[0] < 1.5 < gain.interval[1] <= 2
    assert gain.verdict("return") == "better"


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ([-1, -2, -1, -2], "worse"),
        ([-9, 9, -8, 8], "no clear difference"),
        ([0, 0, 0, 0], "no difference on any task"),
    ],
)
def test_worse_and_no_difference(changes: list[float], verdict: str) -> None:
    assert bootstrap_gain(SPREAD, SPREAD + np.array(changes), ["f"] * 4, mean).verdict("success") == verdict


@pytest.mark.parametrize("families", [["a"], ["a", "b"]])
def test_one_task_of_each_family_tells_nothing(families: list[str]) -> None:
    gain = bootstrap_gain(np.zeros(len(families)), np.ones(len(families)), families, mean)
    assert gain == Gain(1.0, None)
    assert gain.verdict("return") == "too few tasks to say"
    assert normal_gain(np.zeros(1), np.ones(1)).interval is None


@pytest.mark.parametrize(
    ("name", "rises", "falls"),
    [
        ("return", "better", "worse"),
        ("accuracy", "better", "worse"),
        ("mse", "worse", "better"),
        ("rmse", "worse", "better"),
        ("mae", "worse", "better"),
        ("of one's own", "higher", "lower"),
    ],
)
def test_of_errors_less_is_better(name: str, rises: str, falls: str) -> None:
    assert Gain(1.0, (0.5, 1.5)).verdict(name) == rises
    assert Gain(-1.0, (-1.5, -0.5)).verdict(name) == falls
    assert best([3.0, 1.0, 2.0], name) == (1 if name in ("mse", "rmse", "mae") else 0)


def test_the_normal_interval_is_that_of_the_differences() -> None:
    """Differences 1 and 3: mean 2, standard deviation sqrt 2, half width 1.96 * sqrt 2 / sqrt 2."""
    gain = normal_gain(np.array([5.0, 100.0]), np.array([6.0, 103.0]))
    assert gain.change == 2
    assert gain.interval == pytest.approx((0.04, 3.96))


def test_families_of_different_scale_count_alike() -> None:
    """Of a the lowest is 0 and the highest 4, of b 100 and 300; c does not vary."""
    values = np.array([[0.0, 2.0], [1.0, 4.0], [100.0, 300.0], [7.0, 7.0]])
    assert within_families(values, ["a", "a", "b", "c"]).tolist() == [[0, 0.5], [0.25, 1], [0, 1], [0, 0]]
