"""The learned update rule: gradient descent as a special case, its preprocessing, and what gradients flow where."""

from __future__ import annotations

import math

import gymnasium as gym
import pytest
import torch
from torch import nn

from meta_rl.algorithms.meta_lstm import MetaLstm, UpdateRule, preprocess
from meta_rl.config import MetaLstmConfig, NetworkConfig
from meta_rl.core.types import Examples, Params
from meta_rl.core.weights import joined, parted
from meta_rl.maths import inner_loop, losses
from meta_rl.maths.trust_region import ravel
from meta_rl.networks.cell import LstmCell
from meta_rl.networks.fewshot import make_network
from tests.meta_rl.fewshot_data import image_batch

IMAGES, WAYS = gym.spaces.Box(0, 1, (1, 8, 8)), gym.spaces.Discrete(3)


def make(**config: int) -> MetaLstm:
    network = make_network(IMAGES, WAYS, NetworkConfig(hidden=(4, 4)), seed=0).double()
    learner = MetaLstm(MetaLstmConfig(**{"inner_steps": 3, **config}), network)
    learner.rule.double()
    return learner


# -- the cell --------------------------------------------------------------------------------------------------------


def cell_and_inputs() -> tuple[LstmCell, torch.Tensor]:
    torch.manual_seed(0)
    cell = LstmCell(3, 4).double()
    return cell, torch.randn(5, 6, 3, dtype=torch.float64)


def run(cell: LstmCell, params: Params, inputs: torch.Tensor) -> torch.Tensor:
    """Sum of squares of the last hidden state after reading ``[time, n, 3]``."""
    hidden = state = torch.zeros(inputs.shape[1], 4, dtype=torch.float64)
    for step in inputs:
        hidden, state = torch.func.functional_call(cell, params, (step, hidden, state))
    return hidden.square().sum()


def test_the_cell_is_torchs() -> None:
    cell, inputs = cell_and_inputs()
    torchs = nn.LSTMCell(3, 4).double()
    torchs.weight_ih.data, torchs.weight_hh.data = cell.weight_ih.data, cell.weight_hh.data
    torchs.bias_ih.data, torchs.bias_hh.data = cell.bias.data, torch.zeros(16, dtype=torch.float64)
    hidden, state = torch.randn(2, 6, 4, dtype=torch.float64)
    torch.testing.assert_close(cell(inputs[0], hidden, state), torchs(inputs[0], (hidden, state)))


def test_the_cell_under_vmap_and_double_backward() -> None:
    """MAML through the cell: a gradient step inside, differentiated again outside, per-task weights under vmap; against
    a loop and finite differences."""
    cell, inputs = cell_and_inputs()
    tasks = torch.stack([inputs, 2 * inputs, -inputs])
    params = {name: p.detach().requires_grad_() for name, p in cell.named_parameters()}

    def one(params: Params, inputs: torch.Tensor) -> torch.Tensor:
        adapted = inner_loop.adapt(lambda p, x: run(cell, p, x), params, [inputs], 0.3)
        return run(cell, adapted, inputs)

    fast = torch.vmap(one, in_dims=(None, 0))(params, tasks).sum()
    slow = torch.stack([one(params, x) for x in tasks]).sum()
    grads = [torch.autograd.grad(value, list(params.values())) for value in (fast, slow)]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    names, values = list(params), tuple(p.detach().requires_grad_() for p in params.values())
    function = lambda *p: torch.vmap(one, in_dims=(None, 0))(dict(zip(names, p, strict=True)), tasks).sum()  # noqa: E731
    assert torch.autograd.gradcheck(function, values, atol=1e-6, fast_mode=True)


# -- the rule --------------------------------------------------------------------------------------------------------


def with_fixed_gates(rule: UpdateRule, inner_lr: float) -> None:
    """f = 1 and i = inner_lr whatever is read."""
    rule.weight.data.zero_()
    rule.forget_bias.data.fill_(1000.0)
    rule.input_bias.data.fill_(math.log(inner_lr / (1 - inner_lr)))


