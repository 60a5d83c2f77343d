"""The agent outside the training loop, and under Meta-World's own evaluator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from meta_rl.agents.agent import Agent, episodes_of, load
from meta_rl.cli.commands import parse_train
from meta_rl.config import EvaluateConfig, TrainConfig, replace_paths
from meta_rl.errors import ConfigError
from meta_rl.evaluation.metaworld import stock_evaluation
from meta_rl.runs import checkpoint
from meta_rl.runs.durable import CheckpointError
from meta_rl.runs.problem import open_problem
from meta_rl.training.train import train
from tests.meta_rl.untrained import untrained


def reach_agent() -> Agent:
    """An untrained agent for ML1 reach-v3."""
    return untrained("maml-trpo", "metaworld/ml1-reach-v3", {"network.hidden": (16,)})


def timesteps(ends: list[list[int]], length: int) -> list[SimpleNamespace]:
    """Streams with observation 100 * env + t, reward t + 1, action -t; `ends` lists each env's last steps."""
    return [
        SimpleNamespace(
            observation=np.array([[100.0 * i + t] for i in range(len(ends))]),
            action=np.array([[-float(t)] for _ in ends]),
            reward=np.array([t + 1.0 for _ in ends]),
            terminated=np.array([t in e for e in ends]),
            truncated=np.zeros(len(ends), bool),
        )
        for t in range(length)
    ]


def test_episodes_are_cut_where_they_end() -> None:
    # Environment 0 ends at steps 1 and 4 (episodes of 2 and 3), environment 1 at 2 and 3 (3 and 1), then 1 spare step.
    cut = episodes_of(timesteps([[1, 4], [2, 3]], 6))
    assert cut.observation.shape == (2, 2, 3, 1)
    assert cut.observation[0, :, :, 0].tolist() == [[0, 1, 1], [2, 3, 4]]
    assert cut.observation[1, :, :, 0].tolist() == [[100, 101, 102], [103, 103, 103]]
    assert cut.valid.tolist() == [[[True, True, False], [True] * 3], [[True] * 3, [True, False, False]]]
    assert cut.reward.tolist() == [[[1, 2, 0], [3, 4, 5]], [[1, 2, 3], [4, 0, 0]]]
    assert cut.action[0, 1, :, 0].tolist() == [-2, -3, -4]
    assert cut.terminated.all()


def test_truncation_ends_an_episode_without_terminating_it() -> None:
    """Environment 0: truncated at 1, terminated at 3. Environment 1: the other way round."""
    steps = timesteps([[3], [1]], 4)
    for t, env in ((1, 0), (3, 1)):
        steps[t].truncated[env] = True
    cut = episodes_of(steps)
    assert cut.valid.all()
    assert cut.terminated.tolist() == [[False, True], [True, False]]
    assert cut.last_observation[:, :, 0].tolist() == [[1, 3], [101, 103]]
    assert not cut.success.any()


def test_episodes_keep_the_fewest_that_all_have() -> None:
    assert episodes_of(timesteps([[0, 1, 2, 3], [3]], 4)).reward.shape == (2, 1, 4)
    with pytest.raises(ValueError, match="at least one complete episode"):
        episodes_of(timesteps([[0], []], 4))


def test_the_protocol_adapts_as_the_learner_does() -> None:
    """Random streams through `step` and `adapt`, against the learner's own adaptation of the same arrays."""
    agent = reach_agent()
    mine = agent.as_metaworld_agent(seed=5)
    rng = np.random.default_rng(0)
    mine.init()
    steps = []
    for t in range(12):
        observation = rng.normal(size=(3, 39))
        action, extra = mine.adapt_action(observation)
        assert action.dtype == np.float64
        assert action.shape == (3, 4)
        assert extra == {}
        ended = np.full(3, t % 6 == 5)
        step = SimpleNamespace(
            observation=observation,
            action=action,
            reward=rng.normal(size=3),
            terminated=~ended & False,
            truncated=ended,
        )
        mine.step(step)
        steps.append(step)
    observation = rng.normal(size=(3, 39))
    before = mine.eval_action(observation)
    mine.adapt()
    after = mine.eval_action(observation)
    spread = agent.learner.start(agent.weights, 3)
    adapted = agent.learner.adapt(spread, agent.learner.prepare(spread, episodes_of(steps)))
    expected = agent.learner.actor(adapted).act(observation[:, None], None)[:, 0]
    np.testing.assert_array_equal(after, expected.astype(np.float64))
    assert not np.array_equal(before, after)
    mine.init()
    np.testing.assert_array_equal(mine.eval_action(observation), before)


