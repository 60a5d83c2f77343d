"""Environments whose discrete actions do not count from 0 get their own numbers from whatever plays them."""

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
from meta_rl.core.interface import Interface, to_env
from meta_rl.evaluation.episodes import evaluate
from meta_rl.evaluation.recording import Recorder
from meta_rl.sources.base import Plan
from meta_rl.sources.collect import rollout
from meta_rl.sources.in_process import InProcess

ARMS = 3


class Levers(gym.Env[Any, Any]):
    """Pays the number of the arm above the first; `pulled` has all that were pulled, which must be in the space."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    pulled: list[int]

    def __init__(self, start: int) -> None:
        self.action_space = gym.spaces.Discrete(ARMS, start=start)

    def set_task(self, vector: np.ndarray) -> None:
        pass

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), f"{action} is not in {self.action_space}"
        Levers.pulled.append(int(action))
        reward = float(action - self.action_space.start)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), reward, False, False, {}


def levers(start: int) -> GymDistribution:
    Levers.pulled = []
    return GymDistribution("levers", lambda: Levers(start), lambda rng: rng.random(1), 8, success_key=None)


def agent_for(recipe: str, start: int) -> Agent:
    """An untrained agent whose policy prefers no arm much."""
    config = replace_paths(default_config(recipe, "bandit/k5-n10"), {"network.hidden": (8,), "meta_batch_size": 3})
    config = replace(config, evaluate=replace(config.evaluate, test_tasks=2, adaptation_episodes=2, tasks_at_once=2))
    distribution = levers(start)
    learner = make_learner(config, distribution)
    return Agent(config, learner, learner.init().weights, 0, 0, Interface.of(distribution, 8))


RECIPES = ["random", "maml-trpo", "reptile", "rl2"]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("start", [1, -2])
def test_training_sends_the_environments_numbers_and_learns_from_the_policys(recipe: str, start: int) -> None:
    agent, arms = agent_for(recipe, start), set(range(start, start + ARMS))
    source = InProcess(levers(start), agent.learner, Plan(3, 4, 0))
    state = agent.learner.init()
    shard = source.sample(state.weights, 0)
    assert set(Levers.pulled) == arms
    agent.learner.meta_update(state, shard.batch)  # an arm above the last would be out of bounds here
    if recipe != "random":
        assert set(shard.batch.query.action.unique().tolist()) <= set(range(ARMS))
        # The pay is the number of the arm above the first, so what is learned from is what was pulled.
        total = float(sum(np.asarray(Levers.pulled) - start))
        assert shard.returns.sum() == total
    source.close()


@pytest.mark.parametrize("recipe", RECIPES)
def test_judging_and_playing_send_them_too(recipe: str) -> None:
    agent, arms = agent_for(recipe, 5), {5, 6, 7}
    evaluate(agent.learner, agent.weights, levers(5), agent.config.evaluate)
    assert set(Levers.pulled) <= arms
    env, player = Levers(5), agent.player(seed=1)
    Levers.pulled = []
    player.adapt(env, episodes=3, steps=1)
    assert set(Levers.pulled) == arms
    Levers.pulled = []
    played = player.play(env, seed=4)
    assert played.action[0, 0].tolist() == Levers.pulled
    assert (played.reward[0, 0] == played.action[0, 0] - 5).all()
    observation, _ = env.reset(seed=4)
    player.reset()
    action = player.act(observation)
    assert isinstance(action, int)
    assert action in arms
    if recipe != "random":  # which draws noise of its own
        assert action == Levers.pulled[0]


def test_recordings_hold_what_was_sent() -> None:
    agent, recorder = agent_for("maml-trpo", 2), Recorder()
    evaluation = evaluate(
        agent.learner, agent.weights, levers(2), replace(agent.config.evaluate, judge_sampled=False), None, recorder
    )
    recording = recorder.recording({}, evaluation.tasks)
    assert (recording.reward == recording.action - 2).all()
    assert recording.action.min() >= 2


def test_what_is_told_of_a_rollout_is_what_was_sent() -> None:
    agent, distribution = agent_for("maml-trpo", 1), levers(1)
    told: list[Any] = []
    means: list[Any] = []
    with distribution.make(2, 1) as env:
        env.set_tasks(distribution.sample(np.random.default_rng(0), 2))
        env.mean_reward = lambda observation, action: means.append(action)  # type: ignore[method-assign]
        noise = np.random.default_rng(0).random((2, 1, 8, 1), dtype=np.float32)
        actor = agent.learner.actor(agent.learner.start(agent.weights, 2))
        recorded = rollout(env, actor, noise, [0, 1], lambda time, action: told.append(action))
    np.testing.assert_array_equal(np.stack(told, 2), recorded.action + 1)
    np.testing.assert_array_equal(means[0], recorded.action + 1)
    assert np.stack(told, 2).reshape(2, 8).T.ravel().tolist() == Levers.pulled


def test_only_discrete_actions_are_moved() -> None:
    numbers = np.array([0.5, -1.0])
    assert to_env(gym.spaces.Box(-1, 1, (2,)), numbers) is numbers
    assert to_env(gym.spaces.Discrete(3), numbers) is numbers
    assert to_env(gym.spaces.Discrete(3, start=-4), np.array([0, 2])).tolist() == [-4, -2]
    assert envs.make("bandit/k5-n10").action_space == gym.spaces.Discrete(5)
