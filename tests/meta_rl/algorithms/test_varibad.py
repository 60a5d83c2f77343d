"""VariBAD: the ELBO is that of the formula, each loss teaches its own part, and the belief tells the task."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

import envs
from envs import Task
from meta_rl.algorithms.varibad import BELIEF_TERMS, Decoding, Happened, Varibad
from meta_rl.config import NetworkConfig, TrainConfig, default_config, replace_paths
from meta_rl.config.recipes.varibad import VaribadConfig
from meta_rl.core import parallel
from meta_rl.core.moments import Moments
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.state import GROUPS, TrainState
from meta_rl.core.types import MetaBatch, Params, map_tensors
from meta_rl.core.weights import joined, parted
from meta_rl.networks.belief import make_belief_policy
from meta_rl.networks.memory import CELLS
from meta_rl.sources.base import Plan
from meta_rl.sources.collect import Shard, Streams, sample_shard
from meta_rl.sources.in_process import InProcess
from meta_rl.training.train import train
from tests.meta_rl.algorithms.acting import watch
from tests.meta_rl.algorithms.test_rl2 import CONTINUOUS, DISCRETE, OBSERVATION, TwoArmed, Uneven
from tests.meta_rl.training.test_train import assert_same_run, final, quiet

LATENT = 2


def make(
    space: gym.Space = CONTINUOUS, cell: str = "lstm", dtype: torch.dtype = torch.float64, **config: Any
) -> Varibad:
    """A learner of few numbers, none of them as small as at first. Chunks are shorter than trials."""
    network = NetworkConfig(
        (7, 6),
        cell=cell,  # type: ignore[arg-type]
        latent_size=LATENT,
        head_hidden=(5,),
        critic_hidden=(4,),
        attention_heads=2,
        attention_window=5,
        normalise_observations=True,
    )
    settings = {"chunk": 4, "reward_scale": 0.5, "decode_states": True, "decoder_hidden": (5, 4), "state_std": 0.9}
    settings |= {"belief_epochs": 2}
    learner = Varibad(VaribadConfig(**{**settings, **config}), make_belief_policy(OBSERVATION, space, network, seed=0))
    for module in (learner.policy, learner.decoder):
        for p in module.parameters():
            p.data += 0.2 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
        module.to(dtype)
    return learner


def collect(learner: Varibad, space: gym.Space = CONTINUOUS) -> Shard:
    """Trials of 5 tasks, four episodes of 1 to 5 steps each."""
    tasks, weights = [Task("uneven", (i,)) for i in range(5)], learner.init().weights
    return sample_shard(Uneven(5, space), learner, weights, tasks, range(5), 4, Streams(0, 0))


def batch_of(learner: Varibad, space: gym.Space = CONTINUOUS) -> MetaBatch:
    """The same in the numbers of the learner; recorded ones are float32."""
    dtype = next(learner.policy.parameters()).dtype
    convert = lambda x: x.to(dtype) if x.is_floating_point() else x  # noqa: E731
    return map_tensors(convert, collect(learner, space).batch)  # type: ignore[no-any-return]


def drawn(learner: Varibad, space: gym.Space = CONTINUOUS) -> tuple[Happened, Decoding, int]:
    """Trials, and the steps of a pass."""
    batch = batch_of(learner, space)
    steps, _, longest = learner.join(batch)
    rows = learner.drawn(steps, learner.trials(batch), generator(0, Purpose.BELIEFS))
    return steps, rows, longest


def looped_loss(
    learner: Varibad, policy: Params, decoder: Params, steps: Happened, rows: Decoding, longest: int
) -> Tensor:
    """Trial by trial, for every step t that is drawn and every step i that is decoded; the distributions are torch's,
    the decoder's network is applied to one pair at a time."""
    c, total, count = learner.config, torch.zeros((), dtype=torch.float64), 0.0
    said = learner.policy.unroll(policy, rows.inputs, rows.start).belief
    assert said is not None

    def answer(name: str, numbers: list[Tensor]) -> Tensor:
        weights = [decoder[f"{name}.{key}"] for key in ("weight", "rest.0.weight", "rest.2.weight")]
        biases = [decoder[f"{name}.{key}"] for key in ("bias", "rest.0.bias", "rest.2.bias")]
        x = torch.cat(numbers)
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            x = weight @ (torch.relu(x) if layer else x) + bias
        return x

    for trial, weight in enumerate(steps.weight):
        length = int(weight.sum())
        beliefs = [Normal(said.mean[trial, t], said.log_std[trial, t].exp()) for t in range(length)]
        told = [j for j in range(rows.decoded.shape[1]) if rows.decoded[trial, j]]
        for k in range(rows.weight.shape[1]):
            if not rows.weight[trial, k]:
                continue
            t = int(rows.taught[trial, k])
            m = beliefs[t].mean + beliefs[t].stddev * rows.noise[trial, k]
            bound = torch.zeros((), dtype=torch.float64)
            for j in told:
                s, a, after = rows.observation[trial, j], rows.action[trial, j], rows.following[trial, j]
                reward = answer("reward", [m, s, a, after])
                bound = bound + Normal(reward, c.reward_std).log_prob(rows.reward[trial, j]).sum()
                if c.decode_states:
                    expected = s + answer("change", [m, s, a])
                    bound = bound + Normal(expected, c.state_std).log_prob(after).sum()
            unit = Normal(torch.zeros(LATENT).double(), torch.ones(LATENT).double())
            prior = beliefs[t - 1] if t and c.prior == "previous" else unit
            total = total - bound * length / len(told) + c.kl_weight * kl_divergence(beliefs[t], prior).sum()
            count += 1
    return total / count / longest


