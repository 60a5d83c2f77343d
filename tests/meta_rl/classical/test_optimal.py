"""The Bayes-optimal agent by hand, and beside those who cannot beat it."""

from __future__ import annotations

import pytest

from meta_rl.classical.optimal import optimal_bandit
from meta_rl.classical.protocol import bandit, play_trials


@pytest.mark.parametrize("pulls", [1, 5])
def test_one_arm_pays_half_the_time(pulls: int) -> None:
    assert optimal_bandit(1, pulls) == pytest.approx(pulls / 2)


def test_two_arms_two_pulls() -> None:
    # The first pays 1/2. If it did (1/2), it pays again with 2/3; if not, the other one pays with 1/2.
    assert optimal_bandit(2, 2) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3 + 1 / 2 * 1 / 2)


def test_more_arms_than_pulls_are_worth_nothing() -> None:
    assert optimal_bandit(6, 6) == optimal_bandit(50, 6) > optimal_bandit(3, 6) > optimal_bandit(2, 6)


@pytest.mark.parametrize("arms", [5, 10])
def test_no_classical_agent_earns_more(arms: int) -> None:
    """And the best of them come close, so the bound is no idle one."""
    row, num_tasks = bandit(arms, 10), 4000
    earned = {name: play_trials(agent, row, num_tasks, seed=0)[:, -1] for name, agent in row.agents.items()}
    best = max(earned.values(), key=lambda total: float(total.mean()))
    error = float(best.std()) / num_tasks**0.5
    assert optimal_bandit(arms, 10) * 0.98 < best.mean() < optimal_bandit(arms, 10) + 3 * error
