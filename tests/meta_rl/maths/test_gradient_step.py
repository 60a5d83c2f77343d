"""Adam through plain dicts against `torch.optim.Adam`, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from meta_rl.core.state import TrainState
from meta_rl.core.types import Metrics, Params
from meta_rl.maths import gradient_step
from meta_rl.maths.gradient_step import Adam, accumulate
from meta_rl.runs import checkpoint


def start() -> Params:
    """Names in another order than the alphabet's: nothing may depend on it."""
    rng = torch.Generator().manual_seed(0)
    return {
        "z": torch.randn(4, 3, generator=rng),
        "a": torch.randn(2, generator=rng),
        "m": torch.randn((), generator=rng),
    }


def loss_of(call: int) -> Callable[[Params], Tensor]:
    """A different, not quadratic loss for every call."""

    def loss(params: Params) -> Tensor:
        value = (params["z"].sum(0) - call).cos().sum() + (params["a"] * (call + 1)).square().sum()
        return value + params["m"].exp() * params["a"].sum()

    return loss


def descend(
    params: Params, optimizer: dict[str, Tensor], loss: Callable[[Params], Tensor], *rest: float
) -> tuple[Params, dict[str, Tensor], Metrics]:
    """`gradient_step.descend` on one loss that tells nothing."""
    return gradient_step.descend(params, optimizer, [lambda p: (loss(p), None)], *rest)[:3]  # type: ignore[arg-type]


def reference(calls: int, epochs: int, learning_rate: float, max_norm: float = 0.0) -> tuple[Params, list[float]]:
    leaves = {name: p.clone().requires_grad_() for name, p in start().items()}
    adam, norms = torch.optim.Adam(leaves.values(), lr=learning_rate), []
    for call in range(calls):
        for _ in range(epochs):
            adam.zero_grad()
            loss_of(call)(leaves).backward()
            if max_norm:
                norms.append(float(torch.nn.utils.clip_grad_norm_(leaves.values(), max_norm)))
            adam.step()
    return {name: p.detach() for name, p in leaves.items()}, norms


def assert_bitwise(a: Params, b: Params) -> None:
    assert list(a) == list(b)
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("through_disk", [False, True])
@pytest.mark.parametrize("epochs", [1, 3])
def test_several_calls_equal_one_optimizer(epochs: int, through_disk: bool, tmp_path: Path) -> None:
    """All of Adam's memory passes through the dict, and through a checkpoint, which sorts tensors by name."""
    state = TrainState(0, 0, start())
    for call in range(4):
        state.params, state.optimizer, metrics = descend(state.params, state.optimizer, loss_of(call), 0.05, epochs)
        assert metrics["guard/non_finite_gradient"] == 0
        state.iteration += 1
        if through_disk:
            order = [list(state.params), list(state.optimizer)]
            state = checkpoint.load_checkpoint(checkpoint.save_checkpoint(tmp_path, state, 2))
            assert [list(state.params), list(state.optimizer)] == order
    assert_bitwise(state.params, reference(4, epochs, 0.05)[0])
    assert {float(state.optimizer[f"step/{name}"]) for name in state.params} == {4 * epochs}


def test_nothing_that_goes_in_is_changed() -> None:
    params, optimizer, _ = descend(start(), {}, loss_of(0), 0.05, 2)
    before = [{k: v.clone() for k, v in group.items()} for group in (params, optimizer)]
    descend(params, optimizer, loss_of(1), 0.05, 2)
    for group, values in zip((params, optimizer), before, strict=True):
        assert_bitwise(group, values)
    assert not any(t.requires_grad for t in [*params.values(), *optimizer.values()])


@pytest.mark.parametrize("max_norm", [0.1, 3.0, 1e6])
def test_clipping_scales_the_whole_gradient(max_norm: float) -> None:
    params, optimizer = start(), {}
    first = []
    for call in range(3):
        params, optimizer, metrics = descend(params, optimizer, loss_of(call), 0.05, 2, max_norm)
        first.append(metrics["update/gradient_norm"])
    expected, norms = reference(3, 2, 0.05, max_norm)
    assert_bitwise(params, expected)
    assert first == norms[::2]  # before clipping, of the first epoch


def test_no_clipping_by_default() -> None:
    huge = lambda params: 1e6 * loss_of(0)(params)  # noqa: E731
    leaves = {name: p.clone().requires_grad_() for name, p in start().items()}
    expected = torch.autograd.grad(huge(leaves), list(leaves.values()))
    optimizer = descend(start(), {}, huge, 0.05, 1)[1]
    for name, gradient in zip(leaves, expected, strict=True):
        torch.testing.assert_close(optimizer[f"exp_avg/{name}"], 0.1 * gradient)


