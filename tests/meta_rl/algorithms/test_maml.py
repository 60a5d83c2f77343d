"""MAML's gradients and trust region against the slow obvious ways to compute them, in float64."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.algorithms.maml import Maml, thin
from meta_rl.config import MamlConfig, NetworkConfig, default_config, replace_paths
from meta_rl.core.minibatches import between_steps, between_tasks
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.types import Batch, MetaBatch, Params, map_tensors
from meta_rl.maths import losses, trust_region
from meta_rl.networks.policy import make_policy
from meta_rl.sources.base import Plan
from meta_rl.sources.in_process import InProcess

OBSERVATION = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
CONTINUOUS = gym.spaces.Box(-1, 1, (2,), np.float32)
DISCRETE = gym.spaces.Discrete(4)
NET = NetworkConfig(hidden=(5,))


def make(action_space: gym.Space = CONTINUOUS, **config: object) -> tuple[Maml, Params]:
    policy = make_policy(OBSERVATION, action_space, NET, seed=0).double()
    learner = Maml(MamlConfig(inner_lr=0.3, curvature_stride=1, **config), policy)
    return learner, {name: p.detach().clone().requires_grad_() for name, p in policy.named_parameters()}


def random_batch(learner: Maml, params: Params, tasks: int = 3, seed: int = 0, steps: int = 6) -> MetaBatch:
    """Off-policy on purpose: recorded log-probabilities differ from the policy's own, some steps are padding."""
    rng = torch.Generator().manual_seed(seed)

    def one() -> Batch:
        observation = torch.randn(tasks, 2, steps, 3, dtype=torch.float64, generator=rng)
        distribution = learner.policy.apply({k: v.detach() for k, v in params.items()}, observation)
        noise_shape = (tasks, 2, steps, *learner.policy.noise_shape)
        draw = torch.randn if learner.policy.noise_kind == "normal" else torch.rand
        action = distribution.sample(draw(noise_shape, dtype=torch.float64, generator=rng))
        off = 0.1 * torch.randn(tasks, 2, steps, dtype=torch.float64, generator=rng)
        advantage = torch.randn(tasks, 2, steps, dtype=torch.float64, generator=rng)
        weight = torch.ones(tasks, 2, steps, dtype=torch.float64)
        weight[0, 1, 4:] = 0
        return Batch(observation, action, distribution.log_prob(action) + off, advantage * weight, weight)

    return MetaBatch(tuple(one() for _ in range(learner.config.inner_steps)), one())


def batched_loss(learner: Maml, params: Params, batch: MetaBatch) -> Tensor:
    policies = learner.adapted_policies(params, batch)
    return torch.vmap(losses.likelihood_ratio)(policies, batch.query).mean()


def looped_loss(learner: Maml, params: Params, batch: MetaBatch) -> Tensor:
    """The same with explicit loops, torch.autograd.grad for the inner step and no vmap, no torch.func.grad."""
    total = torch.zeros((), dtype=torch.float64)
    tasks = len(batch.query.weight)
    for task in range(tasks):
        adapted = dict(params)
        for support in batch.support:
            mine = Batch(*(x[task] for x in support))
            loss = losses.likelihood_ratio(learner.policy.apply(adapted, mine.observation), mine)
            keep = not learner.config.first_order
            grads = torch.autograd.grad(loss, list(adapted.values()), create_graph=keep)
            adapted = {k: p - 0.3 * g for (k, p), g in zip(adapted.items(), grads, strict=True)}
        query = Batch(*(x[task] for x in batch.query))
        total = total + losses.likelihood_ratio(learner.policy.apply(adapted, query.observation), query)
    return total / tasks


