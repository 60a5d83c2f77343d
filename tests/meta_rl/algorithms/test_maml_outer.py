"""The outer steps other than TRPO: meta-gradients by finite differences, in exact expectation, and against Adam."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from meta_rl.algorithms import maml
from meta_rl.algorithms.maml import Maml, mean_weight
from meta_rl.config import RECIPES, MamlConfig, TrainConfig
from meta_rl.core.types import Batch, MetaBatch, Params, map_tensors
from meta_rl.core.weights import Weights, joined, parted
from meta_rl.maths import gradient_step, losses, trust_region
from meta_rl.maths.distributions import Distribution
from meta_rl.maths.gradient_step import Descent
from meta_rl.training.train import train
from tests.meta_rl.algorithms.test_maml import make, random_batch
from tests.meta_rl.mdp import HORIZON, Mdp, Tabular, detached, stack
from tests.meta_rl.training.test_train import assert_same_run, final, quiet

Loss = Callable[[Params], Tensor]


def outer_loss(monkeypatch: pytest.MonkeyPatch, learner: Maml, params: Params, batch: MetaBatch) -> Loss:
    """The very function that `learner` hands to its optimizer at `params`."""
    caught: list[Loss] = []

    def catch(params: Params, optimizer: Any, parts: list[gradient_step.Loss], *_: Any, **__: Any) -> Descent:
        caught.append(lambda params: sum(part(params)[0] for part in parts))
        told = [part(params)[1] for part in parts]
        return Descent(params, optimizer, {}, told, told)

    with monkeypatch.context() as patch:
        patch.setattr(maml.gradient_step, "descend", catch)
        state = learner.init()
        state.params, state.shared = parted(map_tensors(Tensor.detach, params))
        learner.meta_update(state, batch)
    return caught[0]


def together(learner: Maml) -> Params:
    """All that meta-updates learn, the network's parameters and the step sizes, at first."""
    state = learner.init()
    return detached(joined(state.params, state.shared))


def gradient(loss: Loss, params: Params) -> Tensor:
    return trust_region.ravel(torch.autograd.grad(loss(params), list(params.values())))


def numeric_gradient(loss: Loss, params: Params, size: float = 1e-5) -> Tensor:
    """Central differences."""
    flat = trust_region.ravel(list(params.values())).detach()
    numeric = torch.zeros_like(flat)
    for i in range(len(flat)):
        step = torch.zeros_like(flat)
        step[i] = size
        up, down = (loss(trust_region.unravel(flat + s, params)).detach() for s in (step, -step))
        numeric[i] = (up - down) / (2 * size)
    return numeric


def box(distribution: Distribution, batch: Batch) -> Tensor:
    """DiCE with its stopped log-probabilities as given numbers (those recorded), so that differences see what
    differentiation sees: sum_t A_t (ratio of the past with step t - ratio of the past before t)."""
    ratio = (distribution.log_prob(batch.action) - batch.log_prob) * batch.weight
    through = ratio.cumsum(-1)
    return -losses.weighted_mean((through.exp() - (through - ratio).exp()) * batch.advantage, batch.weight)


def record(learner: Maml, params: Params, batch: MetaBatch) -> MetaBatch:
    """The support data as if each policy adapted from `params` had recorded it itself."""
    policies = map_tensors(Tensor.detach, learner.support_policies(params, batch))
    pairs = zip(policies, batch.support, strict=True)
    return batch._replace(support=tuple(s._replace(log_prob=p.log_prob(s.action)) for p, s in pairs))


@pytest.mark.parametrize("inner_steps", [1, 2])
@pytest.mark.parametrize("inner_loss", ["lvc", "dice", "score"])
@pytest.mark.parametrize("outer", [{"outer_step": "vpg"}, {"outer_step": "ppo", "clip_eps": 0.08}], ids=["vpg", "ppo"])
def test_meta_gradient_equals_finite_differences(
    monkeypatch: pytest.MonkeyPatch, outer: dict[str, Any], inner_loss: str, inner_steps: int
) -> None:
    learner, params = make(inner_steps=inner_steps, inner_loss=inner_loss, **outer)
    batch = random_batch(learner, params)
    loss = outer_loss(monkeypatch, learner, params, batch)
    analytic = gradient(loss, params)
    if inner_loss == "dice":  # the same derivatives, written without a stop
        batch = record(learner, params, batch)
        learner.inner_loss = box
        loss = outer_loss(monkeypatch, learner, params, batch)
    torch.testing.assert_close(analytic, numeric_gradient(loss, params), rtol=1e-6, atol=1e-8)
    assert analytic.norm() > 1e-3
    if outer["outer_step"] == "ppo":  # on both sides of the clip
        ratio = (learner.adapted_policies(params, batch).log_prob(batch.query.action) - batch.query.log_prob).exp()
        clipped = ((ratio - 1).abs() > 0.08).double().mean()
        assert 0.1 < clipped < 0.9


