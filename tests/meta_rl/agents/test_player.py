"""An agent in a single gymnasium environment does what the evaluator makes it do."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import envs
from envs.vector import GymDistribution
from meta_rl.agents.agent import Agent
from meta_rl.agents.player import Player
from meta_rl.agents.task_env import TaskEnv
from meta_rl.algorithms.base import make_learner
from meta_rl.config import default_config, replace_paths
from meta_rl.core.interface import Interface, InterfaceWarning
from meta_rl.core.seeding import Purpose, integer
from meta_rl.errors import ConfigError
from meta_rl.evaluation.episodes import evaluate
from tests.meta_rl.untrained import untrained

Lone = TaskEnv


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
        ("pearl", "navigation", 2),
        ("rl2", "navigation", 3),
        ("varibad", "navigation", 2),
        ("rl2-sac", "navigation", 2),
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
    ("recipe", "env"),
    [
        ("maml-trpo", "navigation"),
        ("pearl", "navigation"),
        ("rl2", "navigation"),
        ("rl2-sac", "navigation"),
        ("rl2", "bandit/k5-n10"),
    ],
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


class Returning(gym.Env[Any, Any]):
    """Has the spaces of navigation and returns what it is told to; keeps its seeds in 31 bits."""

    def __init__(self, at_reset: Any, at_step: Any = None) -> None:
        navigation = envs.make("navigation")
        self.observation_space, self.action_space = navigation.observation_space, navigation.action_space
        self.at_reset, self.at_step = at_reset, at_step

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        struct.pack("i", seed)
        return self.at_reset

    def step(self, action: Any) -> Any:
        return self.at_step


HERE = np.zeros(2)


@pytest.mark.parametrize(
    ("at_reset", "at_step", "said"),
    [
        (HERE, None, "reset: returned an array .*: the API of gym before 0.26"),
        ((HERE[:1], {}), None, r"reset: the observation has shape \(1,\)"),
        ((["a", "b"], {}), None, "reset: the observation is .* holds no numbers"),
        ((HERE, {}), (HERE, 0.0, False, {}), "step 0: returned 4 values"),
        ((HERE, {}), (HERE[:, None], 0.0, False, False, {}), r"step 0: the observation has shape \(2, 1\)"),
        ((HERE, {}), (HERE, HERE, False, False, {}), r"step 0: the reward has shape \(2,\)"),
        ((HERE, {}), (HERE, 0.0, False, False, None), "step 0: info is None"),
    ],
)
def test_what_an_environment_returns_is_read_exactly(at_reset: Any, at_step: Any, said: str) -> None:
    player = agent_for("maml-trpo", "navigation").player()
    for use in (player.play, player.adapt):
        with pytest.raises(envs.EnvError, match=said):
            use(Returning(at_reset, at_step))


def test_seeds_of_practice_fit_in_31_bits() -> None:
    env = Returning((HERE, {}), (HERE, np.array([0.5]), np.bool_(True), False, {}))
    for seed in range(4):  # of two episodes each, half of them above
        agent_for("maml-trpo", "navigation").player(seed=seed).adapt(env)


def test_seeds_of_played_episodes_fit_in_31_bits() -> None:
    env = Returning((HERE, {}), (HERE, 0.5, False, False, {}))
    player = agent_for("maml-trpo", "navigation").player()
    for _ in range(8):
        player.play(env)


def test_meta_worlds_own_environment_without_a_task_and_past_its_end() -> None:
    """Its errors (an assertion without a message; a reset is due) come in words or not at all."""
    import metaworld

    player = agent_for("maml-trpo", "metaworld/ml1-reach-v3").player()
    benchmark = metaworld.ML1("reach-v3", seed=0)
    env = benchmark.train_classes["reach-v3"]()
    said = r"^<SawyerReachEnvV3.*>, reset: AssertionError without a message; was its set_task called first\?$"
    with pytest.raises(envs.EnvError, match=said):
        player.adapt(env)
    env.set_task(benchmark.train_tasks[0])
    assert player.play(env, horizon=600).env_steps == 500
    env.close()


class Uniform(gym.Env[Any, Any]):
    """Starts anywhere, and remembers the seeds that it was told."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self) -> None:
        self.seeds: list[int | None] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.seeds.append(seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), float(np.sum(action)), False, False, {}


