"""RL^2 from a replay: whole trials are kept, the memory is that of acting, targets run through trials, it learns."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import AffineTransform, Independent, Normal, TanhTransform, TransformedDistribution

import envs
from envs import Task
from meta_rl.algorithms.base import make_learner
from meta_rl.algorithms.off_policy import CRITICS, TEMPERATURE
from meta_rl.algorithms.recurrent import Remembered
from meta_rl.algorithms.rl2_sac import SAC_TERMS, DrawnChunk, PlayedSteps, Rl2Sac, Trial
from meta_rl.config import NetworkConfig, default_config, replace_paths
from meta_rl.config.recipes.rl2_sac import Rl2SacConfig
from meta_rl.core.moments import Moments
from meta_rl.core.replay import Replay, sequences, unflatten_replay
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.state import TrainState
from meta_rl.core.types import MetaBatch, Params, map_tensors
from meta_rl.networks.memory import CELLS
from meta_rl.networks.recurrent_actor import RecurrentActor
from meta_rl.networks.squashed import HeadInputs, make_squashed_policy
from meta_rl.sources.base import Plan
from meta_rl.sources.collect import Streams, sample_shard
from meta_rl.sources.in_process import InProcess
from tests.meta_rl.algorithms.acting import watch
from tests.meta_rl.algorithms.test_rl2 import OBSERVATION, Uneven
from tests.meta_rl.algorithms.two_goals import learn_two_goals

BOX = gym.spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 0.5], np.float32))
CENTRE, HALF = torch.tensor([0.0, 0.25]).double(), torch.tensor([1.0, 0.25]).double()
LENGTHS = [[1 + (task + 2 * stage) % 5 for stage in range(4)] for task in range(5)]
"""Steps of the episodes of `Uneven`, by trial."""
MOMENTS = Moments(*(torch.tensor(x).double() for x in (100.0, -3.0, 400.0)))  # a mean of -3, a deviation of 2


def make(
    cell: str = "lstm", dtype: torch.dtype = torch.float64, network: dict[str, Any] | None = None, **config: Any
) -> Rl2Sac:
    """A learner of few numbers, none of them as small as at first; all trials are drawn, in chunks of 4 steps."""
    attention = {"attention_heads": 2, "attention_window": 5}  # shorter than a trial, longer than a chunk
    settings = {"head_hidden": (5,), "critic_hidden": (4,), "clock_steps": 3, **attention, **(network or {})}
    policy = make_squashed_policy(OBSERVATION, BOX, NetworkConfig((7, 6), cell=cell, **settings), seed=0)  # type: ignore[arg-type]
    learner = Rl2Sac(Rl2SacConfig(**{"chunk": 4, "reward_scale": 0.5, "update_trials": 5, **config}), policy)
    for module in (policy, learner.critics):
        for p in module.parameters():
            p.data += 0.2 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
        module.to(dtype)
    return learner


def collect(learner: Rl2Sac, dtype: torch.dtype = torch.float64) -> MetaBatch:
    """Trials of 5 tasks, four episodes of 1 to 5 steps each; recorded numbers are float32."""
    tasks = [Task("uneven", (i,)) for i in range(5)]
    batch = sample_shard(Uneven(5, BOX), learner, learner.init().weights, tasks, range(5), 4, Streams(0, 0)).batch
    return map_tensors(lambda x: x.to(dtype), batch)  # type: ignore[no-any-return]


def kept(learner: Rl2Sac, batch: MetaBatch) -> Replay:
    return learner.remember({}, *learner.without_pauses(batch))


class Order:
    """In place of a generator: entries as they are, the chunk that is asked for, and noise of its own."""

    def __init__(self, chunk: int) -> None:
        self.chunk, self.chunks = chunk, 0
        self.standard_normal = np.random.default_rng(chunk).standard_normal

    def permutation(self, count: int) -> list[int]:
        return list(range(count))

    def integers(self, chunks: int) -> int:
        self.chunks = chunks
        return self.chunk


def drawn(learner: Rl2Sac, replay: Replay, chunk: int = 0, statistics: Params | None = None) -> DrawnChunk:
    rows = learner.draw(replay, statistics or {}, Order(chunk))  # type: ignore[arg-type]
    dtype = next(learner.policy.parameters()).dtype
    return map_tensors(lambda x: x.to(dtype), rows)  # type: ignore[no-any-return]


def learned(learner: Rl2Sac) -> tuple[Params, Params]:
    """All that is learned, in the dtype of the policy, and targets other than it."""
    state = learner.init()
    dtype = next(learner.policy.parameters()).dtype
    everything = state.params | {name: p for name, p in state.extras.items() if name.startswith((CRITICS, TEMPERATURE))}
    params = {name: p.to(dtype).requires_grad_() for name, p in everything.items()}
    return params, {name: p.detach() + 0.1 for name, p in params.items() if name.startswith(CRITICS)}


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_a_trial_is_kept_whole_its_valid_steps_in_order() -> None:
    """Against a loop over tasks, episodes and steps."""
    learner = make()
    batch = collect(learner)
    replay = kept(learner, batch)
    assert list(replay) == [0, 1, 2, 3, 4]
    for task, lengths in enumerate(LENGTHS):
        steps = [(stage, t) for stage, length in enumerate(lengths) for t in range(length)]
        for name in ("observation", "action", "reward"):
            expected = [getattr((*batch.support, batch.query)[stage], name)[task, 0, t] for stage, t in steps]
            assert torch.equal(getattr(replay[task], name), torch.stack(expected))
        assert replay[task].done.tolist() == [float(t == lengths[stage] - 1) for stage, t in steps]


def test_the_oldest_trials_go_and_none_is_mixed_with_another() -> None:
    """Room for 7 trials of up to 20 steps; three times five are played."""
    learner = make(replay_size=7 * 20 + 19)
    batch, replay = collect(learner), {}
    for number in range(3):
        played, longest = learner.without_pauses(batch)
        assert longest == 20
        before = replay
        replay = learner.remember(replay, played._replace(reward=played.reward + 100 * number), longest)
        assert set(replay) & set(before) == set(list(before)[len(before) + 5 - len(replay) :])
    assert list(replay) == [8, 9, 10, 11, 12, 13, 14]
    assert [len(replay[8 + i].reward) for i in range(7)] == [sum(LENGTHS[i]) for i in (3, 4, 0, 1, 2, 3, 4)]
    assert [int((replay[8 + i].reward.mean() / 100).round()) for i in range(7)] == [1, 1, 2, 2, 2, 2, 2]


def test_observations_are_kept_as_they_were_and_read_by_the_statistics_of_now() -> None:
    learner = make(network={"normalise_observations": True}, chunk=20)
    replay = kept(learner, collect(learner))
    numbers = torch.tensor([[0.3, -0.2, 0.1], [500.0, 200.0, 90.0]], dtype=torch.float64)
    statistics = Moments(torch.tensor(100.0).double(), *numbers)._asdict()
    read = drawn(learner, replay, statistics=statistics).inputs[0, : sum(LENGTHS[0]), :3]
    torch.testing.assert_close(read, (replay[0].observation - numbers[0]) / (numbers[1] / 100).sqrt())


def test_the_moments_are_those_of_the_returns_of_trials() -> None:
    """Against numpy's, over the backward sums of a loop."""
    learner = make(discount=0.8)
    batch = collect(learner)
    found = learner.measure(Moments.empty(), learner.without_pauses(batch)[0])
    gained = []
    for trial in kept(learner, batch).values():
        after = 0.0
        for reward in reversed(trial.reward.tolist()):
            after = reward + 0.8 * after
            gained.append(after)
    assert float(found.seen) == len(gained) == sum(map(sum, LENGTHS))
    assert float(found.mean) == pytest.approx(np.mean(gained))
    assert float(found.std) == pytest.approx(np.std(gained))


