"""Practised by a budget, and a result that is kept only if it holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import envs
from meta_rl.agents import practised
from meta_rl.agents.player import Player
from meta_rl.agents.practised import Practised, judge
from meta_rl.errors import ConfigError
from meta_rl.maths.statistics import student_quantile
from tests.meta_rl.agents.test_player import Lone, Uniform, agent_for

SEEN = np.array([0.1, 0.2])


def lone(horizon: int = 5) -> Lone:
    distribution = envs.make("navigation", horizon=horizon)
    return Lone(distribution, distribution.sample(np.random.default_rng(0), 1)[0])


def used(player: Player) -> tuple[int, int, int]:
    assert player.practice
    return player.practice.adaptations, player.practice.episodes, player.practice.env_steps


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (23, (2, 4, 20)),  # half of it takes two episodes; a fifth would end at 25
        (25, (2, 5, 25)),
        (5, (1, 1, 5)),
        (1, (1, 1, 5)),  # one at least, and no second adaptation without an episode
    ],
)
def test_a_budget_of_env_steps_is_kept_in_whole_episodes(budget: int, expected: tuple[int, int, int]) -> None:
    player = agent_for("maml-trpo", "navigation").player()
    player.adapt(lone(), env_steps=budget, steps=2, horizon=5)
    assert used(player) == expected


def test_the_numbers_of_episodes_are_a_limit_beside_a_budget() -> None:
    player = agent_for("maml-trpo", "navigation").player()
    assert used(player.adapt(lone(), episodes=3, steps=2, env_steps=1000, horizon=5)) == (2, 6, 30)
    assert used(player.adapt(lone(), steps=1, episodes=2, horizon=5)) == (1, 2, 10)
    memory = agent_for("rl2", "navigation").player()
    assert used(memory.adapt(lone(), steps=1, env_steps=17, horizon=5)) == (3, 3, 15)  # each episode is an adaptation


@pytest.mark.parametrize("recipe", ["maml-trpo", "reptile", "rl2"])
def test_practice_by_a_budget_is_that_of_as_many_episodes(recipe: str) -> None:
    agent = agent_for(recipe, "navigation")
    one, other = agent.player(seed=3), agent.player(seed=3)
    one.adapt(lone(), env_steps=20, steps=1, horizon=5)
    other.adapt(lone(), episodes=4, steps=1, horizon=5)
    np.testing.assert_array_equal(one.act(SEEN), other.act(SEEN))
    assert not np.array_equal(one.act(SEEN), agent.player().act(SEEN))


def test_a_budget_of_seconds_foresees_an_episode_as_long_as_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(practised.time, "monotonic", lambda: now[0])

    class Slow(Uniform):
        def step(self, action: Any) -> Any:
            now[0] += 0.1
            return super().step(action)

    player = agent_for("maml-trpo", "navigation").player()
    for seconds, episodes in ((1.6, 3), (2.1, 4), (0.1, 1)):
        player.adapt(Slow(), seconds=seconds, steps=1, horizon=5)
        assert used(player) == (1, episodes, 5 * episodes)
        assert player.practice
        assert player.practice.seconds == pytest.approx(0.5 * episodes)
    assert used(player.adapt(Slow(), seconds=2.1, env_steps=12, steps=1, horizon=5)) == (1, 2, 10)


def test_what_practice_cannot_be_is_refused() -> None:
    player = agent_for("maml-trpo", "navigation").player()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"env_steps": 0}, "env_steps: must be at least 1, got 0"),
        ({"episodes": 2.5}, "episodes: must be a whole number, got 2.5"),
        ({"episodes": "2"}, "episodes: must be a whole number, got '2'"),
        ({"steps": True}, "steps: must be a whole number, got True"),
        ({"horizon": 2.0}, "horizon: must be a whole number, got 2.0"),
        ({"seconds": "5"}, "seconds: must be above 0, got '5'"),
        ({"seconds": 0}, "seconds: must be above 0, got 0"),
        ({"seconds": float("nan")}, "seconds: must be above 0, got nan"),
        ({"keep_if": "good"}, "keep_if: unknown 'good'; valid: 'not-worse', 'better'"),
        ({"keep_if": "better", "judge_episodes": 1}, "judge_episodes: must be at least 2, got 1"),
        ({"keep_if": "better", "judge_episodes": 2.5}, "judge_episodes: must be a whole number, got 2.5"),
        ({"env_steps": 1.5}, "env_steps: must be a whole number, got 1.5"),
        ({"episodes": 1.5}, "episodes: must be a whole number, got 1.5"),
        ({"steps": "1"}, "steps: must be a whole number, got '1'"),
        ({"horizon": 1.5}, "horizon: must be a whole number, got 1.5"),
    ]
    for arguments, said in wrong:
        with pytest.raises(ConfigError, match=f"^{said}$"):
            player.adapt(lone(), **arguments)
    assert player.practice is None


@pytest.mark.parametrize("recipe", ["maml-trpo", "rl2"])
@pytest.mark.parametrize("keep_if", ["not-worse", "better"])
def test_both_policies_are_judged_on_the_same_episodes(recipe: str, keep_if: str) -> None:
    """Beside players that never judge: one before and one after the same practice."""
    agent = agent_for(recipe, "navigation")
    player, after, fresh = (agent.player(seed=5) for _ in range(3))
    after.adapt(lone(), steps=1, episodes=2)
    player.adapt(lone(), steps=1, episodes=2, keep_if=keep_if, judge_episodes=3)
    assert player.practice
    found = player.practice.judgement
    assert found
    assert found.env_steps == 30
    expected = [
        [by.play(lone(), seed=after._env_seed(k, 2 * after._stage)).returns[0, 0] for k in range(3)]
        for by in (fresh, after)
    ]
    np.testing.assert_array_equal([found.before, found.after], expected)
    assert found.before != found.after
    kept_by = after if found.kept else fresh
    kept_by.reset()
    np.testing.assert_array_equal(player.act(SEEN), kept_by.act(SEEN))
    assert f"return {np.mean(found.before):.2f} before" in str(player.practice)


@pytest.mark.parametrize(
    ("shift", "keep_if", "kept"),
    [
        (1, "not-worse", True),
        (-1, "not-worse", False),
        (0, "not-worse", True),
        (1, "better", True),
        (0, "better", False),
    ],
)
def test_a_result_that_does_not_hold_is_taken_back(shift: float, keep_if: str, kept: bool) -> None:
    agent = agent_for("maml-trpo", "navigation")
    player, learner = agent.player(), agent.learner

    def learn(adapted: Any, *_: Any) -> Any:
        bias = adapted.params["mean.2.bias"] + shift
        return adapted._replace(params=adapted.params | {"mean.2.bias": bias})

    before = player.act(SEEN)
    learner.adapt = learn  # type: ignore[method-assign]
    player.adapt(Uniform(), steps=1, episodes=1, horizon=4, keep_if=keep_if, judge_episodes=4)
    assert player.practice
    assert player.practice.kept == kept
    assert player.practice.judgement
    assert player.practice.judgement.gain == pytest.approx(4 * 2 * shift, abs=1e-4)
    np.testing.assert_allclose(player.act(SEEN), before + (shift if kept else 0), rtol=1e-5)
    player.forget()
    assert player.practice is None


def test_practice_after_one_that_was_taken_back_is_another() -> None:
    """Else a player would try the very same episodes again, to no avail."""
    env, player = Uniform(), agent_for("maml-trpo", "navigation").player()
    for _ in range(2):
        player.adapt(env, steps=1, episodes=1, horizon=3, keep_if="better", judge_episodes=2)
    assert len({*env.seeds}) == 6  # an episode of practice and two that two policies play, twice


def test_the_bounds_are_those_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    for episodes in (2, 3, 10, 31):
        before, after = rng.normal(size=(2, episodes))
        found = judge("not-worse", np.stack([before, after]), 0)
        interval = stats.ttest_rel(after, before).confidence_interval(0.9)  # 5 % on each side
        np.testing.assert_allclose([found.low, found.high], interval)
        beyond_doubt = stats.ttest_rel(after, before, alternative="less").pvalue < 0.05
        assert found.kept == (not beyond_doubt)
        better = stats.ttest_rel(after, before, alternative="greater").pvalue < 0.05
        assert judge("better", np.stack([before, after]), 0).kept == better
    for freedom in (1, 2, 7, 40):
        assert student_quantile(0.975, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)


def test_practice_is_data() -> None:
    found = Practised(1, 2, 30, 0.5, judge("better", np.array([[1.0, 2.0], [2.0, 4.0]]), 40))
    assert Practised.from_dict(found.to_dict()) == found
    assert str(Practised(1, 2, 3000, 0.5)) == "1 adaptation, 2 episodes, 3,000 env steps, 0.5 s"