def test_gates_of_one_and_inner_lr_are_gradient_descent() -> None:
    learner, batch = make(), image_batch()
    with_fixed_gates(learner.rule, 0.2)
    (support,) = batch.support
    adapted = learner.start(learner.init().weights, 2)
    for _ in range(3):
        adapted = learner.adapt(adapted, support)
    for task in range(2):
        mine = Examples(*(x[task] for x in support))
        descended = inner_loop.adapt(
            lambda p, b: losses.cross_entropy(learner.policy.apply(p, b.observation), b),
            learner.init().params,
            [mine] * 3,
            0.2,
        )
        for name, p in descended.items():
            torch.testing.assert_close(adapted.params[name][task], p, rtol=0, atol=1e-12)


def test_one_update_by_hand() -> None:
    """With all weights 0 the gates are the sigmoids of their biases: 0.5 and 0.25, so 2 -> 0.5 * 2 - 0.25 * 4 = 0."""
    rule = UpdateRule(3, 10.0).double()
    with_fixed_gates(rule, 0.25)
    rule.forget_bias.data.zero_()
    value = torch.tensor([2.0], dtype=torch.float64)
    moved, memory = rule(value, torch.tensor([4.0]).double(), torch.tensor(1.0).double(), rule.start(value))
    assert moved.detach().tolist() == pytest.approx([0.0])
    assert (memory.forget.item(), memory.input.item()) == (pytest.approx(0.5), pytest.approx(0.25))


def test_preprocessing_by_hand() -> None:
    """log|x| / 10 and the sign above e^-10; (-1, e^10 x) below."""
    x = torch.tensor([1.0, -math.exp(-5), 0.0, math.exp(-12)], dtype=torch.float64)
    expected = [[0.0, 1.0], [-0.5, -1.0], [-1.0, 0.0], [-1.0, math.exp(-2)]]
    torch.testing.assert_close(preprocess(x, 10.0), torch.tensor(expected, dtype=torch.float64))


def test_the_rule_starts_by_keeping_nearly_everything() -> None:
    rule = UpdateRule(20, 10.0)
    assert 4 <= float(rule.forget_bias.detach()) <= 5
    assert -5 <= float(rule.input_bias.detach()) <= -4


def test_meta_gradient_treats_gradients_as_constants_and_reaches_the_initial_state() -> None:
    """Against a plain loop, with the inner gradients and losses detached, through one task's updates."""
    learner, batch = make(inner_steps=2), image_batch(tasks=1)
    state = learner.init()
    params = {name: p.detach().requires_grad_() for name, p in joined(state.params, state.shared).items()}
    support, query = (Examples(*(x[0] for x in e)) for e in (batch.support[0], batch.query))
    network, rule = parted(params)
    moved = learner._updates(network, learner.rule.start(ravel(network.values())), rule, support, 0, 2)[0]
    fast = losses.cross_entropy(learner.policy.apply(moved, query.observation), query)

    value, memory = ravel(network.values()), learner.rule.start(ravel(network.values()))
    shapes = {name: p.shape for name, p in network.items()}

    def unravel(flat: torch.Tensor) -> Params:
        parts = flat.split([s.numel() for s in shapes.values()])
        return {name: part.reshape(s) for (name, s), part in zip(shapes.items(), parts, strict=True)}

    for _ in range(2):
        leaf = value.detach().requires_grad_()
        loss = losses.cross_entropy(learner.policy.apply(unravel(leaf), support.observation), support)
        (gradient,) = torch.autograd.grad(loss, leaf)
        value, memory = torch.func.functional_call(learner.rule, rule, (value, gradient, loss.detach(), memory))
    slow = losses.cross_entropy(learner.policy.apply(unravel(value), query.observation), query)
    torch.testing.assert_close(fast, slow)
    grads = [torch.autograd.grad(v, list(params.values()), allow_unused=True) for v in (fast, slow)]
    for name, a, b in zip(params, *grads, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12, msg=name)
    assert any(g.abs().max() > 0 for name, g in zip(params, grads[0], strict=True) if name in network)


def test_it_learns_on_a_fixed_batch() -> None:
    learner, batch = make(), image_batch(tasks=2)
    state = learner.init()
    metrics = [learner.meta_update(state, batch) for _ in range(60)]
    assert metrics[-1]["update/loss_before"] < 0.8 * metrics[0]["update/loss_before"]
    assert any(not torch.equal(p, state.shared[name]) for name, p in learner.init().shared.items())