# -- what a gradient step reads ----------------------------------------------------------------------------------------


def test_every_step_is_in_one_chunk_and_a_trial_ends_once() -> None:
    """The longest trial has 14 steps: four chunks of four, the last one with two steps of padding."""
    learner = make()
    replay = kept(learner, collect(learner))
    order = Order(0)
    learner.draw(replay, {}, order)  # type: ignore[arg-type]
    assert order.chunks == 4
    rows = [drawn(learner, replay, chunk) for chunk in range(4)]
    assert [part.before.shape[1] for part in rows] == [0, 4, 8, 12]
    for name in ("action", "reward"):
        whole = torch.cat([getattr(part, name) for part in rows], 1)
        for trial, steps in enumerate(replay.values()):
            assert torch.equal(whole[trial, : len(steps.reward)], getattr(steps, name))
    weight, ends = (torch.cat([getattr(part, name) for part in rows], 1) for name in ("weight", "ends"))
    lengths = [sum(each) for each in LENGTHS]
    assert weight.sum(1).tolist() == lengths
    assert ends.sum(1).tolist() == [1.0] * 5
    assert ends.argmax(1).tolist() == [length - 1 for length in lengths]


def test_what_follows_a_chunk_is_read_as_the_next_one_reads_it() -> None:
    learner = make()
    replay = kept(learner, collect(learner))
    rows = [drawn(learner, replay, chunk) for chunk in range(4)]
    for one, two in pairwise(rows):
        assert torch.equal(one.inputs[:, -1], two.inputs[:, 0])
    assert not rows[-1].inputs[:, -1].any()


