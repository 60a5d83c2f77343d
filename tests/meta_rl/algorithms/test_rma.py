"""Rapid motor adaptation: who acts, what is learned from the numbers of the task, and that nobody reads them later."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import envs
from envs import Task, TaskDistribution, TaskVectorEnv
from meta_rl.agents.agent import load
from meta_rl.algorithms.base import make_learner
from meta_rl.algorithms.recurrent import Remembered
from meta_rl.algorithms.rma import Rma, Told, ToldEpisode, episodes_apart
from meta_rl.cli import main
from meta_rl.config import EvaluateConfig, TrainConfig, default_config, load_config, replace_paths
from meta_rl.core.interface import Interface
from meta_rl.core.moments import Moments
from meta_rl.core.state import GROUPS
from meta_rl.core.task_numbers import measure_numbers, normalise_numbers
from meta_rl.core.types import MetaBatch, Params, map_tensors
from meta_rl.errors import ConfigError
from meta_rl.evaluation.episodes import evaluate
from meta_rl.networks.memory import CELLS
from meta_rl.networks.recurrent_actor import RecurrentActor
from meta_rl.runs.log import read_rows
from meta_rl.runs.problem import phase_notes
from meta_rl.sources.base import Plan
from meta_rl.sources.collect import Shard
from meta_rl.sources.in_process import InProcess
from meta_rl.training.train import train
from tests.meta_rl.algorithms.acting import watch
from tests.meta_rl.training.test_train import assert_same_run, final, quiet

CONTINUOUS = gym.spaces.Box(-1, 1, (2,), np.float32)
DISCRETE = gym.spaces.Discrete(4)
SMALL: dict[str, Any] = {
    "network.hidden": (7, 6),
    "network.activation": "tanh",
    "network.head_hidden": (5,),
    "network.critic_hidden": (4,),
    "network.task_hidden": (3,),
    "network.latent_size": 2,
    "network.attention_heads": 2,
    "network.attention_window": 5,
    "algorithm.chunk": 4,
    "algorithm.teacher_iterations": 2,
    "algorithm.reward_scale": 0.5,
}


class Uneven(TaskVectorEnv):
    """Random observations and rewards, whatever is done and whatever the task is; the n-th episode in row i terminates
    after ``1 + (i + 2 n) % 5`` of 5 steps."""

    def __init__(self, num_tasks: int, distribution: Unevens) -> None:
        super().__init__(num_tasks, 1, distribution.observation_space, distribution.action_space, horizon=5)
        self.episode = -1

    def _set_tasks(self, tasks: list[Task]) -> None:
        self.rng = np.random.default_rng(0)

    def _reset(self, seeds: list[int], mask: NDArray[np.bool_]) -> Any:
        self.episode, self.elapsed = self.episode + 1, 0
        return self.rng.normal(size=(*self.shape, 3))

    def _step(self, action: NDArray[Any], active: NDArray[np.bool_]) -> Any:
        self.elapsed += 1
        length = 1 + (np.arange(self.num_tasks)[:, None] + 2 * self.episode) % 5
        ended = self.elapsed >= length
        return self.rng.normal(size=(*self.shape, 3)), self.rng.normal(size=self.shape), ended, ended


class Unevens(TaskDistribution):
    name, split, families, horizon = "uneven", "train", ("uneven",), 5
    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)

    def __init__(self, action_space: Any = CONTINUOUS, numbers: int = 3) -> None:
        self.action_space, self.numbers = action_space, numbers

    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        return [Task("uneven", tuple(rng.normal(2, 3, self.numbers))) for _ in range(count)]

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        return Uneven(num_tasks, self)


def learner_for(distribution: TaskDistribution, **changes: Any) -> Rma:
    """A small learner; its initial parameters are moved away from those that are small or zero."""
    learner = make_learner(replace_paths(default_config("rma", "navigation"), {**SMALL, **changes}), distribution)
    assert isinstance(learner, Rma)
    for module in (learner.policy, learner.encoder):
        for p in module.parameters():
            p.data += 0.2 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    return learner


def sampled(learner: Rma, distribution: TaskDistribution, iteration: int, tasks: int = 5, episodes: int = 4) -> Shard:
    plan = Plan(tasks, episodes, 0, told_for=learner.config.told_for)
    return InProcess(distribution, learner, plan).sample(learner.init().weights, iteration)


def normalised(distribution: TaskDistribution, iteration: int, tasks: int = 5) -> NDArray[np.float64]:
    """The numbers of the tasks of an iteration, by the mean and deviation of a thousand others."""
    drawn = Plan(tasks, 1, 0).tasks(distribution, iteration)
    mean, std = np.array(measure_numbers(distribution)).T
    return (np.array([task.vector for task in drawn]) - mean) / std


def two_layers(module: Any, x: Any) -> NDArray[np.float64]:
    """A network of one hidden layer with tanh, by numpy."""
    layers = [p.detach().double().numpy() for p in module.parameters()]
    first, bias, second, last = layers
    return np.tanh(x @ first.T + bias) @ second.T + last


# -- what is told ------------------------------------------------------------------------------------------------------


def test_numbers_are_told_in_deviations_of_training_tasks() -> None:
    distribution = envs.make("navigation")
    scale = measure_numbers(distribution)
    assert np.array(scale) == pytest.approx(np.array([[0, 1 / math.sqrt(12)]] * 2), abs=0.03)  # U[-0.5, 0.5]
    assert scale == measure_numbers(envs.make("navigation", "test"))
    told = normalise_numbers([Task("navigation", (0.25, -0.5))], scale)
    assert told.dtype == np.float32
    assert told[0] == pytest.approx([(0.25 - scale[0][0]) / scale[0][1], (-0.5 - scale[1][0]) / scale[1][1]])
    dynamics = envs.make("metaworld/ml1-push-v3+mass")
    scale = measure_numbers(dynamics)
    assert len(scale) == 13
    assert [std for _, std in scale[-6:]] == [1] * 6  # all but the mass are as they are in all tasks
    assert scale[-6:][0] == (1, 1)
    assert scale[6][1] == pytest.approx(np.std(np.exp(np.linspace(np.log(0.5), np.log(2), 10001))), rel=0.1)


def test_the_agent_remembers_the_numbers_it_was_told(tiny: Callable[..., TrainConfig]) -> None:
    run = train(small_run(tiny, "run", iterations=1), quiet)
    agent = load(run)
    assert agent.interface.numbers == measure_numbers(envs.make("navigation"))
    again = Interface.from_dict(json.loads(json.dumps(agent.interface.to_dict())))
    assert again == agent.interface
    assert "numbers" not in Interface.of(envs.make("navigation")).to_dict()
    encoder: Any = agent.learner.encoder  # type: ignore[attr-defined]
    assert all(torch.equal(p, agent.weights.shared[name]) for name, p in encoder.named_parameters())


def test_the_teacher_is_told_for_its_iterations_and_the_learner_always() -> None:
    distribution = Unevens()
    learner = learner_for(distribution)
    plan = Plan(5, 4, 0, told_for=2)
    assert [plan.told(iteration) for iteration in range(4)] == [True, True, False, False]
    assert plan._replace(told_for=None).told(0) is None
    for iteration in (0, 1, 2, 3):
        batch = sampled(learner, distribution, iteration).batch
        for episode in (*batch.support, batch.query):
            expected = normalised(distribution, iteration)[:, None, None].repeat(5, 2)
            np.testing.assert_allclose(episode.numbers, expected, rtol=1e-6)


# -- who acts ----------------------------------------------------------------------------------------------------------


class Recorder(Rma):
    """Remembers the distributions its actors acted by, ``[stage][time]``, and who they were."""

    def actor(self, adapted: Remembered | Told) -> RecurrentActor:
        actor = super().actor(adapted)
        self.__dict__.setdefault("stages_seen", []).append(watch(actor))
        self.__dict__.setdefault("who", []).append(type(actor._policy).__name__)
        return actor


NETWORKS: list[dict[str, Any]] = [
    {},
    {"network.recall_observation": True, "network.clock_steps": 3},
    {"network.head_hidden": (), "network.critic_hidden": (), "network.task_hidden": ()},
]


@pytest.mark.parametrize("iteration", [0, 2], ids=["teacher", "student"])
@pytest.mark.parametrize("space", [CONTINUOUS, DISCRETE], ids=["box", "choices"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("network", NETWORKS, ids=["plain", "recalled", "linear"])
def test_recomputed_log_probs_equal_those_of_the_actor(
    iteration: int, space: gym.Space[Any], cell: str, network: dict[str, Any]
) -> None:
    distribution = Unevens(space)
    plain = learner_for(distribution, **{"network.cell": cell}, **network)
    learner = Recorder(plain.config, plain.policy, measure_numbers(distribution))
    learner.encoder.load_state_dict(plain.encoder.state_dict())
    batch, state = sampled(learner, distribution, iteration).batch, learner.init()
    assert learner.who == (["Teacher"] if iteration == 0 else ["AdaptivePolicy"]) * 4  # type: ignore[attr-defined]
    if iteration == 0:  # each episode is a trial: rows of 5 tasks x 4 episodes
        apart, params = MetaBatch((), episodes_apart(batch)), learner.taught(state.params, state.shared)
        trials = learner.ppo.trials(apart)
        rows, _, _ = learner.ppo.rows(params, trials, Moments.empty(), 0.95)
        found = rows.batch.log_prob.reshape(trials.weight.shape)
        found = [[x for row in range(4 * i, 4 * i + 4) for x in found[row][trials.weight[row] > 0]] for i in range(5)]
    else:
        trials, _, _ = learner.rows(state, batch)
        log_prob = learner._replay(state.params, trials, 4)[0]
        found = [list(log_prob[i][trials.weight[i] > 0]) for i in range(5)]
    for task in range(5):
        acted = []
        for stage, episode in enumerate([*batch.support, batch.query]):
            length = 1 + (task + 2 * stage) % 5
            assert episode.weight[task, 0].sum() == length
            for step in range(length):
                distribution_ = learner.stages_seen[stage][step]  # type: ignore[attr-defined]
                acted.append(distribution_.log_prob(episode.action[:, 0, step])[task].item())
        assert [float(x) for x in found[task]] == pytest.approx(acted, abs=1e-5)


def test_the_head_reads_the_observation_the_previous_action_and_what_the_task_is() -> None:
    """By hand: the teacher's means from its own weights, also at the first step of a later episode, where the previous
    action is none."""
    distribution = Unevens()
    learner = learner_for(distribution, **{"network.recall_observation": True})
    batch = sampled(learner, distribution, 0, episodes=2).batch
    numbers = normalised(distribution, 0)
    apart = episodes_apart(batch)
    trials = learner.ppo.trials(MetaBatch((), apart))
    state = learner.init()
    params = learner.taught(state.params, state.shared)
    unrolled = learner.ppo.policy.unroll(params, trials.inputs, torch.zeros(10, 0))
    z = two_layers(learner.encoder, numbers)
    for task in range(5):
        for stage, episode in enumerate([batch.support[0], batch.query]):
            for step in range(1 + (task + 2 * stage) % 5):
                before = episode.action[task, 0, step - 1] if step else torch.zeros(2)
                seen = np.concatenate([episode.observation[task, 0, step], before, z[task]])
                head: Any = learner.policy.head
                row = 2 * task + stage
                expected = two_layers(head.mean, seen)
                np.testing.assert_allclose(unrolled.distribution.mean[row, step].detach(), expected, atol=1e-5)
                value = two_layers(learner.policy.value, seen)[0]
                assert float(unrolled.value[row, step]) == pytest.approx(value, abs=1e-5)


def test_at_test_time_nobody_reads_the_task() -> None:
    """Environments that answer the same whatever their task is: other tasks, same actions; and `tell` is not called."""
    distribution = Unevens()
    learner = learner_for(distribution)
    weights = learner.init().weights
    protocol = EvaluateConfig(adaptation_episodes=1, adaptation_steps=3, evaluation_episodes=2, tasks_at_once=3)
    tasks = distribution.sample(np.random.default_rng(0), 6)
    scrambled = [Task("uneven", tuple(-7 * x + 3 for x in task.vector[::-1])) for task in tasks]

    class Watched(Rma):
        acted: list[Any]

        def actor(self, adapted: Remembered | Told) -> RecurrentActor:
            assert isinstance(adapted, Remembered)
            actor = super().actor(adapted)
            act = actor.act

            def watching(*args: Any) -> Any:
                self.acted.append(act(*args))
                return self.acted[-1]

            actor.act = watching  # type: ignore[method-assign]
            return actor

        def tell(self, *_: Any) -> Told:
            raise AssertionError("told at test time")

    found = []
    for chosen in (tasks, scrambled):
        watched = Watched(learner.config, learner.policy, measure_numbers(distribution))
        watched.acted = []
        evaluate(watched, weights, Unevens(), protocol, tasks=chosen)
        found.append(watched.acted)
    assert len(found[0]) == len(found[1]) > 20
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(AssertionError, match="told at test time"):
        sampled(watched, distribution, 0)


# -- the teacher -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [CONTINUOUS, DISCRETE], ids=["box", "choices"])
def test_the_teachers_loss_is_ppos_on_episodes_one_by_one(space: gym.Space[Any]) -> None:
    """Episode by episode and step by step, by torch.distributions, after the policy has moved."""
    distribution = Unevens(space)
    learner = learner_for(distribution, **{"algorithm.entropy_coef": 0.1})
    c, state = learner.config, learner.init()
    batch: MetaBatch = map_tensors(
        lambda x: x.double() if x.is_floating_point() else x, sampled(learner, distribution, 0).batch
    )
    old: Params = {name: p.double() for name, p in learner.taught(state.params, state.shared).items()}
    generator = torch.Generator().manual_seed(3)
    new = {name: p + 0.2 * torch.randn(p.shape, generator=generator).double() for name, p in old.items()}
    trials = learner.ppo.trials(MetaBatch((), episodes_apart(batch)))
    rows, _, _ = learner.ppo.rows(old, trials, Moments.empty(), c.gae_lambda)
    _, metrics = learner.ppo.gradient({name: p.requires_grad_() for name, p in new.items()}, rows, c.entropy_coef)

    def layers(params: Params, name: str, x: Tensor) -> Tensor:
        for i in (0, 2):
            x = params[f"{name}.{i}.weight"] @ x + params[f"{name}.{i}.bias"]
            x = torch.tanh(x) if i == 0 else x
        return x

    def at(params: Params, seen: Tensor, numbers: Tensor) -> tuple[Any, Tensor]:
        x = torch.cat([seen, layers(params, "task", numbers)])
        value = layers(params, "value", x)[0]
        if space is DISCRETE:
            return torch.distributions.Categorical(logits=layers(params, "head.logits", x)), value
        normal = torch.distributions.Normal(layers(params, "head.mean", x), params["head.log_std"].exp())
        return torch.distributions.Independent(normal, 1), value

    steps = []  # what each valid step has: advantage, return, and what both policies say
    for task in range(5):
        for episode in (*batch.support, batch.query):
            length, mine = int(episode.weight[task, 0].sum()), []
            for t in range(length):
                done = episode.action[task, 0, t - 1] if t else torch.zeros_like(episode.action[task, 0, 0])
                acted = torch.eye(4).double()[done] * float(t > 0) if space is DISCRETE else done
                seen = torch.cat([episode.observation[task, 0, t], acted])
                mine.append([at(params, seen, episode.numbers[task, 0, t]) for params in (old, new)])
            advantage = 0.0
            for t in reversed(range(length)):
                following = mine[t + 1][0][1] if t + 1 < length else 0.0
                delta = episode.reward[task, 0, t] + c.discount * following - mine[t][0][1]
                advantage = delta + c.discount * c.gae_lambda * advantage
                steps.append((advantage, advantage + mine[t][0][1], episode.action[task, 0, t], mine[t]))
    gained, target = (torch.stack([step[k] for step in steps]).detach() for k in (0, 1))
    gained = (gained - gained.mean()) / gained.std(correction=0)
    target = (target - target.mean()) / target.std(correction=0)
    total = torch.zeros((), dtype=torch.float64)
    for advantage, wanted, (_, _, action, ((before, _), (after, value))) in zip(gained, target, steps, strict=True):
        ratio = (after.log_prob(action) - before.log_prob(action)).exp()
        gain = torch.minimum(ratio * advantage, ratio.clamp(1 - c.clip_eps, 1 + c.clip_eps) * advantage)
        total = total - gain + c.value_coef * (value - wanted) ** 2 - c.entropy_coef * after.entropy()
    assert metrics["update/loss"] == pytest.approx(total.item() / len(steps), rel=1e-6)
    assert metrics["update/kl"] > 1e-3


def test_the_teacher_learns_heads_and_encoder_and_no_memory() -> None:
    distribution = Unevens()
    learner = learner_for(distribution)
    state = learner.init()
    before = state.copy()
    metrics = learner.meta_update(state, sampled(learner, distribution, 0).batch)
    for name, p in state.params.items():
        assert torch.equal(p, before.params[name]) == name.startswith(("encoder.", "recurrent.", "latent.")), name
    assert {name.partition(".")[0] for name in state.shared} == {"task"}
    assert not any(torch.equal(p, before.shared[name]) for name, p in state.shared.items())
    assert "student/error" not in metrics
    batch = sampled(learner, distribution, 0).batch
    every = [x.sum(-1) for x in ((episode.reward * episode.weight) for episode in (*batch.support, batch.query))]
    assert metrics["teacher/return"] == pytest.approx(float(torch.cat(every).mean()), rel=1e-5)


# -- the student -------------------------------------------------------------------------------------------------------


def test_the_student_learns_what_the_encoder_makes_of_the_numbers() -> None:
    """The target and the loss by hand, a step of the memory at a time."""
    distribution = Unevens()
    learner = learner_for(distribution, **{"algorithm.epochs": 1, "algorithm.minibatches": 1})
    state = learner.init()
    state.iteration = 2
    batch = sampled(learner, distribution, 2).batch
    z = two_layers(learner.encoder, normalised(distribution, 2))  # [task, 2]
    trials, rows, recorded = learner.rows(state, batch)
    wanted = rows.latent.reshape(*trials.weight.shape, 2)
    for task in range(5):
        steps = wanted[task][trials.weight[task] > 0].numpy()
        np.testing.assert_allclose(steps, np.broadcast_to(z[task], steps.shape), atol=1e-5)
    counts = trials.weight.sum(1).numpy()
    mean = (z * counts[:, None]).sum(0) / counts.sum()
    variance = float((((z - mean) ** 2) * counts[:, None]).sum(0).mean() / counts.sum())
    assert recorded["latent/variance"] == pytest.approx(variance, rel=1e-5)
    memory, total, policy = torch.zeros(5, learner.policy.state_size), 0.0, learner.policy
    with torch.no_grad():
        for t in range(trials.weight.shape[1]):
            memory = policy.recurrent.step(policy.encoder(trials.inputs[:, t]), memory)
            off = policy.latent(policy.recurrent.output(memory)).numpy() - z
            total += float(((off**2).mean(1) * trials.weight[:, t].numpy()).sum())
    metrics = learner.meta_update(state, batch)
    assert metrics["update/loss_before"] == pytest.approx(total / counts.sum(), rel=1e-4)
    assert metrics["student/error"] == pytest.approx(total / counts.sum() / variance, rel=1e-4)


def test_what_the_teacher_learned_does_not_move_when_the_student_learns() -> None:
    """To the bit, though the optimizer comes from the teacher."""
    distribution = Unevens()
    learner = learner_for(distribution)
    state = learner.init()
    for state.iteration in (0, 1):
        learner.meta_update(state, sampled(learner, distribution, state.iteration).batch)
    before = state.copy()
    for state.iteration in (2, 3):
        metrics = learner.meta_update(state, sampled(learner, distribution, state.iteration).batch)
    for name, p in state.params.items():
        assert torch.equal(p, before.params[name]) == name.startswith(("head.", "value.")), name
    assert all(torch.equal(p, before.shared[name]) for name, p in state.shared.items())
    assert state.extras.keys() == before.extras.keys()
    assert all(torch.equal(x, before.extras[name]) for name, x in state.extras.items())
    assert {"student/error", "student/return"} <= metrics.keys()
    assert "teacher/return" not in metrics
    learned = {name.partition("/")[2].partition(".")[0] for name in state.optimizer}
    assert learned == {"encoder", "recurrent", "latent"}


@pytest.mark.parametrize("iteration", [0, 2], ids=["teacher", "student"])
def test_a_batch_that_is_not_finite_changes_nothing(iteration: int) -> None:
    distribution = Unevens()
    learner = learner_for(distribution)
    state = learner.init()
    state.iteration = iteration
    batch = sampled(learner, distribution, iteration).batch
    learner.meta_update(state, batch)
    before = state.copy()
    query: ToldEpisode = batch.query
    query.numbers[1] = math.nan
    assert learner.meta_update(state, batch)["guard/non_finite_gradient"] == 1
    for group in GROUPS:
        mine, theirs = getattr(state, group), getattr(before, group)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


# -- runs --------------------------------------------------------------------------------------------------------------


def small_run(tiny: Callable[..., TrainConfig], name: str, recipe: str = "rma", **changes: Any) -> TrainConfig:
    given = default_config(recipe, "navigation")
    network = replace_paths(given.network, {"hidden": (8,), "normalise_observations": True})
    return tiny(name, recipe=recipe, algorithm=given.algorithm, network=network, **changes)


def test_stop_and_resume_equals_an_uninterrupted_run_across_the_border(tiny: Callable[..., TrainConfig]) -> None:
    """Four iterations, of which two are the teacher's by default; a longer run keeps those two."""
    options = {"algorithm.minibatches": 2, "keep_checkpoints": 0}
    whole = train(small_run(tiny, "whole", **options), quiet)
    for stop in (1, 2, 3):  # as if it had been killed after so many iterations
        parts = Path(shutil.copytree(whole, whole.parent / f"parts{stop}"))
        for kept in (parts / "checkpoints").iterdir():
            if int(kept.name) > stop:
                shutil.rmtree(kept)
        said: list[str] = []
        train(small_run(tiny, parts.name, **options), said.append)
        assert any(f"after iteration {stop} of 4" in line for line in said)
        assert_same_run(whole, parts)
    longer = train(small_run(tiny, "whole", iterations=6, **options), quiet)
    assert load_config(longer / "config.json").algorithm.teacher_iterations == 2  # type: ignore[attr-defined]
    rows = read_rows(longer / "metrics.jsonl")
    assert ["teacher/return" in row for row in rows] == [True, True, False, False, False, False]
    assert ["student/error" in row for row in rows] == [False, False, True, True, True, True]