def test_metaworlds_own_evaluator_runs_a_trained_agent_unchanged(tmp_path: Path) -> None:
    sizes = {"meta_batch_size": 2, "episodes_per_task": 2, "iterations": 1, "run_dir": str(tmp_path / "run")}
    run = train(replace_paths(reach_agent().config, {**sizes, "device": "cpu"}))
    protocol = EvaluateConfig(adaptation_episodes=1, evaluation_episodes=1)
    agent = load(run)
    assert not torch.equal(agent.weights.params["mean.0.weight"], reach_agent().weights.params["mean.0.weight"])
    result = stock_evaluation(agent, protocol, goals_per_family=2)
    assert 0 <= result["success"] <= 1
    assert result["success_by_family"].keys() == {"reach-v3"}
    assert 0 < result["return"] < 5000  # 500 steps of rewards in (0, 10)
    assert result["goals_per_family"] == 2


def test_the_stock_evaluator_is_for_metaworld_benchmarks() -> None:
    agent = reach_agent()
    agent.config = replace_paths(agent.config, {"env": "metaworld/reach-v3,push-v3"})
    with pytest.raises(ConfigError, match="ML1, ML10, ML25 and ML45"):
        stock_evaluation(agent, EvaluateConfig(), 1)


def test_load_gives_the_trained_parameters(tiny: Callable[..., TrainConfig]) -> None:
    run = train(tiny(iterations=2))
    agent = load(run)
    state = checkpoint.load_newest(run / "checkpoints")
    assert state is not None
    assert agent.iteration == 2
    assert all(torch.equal(agent.weights.params[name], state.params[name]) for name in state.params)


def test_to_load_opens_neither_tasks_nor_data(
    tiny: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run says what its agent observes; that of an earlier version, or a damaged file, has to be asked for it."""
    run = train(tiny(iterations=0))
    ratings = tmp_path / "ratings.csv"
    lines = [f"{user},{item},{1 + (user + item) % 5},0" for user in range(60) for item in range(30)]
    ratings.write_text("userId,movieId,rating,timestamp\n" + "\n".join(lines))
    options = ["--data", str(ratings), "--iterations", "0", "--device", "cpu", "--run-dir", str(tmp_path / "ratings")]
    rated = train(parse_train(["maml", "--env", "ratings-5shot", *options]))
    ratings.unlink()
    assert load(rated).interface.observation_space.shape is not None

    opened = []
    before = open_problem
    monkeypatch.setattr("meta_rl.agents.agent.open_problem", lambda config: opened.append(config) or before(config))  # type: ignore[func-returns-value]
    written = load(run).interface
    assert not opened
    for text in ("{", "{}", '{"interface": 3}'):
        (run / "environment.json").write_text(text)
        assert load(run).interface == written
    assert len(opened) == 3


def test_load_errors(tiny: Callable[..., TrainConfig], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a run directory"):
        load(tmp_path)
    run = train(tiny(iterations=1))
    for path in (run / "checkpoints").rglob("state.safetensors"):
        path.write_bytes(b"")
    with (
        pytest.warns(checkpoint.CheckpointWarning),
        pytest.raises(CheckpointError, match="no sound checkpoint"),
    ):
        load(run)
    for path in sorted((run / "checkpoints").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(ConfigError, match="no checkpoint yet"):
        load(run)
