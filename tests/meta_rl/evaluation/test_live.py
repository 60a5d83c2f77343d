"""A task that is played alone has the numbers of the evaluation, bit for bit, and only what is new is played."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs
from envs import TaskVectorEnv
from meta_rl.agents.agent import load
from meta_rl.config import TrainConfig
from meta_rl.errors import ConfigError
from meta_rl.evaluation.episodes import evaluate
from meta_rl.evaluation.live import Live, NotWanted
from meta_rl.training.train import train
from tests.meta_rl.evaluation.test_recording import untrained

CASES = [
    ("maml-trpo", "navigation", {}),
    ("maml-trpo", "hopper-params@promp", {"adaptation_steps": 1}),
    ("rl2", "tabular", {"adaptation_steps": 1, "adaptation_episodes": 2}),
    ("maml-trpo", "metaworld/reach-v3,drawer-open-v3", {"adaptation_steps": 1, "adaptation_episodes": 1}),
]


@pytest.mark.parametrize(("recipe", "env", "changes"), CASES)
def test_the_numbers_are_those_of_the_evaluation(recipe: str, env: str, changes: dict[str, Any]) -> None:
    agent = untrained(recipe, env, 3, **changes)
    protocol = agent.config.evaluate
    expected = evaluate(agent.learner, agent.weights, envs.make(env, "test"), protocol)
    live = Live(agent, "test")
    for position in (2, 0):
        family = expected.tasks[position].family
        live.choose(family, live.families[family].index(position))
        assert live.task == expected.tasks[position]
        for _ in range(protocol.adaptation_steps):
            live.adapt()
        np.testing.assert_array_equal(live.recording.returns[0], expected.returns[position])
        np.testing.assert_array_equal(
            [live.score(stage) for stage in range(live.steps + 1)],
            [(expected.returns[position, k, 0], expected.solved[position, k, 0]) for k in range(live.steps + 1)],
        )
        assert live.recording.practice is not None
        np.testing.assert_array_equal(live.recording.practice.returns[0], expected.practice_returns[position])
    live.close()


def test_only_what_is_new_is_played(tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    live = Live(load(train(tiny(iterations=1), say=lambda _: None)), "test")
    steps: list[int] = []
    step = TaskVectorEnv.step
    monkeypatch.setattr(TaskVectorEnv, "step", lambda env, action: (steps.append(env.num_tasks), step(env, action))[1])
    counts = []
    live.choose("navigation", 1)
    for _ in range(3):
        counts.append(len(steps))
        steps.clear()
        live.adapt()
    first = live.recording.reward[0, 0]
    counts.append(len(steps))
    assert counts[1:] == [counts[1]] * 3  # no press takes longer than the one before
    assert counts[1] == 2 * counts[0]  # practice, then one stage
    live.choose("navigation", 1)
    np.testing.assert_array_equal(live.recording.reward[0, 0], first)


def test_what_is_not_wanted_any_more_ends_at_once() -> None:
    asked: list[int] = []
    live = Live(untrained("maml-trpo", "navigation", 3), "test", wanted=lambda: len(asked) < 5 or len(asked) > 99)
    asked += [0] * 100
    live.choose("navigation", 0)
    before = live.recording
    del asked[3:]
    live._wanted = lambda: (asked.append(0), len(asked) < 20)[1]
    with pytest.raises(NotWanted):
        live.choose("navigation", 1)
    assert len(asked) == 20
    assert live.recording is before
    assert live.task == before.tasks[0]


@pytest.mark.parametrize(
    ("env", "place", "reached"),
    [
        ("navigation", (0.25, -0.125), (0.25, -0.125)),
        ("navigation", (3.0, -0.125), (0.5, -0.125)),
        ("ant-goal@promp", (30.0, 40.0, 0.1), (1.8, 2.4, 0.1)),
        ("metaworld/ml1-reach-v3", (0.05, 0.85, 0.2), (0.05, 0.85, 0.2)),
        ("metaworld/ml1-reach-v3", (9.0, 0.85, -9.0), (0.1, 0.85, 0.05)),
        ("metaworld/ml1-basketball-v3", (0.05, 0.8, 0.25), (0.05, 0.8, 0.25)),
    ],
)
def test_a_goal_can_be_put_elsewhere(env: str, place: tuple[float, ...], reached: tuple[float, ...]) -> None:
    distribution = envs.make(env, "test")
    task = distribution.sample(np.random.default_rng(0), 1)[0]
    moved = distribution.with_goal(task, place)
    assert moved is not None
    np.testing.assert_allclose(distribution.scene(moved).marks()["goal"], reached, atol=1e-12)
    with distribution.make(1, 1) as vector:  # the engine takes it as it is
        vector.set_tasks([moved])
        vector.reset([0])
        vector.step(np.zeros((1, 1, *distribution.action_space.shape), np.float32))


@pytest.mark.parametrize("env", ["bandit/k5-n10", "cheetah-vel@promp", "metaworld/ml1-drawer-open-v3"])
def test_other_goals_stay(env: str) -> None:
    distribution = envs.make(env, "test")
    task = distribution.sample(np.random.default_rng(0), 1)[0]
    assert distribution.with_goal(task, (0.0, 0.0, 0.0)) is None


def test_a_goal_of_ones_own_is_learned(tmp_path: Path) -> None:
    live = Live(untrained("maml-trpo", "navigation", 3), "test", tmp_path)
    live.choose(*live.opened)
    assert live.movable()
    drawn = live.recording.reward
    live.choose("navigation", 1, (0.4, 0.3))
    assert live.scene.marks()["goal"] == [0.4, 0.3]
    assert (live.recording.reward != drawn).any()
    live.adapt()
    distances = np.linalg.norm(live.recording.state[0, 1, 0, 1:] - [0.4, 0.3], axis=-1)
    np.testing.assert_allclose(live.recording.reward[0, 1, 0], -distances, atol=1e-5)
    bandit = Live(untrained("rl2", "bandit/k5-n10", 2), "test", tmp_path)
    bandit.choose("bandit", 0)
    assert not bandit.movable()
    with pytest.raises(ConfigError, match="the goals of bandit cannot be moved"):
        bandit.choose("bandit", 0, (0.0, 0.0))