def test_statistics_stand_still_once_the_student_learns(tiny: Callable[..., TrainConfig]) -> None:
    run = train(small_run(tiny, "run", iterations=4, keep_checkpoints=0), quiet)
    seen = [load(run, iteration).weights.statistics for iteration in (1, 2, 3, 4)]
    assert float(seen[0]["seen"]) < float(seen[1]["seen"])
    for later in seen[2:]:
        assert all(torch.equal(x, seen[1][name]) for name, x in later.items())


def test_a_run_goes_on_from_the_teacher_of_another(tiny: Callable[..., TrainConfig]) -> None:
    first = train(small_run(tiny, "first", iterations=2), quiet)
    options = {"start_from": str(first), "algorithm.teacher_iterations": 0}
    second = final(train(small_run(tiny, "second", iterations=1, **options), quiet))
    before = final(first)
    for name, p in second.params.items():
        assert torch.equal(p, before.params[name]) == name.startswith(("head.", "value.")), name
    assert all(torch.equal(p, before.shared[name]) for name, p in second.shared.items())
    assert before.shared.keys() == second.shared.keys()


def test_other_agents_and_other_numbers_are_no_beginning(tiny: Callable[..., TrainConfig]) -> None:
    rl2 = train(small_run(tiny, "rl2", recipe="rl2", iterations=0), quiet)
    with pytest.raises(ConfigError, match=r"--start-from: .* \(rl2\) does not fit rma: its network is another one"):
        train(small_run(tiny, "mine", iterations=2, start_from=str(rl2)), quiet)
    rma = train(small_run(tiny, "rma", iterations=0), quiet)
    with pytest.raises(ConfigError, match=r"\(rma\) does not fit rl2: its network is another one"):
        train(small_run(tiny, "theirs", recipe="rl2", iterations=2, start_from=str(rma)), quiet)
    record = Path(rma) / "environment.json"
    about = json.loads(record.read_text())
    about["interface"]["numbers"][0][0] += 1
    record.write_text(json.dumps(about))
    with pytest.raises(ConfigError, match="means and deviations of the numbers of tasks are others"):
        train(small_run(tiny, "other", iterations=2, start_from=str(rma)), quiet)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--env", "metaworld/ml10"], ["--env: nobody can be told the tasks", "3 numbers in", "equally many"]),
        (["--env", "navigation", "--iterations", "5", "--teacher-iterations", "5"], ["--teacher-iterations", "0 to 4"]),
        (["--env", "navigation", "--teacher-iterations", "-1"], ["--teacher-iterations", "at least 0"]),
        (["--env", "navigation", "--latent-size", "0"], ["--latent-size", "at least 1"]),
        (["--env", "navigation", "--reward-coef", "1"], ["--reward-coef", "not an option of rma"]),
        (["--env", "omniglot-5way-1shot"], ["recipe: rma learns in an environment"]),
    ],
)
def test_what_rma_cannot_do_is_refused_in_a_line(
    options: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "rma", "--run-dir", str(tmp_path / "run"), *options]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert all(word in said for word in words), said
    assert not (tmp_path / "run").exists()


