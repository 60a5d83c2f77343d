"""RL^2: the learner sees what the actor saw, step for step, and learns from whole trials."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from itertools import chain
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import envs
from envs import Task, TaskDistribution, TaskVectorEnv
from meta_rl.agents.agent import Agent, MetaWorldAgent
from meta_rl.algorithms.rl2 import Episode, Remembered, Rl2, TrialRows, Trials
from meta_rl.config import EvaluateConfig, NetworkConfig, Rl2Config, TrainConfig, default_config, replace_paths
from meta_rl.core import parallel
from meta_rl.core.moments import Moments
from meta_rl.core.state import TrainState
from meta_rl.core.types import Batch, MetaBatch, Params, Rollout
from meta_rl.evaluation.episodes import evaluate
from meta_rl.evaluation.metaworld import Telling, stock_evaluation
from meta_rl.maths import returns
from meta_rl.networks.memory import CELLS
from meta_rl.networks.recurrent import make_recurrent_policy
from meta_rl.networks.recurrent_actor import RecurrentActor
from meta_rl.sources.base import Plan
from meta_rl.sources.collect import Shard, Streams, sample_shard
from meta_rl.sources.in_process import InProcess
from meta_rl.training.train import train
from tests.meta_rl.algorithms.acting import watch
from tests.meta_rl.training.test_train import assert_same_run, final, quiet
from tests.meta_rl.untrained import untrained

OBSERVATION = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
CONTINUOUS = gym.spaces.Box(-1, 1, (2,), np.float32)
DISCRETE = gym.spaces.Discrete(4)


class Uneven(TaskVectorEnv):
    """Random observations; the n-th episode of task i terminates after ``1 + (i + 2 n) % 5`` of 5 steps."""

    def __init__(self, num_tasks: int, action_space: gym.Space) -> None:
        super().__init__(num_tasks, 1, OBSERVATION, action_space, horizon=5)  # type: ignore[arg-type]
        self.episode = -1
        self.rng = np.random.default_rng(0)

    def _set_tasks(self, tasks: list[Task]) -> None:
        pass

    def _reset(self, seeds: list[int], mask: NDArray[np.bool_]) -> Any:
        self.episode, self.elapsed = self.episode + 1, 0
        return self.rng.normal(size=(*self.shape, 3))

    def _step(self, action: NDArray[Any], active: NDArray[np.bool_]) -> Any:
        self.elapsed += 1
        length = 1 + (np.arange(self.num_tasks)[:, None] + 2 * self.episode) % 5
        ended = self.elapsed >= length
        return self.rng.normal(size=(*self.shape, 3)), self.rng.normal(size=self.shape), ended, ended


def make(
    space: gym.Space = CONTINUOUS,
    cell: str = "lstm",
    dtype: torch.dtype = torch.float64,
    network: dict[str, Any] | None = None,
    **config: Any,
) -> Rl2:
    attention = {"attention_heads": 2, "attention_window": 5}  # shorter than a trial, longer than a chunk
    options = NetworkConfig((7, 6), cell=cell, **attention, **network or {})  # type: ignore[arg-type]
    policy = make_recurrent_policy(OBSERVATION, space, options, seed=0)
    learner = Rl2(Rl2Config(**{"chunk": 4, "reward_scale": 0.5, **config}), policy)
    for p in policy.parameters():  # away from the small or zero initial values
        p.data += 0.2 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    policy.to(dtype)
    return learner


def collect(learner: Rl2, space: gym.Space, episodes: int = 4) -> Shard:
    """Trials of 5 tasks whose episodes are of different lengths. Observations are normalised, if they are, by what is
    not so far from their own statistics."""
    tasks = [Task("uneven", (i,)) for i in range(5)]
    weights = learner.init().weights
    if weights.statistics:
        numbers = torch.tensor([[0.3, -0.2, 0.1], [500.0, 200.0, 90.0]], dtype=torch.float64)
        weights = weights._replace(statistics=Moments(torch.tensor(100.0).double(), *numbers)._asdict())
    return sample_shard(Uneven(5, space), learner, weights, tasks, range(5), episodes, Streams(0, 0))


def as_dtype(batch: MetaBatch, dtype: torch.dtype) -> MetaBatch:
    """Recorded numbers are float32."""

    def convert(episode: Episode) -> Episode:
        return Episode(*(x.to(dtype) if x.is_floating_point() else x for x in episode))

    return MetaBatch(tuple(map(convert, batch.support)), convert(batch.query))


def recorded(learner: Rl2, space: gym.Space = CONTINUOUS) -> tuple[Trials, TrialRows, Moments]:
    trials = learner.trials(as_dtype(collect(learner, space).batch, torch.float64))
    rows, moments, _ = learner.rows(learner.init().params, trials, Moments.empty(), 0.95)
    return trials, rows, moments


NETWORKS: list[dict[str, Any]] = [
    {},
    {"recall_observation": True},
    {"clock_steps": 3},
    {"head_hidden": (5,), "critic_hidden": (4,)},
    {"normalise_observations": True},
    {
        "recall_observation": True,
        "clock_steps": 3,
        "head_hidden": (5, 4),
        "critic_hidden": (4,),
        "normalise_observations": True,
    },
]


class Recorder(Rl2):
    """Remembers the distributions its actors acted by, ``[stage][time]``."""

    def actor(self, adapted: Remembered) -> RecurrentActor:
        actor = super().actor(adapted)
        self.__dict__.setdefault("stages_seen", []).append(watch(actor))
        return actor


@pytest.mark.parametrize("space", [CONTINUOUS, DISCRETE])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-6)])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: "+".join(network) or "plain")
def test_recomputed_log_probs_equal_those_of_the_actor(
    space: gym.Space, cell: str, dtype: torch.dtype, tolerance: float, network: dict[str, Any]
) -> None:
    plain = make(space, cell, dtype, network)
    learner = Recorder(plain.config, plain.policy)
    batch = as_dtype(collect(learner, space).batch, dtype)
    trials = learner.trials(batch)
    rows, _, _ = learner.rows(learner.init().params, trials, Moments.empty(), 0.95)
    log_prob = rows.batch.log_prob.reshape(trials.weight.shape)
    episodes = [*batch.support, batch.query]
    lengths = [[1 + (task + 2 * stage) % 5 for stage in range(4)] for task in range(5)]
    assert trials.weight.sum(1).tolist() == [sum(mine) for mine in lengths]
    for task, mine in enumerate(lengths):
        t = 0
        for stage, length in enumerate(mine):
            for step in range(length):
                action = episodes[stage].action[:, 0, step]
                acted = learner.stages_seen[stage][step].log_prob(action)[task]  # type: ignore[attr-defined]
                assert log_prob[task, t].item() == pytest.approx(acted.item(), abs=tolerance)
                t += 1
        assert not trials.weight[task, t:].any()


class Losing(Uneven):
    """The first episode of task 2 gives a NaN at every step, and so does the third one of task 3."""

    def _step(self, action: NDArray[Any], active: NDArray[np.bool_]) -> Any:
        observation, reward, ended, success = super()._step(action, active)
        reward[{0: 2, 2: 3}.get(self.episode, []), 0] = np.nan
        return observation, reward, ended, success


@pytest.mark.parametrize("cell", CELLS)
def test_an_episode_that_is_left_out_leaves_nothing_in_the_memory(cell: str) -> None:
    """What was done after it was done as the learner sees it: after the episodes that count."""
    plain = make(CONTINUOUS, cell, network={"clock_steps": 3, "recall_observation": True})
    learner = Recorder(plain.config, plain.policy)
    tasks = [Task("uneven", (i,)) for i in range(5)]
    shard = sample_shard(Losing(5, CONTINUOUS), learner, learner.init().weights, tasks, range(5), 4, Streams(0, 0))
    assert len(shard.discarded) == 2
    trials = learner.trials(as_dtype(shard.batch, torch.float64))
    rows, _, _ = learner.rows(learner.init().params, trials, Moments.empty(), 0.95)
    log_prob = rows.batch.log_prob.reshape(trials.weight.shape)
    for task in range(5):
        t = 0
        for stage in {2: [1, 2, 3], 3: [0, 1, 3]}.get(task, range(4)):
            for step in range(1 + (task + 2 * stage) % 5):
                action = trials.action[task, t]
                acted = learner.stages_seen[stage][step].log_prob(action)[task]  # type: ignore[attr-defined]
                assert log_prob[task, t].item() == pytest.approx(acted.item(), abs=1e-6)
                t += 1
        assert t == trials.weight[task].sum()


@pytest.mark.parametrize("clock_steps", [0, 5])
@pytest.mark.parametrize("recall_observation", [False, True])
def test_the_network_reads_the_previous_step(recall_observation: bool, clock_steps: int) -> None:
    """And what time it is: fifths of an episode, and n / (n + 1) in the episode after n others."""
    network = {"recall_observation": recall_observation, "clock_steps": clock_steps}
    learner = make(network=network, reward_scale=0.5)
    batch = as_dtype(collect(learner, CONTINUOUS).batch, torch.float64)
    trials = learner.trials(batch)
    first, second = batch.support[:2]
    # Task 1: an episode of 2 steps, then one of 4. Recall: maybe the observation (3), action (2), reward / 2, done, and
    # maybe the clock (2).
    recall = trials.inputs[1, :, 3:]
    assert recall[0].tolist() == [0] * (4 + 3 * recall_observation + 2 * bool(clock_steps))
    steps = [(first, 0, 0, (0.2, 0)), (first, 1, 1, (0, 0.5)), (second, 0, 0, (0.2, 0.5)), (second, 1, 0, (0.4, 0.5))]
    for t, (episode, step, done, clock) in enumerate(steps):
        expected = episode.observation[1, 0, step].tolist() if recall_observation else []
        expected += [*episode.action[1, 0, step].tolist(), episode.reward[1, 0, step].item() / 2, done]
        assert recall[t + 1].tolist() == [*expected, *(clock if clock_steps else ())]
    assert torch.equal(trials.inputs[1, 2, :3], second.observation[1, 0, 0])


def test_advantages_run_across_the_border_of_episodes() -> None:
    """Episodes of 2 of 3 steps (terminated) and 3 steps; the value is 2 everywhere; discount and lambda 0.5.

    delta_t = r_t + 0.5 * 2 - 2 = r_t - 1, but the last: r - 2; rewards 1, 3 | 5, 7, 9
    A_4 = 7; A_3 = 6 + 7 / 4 = 7.75; A_2 = 4 + 7.75 / 4 = 5.9375; A_1 = 2 + A_2 / 4 = 3.484375; A_0 = 0.87109375
    """
    learner = make(discount=0.5, gae_lambda=0.5)
    for name, p in learner.policy.named_parameters():
        if name.startswith("value."):
            p.data.zero_()
    zeros = torch.zeros(1, 1, 3, dtype=torch.float64)
    observation, action = zeros.unsqueeze(-1).expand(1, 1, 3, 3), zeros.unsqueeze(-1).expand(1, 1, 3, 2)
    reward, done = torch.tensor([[[1.0, 3, 0]]]), torch.tensor([[[0.0, 1, 0]]])
    first = Episode(observation, action, reward, reward, done, torch.tensor([[[1.0, 1, 0]]]))
    reward, done = torch.tensor([[[5.0, 7, 9]]]), torch.tensor([[[0.0, 0, 1]]])
    second = Episode(observation, action, reward, reward, done, torch.ones(1, 1, 3))
    trials = learner.trials(as_dtype(MetaBatch((first,), second), torch.float64))
    before = Moments.empty().update(torch.tensor([1.0, 3.0]), torch.ones(2))  # mean 2
    rows, after, _ = learner.rows(learner.init().params, trials, before, learner.gae_lambda(0))
    expected = torch.tensor([0.87109375, 3.484375, 5.9375, 7.75, 7], dtype=torch.float64)
    target = (rows.target * after.std + after.mean).flatten()
    torch.testing.assert_close(target[:5], expected + 2)
    torch.testing.assert_close(after, before.update(expected + 2, torch.ones(5)))
    normalised = (expected - expected.mean()) / expected.std(correction=0)
    torch.testing.assert_close(rows.batch.advantage.flatten()[:5], normalised)
    assert rows.batch.weight.tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
    assert rows.batch.advantage.flatten()[5:].tolist() == [0, 0, 0]


def test_each_trial_can_be_normalised_by_itself() -> None:
    """The rewards of one task are a thousand times as large. Alone, its advantages spread as those of the others;
    together, those of the others nearly vanish."""
    spread = {}
    for over in ("trial", "together"):
        learner = make(normalise_advantages=over)
        trials = learner.trials(as_dtype(collect(learner, CONTINUOUS).batch, torch.float64))
        larger = torch.tensor([1000.0, 1, 1, 1, 1]).double().unsqueeze(1)
        rows, _, _ = learner.rows(
            learner.init().params, trials._replace(earned=trials.earned * larger), Moments.empty(), 0.95
        )
        advantage = rows.batch.advantage.reshape(trials.weight.shape)
        steps = zip(advantage, trials.weight.bool(), strict=True)
        spread[over] = torch.stack([one[valid].std(correction=0) for one, valid in steps])  # [trial]
        if over == "trial":
            torch.testing.assert_close(advantage.sum(1), torch.zeros(5).double())
    torch.testing.assert_close(spread["trial"], torch.ones(5).double())
    assert spread["together"][0] > 1
    assert spread["together"][1:].max() < 0.01


def test_a_value_head_that_learns_compressed_returns_is_read_in_rewards() -> None:
    """What the head predicts is h of a return in standard deviations; advantages are of returns, and the head learns h
    of them."""
    learner = make(compress_returns=True, discount=0.9, gae_lambda=1.0)
    trials = learner.trials(as_dtype(collect(learner, CONTINUOUS).batch, torch.float64))
    before = Moments.empty().update(torch.tensor([1.0, 3.0]), torch.ones(2))  # mean 2, deviation 1
    rows, after, _ = learner.rows(learner.init().params, trials, before, 1.0)
    valid, shape = trials.weight.bool(), trials.weight.shape
    togo = returns.discounted_returns(trials.earned.double() * valid, 0.9)
    # With lambda 1 what is learned is the return, whatever the head said.
    target = (rows.target.reshape(shape) * after.std + after.mean)[valid]
    torch.testing.assert_close(target, returns.compress(togo)[valid])
    torch.testing.assert_close(after, before.update(returns.compress(togo), trials.weight))
    head = learner._replay(learner.init().params, trials, learner.config.chunk)[1].double()
    advantage = togo - returns.expand(head + 2)
    expected = (advantage - advantage[valid].mean()) / advantage[valid].std(correction=0)
    torch.testing.assert_close(rows.batch.advantage.reshape(shape)[valid], expected[valid])


def test_running_moments_are_those_of_all_values() -> None:
    values = torch.randn(3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4 + 7
    weight = (torch.arange(50) < torch.tensor([[50], [20], [3]])).double()
    moments = Moments.empty()
    assert (moments.mean.item(), moments.std.item()) == (0, 1)
    for v, w in zip(values, weight, strict=True):
        moments = moments.update(v, w)
    seen = values[weight.bool()]
    torch.testing.assert_close(moments.mean, seen.mean())
    torch.testing.assert_close(moments.std, seen.std(correction=0))


def expected(said: Tensor, inputs: Tensor, action: Tensor) -> Tensor:
    """Of one step: an offset and two slopes, or numbers of four actions; each of them maybe with three slopes more,
    one for every number observed."""
    here = said[0] + sum(slope * x for slope, x in zip(said[1:], inputs[:3], strict=False))
    return here[action] if action.dim() == 0 else here[0] + here[1] * action[0] + here[2] * action[1]


def looped_loss(learner: Rl2, space: gym.Space, cell: str, new: Params, trials: Trials, rows: TrialRows) -> Tensor:
    """Trial by trial, step by step; memories of the policy that acted at the start of every chunk, the new policy's
    within. `new` are parameters of the policy itself."""
    c, total, steps = learner.config, torch.zeros((), dtype=torch.float64), 0
    acted = make(space, cell).policy
    for i, (inputs, action, weight) in enumerate(zip(trials.inputs, trials.action, trials.weight, strict=True)):
        chunks = len(inputs) // c.chunk
        old_state = torch.zeros(1, learner.policy.state_size, dtype=torch.float64)
        for t in range(int(weight.sum())):
            if t % c.chunk == 0:
                state = old_state.detach()
            _, old_state = acted.step(inputs[t : t + 1], old_state)
            distribution, state = learner.policy.step(inputs[t : t + 1], state)
            value = learner.policy.value(learner.policy.recurrent.output(state))[0, 0]
            row, column = i * chunks + t // c.chunk, t % c.chunk
            advantage = rows.batch.advantage[row, column]
            ratio = (distribution.log_prob(action[t : t + 1])[0] - rows.batch.log_prob[row, column]).exp()
            gain = torch.minimum(ratio * advantage, ratio.clamp(1 - c.clip_eps, 1 + c.clip_eps) * advantage)
            error = (value - rows.target[row, column]).square()
            total = total - gain + c.value_coef * error - c.entropy_coef * distribution.entropy()[0]
            if c.reward_coef:
                said = learner.policy.reward(learner.policy.recurrent.output(state))[0]
                error = expected(said, inputs[t], action[t]) - trials.earned[i, t] * c.reward_scale
                total = total + c.reward_coef * error.square()
                if c.act_on_rewards:  # the second half of what is said
                    doubt = expected(said[:, 4:], inputs[t], action[t])
                    total = total + c.reward_coef * (doubt - error.detach().abs()).square()
                if c.reward_everywhere:
                    first = t - t % c.chunk
                    others = [o for o in range(first, first + c.chunk) if weight[o]]
                    for o in others:
                        error = expected(said, inputs[o], action[o]) - trials.earned[i, o] * c.reward_scale
                        total = total + c.reward_coef * error.square() / len(others)
            steps += 1
    return total / steps


@pytest.mark.parametrize("space", [CONTINUOUS, DISCRETE])
@pytest.mark.parametrize(("reward_coef", "everywhere"), [(0.0, False), (0.3, False), (0.3, True)])
@pytest.mark.parametrize("cell", CELLS)
def test_the_gradient_equals_a_loop_over_trials_and_steps(
    cell: str, reward_coef: float, everywhere: bool, space: gym.Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off-policy (parameters moved since the trials were recorded), chunks shorter than the trials, rows in parts."""
    acts = reward_coef > 0 and space is DISCRETE
    rewards = {"reward_coef": reward_coef, "reward_everywhere": everywhere, "act_on_rewards": acts}
    learner = make(space, cell, entropy_coef=0.1, **rewards)
    monkeypatch.setattr(learner.policy.recurrent, "rows_on_cpu", 3)
    trials, rows, _ = recorded(learner, space)
    assert (rows.batch.log_prob - rows.batch.log_prob.mean()).abs().max() > 0.1
    generator = torch.Generator().manual_seed(1)
    for p in learner.policy.parameters():
        p.data += (0.1 if space is CONTINUOUS else 0.4) * torch.randn(p.shape, dtype=p.dtype, generator=generator)
    params = dict(learner.policy.named_parameters())
    gradient, metrics = learner.gradient(params, rows, learner.config.entropy_coef)
    slow = looped_loss(learner, space, cell, params, trials, rows)
    assert metrics["update/loss"] == pytest.approx(slow.item(), abs=1e-12)
    assert 0 < metrics["update/clip_fraction"] < 1
    assert metrics["update/kl"] > 0
    for fast, expected in zip(gradient, torch.autograd.grad(slow, list(params.values())), strict=True):
        torch.testing.assert_close(fast, expected, rtol=1e-9, atol=1e-12)
        assert expected.abs().max() > 1e-5


