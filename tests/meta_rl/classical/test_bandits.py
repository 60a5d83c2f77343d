"""Bandit agents against numbers worked out by hand, and against the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pytest

from meta_rl.classical import bandits
from meta_rl.classical.bandits import AGENTS, BanditAgent, BanditSetting, gittins_indices
from meta_rl.classical.protocol import BANDIT_ROWS, bandit, play_trials, tune

NOTHING, GOING_ON = np.zeros((1, 1, 1)), np.zeros((1, 1), bool)


def after(
    agent: type[BanditAgent],
    won: list[int],
    lost: list[int],
    constant: float | None = None,
    shape: tuple[int, int] = (1, 1),
) -> BanditAgent:
    """An agent that has seen these counts per arm."""
    made = agent(shape, BanditSetting(len(won), 100), np.random.default_rng(0), constant)
    made.success += won
    made.failure += lost
    made.pulls = sum(won) + sum(lost)
    return made


def choice(agent: BanditAgent) -> int:
    return int(agent.act(NOTHING, None)[0, 0])


# -- single agents -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", AGENTS.values())
def test_what_follows_an_arm_is_counted_for_it(agent: type[BanditAgent], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandits, "DEPTH", 20)
    made = agent((2, 3), BanditSetting(4, 10), np.random.default_rng(0))
    success, failure = np.ones((2, 3, 4)), np.ones((2, 3, 4))
    for time in range(10):
        arm = made.act(np.zeros((2, 3, 1)), None)
        assert (arm.shape, arm.dtype) == ((2, 3), np.dtype(np.int64))
        reward = (np.arange(6).reshape(2, 3) + time) % 2.0
        made.observe(reward, np.full((2, 3), time == 4))  # the end of an episode changes nothing
        for task, env in np.ndindex(2, 3):
            success[task, env, arm[task, env]] += reward[task, env]
            failure[task, env, arm[task, env]] += 1 - reward[task, env]
    assert (made.success == success).all()
    assert (made.failure == failure).all()
    assert made.pulls == 10


def test_greedy_goes_by_the_posterior_mean_and_ties_go_to_the_lowest_arm() -> None:
    # Beta(1, 1) prior: means 2/3 after one success, 3/5 after two in three, 1/2 before any pull.
    assert choice(after(bandits.GreedyArms, [2, 1, 0], [1, 0, 0])) == 1
    assert choice(after(bandits.GreedyArms, [0, 1, 0], [1, 1, 0])) == 1  # 1/3, 1/2, 1/2
    assert choice(after(bandits.GreedyArms, [0, 0, 0], [0, 0, 0])) == 0


def test_ucb1_by_hand() -> None:
    # Counts with the prior 8, 4, 2; means 6/8, 2/4, 1/2; 8 pulls so far: sqrt(2 log 8) = 2.0393.
    # Widths 2.0393 / sqrt(8, 4, 2) = 0.7210, 1.0197, 1.4420. With c = 0.1 the mean decides: 0.822, 0.602, 0.644;
    # with c = 0.5 the width does: 1.111, 1.010, 1.221.
    won, lost = [5, 1, 0], [1, 1, 0]
    agent = after(bandits.Ucb1, won, lost, 0.5)
    np.testing.assert_allclose(agent.index()[0, 0], [1.1105, 1.0098, 1.2210], atol=1e-4)
    assert choice(agent) == 2
    assert choice(after(bandits.Ucb1, won, lost, 0.1)) == 0
    assert choice(after(bandits.Ucb1, [0, 0], [0, 0], 1.0)) == 0  # no logarithm of zero


def test_thompson_draws_from_the_posterior() -> None:
    index = after(bandits.Thompson, [4, 0], [1, 0], shape=(100, 200)).index()
    # Beta(5, 2): mean 5/7, variance 10 / (49 * 8); Beta(1, 1): mean 1/2, variance 1/12. 20000 draws.
    np.testing.assert_allclose(index.mean((0, 1)), [5 / 7, 1 / 2], atol=0.01)
    np.testing.assert_allclose(index.var((0, 1)), [10 / 392, 1 / 12], atol=0.002)


def test_epsilon_greedy_explores_as_often_as_it_says() -> None:
    agent = after(bandits.EpsilonGreedyArms, [0, 5, 0, 0], [0, 0, 0, 0], 0.4, shape=(100, 200))
    share = np.bincount(agent.act(np.zeros((100, 200, 1)), None).ravel(), minlength=4) / 20000
    np.testing.assert_allclose(share, [0.1, 0.7, 0.1, 0.1], atol=0.015)  # 0.6 + 0.4 / 4, and 0.4 / 4


def test_constants_come_from_the_tuned_table() -> None:
    class Tuned(bandits.Ucb1):
        tuned: ClassVar[Mapping[tuple[int, ...], float]] = {(5, 10): 0.7}

    made = [Tuned((1, 1), BanditSetting(arms, 10), np.random.default_rng(0)).constant for arms in (5, 6)]
    assert made == [0.7, Tuned.default]
    settings = {row.setting for rows in BANDIT_ROWS for row in rows}
    for agent in AGENTS.values():
        assert set(agent.tuned) == (settings if agent.grid else set())
        assert set(agent.tuned.values()) <= set(agent.grid)


# -- the Gittins index -------------------------------------------------------------------------------------------


def test_the_gittins_index_by_hand() -> None:
    # Depth 3: after one pull of Beta(1, 1) the rate is known, 2/3 or 1/3. At a payment p between them, discount 1/2:
    # 1/2 - p + 1/2 * 1/2 * (2/3 - p) / (1 - 1/2) = 0, so p = 5/9.
    assert gittins_indices(0.5, 3)[1, 1] == pytest.approx(5 / 9, abs=1e-9)


@pytest.mark.parametrize("discount", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("depth", [3, 4, 6, 8])
def test_the_gittins_index_is_that_of_a_brute_force_recursion(discount: float, depth: int) -> None:
    def worth(success: int, failure: int, payment: float, first: bool) -> float:
        """Of the freedom to play, over the payment for ever; `first`: of playing at least once."""
        mean = success / (success + failure)
        if success + failure == depth:
            return max(0.0, mean - payment) / (1 - discount)
        won, lost = worth(success + 1, failure, payment, False), worth(success, failure + 1, payment, False)
        gain = mean - payment + discount * (mean * won + (1 - mean) * lost)
        return gain if first else max(0.0, gain)

    for success, failure in [(1, 1), (2, 1), (1, 2)][: 1 if depth == 3 else 3]:
        low, high = 0.0, 1.0
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if worth(success, failure, middle, True) > 0 else (low, middle)
        assert gittins_indices(discount, depth)[success, failure] == pytest.approx(low, abs=2e-5)


def test_the_gittins_indices_are_those_of_the_book() -> None:
    # Gittins, Glazebrook & Weber 2011, table 8.9, discount 0.9.
    table = gittins_indices(0.9, 200)
    np.testing.assert_allclose([table[1, 1], table[1, 2], table[2, 1]], [0.7029, 0.5001, 0.8001], atol=1e-4)


def test_the_gittins_index_is_above_the_mean_and_falls_to_it() -> None:
    table = gittins_indices(0.9, 60)
    success, failure = np.nonzero(table)
    assert len(success) == 58 * 59 / 2  # every s, f >= 1 with s + f < 60
    bonus = table[success, failure] - success / (success + failure)
    assert (bonus > 0).all()
    assert table[1, 1] - 1 / 2 > table[5, 5] - 1 / 2 > table[20, 20] - 1 / 2


# -- the table ---------------------------------------------------------------------------------------------------


def replay(agent: type[BanditAgent], num_arms: int, num_pulls: int, constant: float | None) -> float:
    """Mean total reward with the luck of the authors' released evaluation (numpy's old generator, seeds 0 to 999,
    arms first), for agents without luck of their own."""
    luck = [np.random.RandomState(seed) for seed in range(1000)]
    chances = np.stack([rng.uniform(size=num_arms) for rng in luck])
    made = agent((1000, 1), BanditSetting(num_arms, num_pulls), np.random.default_rng(0), constant)
    total = 0.0
    for _ in range(num_pulls):
        arm = made.act(NOTHING, None)[:, 0]
        chance = chances[np.arange(1000), arm]
        reward = np.array([rng.binomial(1, p) for rng, p in zip(luck, chance, strict=True)], float)
        made.observe(reward[:, None], GOING_ON)
        total += reward.mean()
    return total


@pytest.mark.parametrize(("num_pulls", "constant"), [(10, 0.1), (100, 0.2)])
@pytest.mark.parametrize("num_arms", [5, 10, 50])
def test_the_published_numbers_to_the_last_digit(num_arms: int, num_pulls: int, constant: float) -> None:
    published = bandit(num_arms, num_pulls).published
    assert round(replay(bandits.GreedyArms, num_arms, num_pulls, None), 1) == published["greedy"]
    assert round(replay(bandits.Ucb1, num_arms, num_pulls, constant), 1) == published["ucb1"]


def test_better_agents_earn_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandits, "DEPTH", 200)
    row = bandit(5, 60)
    mean = {name: play_trials(agent, row, 1000, seed=0)[:, -1].mean() for name, agent in AGENTS.items()}
    assert mean["random"] == pytest.approx(30, abs=1.0)
    assert mean["random"] + 5 < mean["thompson"] < mean["ucb1"] - 1
    assert mean["greedy"] < mean["ucb1"] - 0.5
    assert mean["greedy"] < mean["gittins"] - 0.5


def test_tasks_and_luck_are_the_same_for_every_agent_and_any_number_of_tasks() -> None:
    row = bandit(1, 20)  # one arm: what is earned is luck alone
    one, other = (play_trials(agent, row, 300, seed=1) for agent in (bandits.GreedyArms, bandits.Thompson))
    assert (one == other).all()
    assert one.shape == (300, 20)
    assert (play_trials(bandits.GreedyArms, row, 3, seed=1) == one[:3]).all()
    assert (play_trials(bandits.GreedyArms, row, 3, seed=2) != one[:3]).any()


def test_tuning_finds_what_pays() -> None:
    class Grid(bandits.EpsilonGreedyArms):
        grid = (1.0, 0.9, 0.1)

    rows = [bandit(3, 10), bandit(3, 60)]
    assert tune(Grid, rows, 250, seed=0) == {(3, 10): 0.1, (3, 60): 0.1}