# -- exact expectation ---------------------------------------------------------------------------------------------

TASKS = [Mdp(0), Mdp(1)]
INNER_LR = 0.8


def exact_meta_objective(params: Params, inner_steps: int) -> Tensor:
    """-E[return per step] after exact adaptation, mean over tasks, by dynamic programming."""
    total = torch.zeros((), dtype=torch.float64)
    for mdp in TASKS:
        logits = params["logits"]
        for _ in range(inner_steps):
            leaf = logits.detach().requires_grad_()
            ascent = torch.autograd.grad(mdp.expected_return(leaf), leaf)[0]
            logits = leaf.detach() + INNER_LR * ascent / HORIZON  # the losses are means over steps
        total = total - mdp.expected_return(logits) / HORIZON
    return total / len(TASKS)


def expectation(learner: Maml, params: Params) -> MetaBatch:
    """Every trajectory of every task and stage with its probability under the policy that collects it."""
    adapted, support = learner.start(Weights(map_tensors(Tensor.detach, params)), len(TASKS)), []
    every = lambda: stack([m.batch(p) for m, p in zip(TASKS, adapted.params["logits"], strict=True)])  # noqa: E731
    for _ in range(learner.config.inner_steps):
        support.append(every())
        adapted = learner.adapt(adapted, support[-1])
    return MetaBatch(tuple(support), every())


@pytest.mark.parametrize("inner_steps", [1, 2])
@pytest.mark.parametrize("outer_step", ["vpg", "ppo"])
def test_expected_meta_gradient_is_exact_with_dice_alone(
    monkeypatch: pytest.MonkeyPatch, outer_step: str, inner_steps: int
) -> None:
    errors = {}
    for inner_loss in ("dice", "lvc", "score"):
        config = MamlConfig(INNER_LR, inner_steps, inner_loss, outer_step=outer_step)  # type: ignore[arg-type]
        learner = Maml(config, Tabular())
        params = detached(learner.init().params)
        batch = expectation(learner, params)
        found = gradient(outer_loss(monkeypatch, learner, params, batch), params)
        exact = numeric_gradient(lambda p: exact_meta_objective(p, inner_steps), params)
        assert exact.norm() > 0.01
        errors[inner_loss] = float((found - exact).norm() / exact.norm())
    assert errors["dice"] < 1e-6
    assert 0.01 < errors["lvc"] < errors["score"]  # each drops more of the second derivatives


def test_expected_meta_gradient_of_the_trust_region_step_is_exact() -> None:
    """The gradient that enters conjugate gradients, with one stage and dice."""
    learner = Maml(MamlConfig(INNER_LR, inner_loss="dice"), Tabular())
    params = detached(learner.init().params)
    batch = expectation(learner, params)
    loss = torch.vmap(losses.likelihood_ratio)(learner.adapted_policies(params, batch), batch.query).mean()
    found = trust_region.ravel(torch.autograd.grad(loss, list(params.values())))
    exact = numeric_gradient(lambda p: exact_meta_objective(p, 1), params)
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-9)


# -- ProMP's penalty -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner_steps", [1, 2])
def test_kl_penalty_equals_a_direct_computation(monkeypatch: pytest.MonkeyPatch, inner_steps: int) -> None:
    """coefficient * mean over inner steps, tasks and valid steps of KL(old || new) of the policies before each step."""
    coefficient = 0.7
    plain, params = make(outer_step="ppo", inner_steps=inner_steps)
    penalised, _ = make(outer_step="ppo", inner_steps=inner_steps, inner_kl_coef=coefficient)
    batch = random_batch(plain, params)
    without = outer_loss(monkeypatch, plain, params, batch)
    with_kl = outer_loss(monkeypatch, penalised, params, batch)
    torch.testing.assert_close(with_kl(params), without(params), rtol=0, atol=1e-15)
    torch.testing.assert_close(gradient(with_kl, params), gradient(without, params), rtol=0, atol=1e-13)

    rng = torch.Generator().manual_seed(3)
    moved = {k: p.detach() + 0.1 * torch.randn(p.shape, dtype=p.dtype, generator=rng) for k, p in params.items()}
    total = 0.0
    for task in range(len(batch.query.weight)):
        old, new = dict(params), dict(moved)
        for support in batch.support:
            mine = Batch(*(x[task] for x in support))
            before, after = (plain.policy.apply(p, mine.observation) for p in (old, new))
            variance, other = (2 * before.log_std).exp(), (2 * after.log_std).exp()
            kl = after.log_std - before.log_std + (variance + (before.mean - after.mean) ** 2) / (2 * other) - 0.5
            total += float((kl.sum(-1) * mine.weight).sum().detach() / mine.weight.sum())
            old, new = (looped_step(plain, p, mine) for p in (old, new))
    total /= inner_steps * len(batch.query.weight)
    assert total > 0.01
    difference = float((with_kl(moved) - without(moved)).detach())
    assert difference == pytest.approx(coefficient * total, rel=1e-9)