def test_chunks_are_of_equal_length() -> None:
    """14 steps in chunks of at most 6 are three of 5, so no step counts more than another."""
    learner = make(chunk=6)
    replay = kept(learner, collect(learner))
    assert [drawn(learner, replay, chunk).weight.shape[1] for chunk in range(3)] == [5, 5, 5]


@pytest.mark.parametrize("burn_in", [0, 3, 100])
def test_a_memory_is_made_anew_from_as_many_steps_before(burn_in: int) -> None:
    learner = make(burn_in=burn_in)
    replay = kept(learner, collect(learner))
    whole = drawn(make(chunk=20), replay).inputs
    found = drawn(learner, replay, 2)
    assert torch.equal(found.before, whole[:, max(0, 8 - burn_in) : 8])


class Recorder(Rl2Sac):
    """Remembers the distributions its actors acted by, ``[stage][time]``."""

    def actor(self, adapted: Remembered) -> RecurrentActor:
        actor = super().actor(adapted)
        self.__dict__.setdefault("stages_seen", []).append(watch(actor))
        return actor


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("chunk", [4, 20])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-6)])
@pytest.mark.parametrize("network", [{}, {"recall_observation": True, "head_hidden": ()}], ids=["heads", "linear"])
def test_the_memory_in_the_loss_is_that_while_acting(
    cell: str, chunk: int, dtype: torch.dtype, tolerance: float, network: dict[str, Any]
) -> None:
    """Step by step, by the log-probability of the action that was taken; also where the memory is made anew."""
    plain = make(cell, dtype, network, chunk=chunk)
    learner = Recorder(plain.config, plain.policy)
    replay, params = kept(learner, collect(learner, dtype)), learned(learner)[0]
    found = []
    for part in range(4 if chunk == 4 else 1):
        rows = drawn(learner, replay, part)
        seen = learner.seen(params, rows).acting[:, :-1]
        found.append(learner.policy.distribution(params, seen).log_prob(rows.action))
    log_prob = torch.cat(found, 1)  # [trial, time]
    for task, lengths in enumerate(LENGTHS):
        steps = [(stage, t) for stage, length in enumerate(lengths) for t in range(length)]
        for t, (stage, step) in enumerate(steps):
            acted = learner.stages_seen[stage][step].log_prob(replay[task].action[t])[task]  # type: ignore[attr-defined]
            assert log_prob[task, t].item() == pytest.approx(acted.item(), abs=tolerance)


# -- the losses --------------------------------------------------------------------------------------------------------