CASES: dict[str, dict[str, Any]] = {
    "all steps": {"elbo_steps": 100, "decoded_steps": 100},
    "some steps": {"elbo_steps": 3, "decoded_steps": 4},
    "unit prior, rewards alone": {"prior": "unit", "decode_states": False, "kl_weight": 0.7},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("cell", CELLS)
def test_the_gradient_of_the_elbo_equals_a_loop_over_all_pairs_of_steps(
    cell: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = make(cell=cell, **CASES[case])
    monkeypatch.setattr(learner.policy.recurrent, "rows_on_cpu", 2)
    steps, rows, longest = drawn(learner)
    params = {name: p.detach().requires_grad_() for name, p in learner.init().params.items()}
    decoder = {name: p.detach().requires_grad_() for name, p in learner.init().shared.items()}
    heads = learner.policy.heads(params)
    learned = joined({name: p for name, p in params.items() if name not in heads}, decoder)
    gradient, metrics = learner.belief_gradient(learned, rows, heads, longest)
    slow = looped_loss(learner, params, decoder, steps, rows, longest)
    assert metrics["belief/loss"] == pytest.approx(slow.item(), abs=1e-12)
    for fast, expected in zip(gradient, torch.autograd.grad(slow, list(learned.values())), strict=True):
        torch.testing.assert_close(fast, expected, rtol=1e-9, atol=1e-12)
        assert expected.abs().max() > 1e-7
    assert (metrics["belief/state_error"] > 0) == learner.config.decode_states


@pytest.mark.parametrize("space", [CONTINUOUS, DISCRETE])
def test_the_gradient_of_the_elbo_is_that_of_finite_differences(space: gym.Space) -> None:
    learner = make(space, elbo_steps=4, decoded_steps=5)
    _, rows, longest = drawn(learner, space)
    state = learner.init()
    heads = learner.policy.heads(state.params)
    start = joined({name: p for name, p in state.params.items() if name not in heads}, state.shared)
    params = {name: p.clone().requires_grad_() for name, p in start.items()}
    gradient, _ = learner.belief_gradient(params, rows, heads, longest)
    rng = torch.Generator().manual_seed(3)
    direction = [torch.randn(p.shape, dtype=p.dtype, generator=rng) for p in params.values()]
    losses = []
    for step in (1e-6, -1e-6):
        policy, decoder = parted({name: p + step * d for (name, p), d in zip(start.items(), direction, strict=True)})
        losses.append(learner.belief_loss(heads | policy, decoder, rows, longest)[0].item())
    along = sum(float((g * d).sum()) for g, d in zip(gradient, direction, strict=True))
    assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(along, rel=1e-6)
    assert abs(along) > 1e-3


@pytest.mark.parametrize("taught_by", ["elbo", "policy"])
def test_ppo_teaches_the_belief_if_asked_for_and_else_not_at_all(taught_by: str) -> None:
    learner = make(belief_gradient=taught_by)
    trials = learner.trials(batch_of(learner))
    rows, _, _ = learner.rows(learner.init().params, trials, Moments.empty(), 0.95)
    params = {name: p.requires_grad_() for name, p in learner.init().params.items()}
    gradient, _ = learner.gradient(params, rows, 0.01)
    heads = learner.policy.heads(params)
    assert len(heads) < len(params)
    for name, found in zip(params, gradient, strict=True):
        reached = name in heads or taught_by == "policy"
        assert bool(found.abs().max() > 0) == reached, name


@pytest.mark.parametrize("taught_by", ["elbo", "policy"])
def test_each_loss_moves_its_own_part(taught_by: str) -> None:
    learner = make(dtype=torch.float32, belief_gradient=taught_by, epochs=2, max_kl=1e9)
    batch, state = batch_of(learner), learner.init()
    steps, inputs, longest = learner.join(batch)
    trials = learner.trials(batch)
    assert torch.equal(inputs, trials.inputs)
    assert longest == trials.longest == 20
    heads = learner.policy.heads(state.params)

    def moved(before: TrainState, after: TrainState) -> tuple[bool, bool, bool]:
        """Whether all of the heads, of the memory and of the decoder moved; none is half moved."""
        found: tuple[list[bool], ...] = ([], [], [])
        for name, p in joined(before.params, before.shared).items():
            part = 2 if name not in before.params else int(name not in heads)
            found[part].append(not torch.equal(p, joined(after.params, after.shared)[name]))
        assert all(len(set(part)) == 1 for part in found)
        return found[0][0], found[1][0], found[2][0]

    first = state.copy()
    learner.improve(state, trials)
    assert moved(first, state) == (True, taught_by == "policy", False)
    second = state.copy()
    learner.infer(state, steps, trials)
    assert moved(second, state) == (False, True, True)
    again = learner.init()
    metrics = learner.meta_update(again, batch)
    for group in GROUPS:
        mine, theirs = getattr(again, group), getattr(state, group)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert set(BELIEF_TERMS) < metrics.keys()
    assert metrics["guard/non_finite_gradient"] == 0
    losses = []
    for again.iteration in range(1, 31):  # other draws in each
        losses.append(learner.meta_update(again, batch)["belief/loss"])
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


def test_what_follows_a_step_is_the_next_observation_of_its_episode() -> None:
    """Of the last one, where the episode has got to; not where the next episode begins."""
    learner = make(dtype=torch.float32)
    batch = collect(learner).batch
    for episode in (*batch.support, batch.query):
        length = episode.weight.sum(-1).long()  # [task, env]
        for task, steps in enumerate(length[:, 0].tolist()):
            seen, following = episode.observation[task, 0], episode.following[task, 0]
            assert torch.equal(following[: steps - 1], seen[1:steps])
            assert not any(torch.equal(following[steps - 1], one) for one in seen[:steps])
    # A rollout whose last observation is known: that of navigation is where the last action led.
    distribution = envs.make("navigation", horizon=6)
    network = NetworkConfig((6,), latent_size=LATENT)
    policy = make_belief_policy(distribution.observation_space, distribution.action_space, network, seed=0)
    moving = Varibad(VaribadConfig(), policy)
    query = InProcess(distribution, moving, Plan(3, 1, 0)).sample(moving.init().weights, 0).batch.query
    valid = query.weight > 0
    expected = query.observation + query.action.clamp(-0.1, 0.1)
    torch.testing.assert_close(query.following[valid], expected[valid])


def test_steps_are_drawn_anew_and_are_the_same_whatever_the_number_of_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learner = make(elbo_steps=3, decoded_steps=4)
    batch = batch_of(learner)
    steps, _, _ = learner.join(batch)
    trials, rng = learner.trials(batch), lambda epoch: generator(0, Purpose.BELIEFS, 0, stage=epoch)
    whole, other = (learner.drawn(steps, trials, rng(epoch)) for epoch in (0, 1))
    assert not torch.equal(whole.taught, other.taught)
    assert not torch.equal(whole.noise, other.noise)
    lengths = trials.weight.sum(1)
    for row, length in enumerate(lengths.tolist()):
        places = whole.taught[row][whole.weight[row] > 0].tolist()
        assert len(set(places)) == len(places) == min(3, length)
        assert max(places) < length
    assert torch.equal(whole.length, lengths)
    monkeypatch.setattr(parallel, "size", lambda: 5)
    for rank in range(5):  # a trial each, in a process that has padded it less
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        mine = MetaBatch(*map_tensors(lambda x, rank=rank: x[rank : rank + 1], tuple(batch)))
        own = learner.drawn(learner.join(mine)[0], learner.trials(mine), rng(0))
        count = own.taught.shape[1]
        assert torch.equal(own.taught[0], whole.taught[rank, :count])
        assert torch.equal(own.noise[0], whole.noise[rank, :count])
        assert not whole.weight[rank, count:].any()
        torch.testing.assert_close(own.reward[own.decoded > 0], whole.reward[rank][whole.decoded[rank] > 0])


def test_every_pass_takes_every_trial_once() -> None:
    learner = make(belief_epochs=3, belief_minibatches=2)
    batch = batch_of(learner)
    parts = list(learner.decodings(learner.join(batch)[0], learner.trials(batch), 7))
    assert [len(part.length) for part in parts] == [3, 2] * 3
    every = learner.trials(batch).inputs.sum((1, 2)).sort().values
    for epoch in range(3):
        found = torch.cat([part.inputs.sum((1, 2)) for part in parts[2 * epoch : 2 * epoch + 2]])
        torch.testing.assert_close(found.sort().values, every)


@pytest.mark.parametrize("space", [CONTINUOUS, DISCRETE])
@pytest.mark.parametrize("cell", CELLS)
def test_recomputed_log_probs_equal_those_of_the_actor(space: gym.Space, cell: str) -> None:
    learner = make(space, cell)
    acted: list[list[Any]] = []
    actor_of = learner.actor

    def recording(adapted: Any) -> Any:
        actor = actor_of(adapted)
        acted.append(watch(actor))
        return actor

    learner.actor = recording  # type: ignore[method-assign]
    batch = batch_of(learner, space)
    trials = learner.trials(batch)
    rows, _, _ = learner.rows(learner.init().params, trials, Moments.empty(), 0.95)
    log_prob = rows.batch.log_prob.reshape(trials.weight.shape)
    for task in range(5):
        t = 0
        for stage, episode in enumerate([*batch.support, batch.query]):
            for step in range(1 + (task + 2 * stage) % 5):
                expected = acted[stage][step].log_prob(episode.action[:, 0, step])[task]
                assert log_prob[task, t].item() == pytest.approx(expected.item(), abs=1e-6)
                t += 1
        assert t == trials.weight[task].sum()


@pytest.mark.parametrize("where", ["reward", "following"])
def test_a_nan_skips_the_update_bitwise(where: str) -> None:
    """One that PPO meets, and one that the ELBO alone does."""
    learner = make(dtype=torch.float32, epochs=1)
    batch, state = collect(learner).batch, learner.init()
    assert learner.meta_update(state, batch)["guard/non_finite_gradient"] == 0
    before = copy.deepcopy(state)
    getattr(batch.support[1], where)[1, 0, 0] = torch.nan
    metrics = learner.meta_update(state, batch)
    assert metrics["guard/non_finite_gradient"] == 1
    assert math.isfinite(metrics["update/loss_before"]) == (where == "following")
    for group in GROUPS:
        mine, theirs = getattr(state, group), getattr(before, group)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("taught_by", ["elbo", "policy"])
def test_stop_and_resume_equals_an_uninterrupted_run(tiny: Callable[..., TrainConfig], taught_by: str) -> None:
    def run(name: str, iterations: int) -> TrainConfig:
        changes = {"algorithm.belief_gradient": taught_by, "algorithm.epochs": 2, "network.hidden": (8,)}
        changes |= {"algorithm.belief_epochs": 2}
        config = replace_paths(default_config("varibad", "navigation"), changes)
        sizes = {"episodes_per_task": 2, "meta_batch_size": 3, "checkpoint_every": 1, "iterations": iterations}
        return tiny(name, recipe="varibad", algorithm=config.algorithm, network=config.network, **sizes)

    whole = train(run("whole", 3), quiet)
    train(run("parts", 2), quiet)
    parts = train(run("parts", 3), quiet)
    assert_same_run(whole, parts)
    state = final(whole)
    assert state.shared
    heads = [name for name in state.params if name.startswith(("head.", "value."))]
    by_elbo = len(state.params) - len(heads) + len(state.shared)
    by_ppo = len(heads) if taught_by == "elbo" else len(state.params)
    kinds = [name.partition("/")[0] for name in state.optimizer]  # three tensors of Adam for each parameter
    assert (kinds.count("elbo"), len(kinds)) == (3 * by_elbo, 3 * (by_elbo + by_ppo))


# -- learning ----------------------------------------------------------------------------------------------------------


@cache
def trained(taught_by: str) -> tuple[Varibad, TrainState, list[list[float]]]:
    """An agent for two arms, and the mean reward of each episode in every iteration."""
    config = VaribadConfig(
        learning_rate=1e-2,
        epochs=4,
        minibatches=2,
        entropy_coef=1e-3,
        belief_learning_rate=1e-2,
        belief_epochs=5,
        belief_minibatches=2,
        reward_std=0.3,
        belief_gradient=taught_by,  # type: ignore[arg-type]
    )
    network = NetworkConfig((8,), head_hidden=(8,), critic_hidden=(8,), latent_size=LATENT)
    policy = make_belief_policy(TwoArmed.observation_space, TwoArmed.action_space, network, seed=0)
    learner = Varibad(config, policy)
    state, curve = learner.init(), []
    source = InProcess(TwoArmed(), learner, Plan(meta_batch_size=50, episodes_per_task=5, seed=0))
    for state.iteration in range(40):
        shard = source.sample(state.weights, state.iteration)
        learner.meta_update(state, shard.batch)
        curve.append(shard.returns.mean((0, 2)).tolist())
    source.close()
    return learner, state, curve


@pytest.mark.parametrize("taught_by", ["elbo", pytest.param("policy", marks=pytest.mark.slow)])
def test_it_learns_to_stay_with_the_arm_that_pays(taught_by: str) -> None:
    _, _, curve = trained(taught_by)
    start, end = np.mean(curve[:3], 0), np.mean(curve[-3:], 0)
    assert (abs(start - 0.5) < 0.15).all()
    assert abs(end[0] - 0.5) < 0.15  # nobody knows before the first pull
    assert (end[1:] > 0.9).all()


def told_by_belief(learner: Varibad, state: TrainState) -> list[float]:
    """Share of tasks that a linear function of the belief's mean tells, at each of five steps. It is fitted to half of
    the trials and judged on the others."""
    plan = Plan(meta_batch_size=200, episodes_per_task=5, seed=7)
    batch = InProcess(TwoArmed(), learner, plan).sample(state.weights, 0).batch
    trials = learner.trials(batch)
    belief = learner.policy.unroll(state.params, trials.inputs, torch.zeros(200, learner.policy.state_size)).belief
    assert belief is not None
    paying = torch.tensor([2.0 * task.vector[0] - 1 for task in plan.tasks(TwoArmed(), 0)])
    found = []
    for t in range(5):
        x = torch.cat([belief.mean[:, t], torch.ones(200, 1)], 1).detach()
        fitted = torch.linalg.lstsq(x[:100], paying[:100].unsqueeze(1)).solution
        found.append(float(((x[100:] @ fitted).squeeze(1) * paying[100:] > 0).float().mean()))
    return found


def test_the_mean_of_the_belief_tells_the_task() -> None:
    """Before the first pull nothing can; after one, everything."""
    learner, state, _ = trained("elbo")
    told = told_by_belief(learner, state)
    assert abs(told[0] - 0.5) < 0.15
    assert min(told[1:]) > 0.95


def test_the_belief_becomes_surer_as_it_sees_more() -> None:
    """One pull says everything here: that revision is large, and the others are not."""
    learner, state, _ = trained("elbo")
    batch = InProcess(TwoArmed(), learner, Plan(50, 5, seed=7)).sample(state.weights, 0).batch
    inputs = learner.trials(batch).inputs
    belief = learner.policy.unroll(state.params, inputs, torch.zeros(50, learner.policy.state_size)).belief
    assert belief is not None
    deviations = belief.log_std.exp().prod(-1).mean(0)  # [time]
    assert deviations[1] < 0.5 * deviations[0]
