"""Schedules by hand."""

from __future__ import annotations

import pytest

from meta_rl.maths.schedules import following, linear


@pytest.mark.parametrize(("iteration", "expected"), [(0, 2.0), (5, 1.25), (10, 0.5), (1000, 0.5)])
def test_linear_from_start_to_factor_times_start(iteration: int, expected: float) -> None:
    # 2 -> 0.25 * 2 over ten iterations; half way (2 + 0.5) / 2.
    assert linear(2.0, 0.25, iteration, 10) == pytest.approx(expected)


def test_without_a_length_nothing_changes() -> None:
    assert linear(2.0, 0.25, 7, 0) == 2.0


@pytest.mark.parametrize(
    ("rate", "kl", "expected"),
    [
        (3e-4, 0.021, 2e-4),  # above twice the target of 0.01
        (3e-4, 0.02, 3e-4),
        (3e-4, 0.005, 3e-4),
        (3e-4, 0.0049, 4.5e-4),  # below half of it
        (3e-4, 0.0, 4.5e-4),
        (1.2e-5, 9.0, 1e-5),  # no lower
        (9e-3, 0.0, 1e-2),  # no higher
    ],
)
def test_a_learning_rate_follows_the_divergence(rate: float, kl: float, expected: float) -> None:
    assert following(rate, kl, 0.01) == pytest.approx(expected, rel=1e-12)