def test_targets_by_hand() -> None:
    """Returns have a mean of 10 and a deviation of 2; alpha is 0.5 and the discount 0.5.

    The entropy that counts is what exceeds its target: log pi = -1 and target -3 give -log pi - target = 4.
    V = 10 + 2 (min(3, 1) + 0.5 * 4) = 16. So y = 4 + 0.5 * 16 = 12, which is (12 - 10) / 2 = 1.
    At the end of the trial y = 4, which is (4 - 10) / 2 = -3.
    """
    learner = make(discount=0.5)
    learner.target_entropy = -3.0
    one = torch.ones(1, 2).double()
    sampled = SimpleNamespace(sample_with_log_prob=lambda noise: (noise, -one))
    learner.policy = SimpleNamespace(distribution=lambda params, seen: sampled)  # type: ignore[assignment]
    learner.values = lambda params, action, seen: torch.stack([3 * one, one])  # type: ignore[method-assign]
    rows = SimpleNamespace(noise=torch.zeros(1, 2, 2, 2), reward=4 * one, ends=torch.tensor([[0.0, 1.0]]).double())
    moments = Moments(*(torch.tensor(x).double() for x in (10.0, 10.0, 40.0)))
    found = learner.target({}, {}, rows, HeadInputs(one, one), torch.tensor(0.5).double(), moments)  # type: ignore[arg-type]
    torch.testing.assert_close(found, torch.tensor([[1.0, -3.0]]).double())