def test_learning_from_means_is_learning_from_rewards_without_their_noise() -> None:
    """The network reads the rewards received; advantages, values and expected rewards are of their means."""
    distribution = envs.make("bandit/k4-n6")
    network = NetworkConfig(hidden=(7, 6))
    policy = make_recurrent_policy(distribution.observation_space, DISCRETE, network, seed=0)
    tasks = [Task("bandit", chances) for chances in ((0.1, 0.3, 0.6, 0.9), (0.5, 0.4, 0.2, 0.7))]

    def trials(means: bool) -> tuple[Rl2, Trials, TrialRows]:
        learner = Rl2(Rl2Config(learn_from_means=means, discount=1.0, reward_scale=0.5), copy.deepcopy(policy))
        weights = learner.init().weights
        with distribution.make(2, 1) as env:
            shard = sample_shard(env, learner, weights, tasks, range(2), 2, Streams(0, 0))
        played = learner.trials(shard.batch)
        return learner, played, learner.rows(weights.params, played, Moments.empty(), 1.0)[0]

    noisy, clean = trials(False), trials(True)
    assert torch.equal(noisy[1].inputs, clean[1].inputs)
    assert torch.equal(noisy[1].action, clean[1].action)
    assert set(noisy[1].earned.unique().tolist()) == {0.0, 1.0}
    chances = torch.tensor([task.vector for task in tasks])
    torch.testing.assert_close(clean[1].earned, chances.gather(1, clean[1].action))
    # With lambda 1 what the value learns is what the rest of the trial earns.
    for _, played, rows in (noisy, clean):
        rest = played.earned.double().flip(1).cumsum(1).flip(1)
        moments = Moments.empty().update(rest, played.weight)
        torch.testing.assert_close(rows.target, ((rest - moments.mean) / moments.std).float())
        torch.testing.assert_close(rows.earned, 0.5 * played.earned)