def looped_step(learner: Maml, params: Params, batch: Batch) -> Params:
    leaves = detached(params)
    loss = learner.inner_loss(learner.policy.apply(leaves, batch.observation), batch)
    grads = torch.autograd.grad(loss, list(leaves.values()))
    return {k: p.detach() - 0.3 * g for (k, p), g in zip(leaves.items(), grads, strict=True)}


# -- learned step sizes and first order ----------------------------------------------------------------------------


@pytest.mark.parametrize("inner_steps", [1, 2])
@pytest.mark.parametrize("outer_step", ["vpg", "ppo"])
def test_gradient_of_learned_step_sizes(monkeypatch: pytest.MonkeyPatch, outer_step: str, inner_steps: int) -> None:
    learner, _ = make(outer_step=outer_step, inner_steps=inner_steps, learn_inner_lr=True)
    params = together(learner)
    policy, rates = parted(params)
    assert policy.keys() == rates.keys()
    assert all(bool((rate == 0.3).all()) for rate in rates.values())
    batch = random_batch(learner, policy)
    loss = outer_loss(monkeypatch, learner, params, batch)
    analytic = gradient(loss, params)
    torch.testing.assert_close(analytic, numeric_gradient(loss, params), rtol=1e-6, atol=1e-8)
    sizes = sum(rate.numel() for rate in rates.values())
    assert analytic[-sizes:].norm() > 1e-3
    metrics = learner.meta_update(state := learner.init(), batch)
    assert metrics["guard/non_finite_gradient"] == 0
    assert all(bool((state.shared[name] != 0.3).any()) for name in rates)


def test_learned_step_sizes_move_under_the_trust_region_and_count_in_its_curvature() -> None:
    learner, _ = make(learn_inner_lr=True)
    state = learner.init()
    batch = random_batch(learner, state.params)
    old = learner.adapted_policies(joined(state.params, state.shared), batch)
    metrics = learner.meta_update(state, batch)
    assert metrics["update/accepted"] == 1
    assert all(bool((rate != 0.3).any()) for rate in state.shared.values())
    new = learner.adapted_policies(joined(state.params, state.shared), batch)
    kl = float((old.kl(new) * mean_weight(batch.query)).sum())
    assert kl == pytest.approx(metrics["update/kl"])


def test_adaptation_uses_the_learned_step_sizes() -> None:
    """`adapt`, which sampling and evaluation call, with a size for every single parameter."""
    learner, _ = make(learn_inner_lr=True)
    plain, params = make()
    batch = random_batch(plain, params).support[0]
    rng = torch.Generator().manual_seed(5)
    rates = {k: torch.rand(p.shape, dtype=p.dtype, generator=rng) for k, p in params.items()}
    start = map_tensors(Tensor.detach, params)
    adapted = learner.adapt(learner.start(Weights(start, rates), 3), batch)
    for task in range(3):
        mine = Batch(*(x[task] for x in batch))
        for name, unit in looped_step(plain, params, mine).items():
            grads = (start[name] - unit) / 0.3
            torch.testing.assert_close(adapted.params[name][task], start[name] - rates[name] * grads)
            assert torch.equal(adapted.shared[name], rates[name])


@pytest.mark.parametrize("outer_step", ["vpg", "ppo"])
def test_first_order_drops_second_derivatives_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, outer_step: str
) -> None:
    """The adapted parameters stay where they are; their derivative by theta is the identity, and that by the step
    sizes is still minus the inner gradient."""
    learner, _ = make(outer_step=outer_step, first_order=True, learn_inner_lr=True)
    second, _ = make(outer_step=outer_step, learn_inner_lr=True)
    params = together(learner)
    policy = parted(params)[0]
    batch = random_batch(learner, policy)
    losses_at = [outer_loss(monkeypatch, each, params, batch) for each in (learner, second)]
    assert torch.equal(losses_at[0](params), losses_at[1](params))

    outer = {"vpg": losses.score, "ppo": lambda d, b: losses.clipped(d, b, 0.2)}[outer_step]
    expected: dict[str, Tensor] = {name: torch.zeros_like(p) for name, p in params.items()}
    for task in range(3):
        support, query = (Batch(*(x[task] for x in b)) for b in (batch.support[0], batch.query))
        adapted = detached(looped_step(learner, policy, support))
        value = outer(learner.policy.apply(adapted, query.observation), query)
        for (name, p), g in zip(adapted.items(), torch.autograd.grad(value, list(adapted.values())), strict=True):
            expected[name] += g / 3
            expected[f"shared.{name}"] -= g * (policy[name].detach() - p.detach()) / 0.3 / 3
    found = gradient(losses_at[0], params)
    torch.testing.assert_close(found, trust_region.ravel(list(expected.values())), rtol=1e-9, atol=1e-12)
    assert (found - gradient(losses_at[1], params)).norm() > 1e-3 * found.norm()