def test_every_episode_played_without_a_seed_is_another_one() -> None:
    env, player = Uniform(), agent_for("maml-trpo", "navigation").player(seed=2)
    player.play(env)
    player.play(env)
    player.adapt(env, episodes=2, steps=1)
    player.play(env)
    player.forget()  # for another task, of which nothing has been played
    player.play(env)
    assert len(set(env.seeds)) == len(env.seeds) == 6
    again = Uniform()
    for seed in (2, 3):
        agent_for("maml-trpo", "navigation").player(seed=seed).play(again)
    assert again.seeds[0] == env.seeds[0]  # equal players play equal episodes
    assert again.seeds[1] not in env.seeds
    player.play(again, seed=0)
    player.play(again, 7)
    assert again.seeds[2:] == [0, 7]


def test_the_first_episode_is_the_evaluators() -> None:
    agent = agent_for("maml-trpo", "navigation")
    test = envs.make("navigation", "test")
    evaluation = evaluate(agent.learner, agent.weights, test, agent.config.evaluate)
    played = agent.player(seed=agent.config.evaluate.evaluation_seed).play(Lone(test, evaluation.tasks[0]))
    assert played.returns[0, 0] == pytest.approx(evaluation.returns[0, 0, 0], rel=1e-4)


@pytest.mark.parametrize("recipe", ["maml-trpo", "rl2", "random"])
@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ([0.1, 0.2, 0.3], r"observation: must be numbers of shape \(2,\), got float64 numbers of shape \(3,\)"),
        ([[0.1, 0.2]], r"got float64 numbers of shape \(1, 2\)"),
        ([[0.1], [0.1, 0.2]], "observation: must be numbers of shape"),
        (["a", "b"], r"got <U1 numbers of shape \(2,\)"),
        ({"x": 1}, r"got object numbers of shape \(\)"),
    ],
)
def test_an_observation_of_another_form_is_refused_in_one_line(recipe: str, observation: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        agent_for(recipe, "navigation").player().act(observation)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_observation_that_is_not_finite_is_refused(value: float) -> None:
    agent = agent_for("maml-trpo", "navigation")
    with pytest.raises(envs.NonFiniteError, match=rf"observation: the number at \[1\] is {value}; it must be finite"):
        agent.player().act([0.0, value])
    protocol = agent.as_metaworld_agent()
    for ask in (protocol.eval_action, protocol.adapt_action):
        with pytest.raises(envs.NonFiniteError, match=r"the number at \[0, 1\]"):
            ask(np.array([[0.0, value]]))
        with pytest.raises(ConfigError, match=r"must be numbers of shape \(3, 2\)"):
            ask(np.zeros((3, 4)))


@pytest.mark.parametrize("recipe", ["maml-trpo", "rl2-sac"])
def test_an_observation_beyond_the_numbers_of_the_network_is_refused(recipe: str) -> None:
    """The largest float32 is 3.4028235e38."""
    player = agent_for(recipe, "navigation").player()
    with pytest.raises(envs.NonFiniteError, match=r"the number at \[0\] is 1e\+300; it must be finite in float32"):
        player.act([1e300, 0.0])
    assert np.isfinite(player.act([3.4e38, 0.0])).all()


@pytest.mark.parametrize("recipe", ["maml-trpo", "rl2", "rl2-sac", "varibad", "random"])
def test_what_no_memory_should_keep_is_refused_and_changes_nothing(recipe: str) -> None:
    """Beside a player that was never told."""
    player, spared = (agent_for(recipe, "navigation").player(seed=3) for _ in range(2))
    for one in (player, spared):
        one.act([0.1, 0.2])
    for reward in (np.nan, np.inf, -np.inf, 1e300):
        with pytest.raises(envs.NonFiniteError, match=r"^observe: the reward is .*; it must be finite in float32$"):
            player.observe(reward, False)
    for wrong in ("a", None, [1.0, 2.0]):
        with pytest.raises(ConfigError, match=r"^observe: the reward must be one number, got "):
            player.observe(wrong, False)  # type: ignore[arg-type]
    for one in (player, spared):
        one.observe(np.array([1.5]), np.bool_(False))  # type: ignore[arg-type]
    assert np.array_equal(player.act([0.3, 0.4]), spared.act([0.3, 0.4]))


@pytest.mark.parametrize("recipe", ["maml-trpo", "rl2"])
def test_nothing_is_observed_without_an_action(recipe: str) -> None:
    player = agent_for(recipe, "navigation").player()
    said = "^observe: tells what followed an action; call act first, once before each observe$"
    with pytest.raises(ConfigError, match=said):
        player.observe(0.0, False)
    player.act([0.1, 0.2])
    player.observe(0.0, False)
    with pytest.raises(ConfigError, match=said):
        player.observe(0.0, False)
    player.act([0.1, 0.2])
    player.reset()
    with pytest.raises(ConfigError, match=said):
        player.observe(0.0, False)


@pytest.mark.parametrize(
    ("seed", "said"), [(-1, "must be at least 0, got -1"), (1.5, "must be a whole number, got 1.5"), ("1", "got '1'")]
)
def test_a_seed_that_is_none_is_refused(seed: Any, said: str) -> None:
    agent = agent_for("maml-trpo", "navigation")
    with pytest.raises(ConfigError, match=rf"^seed: .*{said}$"):
        agent.player(seed=seed)
    with pytest.raises(ConfigError, match=rf"^seed: .*{said}$"):
        agent.player().play(Uniform(), seed=seed)
    assert agent.player(seed=2**80).adapt(Uniform(), episodes=1, horizon=2).practice


def test_other_things_than_a_single_environment_are_refused() -> None:
    player, distribution = agent_for("maml-trpo", "navigation").player(), envs.make("navigation")
    with distribution.make(1, 1) as many:
        for other in (many, many.flat()):
            with pytest.raises(ConfigError, match=r"env: must be a single gymnasium.Env, got \w+$"):
                player.play(other)  # type: ignore[arg-type]
    pairs = Uniform()
    pairs.observation_space = gym.spaces.Dict({"x": gym.spaces.Box(-1, 1, (2,))})  # type: ignore[assignment]
    with pytest.raises(ConfigError, match=r"env: the observation space is Dict\('x': Box"):
        player.adapt(pairs)


@pytest.mark.parametrize(("recipe", "other"), [("maml-trpo", "classic/cartpole"), ("rl2", "bandit/k5-n10")])
def test_evaluating_on_tasks_of_other_spaces_is_refused_in_one_line(recipe: str, other: str) -> None:
    agent = agent_for(recipe, "navigation")
    with pytest.raises(ConfigError, match=r"^env: the \w+ space is .*, the agent was trained with Box\(2,\)$"):
        evaluate(agent.learner, agent.weights, envs.make(other), agent.config.evaluate)


class Goals(Uniform):
    """Navigation with the goal beside the place; it is 0 where it is hidden."""

    observation_space = gym.spaces.Box(np.array([-1, -1, 0], np.float32), np.array([1, 1, 0], np.float32))

    def __init__(self, goal: float) -> None:
        super().__init__()
        self.goal = goal

    def set_task(self, vector: np.ndarray) -> None:
        pass

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return np.append(super().reset(seed=seed)[0], np.float32(self.goal)), {}

    def step(self, action: Any) -> Any:
        seen, *others = super().step(action)
        return np.append(seen, np.float32(self.goal)), *others


def test_a_number_that_never_moved_in_training_and_moves_now_is_said_once() -> None:
    def distribution(goal: float) -> GymDistribution:
        return GymDistribution("goals", lambda: Goals(goal), lambda rng: rng.random(1), 3, success_key=None)

    said = r"observation: the number at \[2\] is 0.5, but was always 0 in training"
    config = replace_paths(default_config("maml-trpo", "navigation"), {"network.hidden": (8,)})
    learner = make_learner(config, distribution(0))
    weights = learner.init().weights
    agent = Agent(config, learner, weights, 0, 0, Interface.of(distribution(0), 3))
    acts: list[Any] = [
        lambda player: player.act([0.1, 0.2, 0.5]),
        lambda player: player.play(Goals(0.5)),
        lambda player: player.adapt(Goals(0.5), episodes=2, steps=1),
    ]
    for act in acts:
        player = agent.player()
        player.act([0.1, 0.2, 0.0])
        player.play(Goals(0))
        with pytest.warns(InterfaceWarning, match=said):
            act(player)
        act(player)  # not again: warnings are errors here
    protocol = replace(config.evaluate, test_tasks=2, adaptation_episodes=2)
    evaluate(learner, weights, distribution(0), protocol)
    with pytest.warns(InterfaceWarning, match=said) as caught:
        evaluate(learner, weights, distribution(0.5), protocol)
    assert len(caught) == 1
