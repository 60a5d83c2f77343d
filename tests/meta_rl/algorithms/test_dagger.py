"""DAgger and behaviour cloning: who acts, what is learned, and that it is learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.algorithms.dagger import Imitator, Lesson
from meta_rl.cli import main
from meta_rl.config import TrainConfig, default_config, replace_paths
from meta_rl.core.types import MetaBatch
from meta_rl.sources.base import Plan
from meta_rl.sources.collect import Shard
from meta_rl.sources.in_process import InProcess
from meta_rl.training.train import train
from tests.meta_rl.training.test_train import final, quiet

SMALL = {"network.hidden": (8,), "algorithm.chunk": 6, "network.normalise_observations": False}


def learner_for(env: str, **changes: Any) -> tuple[Imitator, envs.TaskDistribution]:
    distribution = envs.make(env, **({"horizon": 10} if env == "navigation" else {}))
    learner = make_learner(replace_paths(default_config("dagger", env), {**SMALL, **changes}), distribution)
    assert isinstance(learner, Imitator)
    return learner, distribution


def sampled(env: str, iteration: int, taught_for: int | None, tasks: int = 3) -> tuple[Imitator, Shard]:
    learner, distribution = learner_for(env)
    source = InProcess(distribution, learner, Plan(tasks, 2, 0, 1, taught_for))
    return learner, source.sample(learner.init().weights, iteration)


def lessons(shard: Shard) -> list[Lesson]:
    return [*shard.batch.support, shard.batch.query]


@pytest.mark.parametrize("env", ["navigation", "bandit/k4-n6"])
def test_the_expert_acts_first_and_labels_always(env: str) -> None:
    _, taught = sampled(env, 0, 2)
    for lesson in lessons(taught):
        assert torch.equal(lesson.action, lesson.label)
    _, alone = sampled(env, 2, 2)
    for lesson in lessons(alone):
        assert not torch.equal(lesson.action, lesson.label)
        assert lesson.label.dtype == lesson.action.dtype


def test_labels_are_the_experts_at_what_the_student_saw() -> None:
    _, shard = sampled("navigation", 7, 2)
    goals = Plan(3, 2, 0).tasks(envs.make("navigation"), 7)
    for lesson in lessons(shard):
        for task, goal in enumerate(goals):
            expected = (torch.tensor(goal.vector) - lesson.observation[task, 0]).clamp(-0.1, 0.1).float()
            valid = lesson.weight[task, 0] > 0
            torch.testing.assert_close(lesson.label[task, 0][valid], expected[valid], rtol=0, atol=1e-6)


def test_who_is_taught_follows_from_the_seed() -> None:
    plan = Plan(1000, 1, 0, 4, 10)
    shares = [plan.taught(iteration, range(1000)) for iteration in (0, 4, 10, 50)]
    assert [float(share.mean()) for share in shares if share is not None] == pytest.approx([1, 0.6, 0, 0], abs=0.05)
    parts = [plan.taught(4, plan.indices(shard)) for shard in range(4)]
    np.testing.assert_array_equal(np.concatenate([part for part in parts if part is not None]), shares[1])
    assert plan._replace(taught_for=None).taught(0, range(3)) is None
    nobody = plan._replace(taught_for=0).taught(0, range(3))
    assert nobody is not None
    assert not nobody.any()


def test_a_step_reads_what_was_done_not_what_the_student_would_have_done() -> None:
    learner, shard = sampled("navigation", 0, 2)
    trials = learner.trials(shard.batch)
    first = shard.batch.support[0]
    done = trials.inputs[:, 1:10, 2:4]  # after the observation comes the previous action
    played = first.weight[:, 0, :9] > 0
    torch.testing.assert_close(done[played], first.label[:, 0, :9][played])
    # The same memory while acting: the actor's after an episode is the unrolled one.
    distribution = envs.make("navigation", horizon=10)
    with distribution.make(1, 1) as env:
        env.set_tasks([envs.Task("navigation", (0.5, 0.5))])
        adapted = learner.start(learner.init().weights, 1)
        actor, observation = learner.actor(adapted), env.reset([0])
        actor.act(observation, None)
        taken = actor.instead(np.full((1, 1, 2), 0.1, np.float32), np.array([True]))
        assert (taken == np.float32(0.1)).all()
        step = env.step(taken)
        actor.observe(step.reward, step.terminated)
    assert actor.memory().recall[0, 0, :2].tolist() == [np.float32(0.1)] * 2


@pytest.mark.parametrize("env", ["navigation", "bandit/k4-n6"])
def test_the_loss_is_that_of_the_formula(env: str) -> None:
    learner, shard = sampled(env, 1, 3)
    policy, total, count = learner.policy, 0.0, 0.0
    trials = learner.trials(shard.batch)
    returns = torch.zeros(len(trials.weight), trials.weight.shape[1] + 1, dtype=torch.float64)
    for t in reversed(range(trials.weight.shape[1])):
        returns[:, t] = trials.earned[:, t] * trials.weight[:, t] + 0.99 * returns[:, t + 1]
    returns, valid = returns[:, :-1], trials.weight > 0
    target = (returns - returns[valid].mean()) / returns[valid].std(correction=0)
    memory = torch.zeros(len(trials.weight), policy.state_size)
    with torch.no_grad():
        for t in range(trials.weight.shape[1]):  # a step at a time, as while acting
            value = policy(trials.inputs[:, t : t + 1], memory).value[:, 0]
            distribution, memory = policy.step(trials.inputs[:, t], memory)
            loss = -distribution.log_prob(trials.action[:, t]) + 0.1 * (value - target[:, t]) ** 2
            total, count = total + float(loss[valid[:, t]].sum()), count + float(valid[:, t].sum())
    one_pass = {"algorithm.epochs": 1, "algorithm.minibatches": 1}
    again, _ = learner_for(env, **one_pass)
    metrics = again.meta_update(again.init(), shard.batch)
    assert math.isclose(metrics["update/loss_before"], total / count, rel_tol=1e-4)


def test_a_batch_that_is_not_finite_changes_nothing() -> None:
    learner, shard = sampled("navigation", 1, 3)
    state = learner.init()
    query = shard.batch.query._replace(label=shard.batch.query.label * math.nan)
    metrics = learner.meta_update(state, MetaBatch(shard.batch.support, query))
    assert metrics["guard/non_finite_gradient"] == 1
    assert not state.optimizer
    assert all(torch.equal(state.params[name], p) for name, p in learner.init().params.items())


def test_the_student_of_a_bandit_learns_the_best_arm() -> None:
    """The expert knows the arms, the student has to find out: by chance it earns 0.5 a pull."""
    learner, distribution = learner_for(
        "bandit/k2-n20",
        **{"network.hidden": (16,), "algorithm.chunk": 20, "algorithm.learning_rate": 1e-2, "algorithm.epochs": 8},
    )
    source, state = InProcess(distribution, learner, Plan(60, 1, 0, 1, 2)), learner.init()
    for state.iteration in range(14):
        shard = source.sample(state.weights, state.iteration)
        learner.meta_update(state, shard.batch)
    assert shard.returns.mean() / 20 > 0.56


def test_rl2_begins_with_a_student(tiny: Callable[..., TrainConfig]) -> None:
    def small(recipe: str, name: str, **changes: Any) -> TrainConfig:
        given = replace_paths(default_config(recipe, "navigation"), {"network.hidden": (8,)})
        normalised = replace_paths(given.network, {"normalise_observations": True})
        return tiny(name, recipe=recipe, algorithm=given.algorithm, network=normalised, **changes)

    student = train(small("dagger", "student", iterations=2), quiet)
    begun = train(small("rl2", "begun", iterations=0, start_from=str(student)), quiet)
    mine, theirs = final(begun), final(student)
    assert all(torch.equal(mine.params[name], p) for name, p in theirs.params.items())
    assert all(torch.equal(mine.statistics[name], p) for name, p in theirs.statistics.items())
    assert theirs.statistics
    assert mine.env_steps == theirs.env_steps > 0


def test_the_students_network_is_that_of_rl2() -> None:
    for env in ("navigation", "metaworld/ml1-push-v3", "metaworld/ml10", "bandit/k5-n10"):
        student, rl2 = default_config("dagger", env), default_config("rl2", env)
        alike = {"init_std": rl2.network.init_std}  # a number, no size
        assert replace_paths(student.network, alike) == rl2.network
        assert student.algorithm.reward_scale == rl2.algorithm.reward_scale  # type: ignore[attr-defined]
        assert default_config("bc", env).network == student.network


def test_tasks_without_an_expert_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "dagger", "--env", "tabular", "--iterations", "1"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--env: tabular has no expert to learn from; for example navigation" in said
