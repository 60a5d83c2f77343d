import pytest
import torch
from torch import Tensor

from meta_rl.core.types import Params
from meta_rl.maths.inner_loop import adapt


def quadratic(params: Params, target: Tensor) -> Tensor:
    return 0.5 * (params["w"] - target).square().sum()


def test_quadratic_closed_form() -> None:
    # Each step moves w by inner_lr towards the target: w_K - target = (1 - inner_lr)^K (w - target),
    # so d w_K / d w = (1 - inner_lr)^K, here 0.75^3; first order sees d w_K / d w = 1.
    w = torch.tensor([2.0, -1.0], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0.0, 3.0], dtype=torch.float64)
    for first_order, slope in ((False, 0.75**3), (True, 1.0)):
        adapted = adapt(quadratic, {"w": w}, [target] * 3, 0.25, first_order=first_order)["w"]
        torch.testing.assert_close(adapted, target + 0.75**3 * (w - target))
        (gradient,) = torch.autograd.grad(adapted.sum(), w)
        torch.testing.assert_close(gradient, torch.full((2,), slope, dtype=torch.float64))


def test_inner_lr_per_parameter_is_differentiable() -> None:
    # w' = w - lr * (w - t): d w' / d lr = -(w - t)
    rates = {"w": torch.tensor([0.1, 0.2], dtype=torch.float64, requires_grad=True)}
    w, target = torch.tensor([2.0, -1.0], dtype=torch.float64), torch.tensor([0.0, 3.0], dtype=torch.float64)
    adapted = adapt(quadratic, {"w": w}, [target], rates)["w"]
    (gradient,) = torch.autograd.grad(adapted.sum(), rates["w"])
    torch.testing.assert_close(gradient, -(w - target))


def test_no_batches_is_the_identity() -> None:
    params = {"w": torch.zeros(2)}
    assert adapt(quadratic, params, [], 0.1) is params


@pytest.mark.parametrize("first_order", [False, True])
def test_vmap_over_tasks_equals_a_loop(first_order: bool) -> None:
    torch.manual_seed(0)
    targets = torch.randn(6, 2, dtype=torch.float64)
    w = torch.randn(2, dtype=torch.float64, requires_grad=True)

    def outer(target: Tensor) -> Tensor:
        adapted = adapt(quartic, {"w": w}, [target, target], 0.05, first_order=first_order)
        return quartic(adapted, 2 * target)

    batched = torch.autograd.grad(torch.vmap(outer)(targets).mean(), w)[0]
    looped = torch.autograd.grad(torch.stack([outer(t) for t in targets]).mean(), w)[0]
    torch.testing.assert_close(batched, looped, rtol=0, atol=1e-14)


def quartic(params: Params, target: Tensor) -> Tensor:
    return (params["w"] - target).pow(4).sum()
