"""Every episode of every task counts exactly once, before and after each adaptation step."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import envs
from envs import Task, TaskDistribution, TaskVectorEnv
from meta_rl.algorithms.base import MetaLearner, make_learner
from meta_rl.config import EvaluateConfig, default_config, replace_paths
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.types import Batch, Params, Rollout
from meta_rl.core.weights import Weights
from meta_rl.evaluation.episodes import Evaluation, evaluate, test_tasks
from meta_rl.evaluation.scores import MODE, SAMPLED
from meta_rl.maths.distributions import Categorical
from tests.meta_rl.evaluation.records import as_json, record_of

test_tasks.__test__ = False  # a function of the package, not a test


class Plain(TaskVectorEnv):
    """Two steps an episode; the reward is 100 * task + action, success when that is a multiple of 3."""

    def __init__(self, num_tasks: int, envs_per_task: int) -> None:
        box = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        super().__init__(num_tasks, envs_per_task, box, box, horizon=2)

    def _set_tasks(self, tasks: list[Task]) -> None:
        self.base = np.array([[t.vector[0]] for t in tasks])

    def _reset(self, seeds: list[int], mask: NDArray[np.bool_]) -> Any:
        return np.zeros((*self.shape, 1), np.float32)

    def _step(self, action: NDArray[Any], active: NDArray[np.bool_]) -> Any:
        reward = 100.0 * self.base + action[..., 0].astype(np.float64)
        return np.zeros((*self.shape, 1)), reward, np.zeros(self.shape, bool), reward.round() % 3 == 0


class Numbers(TaskDistribution):
    """Tasks 0 ... 6 of two families."""

    name, split, families, horizon = "numbers", "test", ("low", "high"), 2

    def __init__(self, finite: bool, deterministic: bool) -> None:
        self.observation_space = self.action_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.finite, self.deterministic = finite, deterministic

    def tasks(self) -> list[Task] | None:
        return [Task("low" if i < 4 else "high", (i,)) for i in range(7)] if self.finite else None

    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        return [Task("low", (int(i),)) for i in rng.integers(100, size=count)]

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        return Plain(num_tasks, envs_per_task)


class Stage:
    """A learner whose only parameter counts its adaptation steps and which acts with that number."""

    episodes_at_once = True

    class policy:
        noise_shape = (1,)
        noise_kind = "normal"

    def start(self, weights: Weights, num_tasks: int) -> Params:
        return {"k": weights.params["k"].expand(num_tasks)}

    def prepare(self, params: Params, rollout: Rollout) -> Batch:
        assert rollout.reward.shape[1] == 4  # the adaptation episodes
        nothing = torch.zeros(len(rollout.reward))
        return Batch(nothing, nothing, nothing, nothing, nothing)

    def adapt(self, params: Params, support: Batch, actor: Any) -> Params:
        return {"k": params["k"] + 1}

    def actor(self, params: Params) -> Any:
        class Actor:
            def begin(self) -> None:
                pass

            def act(self, observation: NDArray[Any], noise: NDArray[Any] | None) -> NDArray[Any]:
                mode = np.broadcast_to(params["k"].numpy()[:, None, None], observation.shape)
                return (mode if noise is None else mode + noise).astype(np.float32)

            def observe(self, reward: NDArray[Any], done: NDArray[Any]) -> None:
                pass

        return Actor()


def start(recipe: str, env: str) -> tuple[MetaLearner, Params, TaskDistribution]:
    """A small learner that nobody trained, and the test split of `env`."""
    config = default_config(recipe, env)
    if recipe != "random":
        config = replace_paths(config, {"network.hidden": (8,)})
    distribution = envs.make(env, "test")
    learner = make_learner(config, distribution)
    return learner, learner.init().weights, distribution


def assert_same_mode(one: Evaluation, other: Evaluation) -> None:
    """Bit for bit, in all but sampled actions."""
    assert one.tasks == other.tasks
    for name in ("returns", "solved", "practice_returns"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


PROTOCOL = EvaluateConfig(adaptation_episodes=4, evaluation_episodes=3, adaptation_steps=2, tasks_at_once=3)


@pytest.mark.parametrize("deterministic", [False, True])
def test_every_number_is_where_it_belongs(deterministic: bool) -> None:
    """7 tasks in chunks of 3: the last chunk repeats task 6 twice, and the repeats must not show."""
    result = evaluate(Stage(), Weights({"k": torch.zeros(())}), Numbers(True, deterministic), PROTOCOL)  # type: ignore[arg-type]
    episodes = 1 if deterministic else 3
    assert result.returns.shape == (7, 3, episodes)
    for task in range(7):
        for stage in range(3):
            assert (result.returns[task, stage] == 2 * (100 * task + stage)).all()
            assert (result.solved[task, stage] == ((100 * task + stage) % 3 == 0)).all()
    assert [t.vector[0] for t in result.tasks] == list(range(7))
    # 7 tasks x 2 steps x (3 stages of evaluation episodes, and of 3 sampled ones, + 2 stages of 4 adaptation episodes)
    assert result.env_steps == 7 * 2 * (3 * (episodes + 3) + 2 * 4)


@pytest.mark.parametrize("deterministic", [False, True])
def test_sampled_actions_are_judged_beside_the_mode(deterministic: bool) -> None:
    """A return is twice that of the mode's step, plus the noise of two steps, which nothing else in the evaluation has
    in common with it."""
    result = evaluate(Stage(), Weights({"k": torch.zeros(())}), Numbers(True, deterministic), PROTOCOL)  # type: ignore[arg-type]
    assert result.sampled_returns.shape == result.sampled_solved.shape == (7, 3, 3)
    noise = result.sampled_returns - result.returns[..., :1]
    for task in range(7):
        for stage in range(3):
            drawn = generator(0, Purpose.JUDGED_NOISE, 0, task, stage).standard_normal((3, 2, 1), dtype=np.float32)
            np.testing.assert_allclose(noise[task, stage], drawn.sum((1, 2)), atol=1e-3)  # float32 near 1000
            steps = np.round(100 * task + stage + drawn[..., 0]) % 3 == 0
            np.testing.assert_array_equal(result.sampled_solved[task, stage], steps.any(1))
    assert len(np.unique(noise.round(3))) == noise.size


@pytest.mark.parametrize("deterministic", [False, True])
def test_sampled_actions_change_nothing_else(deterministic: bool) -> None:
    distribution, weights, stage = Numbers(True, deterministic), Weights({"k": torch.zeros(())}), Stage()
    alone = dataclasses.replace(PROTOCOL, judge_sampled=False)
    both, mode = (evaluate(stage, weights, distribution, p) for p in (PROTOCOL, alone))  # type: ignore[arg-type]
    assert_same_mode(both, mode)
    assert mode.sampled_returns.shape == mode.sampled_solved.shape == (7, 3, 0)
    assert not any(
        name.startswith("sampled")
        for name in [*as_json(record_of(mode))["stages"][0], *as_json(record_of(mode))["per_task"][0]]
    )
    assert mode.env_steps == both.env_steps - 7 * 2 * 3 * 3
    for ours, theirs in zip(both.stages(), mode.stages(), strict=True):
        assert ours.scores[MODE] == theirs.scores[MODE]
        assert (list(ours.scores), list(theirs.scores)) == ([MODE, SAMPLED], [MODE])


@pytest.mark.parametrize(
    ("recipe", "env"),
    [("maml-trpo", "navigation"), ("rl2", "bandit/k5-n10"), ("rl2", "tabular"), ("random", "navigation")],
)
def test_sampled_actions_change_nothing_else_of_real_learners(recipe: str, env: str) -> None:
    """Neither what is adapted or remembered, nor the noise of the environments."""
    learner, params, distribution = start(recipe, env)
    protocol = EvaluateConfig(test_tasks=3, adaptation_episodes=2, adaptation_steps=2, tasks_at_once=2)
    both, again, mode = (
        evaluate(learner, params, distribution, dataclasses.replace(protocol, judge_sampled=sampled))
        for sampled in (True, True, False)
    )
    assert_same_mode(both, mode)
    np.testing.assert_array_equal(both.sampled_returns, again.sampled_returns)
    assert (both.sampled_returns != both.returns).any()


def test_without_noise_sampled_actions_are_the_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same starts and the same luck in the environments: only the noise of the actions tells the two apart."""
    learner, params, distribution = start("rl2", "bandit/k5-n10")
    monkeypatch.setattr(Categorical, "sample", lambda self, noise: self.mode())
    result = evaluate(learner, params, distribution, EvaluateConfig(test_tasks=3, adaptation_episodes=2))
    assert len(np.unique(result.returns)) > 1
    np.testing.assert_array_equal(result.sampled_returns, result.returns)


