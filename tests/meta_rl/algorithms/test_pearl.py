"""PEARL: what is kept, what is inferred, the losses against a slow obvious twin, and that it learns."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import AffineTransform, Independent, Normal, TanhTransform, TransformedDistribution
from torch.nn.functional import softplus

import envs
from envs import Task
from meta_rl.algorithms.base import make_learner
from meta_rl.algorithms.pearl import TEMPERATURE, Drawn, Pearl, normalised
from meta_rl.config import default_config, replace_paths
from meta_rl.core.moments import Moments
from meta_rl.core.replay import Transitions, unflatten_replay
from meta_rl.core.state import TrainState
from meta_rl.core.types import MetaBatch, Params, Rollout, map_tensors
from meta_rl.maths.distributions import DiagonalGaussian
from meta_rl.networks.latent import LatentActor
from meta_rl.sources.base import Plan
from meta_rl.sources.in_process import InProcess
from tests.meta_rl.algorithms.two_goals import learn_two_goals

SMALL = {
    "network.hidden": (6,),
    "network.encoder_hidden": (5,),
    "network.latent_size": 3,
    "algorithm.update_steps": 3,
    "algorithm.update_tasks": 2,
    "algorithm.batch_size": 4,
    "algorithm.context_size": 5,
    "algorithm.reward_scale": 2.0,
}


def learner_for(**changes: Any) -> tuple[Pearl, envs.TaskDistribution]:
    distribution = envs.make("navigation", horizon=6)
    learner = make_learner(replace_paths(default_config("pearl", "navigation"), {**SMALL, **changes}), distribution)
    assert isinstance(learner, Pearl)
    return learner, distribution


def iterated(learner: Pearl, distribution: envs.TaskDistribution, count: int) -> tuple[TrainState, list[MetaBatch]]:
    """The state after some iterations of three tasks, and what they sampled."""
    state, batches = learner.init(), []
    for _ in range(count):
        batches.append(InProcess(distribution, learner, Plan(3, 2, 0)).sample(state.weights, state.iteration).batch)
        learner.meta_update(state, batches[-1])
        state.iteration += 1
    return state, batches


def numbered(ends: list[int], terminated: list[bool], horizon: int = 3) -> Rollout:
    """A rollout of one task whose numbers are 10 * env + time."""
    count = len(ends)
    number = 10.0 * np.arange(count)[:, None] + np.arange(horizon)
    valid = np.arange(horizon) < np.array(ends)[:, None]
    seen = np.where(valid, number, 10.0 * np.arange(count)[:, None] + np.array(ends)[:, None])  # the last one repeats
    observation = np.stack([seen, -seen], -1)[None].astype(np.float32)
    last = np.stack([10.0 * np.arange(count) + ends] * 2, -1)[None].astype(np.float32) * [1, -1]
    earned = np.where(valid, number, 0)[None].astype(np.float32)
    no = np.zeros((1, count, horizon), bool)
    action = np.zeros((1, count, horizon, 2), np.float32)
    return Rollout(
        observation, action, earned, valid[None], no, np.array([terminated]), last.astype(np.float32), earned, action
    )


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_what_follows_a_step_is_known_at_the_end_of_an_episode_too_and_truncation_ends_nothing() -> None:
    learner, _ = learner_for()
    played = learner.prepare(learner.start(learner.init().weights, 1), numbered([2, 3, 3], [True, False, True]))
    following = played.steps.next_observation[0, :, :, 0]
    for env, end in enumerate((2, 3, 3)):
        assert following[env, :end].tolist() == [10 * env + t + 1 for t in range(end)]
    assert played.steps.terminated[0].tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert played.weight[0].tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize("both", [False, True])
def test_the_replay_is_of_all_steps_and_the_context_of_the_last_visit(both: bool) -> None:
    """Against a loop over tasks, stages, environments and steps."""
    learner, distribution = learner_for(**{"algorithm.replay_size": 40, "algorithm.posterior_context": both})
    two = [Task("navigation", (0.3, 0.1)), Task("navigation", (-0.2, 0.4))]
    distribution.sample = lambda rng, count: [two[i] for i in rng.integers(0, 2, count)]  # type: ignore[method-assign]
    state, batches = iterated(learner, distribution, 4)
    expected: dict[int, list[float]] = {}
    context: dict[int, list[float]] = {}
    for batch in batches:
        for i, task in enumerate(batch.task.tolist()):
            visit = [
                [float(stage.steps.reward[i, env, t]) for env in range(2) for t in range(6) if stage.weight[i, env, t]]
                for stage in (batch.support[0], batch.query)
            ]
            expected[task] = [*expected.get(task, []), *visit[0], *visit[1]][-40:]
            context[task] = [*visit[0], *visit[1]] if both else visit[0]
    assert len(expected) == 2
    assert max(map(len, expected.values())) == 40  # it went round
    for name, mine in (("replay", expected), ("context", context)):
        found = unflatten_replay(state.replay, name)
        assert {task: steps.reward.tolist() for task, steps in found.items()} == mine


def test_a_continuum_is_a_ring_of_the_last_tasks() -> None:
    learner, distribution = learner_for(**{"algorithm.replay_tasks": 4})
    state, batches = iterated(learner, distribution, 3)
    last = [task for batch in batches for task in batch.task.tolist()][-4:]
    assert list(unflatten_replay(state.replay, "replay")) == last
    assert list(unflatten_replay(state.replay, "context")) == last


def test_iterations_that_only_collect_change_the_replay_alone() -> None:
    learner, distribution = learner_for(**{"algorithm.collect_iterations": 2})
    state, _ = iterated(learner, distribution, 2)
    first = learner.init()
    assert all(torch.equal(state.params[name], p) for name, p in first.params.items())
    assert len(unflatten_replay(state.replay, "replay")) == 6
    state, _ = iterated(learner, distribution, 3)
    assert not torch.equal(state.params["actor.layers.0.weight"], first.params["actor.layers.0.weight"])


# -- what is inferred --------------------------------------------------------------------------------------------------


def test_adaptation_multiplies_the_factors_of_all_valid_steps() -> None:
    learner, _ = learner_for()
    weights = learner.init().weights
    start = learner.start(weights, 1)
    first, second = (learner.prepare(start, numbered(ends, [False] * len(ends))) for ends in ([2, 3], [1]))
    adapted = learner.adapt(learner.adapt(start, first), second)
    precision = torch.zeros(3)
    weighted = torch.zeros(3)
    for played in (first, second):
        for env, time in played.weight[0].nonzero().tolist():
            steps = map_tensors(lambda x, at=(0, env, time): x[at], played.steps)
            inputs = torch.cat([steps.observation, steps.action / 0.1, steps.reward.unsqueeze(0)])
            mean, spread = learner.policy.encoder(inputs).chunk(2)
            variance = softplus(spread).clamp(min=1e-7)
            precision, weighted = precision + 1 / variance, weighted + mean / variance
    belief = adapted.evidence.product()
    torch.testing.assert_close(belief.mean[0], (weighted / precision).detach())
    torch.testing.assert_close(belief.log_std[0].exp(), precision.rsqrt().detach())
    assert torch.equal(start.evidence.product().log_std, torch.zeros(1, 3))


def acting(belief_std: float = 0.5) -> tuple[Pearl, LatentActor, np.ndarray, np.ndarray]:
    """An actor of two tasks, observations and noise for three environments each."""
    learner, _ = learner_for()
    belief = DiagonalGaussian(torch.ones(2, 3), torch.full((2, 3), math.log(belief_std)))
    rng = np.random.default_rng(0)
    seen, noise = rng.normal(size=(2, 3, 2)).astype(np.float32), rng.normal(size=(4, 2, 3, 5)).astype(np.float32)
    return learner, LatentActor(learner.policy, learner.init().weights, belief), seen, noise


def by_hand(learner: Pearl, seen: np.ndarray, latent: np.ndarray, noise: np.ndarray) -> np.ndarray:
    found = learner.policy.actor(torch.tensor(seen), torch.tensor(latent, dtype=torch.float32))
    return found.sample(torch.tensor(noise)).detach().numpy()  # type: ignore[no-any-return]


def test_an_episode_keeps_the_z_that_it_began_with() -> None:
    learner, actor, seen, noise = acting()
    actor.begin()
    first = 1 + 0.5 * noise[0, ..., 2:]
    for step in (0, 1):
        expected = by_hand(learner, seen, first, noise[step, ..., :2])
        np.testing.assert_allclose(actor.act(seen, noise[step]), expected, rtol=1e-5, atol=1e-7)
    mask = np.array([[True, False, False], [False, False, True]])
    actor.begin(mask)
    second = np.where(mask[..., None], 1 + 0.5 * noise[2, ..., 2:], first)
    for step in (2, 3):
        expected = by_hand(learner, seen, second, noise[step, ..., :2])
        np.testing.assert_allclose(actor.act(seen, noise[step]), expected, rtol=1e-5, atol=1e-7)


def test_the_mode_is_that_of_the_mean_of_z() -> None:
    learner, actor, seen, _ = acting()
    actor.begin()
    expected = by_hand(learner, seen, np.ones((2, 3, 3)), np.zeros((2, 3, 2), np.float32))
    np.testing.assert_allclose(actor.act(seen, None), expected, rtol=1e-5, atol=1e-7)
    module = actor.module(envs.make("navigation").action_space)
    np.testing.assert_allclose(module(torch.tensor(seen)).numpy(), expected, rtol=1e-5, atol=1e-7)


def test_actions_stay_within_the_box() -> None:
    _, actor, seen, noise = acting()
    actor.begin()
    assert np.abs(actor.act(seen, 100 * noise[0])).max() <= np.float32(0.1)


# -- the losses --------------------------------------------------------------------------------------------------------


def twin(learner: Pearl, params: Params, targets: Params, drawn: Drawn) -> dict[str, Tensor]:
    """The losses, task by task and step by step, with torch's own distributions."""
    c, policy = learner.config, learner.policy
    low = torch.tensor(0.1, dtype=torch.float64)

    def network(module: torch.nn.Module, name: str, values: Params, x: Tensor) -> Tensor:
        mine = {key.removeprefix(name): p for key, p in values.items() if key.startswith(name)}
        return torch.func.functional_call(module, mine, (x,))  # type: ignore[no-any-return]

    def act(observation: Tensor, z: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        out = network(policy.actor.layers, "actor.layers.", params, torch.cat([observation, z]))
        base = Independent(Normal(out[:2], out[2:].exp()), 1)
        action = low * torch.tanh(out[:2] + out[2:].exp() * noise)
        return action, TransformedDistribution(base, [TanhTransform(), AffineTransform(0.0, low)]).log_prob(action)

    def value(values: Params, k: int, observation: Tensor, action: Tensor, z: Tensor) -> Tensor:
        x = torch.cat([observation, z, action / low])
        return network(policy.critics.each[k], f"critics.each.{k}.", values, x)[0]

    alpha = params[TEMPERATURE].exp()
    critic, actor, temperature, kl = [], [], [], []
    for i in range(len(drawn.weight)):
        precision, weighted = 0.0, 0.0
        for n in range(int(drawn.weight[i].sum())):
            step = map_tensors(lambda x, at=(i, n): x[at], drawn.context)
            x = torch.cat([step.observation, step.action / low, step.reward.unsqueeze(0)])
            mean, spread = network(policy.encoder, "encoder.", params, x).chunk(2)
            precision, weighted = precision + 1 / softplus(spread), weighted + mean / softplus(spread)
        posterior = Normal(weighted / precision, precision**-0.5)  # type: ignore[operator, arg-type]
        prior = Normal(torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
        kl.append(torch.distributions.kl_divergence(posterior, prior).sum())
        z = posterior.mean + posterior.stddev * drawn.latent_noise[i]
        held = z.detach()
        for t in range(c.batch_size):
            step = map_tensors(lambda x, at=(i, t): x[at], drawn.steps)
            after, after_log_prob = act(step.next_observation, held, drawn.action_noise[1, i, t])
            best = min(value(targets, k, step.next_observation, after, held) for k in (0, 1)) - alpha * after_log_prob
            y = (c.reward_scale * step.reward + c.discount * (1 - step.terminated) * best).detach()
            critic.append(sum((value(params, k, step.observation, step.action, z) - y) ** 2 for k in (0, 1)))
            action, log_prob = act(step.observation, held, drawn.action_noise[0, i, t])
            least = min(value(params, k, step.observation, action, held) for k in (0, 1))
            actor.append(alpha.detach() * log_prob - least)
            # The target of two numbers in [-0.1, 0.1], in their own units: -2 + 2 log 0.1.
            temperature.append(-alpha * (log_prob.detach() - 2 + 2 * math.log(0.1)))
    return {
        "critic": torch.stack(critic).mean() + c.kl_coef * torch.stack(kl).sum(),  # type: ignore[arg-type]
        "actor": torch.stack(actor).mean(),
        "temperature": torch.stack(temperature).mean(),
    }


def in_double() -> tuple[Pearl, Params, Params, Drawn]:
    """A learner in float64, its parameters, targets other than them, and a draw with a short context and an end."""
    learner, distribution = learner_for()
    state, _ = iterated(learner, distribution, 2)
    replay, context = (unflatten_replay(state.replay, name) for name in ("replay", "context"))
    drawn = learner.draw(replay, context, {}, np.random.default_rng(5))
    drawn.weight[1, 3:] = 0
    drawn.steps.terminated[0, 1] = 1
    learner.policy.double()
    drawn, state.params, state.extras = map_tensors(Tensor.double, (drawn, state.params, state.extras))
    learned = state.params | {name: p for name, p in state.extras.items() if not name.startswith("targets.")}
    targets = {f"critics.{name.removeprefix('targets.')}": p + 0.1 for name, p in state.extras.items()
               if name.startswith("targets.")}  # fmt: skip
    return learner, {name: p.requires_grad_() for name, p in learned.items()}, targets, drawn


def test_the_losses_are_those_of_the_loop_and_each_parameter_is_in_its_own_alone() -> None:
    learner, params, targets, drawn = in_double()
    expected = twin(learner, params, targets, drawn)
    loss, metrics = learner.loss(params, targets, drawn)
    torch.testing.assert_close(loss, sum(expected.values()), check_dtype=False)
    torch.testing.assert_close(metrics["update/actor_loss"], expected["actor"].detach())
    gradient, _ = learner.gradient(params, targets, drawn)
    for part, prefixes in (("critic", ("encoder", "critics")), ("actor", ("actor",)), ("temperature", (TEMPERATURE,))):
        names = [name for name in params if name.startswith(prefixes)]
        assert names
        theirs = torch.autograd.grad(expected[part], [params[name] for name in names], retain_graph=True)
        for name, g in zip(names, theirs, strict=True):
            torch.testing.assert_close(gradient[list(params).index(name)], g)
            assert bool(g.any()), name


def test_an_update_takes_adam_steps_and_its_targets_follow() -> None:
    """Three steps, each from what the one before left, with the draws of its own derived seed."""
    learner, distribution = learner_for()
    state, _ = iterated(learner, distribution, 1)
    batch = InProcess(distribution, learner, Plan(3, 2, 0)).sample(state.weights, 1).batch
    expected = {name: p.clone().requires_grad_() for name, p in (state.params | state.extras).items()
                if not name.startswith("targets.")}  # fmt: skip
    targets = {name.replace("targets", "critics"): p.clone() for name, p in state.extras.items() if "targets" in name}
    adam = torch.optim.Adam(expected.values(), lr=learner.config.learning_rate)
    for name, p in expected.items():
        adam.state[p] = {key: state.optimizer[f"{key}/{name}"].clone() for key in ("step", "exp_avg", "exp_avg_sq")}
    replay, context = learner.remember(state.replay, batch)
    for number in range(3):
        rng = np.random.default_rng(np.random.SeedSequence([0, 13, 1, 0, number]))
        drawn = learner.draw(replay, context, {}, rng)
        for p, g in zip(expected.values(), learner.gradient(expected, targets, drawn)[0], strict=True):
            p.grad = g
        adam.step()
        rate = learner.config.target_rate
        targets = {name: (1 - rate) * p + rate * expected[name].detach() for name, p in targets.items()}
    learner.meta_update(state, batch)
    for name, p in expected.items():
        torch.testing.assert_close((state.params | state.extras)[name], p.detach())
    for name, p in targets.items():
        torch.testing.assert_close(state.extras[name.replace("critics", "targets")], p)


def test_the_encoder_reads_the_next_observation_where_it_is_asked_to() -> None:
    plain, reading = (learner_for(**{"network.encode_next": each})[0] for each in (False, True))
    source = InProcess(envs.make("navigation", horizon=6), plain, Plan(3, 2, 0))
    played = source.sample(plain.init().weights, 0).batch.query
    other = played._replace(steps=played.steps._replace(next_observation=played.steps.next_observation + 1))
    for learner, differs in ((plain, False), (reading, True)):
        start = learner.start(learner.init().weights, 3)
        one, two = (learner.adapt(start, each).evidence.weighted for each in (played, other))
        assert torch.equal(one, two) != differs


def test_observations_are_kept_as_they_were_and_read_by_the_statistics_of_now() -> None:
    seen = torch.tensor([[3.0, 1.0]])
    steps = Transitions(seen, torch.zeros(1, 2), torch.zeros(1), seen + 1, torch.zeros(1))
    mean, square = torch.tensor([[1.0, 1.0], [400.0, 900.0]], dtype=torch.float64)  # of 100 steps: deviations of 2, 3
    statistics = Moments(torch.tensor(100.0, dtype=torch.float64), mean, square)._asdict()
    found = normalised(steps, statistics)
    torch.testing.assert_close(found.observation, torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(found.next_observation, torch.tensor([[1.5, 1 / 3]]))
    learner, distribution = learner_for(**{"network.normalise_observations": True})
    played = InProcess(distribution, learner, Plan(3, 2, 0)).sample(learner.init().weights._replace(
        statistics=statistics), 0).batch.query  # fmt: skip
    torch.testing.assert_close(played.steps.observation[:, :, 0], torch.zeros(3, 2, 2))  # every episode begins at 0


def test_frozen_parameters_stay() -> None:
    learner, distribution = learner_for()
    learner.policy.get_parameter("encoder.0.weight").requires_grad_(False)
    learner.policy.get_parameter("critics.each.0.0.weight").requires_grad_(False)
    first = learner.init()
    state, _ = iterated(learner, distribution, 2)
    before, after = first.params | first.extras, state.params | state.extras
    still = {name for name, p in before.items() if torch.equal(p, after[name])}
    assert still == {"encoder.0.weight", "critics.each.0.0.weight", "targets.each.0.0.weight"}


# -- what is not finite ------------------------------------------------------------------------------------------------


def everything(state: TrainState) -> dict[str, Tensor]:
    return {name: p.clone() for group in ("params", "optimizer", "extras", "replay")
            for name, p in getattr(state, group).items()}  # fmt: skip


def test_a_batch_that_is_not_finite_changes_nothing() -> None:
    learner, distribution = learner_for()
    state, batches = iterated(learner, distribution, 1)
    before = everything(state)
    steps = batches[0].query.steps
    broken = batches[0].query._replace(steps=steps._replace(reward=steps.reward * math.nan))
    assert learner.meta_update(state, batches[0]._replace(query=broken)) == {"guard/non_finite_gradient": 1}
    after = everything(state)
    assert before.keys() == after.keys()
    assert all(torch.equal(p, after[name]) for name, p in before.items())


def test_a_gradient_that_is_not_finite_changes_the_replay_alone() -> None:
    learner, distribution = learner_for()
    state, batches = iterated(learner, distribution, 1)
    learner.config = dataclasses.replace(learner.config, reward_scale=1e30)
    before = everything(state)
    assert learner.meta_update(state, batches[0])["guard/non_finite_gradient"] == 1
    after = everything(state)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("replay/") for name in changed)


# -- that it learns ----------------------------------------------------------------------------------------------------


def test_it_learns_to_infer_which_goal_it_is() -> None:
    """In six steps standing still costs 3, going straight to the goal 1, to the other one 5. Without an episode it
    cannot know which; after one it does."""
    changes = {
        "network.hidden": (32, 32),
        "network.encoder_hidden": (32,),
        "network.latent_size": 2,
        "algorithm.update_steps": 50,
        "algorithm.update_tasks": 2,
        "algorithm.batch_size": 32,
        "algorithm.context_size": 6,
        "algorithm.learning_rate": 3e-3,
        "algorithm.discount": 0.3,
        "algorithm.target_rate": 0.1,
        "algorithm.kl_coef": 0.01,
        "algorithm.reward_scale": 20.0,
        "evaluate.test_tasks": 2,
        "evaluate.adaptation_steps": 2,
    }
    state, judged = learn_two_goals("pearl", changes, Plan(4, 4, 0), (30, 35, 40, 45))
    assert len(unflatten_replay(state.replay, "replay")) == 2
    for before, *after in judged:  # [stage]
        assert before < -2.7
        assert min(after) > before + 0.7
        assert min(after) > -2.3