@pytest.mark.parametrize("action_space", [CONTINUOUS, DISCRETE])
@pytest.mark.parametrize("inner_steps", [0, 1, 3])
@pytest.mark.parametrize("first_order", [False, True])
def test_meta_gradient_vmap_equals_loop(action_space: gym.Space, inner_steps: int, first_order: bool) -> None:
    learner, params = make(action_space, inner_steps=inner_steps, first_order=first_order)
    batch = random_batch(learner, params)
    leaves = list(params.values())
    fast, slow = batched_loss(learner, params, batch), looped_loss(learner, params, batch)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-10)
    for a, b in zip(torch.autograd.grad(fast, leaves), torch.autograd.grad(slow, leaves), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("action_space", [CONTINUOUS, DISCRETE])
@pytest.mark.parametrize("inner_steps", [1, 2])
def test_meta_gradient_equals_finite_differences(action_space: gym.Space, inner_steps: int) -> None:
    learner, params = make(action_space, inner_steps=inner_steps)
    batch = random_batch(learner, params)
    gradient = trust_region.ravel(torch.autograd.grad(batched_loss(learner, params, batch), list(params.values())))
    flat = trust_region.ravel(list(params.values())).detach()
    numeric = torch.zeros_like(flat)
    for i in range(len(flat)):
        step = torch.zeros_like(flat)
        step[i] = 1e-5
        up, down = (
            batched_loss(learner, trust_region.unravel(flat + s, params), batch).detach() for s in (step, -step)
        )
        numeric[i] = (up - down) / 2e-5
    torch.testing.assert_close(gradient, numeric, rtol=1e-6, atol=1e-8)
    assert gradient.norm() > 1e-3  # not a comparison of zeros


def test_first_and_second_order_differ() -> None:
    second, params = make()
    first, _ = make(first_order=True)
    batch = random_batch(second, params)
    gradients = [
        trust_region.ravel(torch.autograd.grad(batched_loss(learner, params, batch), list(params.values())))
        for learner in (second, first)
    ]
    assert (gradients[0] - gradients[1]).norm() > 1e-3 * gradients[0].norm()


@pytest.mark.parametrize("action_space", [CONTINUOUS, DISCRETE])
@pytest.mark.parametrize("inner_steps", [0, 1, 2])
def test_curvature_product_equals_the_explicit_hessian(action_space: gym.Space, inner_steps: int) -> None:
    learner, params = make(action_space, inner_steps=inner_steps)
    batch = random_batch(learner, params)
    old = learner.adapted_policies({k: v.detach() for k, v in params.items()}, batch)
    weight = batch.query.weight / batch.query.weight.sum((1, 2), keepdim=True) / len(batch.query.weight)
    flat = trust_region.ravel(list(params.values())).detach()

    def mean_kl(vector: Tensor) -> Tensor:
        new = learner.adapted_policies(trust_region.unravel(vector, params), batch)
        return (old.kl(new) * weight).sum()

    hessian = torch.autograd.functional.hessian(mean_kl, flat)
    product = learner.curvature_product(params, batch)
    torch.manual_seed(1)
    for _ in range(5):
        v = torch.randn_like(flat)
        torch.testing.assert_close(product(v), hessian @ v, rtol=1e-8, atol=1e-10)
        assert v @ product(v) >= 0


def test_meta_update_respects_the_trust_region_and_improves_the_surrogate() -> None:
    for max_kl in (0.001, 0.01, 0.1):
        learner, params = make(max_kl=max_kl)
        batch = random_batch(learner, params)
        state = learner.init()
        before = {k: v.clone() for k, v in state.params.items()}
        old = learner.adapted_policies(before, batch)
        loss_before = batched_loss(learner, before, batch)
        metrics = learner.meta_update(state, batch)
        new = learner.adapted_policies(state.params, batch)
        weight = batch.query.weight / batch.query.weight.sum((1, 2), keepdim=True) / len(batch.query.weight)
        kl = float((old.kl(new) * weight).sum())
        assert 0 < kl <= max_kl
        assert kl == pytest.approx(metrics["update/kl"])
        assert batched_loss(learner, state.params, batch) < loss_before
        assert metrics["update/accepted"] == 1
        assert not any(p.requires_grad for p in state.params.values())


def test_a_nan_in_one_task_skips_the_update_bitwise() -> None:
    learner, params = make()
    batch = random_batch(learner, params)
    batch.support[0].advantage[1, 0, 0] = torch.nan
    state = learner.init()
    before = {k: v.clone() for k, v in state.params.items()}
    metrics = learner.meta_update(state, batch)
    assert metrics["guard/non_finite_gradient"] == 1
    assert all(torch.equal(before[k], state.params[k]) for k in before)


def identifiable(lengths: list[list[int]], horizon: int) -> Batch:
    """Every number tells where it stands, ``10_000 * task + 1000 * env + time``; episodes as long as `lengths` say."""
    length = torch.tensor(lengths).unsqueeze(-1)
    task, env = (torch.arange(n) for n in length.shape[:2])
    time = torch.arange(horizon)
    place = (10_000 * task[:, None, None] + 1000 * env[:, None] + time).double()
    weight = (time < length).double()
    return Batch(place.unsqueeze(-1).expand(-1, -1, -1, 3), place.unsqueeze(-1), place, place, weight)


def test_thin_keeps_every_nth_step_of_whole_episodes() -> None:
    """Bit for bit what a slice gives, with weight 1; also in the support, whose episodes may be of another length."""
    whole, other = identifiable([[500, 500], [500, 500]], 500), identifiable([[120, 120]], 120)
    thinned = thin(MetaBatch((other, whole), whole), 10)
    for before, after in ((whole, thinned.query), (other, thinned.support[0]), (whole, thinned.support[1])):
        for x, y in zip(before, after, strict=True):
            assert torch.equal(x[:, :, ::10], y)


def test_thin_sees_several_states_of_every_episode_however_short() -> None:
    """50 of a horizon of 500 by a stride of 10. An episode of 99 steps gives 50 too, each for 1.98 steps where those of
    a whole episode stand for 10; one of 7 steps gives all, each for itself; one that was left out gives none."""
    query = identifiable([[500, 99], [7, 0]], 500)
    thinned = thin(MetaBatch((), query), 10).query
    assert thinned.weight.shape == (2, 2, 50)
    expected = {(0, 1): ([i * 99 // 50 for i in range(50)], 0.198), (1, 0): (list(range(7)), 0.1), (1, 1): ([], 0.0)}
    for (task, env), (times, weight) in expected.items():
        kept = thinned.weight[task, env] > 0
        assert (thinned.advantage[task, env, kept] - 10_000 * task - 1000 * env).tolist() == times
        torch.testing.assert_close(thinned.weight[task, env, kept], torch.full((len(times),), weight).double())
    # Valid steps count alike: an episode's weight is its share of the steps, whatever was left out.
    torch.testing.assert_close(thinned.weight.sum(-1), query.weight.sum(-1) / 10)


@pytest.mark.parametrize(("inner_loss", "within"), [("dice", 0.1), ("lvc", 0.5)])
def test_thinned_curvature_is_near_that_of_all_steps(inner_loss: str, within: float) -> None:
    """DiCE's factor of a step is of its whole past: of every tenth step of a practice it is another one, by which the
    curvature would be up to 2.5 times as large here."""
    learner, params = make(inner_loss=inner_loss)
    few = Maml(dataclasses.replace(learner.config, curvature_stride=10), learner.policy)
    batch = random_batch(learner, params, steps=200)
    exact, near = (one.curvature_product(params, one.thinned(batch)) for one in (learner, few))
    torch.manual_seed(1)
    size = len(trust_region.ravel(list(params.values())))
    ratios = [float(v @ near(v) / (v @ exact(v))) for v in torch.randn(10, size, dtype=torch.float64)]
    assert ratios == pytest.approx([1.0] * 10, abs=within)
    assert few.thinned(batch).support[0].weight.shape[-1] == (200 if inner_loss == "dice" else 20)


@pytest.mark.parametrize("horizon", [1, 6, 10])
def test_thin_leaves_short_horizons_alone(horizon: int) -> None:
    batch = MetaBatch((), identifiable([[horizon, 1]], horizon))
    assert all(torch.equal(x, y) for x, y in zip(thin(batch, 10).query, batch.query, strict=True))
    assert thin(MetaBatch((), identifiable([[500]], 500)), 1).query.weight.shape == (1, 1, 500)


@pytest.mark.parametrize("inner_loss", ["lvc", "dice", "score"])
def test_dice_and_the_others_tell_weights_from_log_probabilities(inner_loss: str) -> None:
    """A weight scales how much a step counts, never its log-probability: half of all weights is the same objective."""
    learner, params = make(inner_loss=inner_loss)
    batch = random_batch(learner, params)
    half = map_tensors(lambda x: x, batch.support[0])._replace(weight=batch.support[0].weight / 2)
    a, b = (learner.adapted_policies(params, batch._replace(support=(s,))) for s in (batch.support[0], half))
    gradients = [trust_region.ravel(torch.autograd.grad(x.mean.sum(), list(params.values()))) for x in (a, b)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("recipe", ["maml-trpo", "maml-dice-trpo", "multitask-trpo"])
def test_episodes_of_few_steps_are_learned_from(recipe: str) -> None:
    """Ten steps an episode: curvature of first states alone promises steps that no line search can keep."""
    distribution, config = envs.make("tabular"), default_config(recipe, "tabular")
    learner = make_learner(config, distribution)
    source, state = InProcess(distribution, learner, Plan(10, 10, seed=0)), learner.init()
    accepted = []
    for _ in range(4):
        accepted.append(learner.meta_update(state, source.sample(state.weights, state.iteration).batch))
        state.iteration += 1
    source.close()
    assert sum(metrics["update/accepted"] for metrics in accepted) >= 3


@pytest.mark.parametrize(("inner_steps", "minibatches"), [(1, 2), (1, 3), (0, 2), (0, 12)])
def test_ppo_takes_an_adam_step_on_every_minibatch(inner_steps: int, minibatches: int) -> None:
    """Against a plain loop. With 12 minibatches, the task with 10 valid steps has none in two of them."""
    changes = {"outer_step": "ppo", "inner_steps": inner_steps, "epochs": 2, "minibatches": minibatches}
    learner, params = make(**changes)
    batch, state = random_batch(learner, params), learner.init()
    state.iteration = 5
    expected = {name: p.clone().requires_grad_() for name, p in state.params.items()}
    adam = torch.optim.Adam(expected.values(), lr=1e-3)
    for epoch in range(2):
        rng = generator(0, Purpose.MINIBATCHES, 5, stage=epoch)
        for part, _ in (between_tasks if inner_steps else between_steps)(batch, minibatches, rng):
            policies = learner.adapted_policies(expected, part)
            ratio = (policies.log_prob(part.query.action) - part.query.log_prob).exp()
            gain = torch.minimum(ratio * part.query.advantage, ratio.clamp(0.8, 1.2) * part.query.advantage)
            weight = part.query.weight / part.query.weight.sum((1, 2), keepdim=True).clamp(min=1)
            adam.zero_grad()
            (-(gain * weight).sum((1, 2)).mean()).backward()
            adam.step()
    metrics = learner.meta_update(state, batch)
    for name, p in state.params.items():
        torch.testing.assert_close(p, expected[name].detach(), rtol=1e-7, atol=1e-9)
    assert metrics["update/loss_after"] < metrics["update/loss_before"]
    assert metrics["update/kl"] > 0


@pytest.mark.parametrize("recipe", ["maml-ppo", "multitask-ppo", "promp"])
def test_a_nan_in_one_minibatch_abandons_the_update_bitwise(recipe: str) -> None:
    changes = {"outer_step": "ppo", "inner_steps": int(recipe != "multitask-ppo"), "minibatches": 3, "epochs": 2}
    learner, params = make(**changes, inner_kl_coef=5e-4 * (recipe == "promp"))
    state = learner.init()
    learner.meta_update(state, random_batch(learner, params))
    before = [{k: v.clone() for k, v in group.items()} for group in (state.params, state.optimizer)]
    assert before[1]
    batch = random_batch(learner, params)
    batch.query.advantage[1, 0, 0] = torch.nan
    assert learner.meta_update(state, batch)["guard/non_finite_gradient"] == 1
    for group, values in zip((state.params, state.optimizer), before, strict=True):
        assert group.keys() == values.keys()
        assert all(torch.equal(group[k], values[k]) for k in values)


def test_sampling_adapts_exactly_as_learning_does() -> None:
    """The adapted policy that collected the query gives the recorded log-probabilities again when the learner
    adapts from the meta-parameters: the same numbers on both sides of the hop."""
    config = replace_paths(default_config("maml-trpo", "navigation"), {"algorithm.inner_steps": 2})
    distribution = envs.make("navigation")
    learner = make_learner(config, distribution)
    assert isinstance(learner, Maml)
    source = InProcess(distribution, learner, Plan(4, 3, seed=0))
    state = learner.init()
    batch = source.sample(state.weights, 0).batch
    policies = learner.adapted_policies(state.params, batch)
    torch.testing.assert_close(policies.log_prob(batch.query.action), batch.query.log_prob, rtol=0, atol=1e-5)
    first = map_tensors(lambda x: x, batch.support[0])
    start = torch.vmap(learner.policy.apply)(learner.start(state.weights, 4), first.observation)
    torch.testing.assert_close(start.log_prob(first.action), first.log_prob, rtol=0, atol=1e-5)
    source.close()


@pytest.mark.parametrize("at_once", [2, 5, 100])
def test_candidates_evaluated_together_give_the_same_step(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """As on a GPU. A tight region makes the line search go past the first candidates."""
    results = []
    for size in (1, at_once):
        monkeypatch.setitem(trust_region.CANDIDATES_AT_ONCE, "cpu", size)
        learner, params = make(inner_steps=1, max_kl=0.5, backtrack_ratio=0.7)
        state = learner.init()
        metrics = learner.meta_update(state, random_batch(learner, params))
        results.append((metrics["update/backtracks"], state.params))
    assert 0 < results[0][0] == results[1][0]
    for name, p in results[0][1].items():
        torch.testing.assert_close(results[1][1][name], p, rtol=0, atol=1e-12)


@pytest.mark.parametrize("outer_step", ["ppo", "vpg"])
def test_the_step_size_of_adam_falls_over_the_iterations(outer_step: str) -> None:
    """Half way to a factor of 0.5 it is three quarters of what it was, and from the end on it stays half."""

    def moved(iteration: int, **changes: object) -> Params:
        learner, params = make(outer_step=outer_step, **changes)
        state = learner.init()
        state.iteration = iteration
        learner.meta_update(state, random_batch(learner, params))
        return state.params

    for iteration, share in ((0, 1.0), (5, 0.75), (10, 0.5), (30, 0.5)):
        annealed = moved(iteration, meta_lr=0.01, final_meta_lr=0.5, meta_lr_iterations=10)
        plain = moved(iteration, meta_lr=0.01 * share)
        assert all(torch.equal(annealed[name], plain[name]) for name in plain)
    always = moved(5, meta_lr=0.01)
    assert any(not torch.equal(always[name], p) for name, p in moved(5, meta_lr=0.0075).items())