@pytest.mark.parametrize("bonus", [0.0, 3.0])
def test_a_goal_that_is_met_pays_a_bonus_to_the_losses_alone(bonus: float) -> None:
    """Here the goal is met in the second half of an episode: advantages and values are of rewards with the bonus, and
    what the network reads is the reward received."""
    network = NetworkConfig(hidden=(7, 6))
    learner = Rl2(
        Rl2Config(success_bonus=bonus, discount=1.0, reward_scale=0.5),
        make_recurrent_policy(OBSERVATION, CONTINUOUS, network, seed=0),
    )
    weights = learner.init().weights
    rng, shape = np.random.default_rng(0), (2, 1, 4)  # [task, env, time]
    reward = rng.normal(size=shape).astype(np.float32)
    success = np.broadcast_to([False, False, True, True], shape).copy()
    observation = rng.normal(size=(*shape, *OBSERVATION.shape)).astype(np.float32)
    action = rng.normal(size=(*shape, *CONTINUOUS.shape)).astype(np.float32)
    rollout = Rollout(
        observation,
        action,
        reward,
        np.ones(shape, bool),
        success,
        np.zeros(shape[:2], bool),
        observation[:, :, -1],
        reward,
        action,
        (),
    )
    episode = learner.prepare(learner.start(weights, 2), rollout)
    expected = torch.from_numpy(reward) + bonus * torch.tensor([0.0, 0.0, 1.0, 1.0])
    torch.testing.assert_close(episode.earned, expected)
    assert torch.equal(episode.reward, torch.from_numpy(reward))
    played = learner.trials(MetaBatch((episode,), episode))
    plain = Rl2(Rl2Config(reward_scale=0.5), learner.policy)
    unpaid = plain.prepare(plain.start(weights, 2), rollout)
    assert torch.equal(played.inputs, plain.trials(MetaBatch((unpaid,), unpaid)).inputs)
    rest = played.earned.double().flip(1).cumsum(1).flip(1)  # with lambda 1: what the rest of the trial earns
    moments = Moments.empty().update(rest, played.weight)
    rows = learner.rows(weights.params, played, Moments.empty(), 1.0)[0]
    torch.testing.assert_close(rows.target.reshape(rest.shape), ((rest - moments.mean) / moments.std).float())