def test_metrics_are_those_of_the_ends() -> None:
    params = start()
    new, _, metrics = descend(params, {}, loss_of(0), 0.05, 3)
    assert metrics["update/loss_before"] == float(loss_of(0)(params))
    assert metrics["update/loss_after"] == float(loss_of(0)(new))
    assert metrics["update/loss_after"] < metrics["update/loss_before"]


def told_by(call: int) -> gradient_step.Loss:
    """A loss that also tells its parameters and which one it is."""
    return lambda params: (loss_of(call)(params), (call, params["m"].detach().clone()))


def test_what_the_parts_tell_is_of_the_first_and_of_the_returned_parameters() -> None:
    found = gradient_step.descend(start(), {}, [told_by(call) for call in range(3)], 0.05, 2)
    assert found.before == [(call, start()["m"]) for call in range(3)]
    assert list(found.after) == [(call, found.params["m"]) for call in range(3)]
    assert found.params["m"] != start()["m"]


def test_an_abandoned_update_tells_of_the_parameters_that_stay() -> None:
    nan: gradient_step.Loss = lambda p: (loss_of(0)(p) * float("nan"), p["m"].detach().clone())  # noqa: E731
    found = gradient_step.descend(start(), {}, [nan], 0.05, 2)
    assert list(found.before) == list(found.after) == [start()["m"]]


@pytest.mark.parametrize("threads", [1, 3])
def test_parts_are_summed_in_order_on_any_number_of_threads(threads: int) -> None:
    leaves = {name: p.clone().requires_grad_() for name, p in start().items()}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        total, gradient, told = accumulate(leaves, [told_by(call) for call in range(5)])
    finally:
        torch.set_num_threads(before)
    values = [loss_of(call)(leaves) for call in range(5)]
    gradients = [torch.autograd.grad(value, list(leaves.values())) for value in values]
    assert torch.equal(total, sum(values))  # type: ignore[arg-type]
    for mine, parts in zip(gradient, zip(*gradients, strict=True), strict=True):
        assert torch.equal(mine, sum(parts))  # type: ignore[arg-type]
    assert [call for call, _ in told] == list(range(5))


@pytest.mark.parametrize("bad_epoch", [0, 1, 2])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_loss_that_is_not_finite_abandons_the_whole_update(fresh: bool, bad: float, bad_epoch: int) -> None:
    """Whichever epoch it is in; the loss after the last step counts too."""
    params, optimizer = (start(), {}) if fresh else descend(start(), {}, loss_of(0), 0.05, 2)[:2]
    before = [{k: v.clone() for k, v in group.items()} for group in (params, optimizer)]
    calls = 0

    def loss(current: Params) -> Tensor:
        nonlocal calls
        calls += 1
        return loss_of(1)(current) * (bad if calls == bad_epoch + 1 else 1)

    new, moments, metrics = descend(params, optimizer, loss, 0.05, 2)
    assert metrics["guard/non_finite_gradient"] == 1
    assert_bitwise(new, before[0])
    assert_bitwise(moments, before[1])


def test_a_gradient_that_is_not_finite_under_a_finite_loss_abandons_the_update() -> None:
    """d sqrt(x) / dx at 0 is infinite."""
    zero = start() | {"m": torch.zeros(())}
    new, moments, metrics = descend(zero, {}, lambda p: p["m"].sqrt() + loss_of(0)(p), 0.05, 2)
    assert metrics["guard/non_finite_gradient"] == 1
    assert_bitwise(new, zero)
    assert moments == {}


def test_one_bad_step_of_adam_changes_nothing() -> None:
    adam = Adam(start(), {}, 0.1)
    assert not torch.tensor(adam.step([torch.full_like(p, torch.nan) for p in start().values()])).isfinite()
    assert_bitwise(adam.result(), start())
    assert adam.state() == {}


@pytest.mark.parametrize("max_norm", [0.0, 0.1])
def test_gradients_that_share_or_repeat_memory_are_scaled_once_and_left_alone(max_norm: float) -> None:
    """Automatic differentiation of ``(a + b).sum()`` gives both one expanded tensor."""
    params = {"a": torch.zeros(3), "b": torch.zeros(3)}
    shared = torch.ones(()).expand(3)
    adam = Adam(params, {}, 0.1)
    assert adam.step([shared, shared], max_norm) == pytest.approx(6**0.5)
    assert torch.equal(shared, torch.ones(3))
    expected = 0.1 * torch.full((3,), max_norm / 6**0.5 if max_norm else 1.0)  # (1 - beta) * gradient
    for name in params:
        torch.testing.assert_close(adam.state()[f"exp_avg/{name}"], expected, rtol=1e-4, atol=0)
