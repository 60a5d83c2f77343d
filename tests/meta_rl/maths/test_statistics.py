import numpy as np
import pytest

from meta_rl.maths.statistics import bootstrap_interval, interquartile_mean


def test_interquartile_mean_by_hand() -> None:
    # 8 values: the middle four (3, 4, 5, 6) -> 4.5; the outlier does not matter.
    assert interquartile_mean(np.array([1000.0, 1, 2, 3, 4, 5, 6, 7])) == 4.5
    # 6 values 0..5: the middle 3 of 6 = half of 1, all of 2 and 3, half of 4 -> (0.5 + 2 + 3 + 2) / 3 = 2.5
    assert interquartile_mean(np.arange(6.0)) == pytest.approx(2.5)
    assert interquartile_mean(np.array([7.0])) == 7.0


def test_bootstrap_interval_of_a_mean_matches_theory() -> None:
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap_interval(values, ["a"] * 400, np.random.default_rng(1))
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)


def test_strata_keep_their_share() -> None:
    # Within a stratum all values are equal, so stratified resampling cannot move the mean at all.
    values = np.array([0.0] * 5 + [1.0] * 5)
    strata = ["a"] * 5 + ["b"] * 5
    assert bootstrap_interval(values, strata, np.random.default_rng(0)) == (0.5, 0.5)
    low, high = bootstrap_interval(values, ["a"] * 10, np.random.default_rng(0))
    assert low < 0.5 < high
