"""What is recorded is what the evaluation saw, bit for bit, and survives a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs
import meta_rl
from envs import Task, TaskVectorEnv
from meta_rl.agents.agent import Agent
from meta_rl.config import TrainConfig
from meta_rl.errors import ConfigError
from meta_rl.evaluation.episodes import evaluate
from meta_rl.evaluation.recording import ARRAYS, Recording, record, training_tasks
from meta_rl.training.train import train
from tests.meta_rl import untrained as agents

SHORT = {
    "network.hidden": (8,),
    "device": "cpu",
    "evaluate.tasks_at_once": 2,
    "evaluate.adaptation_episodes": 2,
    "evaluate.evaluation_episodes": 2,
    "evaluate.adaptation_steps": 2,
}


def untrained(recipe: str, env: str, tasks: int, **changes: Any) -> Agent:
    """An agent nobody trained; `changes` to the protocol."""
    short = {} if recipe == "rl2" else SHORT
    protocol = {"test_tasks": tasks, "tasks_at_once": 2, **changes}
    changed = short | {f"evaluate.{name}": value for name, value in protocol.items()}
    return agents.untrained(recipe, env, changed)


@pytest.mark.parametrize(
    ("recipe", "env", "state"),
    [
        ("maml-trpo", "navigation", 2),
        ("maml-trpo", "hopper-params@promp", None),
        ("maml-trpo", "classic/pendulum", 2),
        ("rl2", "bandit/k5-n10", 0),
        ("rl2", "tabular", 1),
    ],
)
def test_a_recording_is_the_evaluation(recipe: str, env: str, state: int | None) -> None:
    agent = untrained(recipe, env, 3)
    expected = evaluate(agent.learner, agent.weights, envs.make(env, "test"), agent.config.evaluate)
    played = record(agent, chosen=[2, 0])
    assert played.positions == [0, 2]
    assert played.tasks == [expected.tasks[0], expected.tasks[2]]
    assert np.array_equal(played.returns, expected.returns[[0, 2]])
    assert np.array_equal(played.solved, expected.solved[[0, 2]])
    shape = played.reward.shape
    assert played.state.shape[:-1] == (*shape[:-1], shape[-1] + 1)
    if state is not None:
        assert played.state.shape[-1] == state


def test_typical_tasks_are_in_the_middle_of_their_family() -> None:
    played = record(untrained("random", "navigation", 1, adaptation_steps=1))
    rises = {"a": [5.0, 1.0, 3.0, 2.0, 9.0], "b": [4.0], "c": [1.0, 0.0]}
    tasks = [Task(family, ()) for family, values in rises.items() for _ in values]
    before = np.arange(len(tasks), dtype=np.float32)  # how well a task went says nothing
    reward = np.stack([before, before + np.concatenate(list(rises.values()))], 1)[:, :, None, None].astype(np.float32)
    made = replace(played, tasks=tasks, reward=reward)
    assert made.typical(1) == [2, 5, 7]
    assert sorted(made.typical(3)) == [0, 2, 3, 5, 6, 7]
    reward[2] = reward[5] = 0  # nothing happens there
    quiet = replace(made, reward=reward)
    assert quiet.typical(1) == [3, 5, 7]  # b has no other
    assert sorted(quiet.typical(5)) == [0, 1, 2, 3, 4, 5, 6, 7]


def test_metaworld_states_are_those_of_the_physics() -> None:
    agent = untrained("maml-trpo", "metaworld/reach-v3,drawer-open-v3", 4, adaptation_steps=1, adaptation_episodes=1)
    played = record(agent, chosen=[0, 3])
    assert [task.family for task in played.tasks] == ["reach-v3", "drawer-open-v3"]
    expected = evaluate(agent.learner, agent.weights, envs.make(agent.config.env, "test"), agent.config.evaluate)
    assert np.array_equal(played.returns, expected.returns[[0, 3]])
    # The hand moves, and both families start from their reset.
    with envs.make(agent.config.env, "test").make(2, 1) as env:
        env.set_tasks(played.tasks)
        env.reset([0, 0])
        for i in range(2):
            start = env.state(i, 0)
            assert np.array_equal(played.state[i, 0, 0, 0, : start.size], start)
            assert not played.state[i, 0, 0, 0, start.size :].any()
    assert (played.state[:, 0, 0, 0] != played.state[:, 0, 0, -1]).any()


def test_states_follow_the_steps() -> None:
    played = record(untrained("maml-trpo", "navigation", 2))
    moved = np.diff(played.state, axis=-2)
    clipped = np.where(played.valid[..., None], np.clip(played.action, -0.1, 0.1), 0)
    assert np.allclose(moved, clipped, atol=1e-6)
    assert np.allclose(played.observation, played.state, atol=1e-6)


def test_saved_and_loaded(tiny: Callable[..., TrainConfig], tmp_path: Path) -> None:
    played = record(meta_rl.load(train(tiny(iterations=1), say=lambda _: None)), chosen=[1])
    played.save(tmp_path / "episodes.npz")
    loaded = Recording.load(tmp_path / "episodes.npz")
    assert (loaded.about, loaded.positions, loaded.tasks) == (played.about, played.positions, played.tasks)
    assert loaded.about["iteration"] == 1
    for name in ARRAYS:
        saved, read = getattr(played, name), getattr(loaded, name)
        assert saved.dtype == read.dtype
        assert np.array_equal(saved, read)


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x03\x04broken"])
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(ConfigError, match=r"x\.npz: not a recording"):
        Recording.load(tmp_path / "x.npz")


def test_a_task_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="--tasks: 7 asked for; valid: 0 to 2"):
        record(untrained("maml-trpo", "navigation", 3), chosen=[0, 7])


def test_training_tasks_are_those_of_the_last_iteration(
    tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the environments were told them."""
    told: list[list[Task]] = []
    set_tasks = TaskVectorEnv.set_tasks
    monkeypatch.setattr(TaskVectorEnv, "set_tasks", lambda env, tasks: (told.append(tasks), set_tasks(env, tasks)))
    run_dir = train(tiny(iterations=2), say=lambda _: None)
    agent, (first, seen, *_) = meta_rl.load(run_dir), told
    assert training_tasks(agent) == seen != first
    played = record(agent, chosen=[2], tasks=seen)
    assert (played.positions, played.tasks) == ([2], [seen[2]])