# -- the optimizer -------------------------------------------------------------------------------------------------


def test_vpg_steps_equal_adam_on_the_loop_gradient() -> None:
    learner, params = make(outer_step="vpg", meta_lr=0.02)
    state = learner.init()
    leaves = detached(params)
    reference = torch.optim.Adam(leaves.values(), lr=0.02)
    for seed in range(3):
        batch = random_batch(learner, params, seed=seed)
        total = torch.zeros((), dtype=torch.float64)
        for task in range(3):
            support, query = (Batch(*(x[task] for x in b)) for b in (batch.support[0], batch.query))
            inner = losses.likelihood_ratio(learner.policy.apply(leaves, support.observation), support)
            grads = torch.autograd.grad(inner, list(leaves.values()), create_graph=True)
            adapted = {k: p - 0.3 * g for (k, p), g in zip(leaves.items(), grads, strict=True)}
            total = total + losses.score(learner.policy.apply(adapted, query.observation), query) / 3
        reference.zero_grad()
        total.backward()
        reference.step()
        metrics = learner.meta_update(state, batch)
        state.iteration += 1
        assert metrics["update/loss_before"] == pytest.approx(float(total.detach()), rel=1e-12)
        for name, p in leaves.items():
            torch.testing.assert_close(state.params[name], p.detach(), rtol=0, atol=1e-12)
            assert not state.params[name].requires_grad


def test_ppo_reports_the_kl_of_the_whole_update_and_lowers_the_loss() -> None:
    learner, params = make(outer_step="ppo", epochs=4, meta_lr=0.003)
    batch = random_batch(learner, params)
    state = learner.init()
    old = map_tensors(Tensor.detach, learner.adapted_policies(state.params, batch))
    metrics = learner.meta_update(state, batch)
    kl = (old.kl(learner.adapted_policies(state.params, batch)) * mean_weight(batch.query)).sum()
    assert metrics["update/kl"] == pytest.approx(float(kl), rel=1e-9)
    assert metrics["update/kl"] > 0
    assert metrics["update/loss_after"] < metrics["update/loss_before"]
    assert all(float(state.optimizer[f"step/{name}"]) == 4 for name in state.params)


@pytest.mark.parametrize("where", ["support", "query"])
@pytest.mark.parametrize("outer_step", ["vpg", "ppo"])
def test_a_nan_leaves_parameters_and_optimizer_bitwise(outer_step: str, where: str) -> None:
    learner, params = make(outer_step=outer_step, inner_kl_coef=0.1)
    state = learner.init()
    learner.meta_update(state, random_batch(learner, params))  # so that there are moments to spoil
    before = {group: {k: v.clone() for k, v in getattr(state, group).items()} for group in ("params", "optimizer")}
    assert before["optimizer"]
    batch = random_batch(learner, params, seed=1)
    {"support": batch.support[0], "query": batch.query}[where].advantage[1, 0, 0] = torch.nan
    metrics = learner.meta_update(state, batch)
    assert metrics["guard/non_finite_gradient"] == 1
    for group, values in before.items():
        assert values.keys() == getattr(state, group).keys()
        assert all(torch.equal(values[name], getattr(state, group)[name]) for name in values)
    assert learner.meta_update(state, random_batch(learner, params, seed=2))["guard/non_finite_gradient"] == 0


@pytest.mark.parametrize("recipe", ["promp", "maml-vpg", "metasgd-trpo", "reptile"])
def test_stop_and_resume_equals_an_uninterrupted_run(
    tiny: Callable[..., TrainConfig], tmp_path: Path, recipe: str
) -> None:
    changes = {"recipe": recipe, "algorithm": RECIPES[recipe].algorithm}
    if recipe == "reptile":
        changes["algorithm.meta_optimizer"] = "adam"
    whole = train(tiny("whole", iterations=3, **changes), quiet)
    train(tiny("parts", iterations=1, **changes), quiet)
    train(tiny("parts", iterations=2, **changes), quiet)
    parts = train(tiny("parts", iterations=3, **changes), quiet)
    assert_same_run(whole, parts)
    assert bool(final(whole).optimizer) == (recipe != "metasgd-trpo")
