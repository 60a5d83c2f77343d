"""Episodes of a task that are played one after another in one environment object."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import envs
from envs.vector import GymDistribution
from meta_rl.agents.agent import Agent
from meta_rl.algorithms.base import make_learner
from meta_rl.config import default_config, replace_paths
from meta_rl.core.interface import Interface
from meta_rl.evaluation.episodes import evaluate
from meta_rl.evaluation.recording import Recorder
from meta_rl.sources.base import Plan
from meta_rl.sources.collect import InTurn, make_envs
from meta_rl.sources.in_process import InProcess

HORIZON = 6


class Walk(gym.Env[Any, Any]):
    """Walks towards its task's place and ends when it gets there; `open` counts the objects that are open now."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    open, most = 0, 0

    def __init__(self) -> None:
        Walk.open += 1
        Walk.most = max(Walk.most, Walk.open)

    def set_task(self, vector: np.ndarray) -> None:
        self.goal = float(vector[0])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-1, 1, 2)
        return self.state.copy(), {}

    def step(self, action: np.ndarray) -> Any:
        self.state = self.state + np.array([float(action[0]), 1.0])
        near = abs(self.state[0] - self.goal) < 0.5
        return self.state.copy(), -abs(self.state[0] - self.goal), near, False, {"success": near}

    def close(self) -> None:
        Walk.open -= 1


def walks(in_turn: bool = True, split: str = "train") -> GymDistribution:
    Walk.open = Walk.most = 0
    return GymDistribution("walk", Walk, lambda rng: rng.uniform(-2, 2, 1), HORIZON, split=split, in_turn=in_turn)


def agent_for(recipe: str) -> Agent:
    changes = {"network.hidden": (8,), "evaluate.test_tasks": 3, "evaluate.tasks_at_once": 2}
    config = replace_paths(default_config(recipe, "navigation"), changes)
    protocol = replace(config.evaluate, adaptation_episodes=4, evaluation_episodes=5, adaptation_steps=1)
    config = replace(config, evaluate=protocol)
    learner = make_learner(config, walks())
    return Agent(config, learner, learner.init().weights, 0, 0, Interface.of(walks(), HORIZON))


def test_training_needs_one_object_a_task_and_learns_from_all_episodes() -> None:
    agent, found = agent_for("maml-trpo"), []
    for in_turn in (True, False):
        distribution = walks(in_turn)
        source = InProcess(distribution, agent.learner, Plan(3, 20, 0))
        shard = source.sample(agent.weights, 0)
        assert Walk.open == (3 if in_turn else 60)
        assert shard.batch.query.observation.shape[:3] == (3, 20, HORIZON)
        assert len(np.unique(shard.batch.query.observation[:, :, 0, 0])) == 60  # every episode has a start of its own
        state = agent.learner.init()
        assert agent.learner.meta_update(state, shard.batch)["guard/non_finite_gradient"] == 0
        again = InProcess(walks(in_turn), agent.learner, Plan(3, 20, 0)).sample(agent.weights, 0)
        np.testing.assert_array_equal(again.returns, shard.returns)
        source.close()
        found.append(shard.returns.mean((0, 2)))
    # Other starts, the same distribution: 60 episodes each.
    np.testing.assert_allclose(found[0], found[1], atol=2.5)


@pytest.mark.parametrize("recipe", ["maml-trpo", "rl2", "random"])
def test_an_evaluation_judges_all_episodes_in_few_objects(recipe: str) -> None:
    agent = agent_for(recipe)
    test = walks(split="test")
    evaluation = evaluate(agent.learner, agent.weights, test, agent.config.evaluate)
    assert Walk.most <= 1 + 4  # the probe was closed; two tasks at once, in which one judges and one practises
    assert Walk.open == 0
    assert evaluation.returns.shape == (3, 2, 5)
    assert len(np.unique(evaluation.returns)) == 30
    assert len(np.unique(evaluation.practice_returns)) == 12
    again = evaluate(agent.learner, agent.weights, walks(split="test"), agent.config.evaluate)
    np.testing.assert_array_equal(again.returns, evaluation.returns)
    alone = evaluate(agent.learner, agent.weights, walks(split="test"), agent.config.evaluate, chosen=[1])
    np.testing.assert_array_equal(alone.returns[0], evaluation.returns[1])


def test_each_episode_begins_with_the_memory_of_the_adaptation() -> None:
    """RL2's judged episodes come after the trial, not after each other."""
    agent = agent_for("rl2")
    five = evaluate(agent.learner, agent.weights, walks(split="test"), agent.config.evaluate).returns
    protocol = replace(agent.config.evaluate, evaluation_episodes=2)
    two = evaluate(agent.learner, agent.weights, walks(split="test"), protocol).returns
    np.testing.assert_array_equal(two, five[:, :, :2])


def test_recordings_have_every_episode_with_its_states() -> None:
    agent, recorder = agent_for("maml-trpo"), Recorder()
    protocol = replace(agent.config.evaluate, judge_sampled=False)
    evaluation = evaluate(agent.learner, agent.weights, walks(split="test"), protocol, None, recorder)
    recording = recorder.recording({}, evaluation.tasks)
    assert recording.state.shape == (3, 2, 5, HORIZON + 1, 2)
    np.testing.assert_allclose(recording.state, recording.observation, rtol=1e-6)
    np.testing.assert_array_equal(recording.returns, evaluation.returns)
    assert len(set(recording.lengths.ravel().tolist())) > 1  # some ended before the horizon


def test_one_episode_needs_no_turns_and_the_contract_is_kept() -> None:
    distribution = walks()
    with distribution.make(2, 1) as env:
        assert isinstance(env, envs.TaskVectorEnv)
    assert isinstance(make_envs(distribution, 2, 3), InTurn)
    assert not isinstance(make_envs(distribution, 2, 1), InTurn)
    assert not isinstance(make_envs(walks(False), 2, 3), InTurn)
    assert isinstance(make_envs(envs.FixedTask(distribution, envs.Task("walk", (1.0,))), 2, 3), InTurn)
    envs.check(distribution)
