"""MDP agents against numbers worked out by hand and against enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from meta_rl.classical import mdps
from meta_rl.classical.mdps import AGENTS, MdpAgent, MdpSetting, best_expectation, expectation, plan, steady
from meta_rl.classical.protocol import TABULAR_ROWS, play_trials, tabular


def make(agent: type[MdpAgent], states: int, actions: int, horizon: int, constant: float | None = None) -> MdpAgent:
    return agent((1, 1), MdpSetting(states, actions, horizon, 5), np.random.default_rng(0), constant)


def live(agent: MdpAgent, states: list[int], rewards: list[float]) -> list[int]:
    """One episode of the agent in a world that answers like this; its actions."""
    actions = []
    for time, (state, reward) in enumerate(zip(states, rewards, strict=True)):
        actions.append(int(agent.act(np.eye(agent.setting.num_states)[[[state]]], None)[0, 0]))
        agent.observe(np.array([[reward]]), np.array([[time == len(states) - 1]]))
    return actions


# -- planning ----------------------------------------------------------------------------------------------------


def test_value_iteration_finds_the_best_of_all_policies() -> None:
    rng = np.random.default_rng(0)
    states, actions, horizon = 2, 2, 3
    transition, reward = rng.dirichlet(np.ones(states), (states, actions)), rng.normal(size=(states, actions))

    def value(policy: tuple[int, ...], state: int) -> float:
        """Of the policy ``[time, state]``, flat, by following the distribution of states."""
        chance, total = np.eye(states)[state], 0.0
        for action in np.reshape(policy, (horizon, states)):
            total += float(chance @ reward[np.arange(states), action])
            chance = chance @ transition[np.arange(states), action]
        return total

    policies = list(itertools.product(range(actions), repeat=horizon * states))
    best = [max(value(policy, state) for policy in policies) for state in range(states)]
    q = plan(steady(reward, horizon), expectation(transition))
    np.testing.assert_allclose(q[0].max(-1), best, rtol=1e-12)
    np.testing.assert_array_equal(q[-1], reward)
    # The same for a batch of tasks, each on its own.
    both = plan(steady(np.stack([reward, -reward]), horizon), expectation(np.stack([transition, transition])))
    np.testing.assert_allclose(both[:, 0], q, rtol=1e-12)
    np.testing.assert_allclose(both[:, 1], plan(steady(-reward, horizon), expectation(transition)), rtol=1e-12)


@pytest.mark.parametrize(
    ("slack", "best"),
    [
        (0.0, 1.9),  # 0.2 * 3 + 0.3 * 1 + 0.5 * 2
        (0.4, 2.3),  # 0.2 from the worst to the best: 0.4 * 3 + 0.1 * 1 + 0.5 * 2
        (1.0, 2.7),  # 0.3 from the worst and 0.2 from the middle one: 0.7 * 3 + 0.3 * 2
        (9.0, 3.0),  # all of it
    ],
)
def test_the_best_expectation_by_hand(slack: float, best: float) -> None:
    transition = np.tile([0.2, 0.3, 0.5], (3, 2, 1))
    got = best_expectation(transition, np.full((3, 2), slack))(np.array([3.0, 1.0, 2.0]))
    np.testing.assert_allclose(got, np.full((3, 2), best), rtol=1e-12)


# -- the posterior -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", AGENTS.values())
def test_the_posterior_after_two_episodes(agent: type[MdpAgent]) -> None:
    made = make(agent, 3, 1, 3)
    live(made, [0, 1, 1], [2.0, 3.0, 4.0])
    live(made, [0, 2, 0], [5.0, 6.0, 7.0])
    # Moves 0 -> 1, 1 -> 1, 0 -> 2, 2 -> 0; where the last step of an episode leads is never seen.
    seen = np.array([[0, 1, 1], [0, 1, 0], [1, 0, 0]])
    weight, mean, precision = agent.prior
    np.testing.assert_allclose(made.weight[0, 0, :, 0], weight + seen)
    np.testing.assert_allclose(made.transition[0, 0, 0, 0], (weight + seen[0]) / (3 * weight + 2))
    # Rewards 2, 5, 7 in state 0; 3, 4 in state 1; 6 in state 2, each with noise variance 1.
    counts, sums = np.array([3, 2, 1]), np.array([14, 7, 6])
    np.testing.assert_allclose(made.precision[0, 0, :, 0], precision + counts)
    np.testing.assert_allclose(made.reward[0, 0, :, 0], (mean * precision + sums) / (precision + counts))
    assert made.episode == 2


def test_bayesian_agents_begin_with_a_flat_dirichlet_and_a_standard_normal() -> None:
    # One reward of 3 with noise variance 1 on top of N(0, 1): mean 3/2, precision 2.
    made = make(mdps.Psrl, 2, 2, 1)
    (action,) = live(made, [1], [3.0])
    assert (made.weight == 1).all()
    assert (made.reward[0, 0, 1, action], made.precision[0, 0, 1, action]) == (1.5, 2.0)


# -- single agents -----------------------------------------------------------------------------------------------


def test_greedy_stays_with_the_first_thing_that_pays() -> None:
    made = make(mdps.GreedyActions, 1, 4, 3)
    first = live(made, [0, 0, 0], [1.0, 1.0, 1.0])  # the plan is made once per episode: all look like 0
    later = live(made, [0, 0, 0], [1.0, 1.0, 1.0])
    assert set(later) <= set(first)
    made = make(mdps.GreedyActions, 1, 2, 1)
    (bad,) = live(made, [0], [-1.0])
    assert live(made, [0], [0.5]) == [1 - bad]  # a loss is worse than what was never tried


def test_ties_are_broken_at_random() -> None:
    setting = MdpSetting(1, 4, 1, 1)
    made = mdps.GreedyActions((200, 100), setting, np.random.default_rng(0))
    share = np.bincount(made.act(np.ones((200, 100, 1)), None).ravel(), minlength=4) / 20000
    np.testing.assert_allclose(share, 0.25, atol=0.015)


def test_epsilon_greedy_explores_as_often_as_it_says() -> None:
    made = mdps.EpsilonGreedyActions((200, 100), MdpSetting(1, 4, 1, 1), np.random.default_rng(0), 0.4)
    made.visits[..., 2] = made.total[..., 2] = 1
    share = np.bincount(made.act(np.ones((200, 100, 1)), None).ravel(), minlength=4) / 20000
    np.testing.assert_allclose(share, [0.1, 0.1, 0.7, 0.1], atol=0.015)


def test_psrl_plans_for_the_truth_once_the_posterior_is_certain() -> None:
    rng = np.random.default_rng(0)
    transition, reward = rng.dirichlet(np.ones(3), (3, 2)), rng.normal(size=(3, 2))
    for agent in (mdps.Psrl, mdps.Opsrl):
        made = make(agent, 3, 2, 4)
        made.weight[:] = 1e10 * transition
        made.visits[:], made.total[:] = 1e10, 1e10 * reward
        np.testing.assert_allclose(made.plan()[:, 0, 0], plan(steady(reward, 4), expectation(transition)), atol=1e-3)


def test_psrl_values_spread_as_the_posterior_and_opsrl_takes_the_best_of_many() -> None:
    setting = MdpSetting(1, 1, 1, 1)
    psrl, opsrl = (agent((100, 200), setting, np.random.default_rng(0)) for agent in (mdps.Psrl, mdps.Opsrl))
    q = psrl.plan()
    np.testing.assert_allclose([q.mean(), q.std()], [0, 1], atol=0.03)
    opsrl.constant = 3.0
    # The largest of three standard normals is 3 / (2 sqrt(pi)) = 0.8463 on average.
    assert opsrl.plan().mean() == pytest.approx(0.8463, abs=0.02)


def test_beb_by_hand() -> None:
    # 1 state, 2 actions, horizon 2, c = 0.01: bonus 2 * 0.01 * 8 * k / (1 + weight), k steps to go after this one.
    # Action 0 was tried twice with reward 3 in all, one move seen: mean 3/3, precision 3, weight 2.
    made = make(mdps.Beb, 1, 2, 2, 0.01)
    made.visits[..., 0], made.total[..., 0], made.weight[..., 0, :] = 2, 3, 2
    last = np.array([1 + 1 / 4, 0 + 1 / 2])
    first = last + last.max() + np.array([0.16 / 3, 0.16 / 2])
    np.testing.assert_allclose(made.plan()[:, 0, 0, 0], [first, last], rtol=1e-12)


def test_ucrl2_by_hand() -> None:
    # 2 states, 1 action, horizon 2, c = 0.1, episode 1: width 4 log(2 * 2 * 1 * 2 / 0.05) = 4 log 160 = 20.3007.
    # State 0 was tried 4 times, paying 2 in all, and led 4 times to itself; state 1 never. So the first may pay
    # 0.5 + 0.1 sqrt(20.3007 / 4), the other 0.1 sqrt(20.3007), which is less than the first by now: 0.7253 and 0.4506.
    # State 1 leads to state 0 with 1/2 plus half of 0.1 sqrt(2 * 20.3007) = 0.6372, which is 0.8186.
    made = make(mdps.Ucrl2, 2, 1, 2, 0.1)
    made.episode = 1
    made.visits[0, 0, 0], made.total[0, 0, 0], made.weight[0, 0, 0, 0, 0] = 4, 2, 4
    q = made.plan()[:, 0, 0, :, 0]
    np.testing.assert_allclose(q[1], [0.7253, 0.4506], atol=1e-3)
    np.testing.assert_allclose(q[0], [2 * 0.7253, 0.4506 + 0.8186 * 0.7253 + 0.1814 * 0.4506], atol=1e-3)


def test_constants_come_from_the_tuned_table() -> None:
    settings = {row.setting for row in TABULAR_ROWS}
    for agent in AGENTS.values():
        assert set(agent.tuned) == (settings if agent.grid else set())
        assert all(min(abs(c / g - 1) for g in agent.grid) < 1e-3 for c in agent.tuned.values())


# -- the table ---------------------------------------------------------------------------------------------------


def test_better_agents_earn_more() -> None:
    row, names = tabular(10), ("random", "greedy", "psrl", "beb")
    random, greedy, psrl, beb = (play_trials(AGENTS[name], row, 500, seed=0)[:, -1].mean() for name in names)
    assert random == pytest.approx(100, abs=4)
    assert random + 20 < greedy < beb - 5
    assert random + 20 < psrl < beb - 5


def test_learning_goes_on_over_episodes() -> None:
    total = play_trials(mdps.Psrl, tabular(20), 250, seed=0)
    assert total.shape == (250, 200)
    episodes = np.diff(total[:, 9::10], axis=1).mean(0)
    assert episodes[-5:].mean() > episodes[:5].mean() + 3
