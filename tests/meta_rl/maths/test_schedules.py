"""Schedules by hand."""

from __future__ import annotations

import pytest

from meta_rl.maths.schedules import linear


@pytest.mark.parametrize(("iteration", "expected"), [(0, 2.0), (5, 1.25), (10, 0.5), (1000, 0.5)])
def test_linear_from_start_to_factor_times_start(iteration: int, expected: float) -> None:
    # 2 -> 0.25 * 2 over ten iterations; half way (2 + 0.5) / 2.
    assert linear(2.0, 0.25, iteration, 10) == pytest.approx(expected)


def test_without_a_length_nothing_changes() -> None:
    assert linear(2.0, 0.25, 7, 0) == 2.0