def test_tasks_without_numbers_or_all_the_same_are_refused() -> None:
    config = replace_paths(default_config("rma", "navigation"), SMALL)
    with pytest.raises(ConfigError, match="--env: nobody can be told the tasks: the tasks of uneven have no numbers"):
        make_learner(config, Unevens(numbers=0))
    same = envs.FixedTask(envs.make("navigation"), Task("navigation", (0.1, 0.2)))
    with pytest.raises(ConfigError, match="--env: nothing to tell: all training tasks of navigation have the same"):
        make_learner(config, same)
    with pytest.raises(ConfigError, match="not known which numbers"):
        make_learner(config, Interface.of(envs.make("navigation")))


# -- learning ----------------------------------------------------------------------------------------------------------


def test_the_student_finds_out_what_the_teacher_was_told() -> None:
    """Two arms that pay 1 with chances in [0, 1]: whoever does not adapt earns 0.5 a pull, whatever they do; whoever is
    told the better one earns 2/3."""
    distribution = envs.make("bandit/k2-n20")
    learner = learner_for(
        distribution,
        **{
            "network.hidden": (16,),
            "network.head_hidden": (16,),
            "network.critic_hidden": (16,),
            "algorithm.chunk": 20,
            "algorithm.learning_rate": 1e-2,
            "algorithm.student_learning_rate": 1e-2,
            "algorithm.epochs": 8,
            "algorithm.minibatches": 2,
            "algorithm.max_kl": 1.0,
            "algorithm.teacher_iterations": 10,
            "algorithm.reward_scale": 1.0,
        },
    )
    source, state = InProcess(distribution, learner, Plan(100, 1, 0, told_for=10)), learner.init()
    rows = []
    for state.iteration in range(25):
        shard = source.sample(state.weights, state.iteration)
        rows.append(learner.meta_update(state, shard.batch))
    assert rows[9]["teacher/return"] / 20 > 0.62
    assert rows[-1]["student/return"] / 20 > 0.55
    assert rows[-1]["student/error"] < 0.8 * rows[10]["student/error"]
    protocol = EvaluateConfig(adaptation_episodes=1, adaptation_steps=1, test_tasks=200, tasks_at_once=100)
    judged = evaluate(learner, state.weights, envs.make("bandit/k2-n20", "test"), protocol)
    assert judged.returns[:, 0].mean() / 20 > 0.54
    assert judged.returns[:, 1].mean() > judged.returns[:, 0].mean()  # the memory lasts for the trial


@pytest.mark.parametrize(("iterations", "told", "said"), [(10, 4, 1), (4, 4, 0), (10, 0, 0)])
def test_a_run_says_when_the_student_takes_over(iterations: int, told: int, said: int) -> None:
    """Scores fall then, which is no failure; a run of one of them alone has nothing to say."""
    config = default_config("rma", "navigation")
    notes = phase_notes(replace_paths(config, {"iterations": iterations, "algorithm.teacher_iterations": told}))
    assert len(notes) == said
    assert all("for 4 iterations" in note and "the student's" in note for note in notes)
