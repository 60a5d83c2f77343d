"""An agent in a single gymnasium environment does what the evaluator makes it do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import envs
from meta_rl.agents.agent import Agent
from meta_rl.agents.player import Player
from meta_rl.core.seeding import Purpose, integer
from meta_rl.errors import ConfigError
from meta_rl.evaluation.episodes import evaluate
from tests.meta_rl.untrained import untrained


class Lone(gym.Env[Any, Any]):
    """One environment of a task distribution as a plain gymnasium environment, on a fixed task."""

    def __init__(self, distribution: envs.TaskDistribution, task: envs.Task) -> None:
        self.inner = distribution.make(1, 1)
        self.inner.set_tasks([task])
        self.observation_space, self.action_space = distribution.observation_space, distribution.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return self.inner.reset([seed or 0])[0, 0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        step = self.inner.step(np.asarray(action)[None, None])
        flags = bool(step.terminated[0, 0]), bool(step.truncated[0, 0])
        return step.observation[0, 0], float(step.reward[0, 0]), *flags, {"success": bool(step.success[0, 0])}


def agent_for(recipe: str, env: str) -> Agent:
    """An untrained agent with a small network."""
    changes = {"network.hidden": (8,), "evaluate.test_tasks": 1, "evaluate.tasks_at_once": 1}
    if recipe != "rl2":
        changes |= {"evaluate.adaptation_episodes": 2, "evaluate.adaptation_steps": 2}
    return untrained(recipe, env, changes)


@pytest.mark.parametrize(
    ("recipe", "env", "steps"),
    [
        ("maml-trpo", "navigation", 2),
        ("reptile", "navigation", 2),
        ("rl2", "navigation", 3),
        ("rl2", "bandit/k5-n10", 1),
        # Batches of another size round differently, which contacts amplify over many episodes: none to adapt on.
        ("maml-trpo", "metaworld/ml1-reach-v3", 0),
    ],
)
def test_earns_what_the_evaluator_found(recipe: str, env: str, steps: int) -> None:
    agent = agent_for(recipe, env)
    test = envs.make(env, "test")
    protocol = replace(agent.config.evaluate, adaptation_steps=steps)
    evaluation = evaluate(agent.learner, agent.weights, test, protocol)
    lone = Lone(test, evaluation.tasks[0])
    player = agent.player(seed=protocol.evaluation_seed)
    rollouts = 1 if agent.learner.episodes_at_once else protocol.adaptation_episodes
    for step in range(steps + 1):
        # The evaluator's own seed of the reset (first task, first episode).
        seed = integer(protocol.evaluation_seed, Purpose.TEST_ENV, stage=2 * step * rollouts)
        played = player.play(lone, seed)
        assert played.returns[0, 0] == pytest.approx(evaluation.returns[0, step, 0], rel=1e-4)
        if step < steps:
            player.adapt(lone, steps=1)
    assert len(np.unique(evaluation.returns[0, :, 0])) > 1 or env.startswith("bandit") or not steps


@pytest.mark.parametrize(
    ("recipe", "env"), [("maml-trpo", "navigation"), ("rl2", "navigation"), ("rl2", "bandit/k5-n10")]
)
def test_acting_by_hand_is_playing(recipe: str, env: str) -> None:
    agent = agent_for(recipe, env)
    distribution = envs.make(env)
    lone = Lone(distribution, distribution.sample(np.random.default_rng(0), 1)[0])
    player = agent.player().adapt(lone, steps=1)
    for _ in range(2):  # the second time from where the adaptation left off, too
        played = player.play(lone, seed=7)
        player.reset()
        actions = by_hand(player, lone, seed=7)
        np.testing.assert_array_equal(np.array(actions), played.action[0, 0, : len(actions)])
        assert len(actions) == played.env_steps


def by_hand(player: Player, env: gym.Env[Any, Any], seed: int) -> list[Any]:
    """The loop that users write."""
    actions, done = [], False
    observation, _ = env.reset(seed=seed)
    while not done:
        actions.append(player.act(observation))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        done = terminated or truncated
        player.observe(float(reward), done)
    return actions


def test_a_memory_goes_on_into_the_next_episode_unless_reset() -> None:
    agent = agent_for("rl2", "navigation")
    distribution = envs.make("navigation")
    lone = Lone(distribution, distribution.sample(np.random.default_rng(0), 1)[0])
    player = agent.player()
    first, second = by_hand(player, lone, 0), by_hand(player, lone, 0)
    player.reset()
    third = by_hand(player, lone, 0)
    np.testing.assert_array_equal(first, third)
    assert not np.array_equal(first, second)


def test_forgets_and_repeats() -> None:
    agent = agent_for("maml-trpo", "navigation")
    distribution = envs.make("navigation")
    lone = Lone(distribution, distribution.sample(np.random.default_rng(0), 1)[0])
    observation = np.array([0.1, 0.2])
    player = agent.player(seed=3)
    before = player.act(observation)
    after = player.adapt(lone).act(observation)
    assert not np.array_equal(before, after)
    player.forget()
    np.testing.assert_array_equal(player.act(observation), before)
    np.testing.assert_array_equal(player.adapt(lone).act(observation), after)
    assert not np.array_equal(agent.player(seed=4).adapt(lone).act(observation), after)


@pytest.mark.parametrize(
    ("recipe", "env", "plain"),
    [
        ("maml-trpo", "classic/pendulum", "Pendulum-v1"),
        ("rl2", "classic/cartpole", "CartPole-v1"),
        ("random", "classic/cartpole", "CartPole-v1"),
    ],
)
def test_gymnasiums_own_environments(recipe: str, env: str, plain: str) -> None:
    agent = agent_for(recipe, env)
    lone = gym.make(plain)
    player = agent.player().adapt(lone, episodes=2, steps=1)
    actions = by_hand(player, lone, 0)
    kind = int if isinstance(lone.action_space, gym.spaces.Discrete) else np.ndarray
    assert all(isinstance(action, kind) for action in actions)
    assert player.play(lone, horizon=5).env_steps == 5
    lone.close()


def test_what_cannot_be_adapted_to_is_refused() -> None:
    player = agent_for("maml-trpo", "navigation").player()
    with pytest.raises(ConfigError, match="observation space"):
        player.adapt(gym.make("CartPole-v1"))
    distribution = envs.make("navigation")
    lone = Lone(distribution, distribution.sample(np.random.default_rng(0), 1)[0])
    for bad in ("episodes", "steps", "horizon"):
        with pytest.raises(ConfigError, match=f"{bad}: must be at least 1, got 0"):
            player.adapt(lone, **{bad: 0})


def test_meta_worlds_own_environment_without_a_task_and_past_its_end() -> None:
    """Its errors (an assertion without a message; a reset is due) come in words or not at all."""
    import metaworld

    player = agent_for("maml-trpo", "metaworld/ml1-reach-v3").player()
    benchmark = metaworld.ML1("reach-v3", seed=0)
    env = benchmark.train_classes["reach-v3"]()
    said = r"^<SawyerReachEnvV3.*>, reset: AssertionError without a message; its set_task must be called first$"
    with pytest.raises(envs.EnvError, match=said):
        player.adapt(env)
    env.set_task(benchmark.train_tasks[0])
    assert player.play(env, horizon=600).env_steps == 500
    env.close()
