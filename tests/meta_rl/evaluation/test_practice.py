"""The episodes between the stages: recorded as they were played, at no cost to what is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs
from meta_rl.evaluation.episodes import evaluate
from meta_rl.evaluation.practice import KEPT_MOMENTS, PRACTICE_ARRAYS
from meta_rl.evaluation.recording import ARRAYS as JUDGED
from meta_rl.evaluation.recording import Recording, record
from meta_rl.evaluation.words import StageNames
from tests.meta_rl import untrained as agents
from tests.meta_rl.evaluation.test_recording import untrained


@pytest.mark.parametrize(
    ("recipe", "env"),
    [
        ("maml-trpo", "navigation"),
        ("reptile", "navigation"),
        ("maml-trpo", "hopper-params@promp"),
        ("rl2", "bandit/k5-n10"),
        ("rl2", "tabular"),
    ],
)
def test_practice_is_that_of_the_evaluation(recipe: str, env: str) -> None:
    agent = untrained(recipe, env, 3)
    protocol = agent.config.evaluate
    expected = evaluate(agent.learner, agent.weights, envs.make(env, "test"), protocol)
    played, plain = record(agent, chosen=[0, 2], practice=True), record(agent, chosen=[0, 2])
    assert plain.practice is None
    for name in JUDGED:  # not a bit of what is judged is another one
        np.testing.assert_array_equal(getattr(played, name), getattr(plain, name))
    practice = played.practice
    assert practice is not None
    np.testing.assert_array_equal(practice.returns, expected.practice_returns[[0, 2]])
    assert practice.episodes == protocol.adaptation_episodes
    assert practice.reward.shape[:3] == (2, protocol.adaptation_steps, protocol.adaptation_episodes)
    assert (practice.lengths > 0).all()
    assert played.stage_names.practising(3) == f"practising, episode 3 of {practice.episodes}"


def test_small_states_are_kept_after_every_step() -> None:
    played = record(untrained("maml-trpo", "navigation", 2), practice=True)
    practice, scene = played.practice, envs.make("navigation").scene(played.tasks[1])
    assert practice is not None
    track = practice.track(1, 0, 1)
    moved = np.where(practice.valid[1, 0, 1][:, None], np.clip(track.action, -0.1, 0.1), 0)
    assert track.state[0].tolist() == [0, 0]
    np.testing.assert_allclose(np.diff(track.state, axis=0), moved, atol=1e-6)
    np.testing.assert_allclose(practice.path(scene, 1, 0, 1), track.state[: track.length + 1], atol=1e-6)
    np.testing.assert_array_equal(practice.rows([1]).state[0], practice.state[1])


def test_robots_leave_their_path_at_a_few_moments() -> None:
    agent = untrained("maml-trpo", "metaworld/ml1-reach-v3", 2, adaptation_steps=1, adaptation_episodes=2)
    played = record(agent, chosen=[1], practice=True)
    practice, scene = played.practice, envs.make("metaworld/ml1-reach-v3").scene(played.tasks[0])
    assert practice is not None
    assert KEPT_MOMENTS - 2 < len(practice.moments) <= KEPT_MOMENTS
    assert practice.moments[-1] == 500
    paths = [practice.path(scene, 0, 0, episode) for episode in (0, 1)]
    # The hand is the first thing that Meta-World observes; it starts where the judged episode starts.
    np.testing.assert_allclose(paths[0][0], played.observation[0, 0, 0, 0, :3], atol=0.1)
    np.testing.assert_allclose(paths[0][0], paths[1][0], atol=1e-6)
    assert np.abs(paths[0] - paths[1]).max() > 1e-3
    assert practice.track(0, 0, 0).state.shape[0] == 501


def test_practice_survives_a_file_and_older_files_have_none(tmp_path: Path) -> None:
    played = record(untrained("rl2", "bandit/k5-n10", 2), practice=True)
    played.save(tmp_path / "with.npz")
    loaded = Recording.load(tmp_path / "with.npz")
    assert played.practice is not None
    assert loaded.practice is not None
    for name in ("moments", *PRACTICE_ARRAYS):
        kept, read = getattr(played.practice, name), getattr(loaded.practice, name)
        assert kept.dtype == read.dtype
        np.testing.assert_array_equal(kept, read)
    np.testing.assert_array_equal(loaded.select([1]).practice.returns[0], played.practice.returns[1])  # type: ignore[union-attr]
    record(untrained("rl2", "bandit/k5-n10", 2)).save(tmp_path / "without.npz")
    assert Recording.load(tmp_path / "without.npz").practice is None


def test_without_adaptation_there_is_no_practice() -> None:
    assert record(untrained("maml-trpo", "navigation", 1, adaptation_steps=0), practice=True).practice is None


@pytest.mark.parametrize(
    ("recipe", "changes", "words"),
    [
        ("maml-trpo", {}, "one gradient step"),
        ("reptile", {"algorithm.inner_epochs": 4, "algorithm.inner_minibatches": 10}, "40 gradient steps"),
        ("random", {}, "nothing is learned from it"),
        ("rl2", {"evaluate.adaptation_episodes": 3}, "the memory has seen 3 episodes"),
        ("pearl", {"evaluate.adaptation_episodes": 3}, "the task is inferred from 3 episodes"),
    ],
)
def test_what_came_of_it_is_said(recipe: str, changes: dict[str, Any], words: str) -> None:
    env = "bandit/k5-n10" if recipe == "rl2" else "navigation"
    small = {"evaluate.test_tasks": 1, "evaluate.adaptation_steps": 1, "device": "cpu"}
    assert record(agents.untrained(recipe, env, small | changes)).stage_names.learned(1) == words
    assert StageNames(True, 1).learned(1) == "the memory has seen 1 episode"