def twin(
    learner: Rl2Sac, params: Params, targets: Params, replay: Replay, chunk: int, rows: DrawnChunk
) -> dict[str, Tensor]:
    """The losses of a chunk, trial by trial and step by step, the memory by single steps, with torch's own
    distributions."""
    c, policy, first = learner.config, learner.policy, 4 * chunk
    mean, std = -3.0, 2.0

    def network(module: torch.nn.Module, name: str, values: Params, *x: Tensor) -> Any:
        mine = {key.removeprefix(name): p for key, p in values.items() if key.startswith(name)}
        return torch.func.functional_call(module, mine, x)

    class Step(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = policy.recurrent

        def forward(self, x: Tensor, state: Tensor) -> Tensor:
            return self.layer.step(x, state)

    def remember(x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """What heads read, and the next state, of a single step."""
        encoded = network(policy.encoder, "encoder.", params, x)
        mine = {
            f"layer.{key.removeprefix('recurrent.')}": p for key, p in params.items() if key.startswith("recurrent")
        }
        state = torch.func.functional_call(Step(), mine, (encoded.unsqueeze(0), state))
        return torch.cat([policy.recurrent.output(state)[0], encoded]), state

    def act(seen: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        out = network(policy.head.layers, "head.layers.", params, seen)
        base = Independent(Normal(out[:2], out[2:].exp()), 1)
        action = CENTRE + HALF * torch.tanh(out[:2] + out[2:].exp() * noise)
        return action, TransformedDistribution(base, [TanhTransform(), AffineTransform(CENTRE, HALF)]).log_prob(action)

    def value(values: Params, k: int, seen: Tensor, action: Tensor) -> Tensor:
        x = torch.cat([seen, (action - CENTRE) / HALF])
        return network(learner.critics.each[k], f"critics.each.{k}.", values, x)[0]  # type: ignore[no-any-return]

    alpha, target_entropy = params[TEMPERATURE].exp(), -2 + math.log(0.25)
    still = {name: p.detach() for name, p in params.items()}
    critic, actor, temperature = [], [], []
    for trial, steps in enumerate(replay.values()):
        count, state, features = len(steps.reward), torch.zeros(1, policy.state_size).double(), []
        recall = torch.zeros(policy.recall_size).double()
        clock = torch.zeros(2).double()
        for t in range(min(count, first + 5)):
            seen, state = remember(torch.cat([steps.observation[t], recall]), state)
            if t < first:
                state = state.detach()  # no gradient before the chunk
            features.append(seen)
            done = float(steps.done[t])
            clock = torch.tensor([0.0 if done else float(clock[0]) + 1, float(clock[1]) + done]).double()
            time = torch.stack([clock[0] / 3, clock[1] / (clock[1] + 1)])
            followed = torch.stack([c.reward_scale * steps.reward[t], steps.done[t]])
            recall = torch.cat([(steps.action[t] - CENTRE) / HALF, followed, time])
        for t in range(first, min(count, first + 4)):
            noise = rows.noise[trial, :, t - first]
            y = steps.reward[t]
            if t < count - 1:
                after, log_prob = act(features[t + 1], noise[1])
                least = min(value(targets, k, features[t + 1], after) for k in (0, 1))
                y = y + c.discount * (mean + std * (least - alpha * (log_prob + target_entropy)))
            y = ((y - mean) / std).detach()
            critic.append(sum((value(params, k, features[t], steps.action[t]) - y) ** 2 for k in (0, 1)))
            read = features[t] if c.memory_gradient == "both" else features[t].detach()
            action, log_prob = act(read, noise[0])
            least = min(value(still, k, features[t].detach(), action) for k in (0, 1))
            actor.append(alpha.detach() * log_prob - least)
            temperature.append(-alpha * (log_prob.detach() + target_entropy))
    named = {"critic": critic, "actor": actor, "temperature": temperature}
    return {name: torch.stack(terms).mean() for name, terms in named.items()}  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("chunk", "teacher"), [(0, "critics"), (1, "both"), (2, "critics")])
def test_losses_and_gradient_are_those_of_a_loop(
    cell: str, chunk: int, teacher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = make(cell, memory_gradient=teacher)
    monkeypatch.setattr(type(learner.policy), "rows_on_cpu", 2)  # the rows are cut into parts
    replay = kept(learner, collect(learner))
    rows, (params, targets) = drawn(learner, replay, chunk), learned(learner)
    expected = twin(learner, params, targets, replay, chunk, rows)
    gradient, metrics = learner.gradient_of(
        params, rows, lambda mine, part: learner.loss(mine, targets, part, MOMENTS), SAC_TERMS
    )
    assert metrics["update/critic_loss"] == pytest.approx(expected["critic"].item())
    assert metrics["update/actor_loss"] == pytest.approx(expected["actor"].item())
    theirs = torch.autograd.grad(sum(expected.values()), list(params.values()), allow_unused=True)  # type: ignore[arg-type]
    for name, mine, other in zip(params, gradient, theirs, strict=True):
        assert other is not None
        torch.testing.assert_close(mine, other, msg=name)
        assert bool(mine.any()), name


@pytest.mark.parametrize("cell", CELLS)
def test_the_gradient_is_that_of_finite_differences(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What moves memory and critics is the critics' error with targets held, what moves the head the actor's loss."""
    learner = make(cell, chunk=20)
    rows, (params, targets) = drawn(learner, kept(learner, collect(learner))), learned(learner)
    loss = learner.loss(params, targets, rows, MOMENTS)[0]
    gradient = dict(zip(params, torch.autograd.grad(loss, list(params.values())), strict=True))
    with torch.no_grad():
        after = HeadInputs(*(x[:, 1:] for x in learner.seen(params, rows)))
        held = learner.target(params, targets, rows, after, params[TEMPERATURE].exp(), MOMENTS)
    monkeypatch.setattr(learner, "target", lambda *_: held)
    rng = np.random.default_rng(0)
    for name in params:
        if name == TEMPERATURE:
            continue
        term = "update/actor_loss" if name.startswith("head") else "update/critic_loss"
        place = np.unravel_index(rng.integers(params[name].numel()), params[name].shape)
        found = []
        for step in (1e-5, -1e-5):
            moved = params[name].detach().clone()
            moved[place] += step
            with torch.no_grad():
                found.append(float(learner.loss(params | {name: moved}, targets, rows, MOMENTS)[1][term]))
        slope = (found[0] - found[1]) / 2e-5
        assert gradient[name][place].item() == pytest.approx(slope, rel=1e-4, abs=1e-8), name


def test_the_scale_of_the_rewards_changes_nothing() -> None:
    """Rewards ten times as large, which the network reads as the same numbers."""
    found, batch = [], collect(make())
    for factor in (1, 10):
        learner = make(reward_scale=0.5 / factor)
        played, longest = learner.without_pauses(batch)
        played = played._replace(reward=factor * played.reward)
        moments = learner.measure(Moments.empty(), played)
        rows = drawn(learner, learner.remember({}, played, longest), 1)
        found.append(learner.loss(*learned(learner), rows, moments)[0])
    torch.testing.assert_close(*found)


# -- an update ---------------------------------------------------------------------------------------------------------


def small(**changes: Any) -> tuple[Rl2Sac, envs.TaskDistribution]:
    distribution = envs.make("navigation", horizon=6)
    settings = {
        "network.hidden": (6,),
        "network.head_hidden": (5,),
        "network.critic_hidden": (5,),
        "algorithm.update_steps": 3,
        "algorithm.update_trials": 2,
        "algorithm.chunk": 5,
        "algorithm.replay_size": 96,  # four trials of four episodes
    }
    learner = make_learner(replace_paths(default_config("rl2-sac", "navigation"), settings | changes), distribution)
    assert isinstance(learner, Rl2Sac)
    return learner, distribution


def iterated(learner: Rl2Sac, distribution: envs.TaskDistribution, count: int) -> tuple[TrainState, MetaBatch]:
    """The state after some iterations of three tasks, and what it samples next."""
    state = learner.init()
    source = InProcess(distribution, learner, Plan(3, 4, 0))
    for _ in range(count):
        learner.meta_update(state, source.sample(state.weights, state.iteration).batch)
        state.iteration += 1
    return state, source.sample(state.weights, state.iteration).batch


def everything(state: TrainState) -> dict[str, Tensor]:
    return {f"{group}:{name}": p.clone() for group in ("params", "optimizer", "extras", "replay")
            for name, p in getattr(state, group).items()}  # fmt: skip


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Groups of a state with another tensor, and single extras."""
    other = {name for name in before.keys() | after.keys()
             if name not in before or name not in after or not torch.equal(before[name], after[name])}  # fmt: skip
    return {name.removeprefix("extras:") if name.startswith("extras:") else name.partition(":")[0] for name in other}


def test_an_update_takes_adam_steps_on_its_own_draws_and_targets_follow() -> None:
    learner, distribution = small()
    state, batch = iterated(learner, distribution, 1)
    expected = {name: p.clone().requires_grad_() for name, p in (state.params | state.extras).items()
                if name in state.params or name.startswith((CRITICS, TEMPERATURE))}  # fmt: skip
    targets = {name.replace("targets", "critics"): p for name, p in state.extras.items() if "targets" in name}
    adam = torch.optim.Adam(expected.values(), lr=learner.config.learning_rate)
    for name, p in expected.items():
        adam.state[p] = {key: state.optimizer[f"{key}/{name}"].clone() for key in ("step", "exp_avg", "exp_avg_sq")}
    trials, longest = learner.without_pauses(batch)
    replay = learner.remember(unflatten_replay(state.replay, "replay", Trial), trials, longest)
    assert list(replay) == [2, 3, 4, 5]
    moments = learner.measure(Moments(*(state.extras[name] for name in Moments._fields)), trials)
    for number in range(3):
        rows = learner.draw(replay, {}, generator(0, Purpose.REPLAY, 1, stage=number))
        loss = learner.loss(expected, targets, rows, moments)[0]
        for p, g in zip(expected.values(), torch.autograd.grad(loss, list(expected.values())), strict=True):
            p.grad = g
        torch.nn.utils.clip_grad_norm_(expected.values(), 1.0)
        adam.step()
        rate = learner.config.target_rate
        targets = {name: (1 - rate) * p + rate * expected[name].detach() for name, p in targets.items()}
    learner.meta_update(state, batch)
    for name, p in expected.items():
        torch.testing.assert_close((state.params | state.extras)[name], p.detach())
    for name, p in targets.items():
        torch.testing.assert_close(state.extras[name.replace("critics", "targets")], p)


def test_iterations_that_only_collect_change_replay_and_moments_alone() -> None:
    learner, distribution = small(**{"algorithm.collect_iterations": 2})
    state, batch = iterated(learner, distribution, 1)
    before = everything(state)
    learner.meta_update(state, batch)
    assert changed(before, everything(state)) == {"replay", *Moments._fields}
    state.iteration += 1
    learner.meta_update(state, batch)
    assert "params" in changed(before, everything(state))


def test_a_batch_that_is_not_finite_changes_nothing() -> None:
    learner, distribution = small()
    state, batch = iterated(learner, distribution, 1)
    before = everything(state)
    broken = batch._replace(query=batch.query._replace(reward=batch.query.reward * math.nan))
    assert learner.meta_update(state, broken) == {"guard/non_finite_gradient": 1}
    assert not changed(before, everything(state))


def test_a_gradient_that_is_not_finite_changes_replay_and_moments_alone() -> None:
    learner, distribution = small()
    state, batch = iterated(learner, distribution, 1)
    state.params["head.layers.2.bias"] = torch.full_like(state.params["head.layers.2.bias"], math.inf)
    before = everything(state)
    assert learner.meta_update(state, batch)["guard/non_finite_gradient"] == 1
    assert changed(before, everything(state)) == {"replay", *Moments._fields}


def test_whoever_acts_has_no_critic() -> None:
    learner, _ = small()
    state = learner.init()
    assert {name.partition(".")[0] for name in state.params} == {"recurrent", "head"}
    assert {name.partition(".")[0] for name in state.extras} == {"critics", "targets", TEMPERATURE, *Moments._fields}
    for name, p in state.extras.items():
        if name.startswith(CRITICS):
            assert torch.equal(p, state.extras[name.replace("critics", "targets")])


def test_a_policy_unrolls_as_the_loss_reads_it() -> None:
    learner = make(chunk=20)
    rows, (params, _) = drawn(learner, kept(learner, collect(learner))), learned(learner)
    unrolled = learner.policy.unroll(learner.init().params, rows.inputs, rows.start)
    distribution = learner.policy.distribution(params, learner.seen(params, rows).acting)
    torch.testing.assert_close(unrolled.distribution.mean, distribution.mean)
    torch.testing.assert_close(unrolled.distribution.log_std, distribution.log_std)


def test_sequences_are_padded_to_the_longest() -> None:
    """Entries of 2 and 3 steps."""
    made = {number: Trial(*(10.0 * number + torch.arange(count).reshape(-1, *[1] * more) for more in (1, 1, 0, 0)))
            for number, count in ((4, 2), (7, 3))}  # fmt: skip
    steps, weight = sequences(made, [7, 4])
    assert steps.reward.tolist() == [[70, 71, 72], [40, 41, 0]]
    assert steps.observation.squeeze(-1).tolist() == steps.reward.tolist()
    assert weight.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert isinstance(steps, Trial)
    assert Trial._fields == PlayedSteps._fields[:-1]


# -- that it learns ----------------------------------------------------------------------------------------------------


def test_it_learns_to_remember_which_goal_it_is() -> None:
    """In six steps standing still costs 3, going straight to the goal 1, to the other one 5; without a memory nothing
    is better than 3. In its first episode it has to try where the goal is, later it knows."""
    changes = {
        "network.hidden": (16,),
        "network.head_hidden": (32,),
        "network.critic_hidden": (32,),
        "network.clock_steps": 6,
        "algorithm.update_steps": 50,
        "algorithm.learning_rate": 3e-3,
        "algorithm.discount": 0.9,
        "algorithm.target_rate": 0.05,
        "algorithm.temperature": 0.1,
        "algorithm.replay_size": 18_000,
        "evaluate.test_tasks": 2,
        "evaluate.adaptation_steps": 2,
    }
    _, judged = learn_two_goals("rl2-sac", changes, Plan(8, 3, 0), (34, 37, 40))
    for before, *after in judged:  # [stage]
        assert before > -2.5  # without a memory of the episode so far it would be 3
        assert min(after) > before + 0.2
        assert min(after) > -1.9