def numbered(lengths: list[int], first: int = 0) -> tuple[TrialRows, Trials]:
    """Trials of up to 12 steps in chunks of 4, as a process that has these alone cuts them: the row of chunk c of trial
    i is numbered 10 * i + c, with the first trial's i given."""
    longest = max(lengths)
    padded = longest if longest < 4 else -(-longest // 4) * 4
    weight = (torch.arange(padded) < torch.tensor(lengths).unsqueeze(1)).float()
    ids = 10.0 * (first + torch.arange(len(lengths))).unsqueeze(1) + torch.arange(max(1, padded // 4))
    ids = ids.reshape(-1, 1).expand(-1, min(4, padded))
    rows = TrialRows(Batch(ids, ids, ids, ids, weight.reshape(ids.shape)), ids, ids, ids)
    return rows, Trials(weight, weight, weight, weight, longest=12)


def minibatches(learner: Rl2, made: tuple[TrialRows, Trials], iteration: int = 0) -> list[list[int]]:
    return [part.start[:, 0].int().tolist() for part in learner._minibatches(*made, iteration)]


UNEVEN, CHUNKS = [9, 1, 12, 8, 3, 5], [0, 1, 2, 10, 20, 21, 22, 30, 31, 40, 50, 51]


@pytest.mark.parametrize("count", [1, 2, 5, 12, 40])
def test_every_epoch_takes_every_used_chunk_once_in_a_new_order(count: int) -> None:
    """12 chunks hold something, 6 are padding; minibatches are as large as each other, and none is empty."""
    learner = make(epochs=3, minibatches=count)
    parts, each = minibatches(learner, numbered(UNEVEN)), min(count, 12)
    assert len(parts) == 3 * each
    epochs = [parts[epoch * each : (epoch + 1) * each] for epoch in range(3)]
    for epoch in epochs:
        assert sorted(chain.from_iterable(epoch)) == CHUNKS
        assert {len(part) for part in epoch} <= {12 // each, -(-12 // each)}
    assert epochs[0] != epochs[1] != epochs[2]
    assert minibatches(learner, numbered(UNEVEN)) == parts
    assert minibatches(learner, numbered(UNEVEN), 1) != parts


@pytest.mark.parametrize("lengths", [UNEVEN, [3, 1, 2, 12, 8, 3], [12, 12, 9, 2, 2, 1], [12] * 6], ids=str)
@pytest.mark.parametrize("size", [2, 3, 6])
def test_minibatches_are_the_same_whatever_the_number_of_processes(
    lengths: list[int], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the processes with its part of the trials; one may have short trials only, fewer chunks of each, or rows
    shorter than a chunk."""
    learner, each = make(epochs=2, minibatches=4), 6 // size
    whole = minibatches(learner, numbered(lengths))
    said: list[Tensor] = []

    def run() -> list[list[list[int]]]:
        parts = []
        for rank in range(size):
            monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
            parts.append(minibatches(learner, numbered(lengths[rank * each : (rank + 1) * each], rank * each)))
        return parts

    monkeypatch.setattr(parallel, "size", lambda: size)
    monkeypatch.setattr(parallel, "sum_of", lambda x: said.append(x) or x)  # what each process has to say
    run()
    monkeypatch.setattr(parallel, "sum_of", lambda x: sum(said))
    parts = run()
    assert [len(mine) for mine in parts] == [len(whole)] * size
    for together, *split in zip(whole, *parts, strict=True):
        assert sorted(together) == sorted(chain.from_iterable(split))


@pytest.mark.parametrize("where", ["reward", "observation"])
def test_a_nan_skips_the_update_bitwise(where: str) -> None:
    learner = make(dtype=torch.float32, epochs=2, minibatches=2)
    batch = collect(learner, CONTINUOUS).batch
    state = learner.init()
    assert learner.meta_update(state, batch)["guard/non_finite_gradient"] == 0
    before = copy.deepcopy(state)
    getattr(batch.support[1], where)[1, 0, 0] = torch.nan
    assert learner.meta_update(state, batch)["guard/non_finite_gradient"] == 1
    for group in ("params", "optimizer", "extras"):
        mine, theirs = getattr(state, group), getattr(before, group)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_an_update_improves_the_surrogate() -> None:
    learner = make(dtype=torch.float32, epochs=5)
    state = learner.init()
    metrics = learner.meta_update(state, collect(learner, CONTINUOUS).batch)
    assert metrics["update/loss_after"] < metrics["update/loss_before"]
    assert metrics["update/kl"] > 0
    assert metrics["value/explained_variance"] < 1
    assert not any(p.requires_grad for p in state.params.values())
    assert state.extras["seen"] > 0


@pytest.mark.parametrize(("max_kl", "least", "most"), [(1e-12, 1, 1), (5e-3, 2, 7), (10.0, 8, 8)])
def test_an_iteration_stops_once_the_policy_has_moved_far_enough(max_kl: float, least: int, most: int) -> None:
    """The first step starts at the policy that acted, where the divergence is 0."""
    learner = make(dtype=torch.float32, epochs=4, minibatches=2, max_kl=max_kl, learning_rate=2e-2)
    state = learner.init()
    metrics = learner.meta_update(state, collect(learner, CONTINUOUS).batch)
    taken = metrics["update/steps"]
    assert least <= taken <= most
    assert metrics["update/stopped_early"] == (taken < 8)
    assert metrics["update/kl"] <= max_kl
    assert {float(v) for name, v in state.optimizer.items() if name.startswith("step/")} == {taken}


def test_the_bias_of_advantages_is_annealed() -> None:
    """A quarter of the way from lambda 0.6 to 1 is 0.7; at the end, advantages are returns minus values."""
    annealed = {"gae_lambda": 0.6, "final_gae_bias": 0.0, "learning_rate_iterations": 8}
    learner = make(dtype=torch.float32, discount=0.9, **annealed)
    assert learner.gae_lambda(2) == pytest.approx(0.7)
    state, batch = learner.init(), collect(learner, CONTINUOUS).batch
    state.iteration, trials = 8, learner.trials(batch)
    rows, _, _ = learner.rows(state.params, trials, Moments.empty(), learner.gae_lambda(8))
    length, reward = trials.earned.shape[1], trials.earned.double() * trials.weight
    powers = 0.9 ** (torch.arange(length) - torch.arange(length)[:, None]).clamp(min=0)
    togo = reward @ torch.triu(powers.double()).mT
    moments = Moments.empty().update(togo, trials.weight)
    target = rows.target.reshape(*trials.weight.shape).double()
    expected = (togo - moments.mean) / moments.std
    torch.testing.assert_close(target * trials.weight, expected * trials.weight, rtol=1e-5, atol=1e-5)


def test_the_step_size_is_annealed() -> None:
    """Adam's first step moves every parameter by the step size: half of it half way, nothing at the end."""
    batch = collect(make(dtype=torch.float32), CONTINUOUS).batch
    moved = []
    for iteration in (0, 5, 10):
        learner = make(
            dtype=torch.float32, epochs=1, final_learning_rate=0, final_entropy_coef=0.5, learning_rate_iterations=10
        )
        assert learner.entropy_coef(iteration) == pytest.approx(learner.config.entropy_coef * (1 - iteration / 20))
        assert learner.gae_lambda(iteration) == learner.config.gae_lambda
        state = learner.init()
        before = state.params["head.log_std"].clone()
        state.iteration = iteration
        learner.meta_update(state, batch)
        moved.append(float((state.params["head.log_std"] - before).abs().max()))
    assert moved[0] > 0
    assert moved[1] == pytest.approx(moved[0] / 2, rel=1e-3)
    assert moved[2] == 0


# -- the actor ---------------------------------------------------------------------------------------------------------


def test_an_environment_stands_still_from_the_end_of_its_episode_to_the_next() -> None:
    learner = make()
    actor = learner.actor(learner.start(learner.init().weights, 2))
    rng = np.random.default_rng(0)

    def advance(done: list[bool]) -> None:
        actor.act(rng.normal(size=(2, 1, 3)), None)
        actor.observe(np.ones((2, 1)), np.array(done)[:, None])

    actor.begin()
    advance([True, False])
    first = actor.memory()
    assert first.recall[:, 0, -2:].tolist() == [[0.5, 1], [0.5, 0]]
    advance([True, False])
    for before, after in zip(first, actor.memory(), strict=True):
        assert torch.equal(before[0], after[0])
        assert not torch.equal(before[1], after[1])
    actor.begin(np.array([[True], [False]]))
    second = actor.memory()
    advance([False, False])
    assert not torch.equal(second.state[0], actor.memory().state[0])


def test_looking_at_a_memory_changes_nothing() -> None:
    """Between an action and what followed it, the memory is that of reward 0; what is observed after counts alone."""
    learner = make()
    looked_at, alone = (learner.actor(learner.start(learner.init().weights, 2)) for _ in range(2))
    rng = np.random.default_rng(0)
    for _ in range(3):
        observation = rng.normal(size=(2, 1, 3))
        np.testing.assert_array_equal(looked_at.act(observation, None), alone.act(observation, None))
        first, second = looked_at.memory(), looked_at.memory()
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        assert first.recall[:, 0, -2:].tolist() == [[0, 0], [0, 0]]  # reward and done
        for actor in (looked_at, alone):
            actor.observe(np.ones((2, 1)), np.zeros((2, 1), bool))
        assert looked_at.memory().recall[:, 0, -2:].tolist() == [[0.5, 0], [0.5, 0]]
    for mine, theirs in zip(looked_at.memory(), alone.memory(), strict=True):
        assert torch.equal(mine, theirs)


def test_one_memory_serves_several_environments() -> None:
    learner = make()
    adapted = learner.start(learner.init().weights, 2)
    memory = adapted.memory._replace(state=torch.randn_like(adapted.memory.state))
    rng = np.random.default_rng(0)
    observation = rng.normal(size=(2, 3, 3))
    many = learner.actor(adapted._replace(memory=memory))
    many.begin()
    actions = many.act(observation, None)
    assert many.memory().state.shape == (2, 3, learner.policy.state_size)
    for env in range(3):
        one = learner.actor(adapted._replace(memory=memory))
        np.testing.assert_allclose(one.act(observation[:, env : env + 1], None)[:, 0], actions[:, env], atol=1e-12)
    assert memory.state.shape[1] == 1


# -- learning ----------------------------------------------------------------------------------------------------------


class Arms(TaskVectorEnv):
    """One pull an episode; the arm that is the task pays 1, the other 0."""

    def __init__(self, num_tasks: int, envs_per_task: int) -> None:
        box = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        super().__init__(num_tasks, envs_per_task, box, gym.spaces.Discrete(2), horizon=1)

    def _set_tasks(self, tasks: list[Task]) -> None:
        self.paying = np.array([[t.vector[0]] for t in tasks])

    def _reset(self, seeds: list[int], mask: NDArray[np.bool_]) -> Any:
        return np.zeros((*self.shape, 1))

    def _step(self, action: NDArray[Any], active: NDArray[np.bool_]) -> Any:
        paid = action == self.paying
        return np.zeros((*self.shape, 1)), paid.astype(np.float64), np.zeros(self.shape, bool), paid


class TwoArmed(TaskDistribution):
    name, split, families, horizon, deterministic = "two-armed", "train", ("two-armed",), 1, False
    observation_space, action_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32), gym.spaces.Discrete(2)

    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        return [Task("two-armed", (int(i),)) for i in rng.integers(2, size=count)]

    def tasks(self) -> list[Task]:
        return [Task("two-armed", (i % 2,)) for i in range(7)]

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        return Arms(num_tasks, envs_per_task)


@cache
def trained(cell: str = "lstm") -> tuple[Rl2, TrainState, list[list[float]]]:
    """An agent for two arms, and the mean reward of each episode in every iteration."""
    config = Rl2Config(learning_rate=1e-2, epochs=4, minibatches=2, chunk=3, entropy_coef=1e-3)
    network = NetworkConfig((8,), cell=cell, attention_window=5, attention_layers=1)  # type: ignore[arg-type]
    policy = make_recurrent_policy(TwoArmed.observation_space, TwoArmed.action_space, network, seed=0)
    learner = Rl2(config, policy)
    state, curve = learner.init(), []
    source = InProcess(TwoArmed(), learner, Plan(meta_batch_size=50, episodes_per_task=5, seed=0))
    for state.iteration in range(40):
        shard = source.sample(state.weights, state.iteration)
        learner.meta_update(state, shard.batch)
        curve.append(shard.returns.mean((0, 2)).tolist())
    source.close()
    return learner, state, curve


@pytest.mark.parametrize("cell", CELLS)
def test_it_learns_to_stay_with_the_arm_that_pays(cell: str) -> None:
    _, _, curve = trained(cell)
    start, end = np.mean(curve[:3], 0), np.mean(curve[-3:], 0)
    assert (abs(start - 0.5) < 0.15).all()
    assert abs(end[0] - 0.5) < 0.15  # nobody knows before the first pull
    assert (end[1:] > 0.9).all()


def test_evaluation_puts_every_number_where_it_belongs() -> None:
    learner, state, _ = trained()
    protocol = EvaluateConfig(adaptation_episodes=1, adaptation_steps=3, evaluation_episodes=2, tasks_at_once=3)
    result = evaluate(learner, state.weights, TwoArmed(), protocol)
    assert result.returns.shape == (7, 4, 2)
    assert result.practice_returns.shape == (7, 3, 1)
    # Before any pull the policy has one favourite, which pays in every other task; afterwards it knows.
    assert {tuple(row) for row in result.returns[:, 0].tolist()} == {(0, 0), (1, 1)}
    assert len({tuple(row) for row in result.returns[::2, 0].tolist()}) == 1
    assert (result.returns[:, 1:] == 1).all()
    assert result.env_steps == 7 * (4 * 2 * 2 + 3)
    assert (result.sampled_returns[:, 1:] == 1).mean() > 0.9  # it acts from its memory there, too
    assert 0.2 < result.sampled_returns[:, 0].mean() < 0.8
    one_by_one = evaluate(learner, state.weights, TwoArmed(), replace_paths(protocol, {"tasks_at_once": 1}))
    np.testing.assert_array_equal(one_by_one.returns, result.returns)
    np.testing.assert_array_equal(one_by_one.practice_returns, result.practice_returns)
    np.testing.assert_array_equal(one_by_one.sampled_returns, result.sampled_returns)
    several = evaluate(learner, state.weights, TwoArmed(), replace_paths(protocol, {"adaptation_episodes": 4}))
    assert (several.practice_returns[:, 0, 1:] == 1).mean() > 0.8  # within an adaptation each episode follows another


@pytest.mark.parametrize(("recipe", "cell"), [("rl2", "lstm"), ("rl2-gru", "gru"), ("rl2", "transformer")])
def test_stop_and_resume_equals_an_uninterrupted_run(tiny: Callable[..., TrainConfig], recipe: str, cell: str) -> None:
    def run(name: str, iterations: int) -> TrainConfig:
        config = replace_paths(default_config(recipe, "navigation"), {"algorithm.minibatches": 2})
        sizes = {
            "episodes_per_task": 2,
            "meta_batch_size": 3,
            "network": replace_paths(config.network, {"hidden": (8,), "cell": cell}),
        }
        changes = {"recipe": recipe, "algorithm": config.algorithm, "checkpoint_every": 1, **sizes}
        return tiny(name, iterations=iterations, **changes)

    whole = train(run("whole", 3), quiet)
    train(run("parts", 2), quiet)
    parts = train(run("parts", 3), quiet)
    assert_same_run(whole, parts)
    assert final(whole).extras.keys() == {"seen", "mean", "square"}
    assert final(whole).optimizer


# -- Meta-World's own evaluator ----------------------------------------------------------------------------------------


def reach_agent() -> Agent:
    """An untrained agent for ML1 reach-v3."""
    return untrained("rl2", "metaworld/ml1-reach-v3", {"network.hidden": (16,)})


def test_while_judged_the_agent_is_told_what_followed() -> None:
    """Three environments; the vector env's `step` gives reward 1, 2, 3, and the second one's episode ends."""
    rewards, done = np.array([1.0, 2.0, 3.0]), np.array([False, True, False])
    nothing = np.zeros(3, bool)

    def make_env(agent: MetaWorldAgent) -> Telling:
        def step(actions: Any) -> tuple[Any, ...]:
            return np.zeros((3, 39)), rewards, nothing, done, {}

        return Telling(SimpleNamespace(step=step, num_envs=3), agent)

    told, alone = (reach_agent().as_metaworld_agent() for _ in range(2))
    env = make_env(told)
    assert env.num_envs == 3
    observation = np.ones((3, 39))
    for agent in (told, alone):
        first = agent.adapt_action(observation)[0]
        agent.step(
            SimpleNamespace(
                observation=observation, action=first, reward=rewards, terminated=done | True, truncated=nothing
            )
        )
        env.step(first)  # the protocol has told it already, and the next episodes have begun
        agent.adapt()
    np.testing.assert_array_equal(told.eval_action(observation), alone.eval_action(observation))
    env.step(None)
    memory = told._actor.memory().recall[:, 0]  # type: ignore[union-attr]
    reward_and_done = slice(-2, None)
    assert memory[:, reward_and_done].numpy() == pytest.approx(np.array([[0.1, 0], [0.2, 1], [0.3, 0]]))
    assert alone._actor.memory().recall[:, 0, reward_and_done].eq(0).all()  # type: ignore[union-attr]
    for agent in (told, alone):
        agent.reset(done)
    assert (told.eval_action(observation) != alone.eval_action(observation)).any(1).all()


def test_metaworlds_own_evaluator_runs_it() -> None:
    protocol = EvaluateConfig(adaptation_episodes=1, adaptation_steps=2, evaluation_episodes=1)
    result = stock_evaluation(reach_agent(), protocol, goals_per_family=2)
    assert 0 <= result["success"] <= 1
    assert 0 < result["return"] < 5000