class Coins(Plain):
    """Action 1 is a success, for a reward of 1."""

    def __init__(self, num_tasks: int, envs_per_task: int) -> None:
        super().__init__(num_tasks, envs_per_task)
        self.action_space = gym.spaces.Discrete(2)

    def _step(self, action: NDArray[Any], active: NDArray[np.bool_]) -> Any:
        return np.zeros((*self.shape, 1)), action.astype(np.float64), np.zeros(self.shape, bool), action == 1


class Wavering(Stage):
    """Takes action 1 with probability 1/4."""

    class policy:
        noise_shape = (1,)
        noise_kind = "uniform"

    def actor(self, params: Params) -> Any:
        actor = super().actor(params)

        def act(observation: NDArray[Any], noise: NDArray[Any] | None) -> NDArray[Any]:
            choice = Categorical(torch.log(torch.tensor([0.75, 0.25])).expand(*observation.shape[:2], 2))
            return (choice.mode() if noise is None else choice.sample(torch.from_numpy(noise))).numpy()

        actor.act = act
        return actor


def test_noise_alone_may_reach_a_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mode never succeeds; one of two sampled actions does with probability 1 - (3/4)^2 = 7/16."""
    distribution = Numbers(True, True)
    monkeypatch.setattr(distribution, "make", Coins)
    protocol = EvaluateConfig(adaptation_steps=0, evaluation_episodes=2000)
    result = evaluate(Wavering(), Weights({"k": torch.zeros(())}), distribution, protocol)  # type: ignore[arg-type]
    assert not result.solved.any()
    written = as_json(record_of(result))
    stage = written["stages"][0]
    assert stage["success"] == stage["return"] == 0
    assert stage["sampled_success"] == pytest.approx(7 / 16, abs=0.02)  # 14,000 episodes: 5 standard errors
    assert stage["sampled_return"] == pytest.approx(2 / 4, abs=0.03)
    assert list(stage["sampled_success_by_family"]) == ["low", "high"]
    assert stage["sampled_success_by_family"]["high"] == pytest.approx(7 / 16, abs=0.04)
    for name in ("sampled_success", "sampled_return"):
        low, high = stage[f"{name}_interval"]
        assert low < stage[name] < high
    details = written["per_task"][3]
    assert np.mean(details["sampled_solved"][0]) == np.mean(np.greater(details["sampled_returns"][0], 0))
    assert details["returns"] == [[0.0]]


@pytest.mark.parametrize("chosen", [[6], [0, 4], [5, 2]])
def test_a_task_has_the_same_numbers_whichever_others_are_chosen(chosen: list[int]) -> None:
    arguments: Any = Stage(), Weights({"k": torch.zeros(())}), Numbers(True, True), PROTOCOL
    every, some = evaluate(*arguments), evaluate(*arguments, chosen)
    for name in ("returns", "practice_returns", "sampled_returns", "sampled_solved"):
        np.testing.assert_array_equal(getattr(some, name), getattr(every, name)[chosen])


def test_summary_and_details() -> None:
    result = evaluate(Stage(), Weights({"k": torch.zeros(())}), Numbers(True, True), PROTOCOL)  # type: ignore[arg-type]
    summary = as_json(record_of(result))
    for k, stage in enumerate(summary["stages"]):
        solved = [(100 * task + k) % 3 == 0 for task in range(7)]
        assert stage["success"] == pytest.approx(np.mean(solved))
        assert stage["return"] == pytest.approx(2 * (300 + k))
        assert stage["success_by_family"] == {"low": np.mean(solved[:4]), "high": pytest.approx(np.mean(solved[4:]))}
        for name in ("success", "return"):
            low, high = stage[f"{name}_interval"]
            assert low <= stage[name] <= high
            assert low < high
    details = summary["per_task"][5]
    assert details["returns"] == [[1000.0], [1002.0], [1004.0]]
    assert details["sampled_returns"] == result.sampled_returns[5].tolist()


def test_which_tasks() -> None:
    finite, endless = Numbers(True, True), Numbers(False, True)
    assert test_tasks(finite, 0, seed=0) == finite.tasks()
    assert len(test_tasks(finite, 3, seed=0)) == 3
    assert len(test_tasks(endless, 0, seed=0)) == 40
    assert test_tasks(endless, 5, seed=0) == test_tasks(endless, 5, seed=0) != test_tasks(endless, 5, seed=1)


def test_training_tasks_of_a_continuum_are_no_test_tasks() -> None:
    train, test = (test_tasks(envs.make("navigation", split), 5, seed=0) for split in ("train", "test"))
    assert not {task.vector for task in train} & {task.vector for task in test}


def test_more_places_than_tasks_and_no_adaptation() -> None:
    protocol = EvaluateConfig(adaptation_steps=0, tasks_at_once=50)
    result = evaluate(Stage(), Weights({"k": torch.zeros(())}), Numbers(True, True), protocol)  # type: ignore[arg-type]
    assert result.returns[:, 0, 0].tolist() == [200.0 * task for task in range(7)]
    assert result.env_steps == 7 * 2 * (1 + 3)


class Early(Plain):
    """Task i succeeds at step i alone (the episode has 2 steps)."""

    def _reset(self, seeds: list[int], mask: NDArray[np.bool_]) -> Any:
        self.time = 0
        return super()._reset(seeds, mask)

    def _step(self, action: NDArray[Any], active: NDArray[np.bool_]) -> Any:
        observation, reward, terminated, _ = super()._step(action, active)
        self.time += 1
        return observation, reward, terminated, np.broadcast_to(self.base == self.time - 1, self.shape)


def test_success_at_any_step_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    distribution = Numbers(True, True)
    monkeypatch.setattr(distribution, "make", Early)
    result = evaluate(Stage(), Weights({"k": torch.zeros(())}), distribution, PROTOCOL)  # type: ignore[arg-type]
    assert result.solved[:, 0, 0].tolist() == [True, True, False, False, False, False, False]


def test_results_do_not_depend_on_how_tasks_are_batched() -> None:
    """Each task has its own noise: 5 tasks, 2 or 5 at once, on a real learner. (Not bitwise: matrix products of other
    sizes round differently.)"""
    learner, weights, distribution = start("maml-trpo", "navigation")
    protocol = EvaluateConfig(test_tasks=5, adaptation_episodes=2, adaptation_steps=1)
    two, five = (
        evaluate(learner, weights, distribution, dataclasses.replace(protocol, tasks_at_once=n)) for n in (2, 5)
    )
    assert two.tasks == five.tasks
    np.testing.assert_allclose(two.returns, five.returns, rtol=1e-3)
    np.testing.assert_allclose(two.sampled_returns, five.sampled_returns, rtol=1e-3)
    assert not np.allclose(two.returns[:, 0], two.returns[:, 1], rtol=1e-2)  # adaptation does change them
    other = evaluate(learner, weights, distribution, dataclasses.replace(protocol, evaluation_seed=1))
    assert other.tasks != two.tasks
