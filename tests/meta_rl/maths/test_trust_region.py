import math

import pytest
import torch
from torch import Tensor

from meta_rl.core.types import Params
from meta_rl.maths.trust_region import TrustRegion, conjugate_gradient, gauss_newton_product, ravel, step, unravel

F64 = torch.float64


def test_conjugate_gradient_by_hand() -> None:
    # A = diag(1, 2, 4), b = (1, 2, 8): x = (1, 1, 2); exact after 3 iterations.
    # First iteration: alpha = b.b / b.Ab = 69 / (1 + 8 + 256) = 69 / 265, x_1 = alpha * b.
    a, b = torch.diag(torch.tensor([1.0, 2.0, 4.0], dtype=F64)), torch.tensor([1.0, 2.0, 8.0], dtype=F64)
    x, squared, bad = conjugate_gradient(lambda v: a @ v, b, 1)
    torch.testing.assert_close(x, 69 / 265 * b)
    torch.testing.assert_close(squared, x @ a @ x)
    x, squared, bad = conjugate_gradient(lambda v: a @ v, b, 3)
    torch.testing.assert_close(x, torch.tensor([1.0, 1.0, 2.0], dtype=F64))
    assert float(squared) == pytest.approx(1 + 2 + 16)
    x, _, bad = conjugate_gradient(lambda v: a @ v, b, 50)  # iterating past convergence does no harm
    torch.testing.assert_close(x, torch.tensor([1.0, 1.0, 2.0], dtype=F64))
    assert not bad


@pytest.mark.parametrize("worst", [-1.0, math.nan])
def test_conjugate_gradient_stops_at_bad_curvature(worst: float) -> None:
    a = torch.diag(torch.tensor([1.0, worst], dtype=F64))
    x, _, bad = conjugate_gradient(lambda v: a @ v, torch.tensor([1.0, 3.0], dtype=F64), 10)
    assert bad
    assert x.tolist() == [0.0, 0.0]  # the very first direction has curvature 1 - 9 < 0 (or NaN): no step


def test_gauss_newton_product_equals_the_explicit_matrix() -> None:
    torch.manual_seed(0)
    params = [torch.randn(3, dtype=F64, requires_grad=True), torch.randn(2, dtype=F64, requires_grad=True)]
    weight = torch.rand(4, dtype=F64)
    mixing = torch.randn(4, 5, dtype=F64)

    def f(flat: Tensor) -> Tensor:
        return torch.tanh(mixing @ flat).square() + flat[0] * flat[4]

    product = gauss_newton_product([f(torch.cat(params))], params, lambda t: [weight * t[0]])
    jacobian = torch.autograd.functional.jacobian(f, torch.cat(params).detach())
    explicit = jacobian.T @ torch.diag(weight) @ jacobian
    for v in torch.eye(5, dtype=F64):
        torch.testing.assert_close(product(v), explicit @ v)


def test_ravel_round_trip() -> None:
    params = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(7.0)}
    flat = ravel(list(params.values()))
    assert flat.tolist() == [0, 1, 2, 3, 4, 5, 7]
    back = unravel(flat, params)
    assert all(torch.equal(back[name], params[name]) for name in params)


def problem(params: Params) -> tuple[Tensor, Tensor]:
    """A loss with its minimum at 3 and a KL of half the squared distance from 0 (curvature 1)."""
    return (params["w"] - 3).square().sum(), 0.5 * params["w"].square().sum()


W = {"w": torch.zeros(2, dtype=F64)}
LOSS = 18.0
GRADIENT = torch.full((2,), -6.0, dtype=F64)


def test_step_goes_exactly_to_the_boundary() -> None:
    # Natural gradient direction = gradient; the step of length sqrt(2 * max_kl) along it: w = sqrt(0.02 / 2) each.
    # max_kl is widened by a hair against rounding at the boundary itself; the first candidate is taken.
    params, metrics = step(W, LOSS, GRADIENT, problem, lambda v: v, TrustRegion(max_kl=0.01, cg_damping=1e-9))
    torch.testing.assert_close(params["w"], torch.full((2,), 0.1, dtype=F64))
    assert metrics["update/kl"] <= 0.01
    assert metrics["update/accepted"] == 1
    assert metrics["update/backtracks"] == 0
    assert metrics["update/loss_after"] == pytest.approx(2 * 2.9**2)


def test_step_backtracks_into_the_region() -> None:
    # Curvature understated by 4: the full step is twice too long, KL = 4 * 0.01; 0.8^k <= 1/2 needs k = 4.
    params, metrics = step(W, LOSS, GRADIENT, problem, lambda v: v / 4, TrustRegion(max_kl=0.01))
    assert metrics["update/backtracks"] == 4
    assert metrics["update/kl"] <= 0.01
    torch.testing.assert_close(params["w"], torch.full((2,), 0.2 * 0.8**4, dtype=F64), rtol=1e-4, atol=0)


def test_step_never_accepts_a_worse_surrogate() -> None:
    # The gradient lies: it points uphill, so every candidate has a higher loss.
    params, metrics = step(W, LOSS, -GRADIENT, problem, lambda v: v, TrustRegion())
    assert params is W
    assert metrics["guard/line_search_failed"] == 1
    assert metrics["update/accepted"] == 0


@pytest.mark.parametrize(
    ("gradient", "curvature", "guard"),
    [
        (torch.tensor([math.nan, 1.0], dtype=F64), 1.0, "guard/non_finite_gradient"),
        (torch.tensor([math.inf, 1.0], dtype=F64), 1.0, "guard/non_finite_gradient"),
        (GRADIENT, -1.0, "guard/bad_curvature"),
        (GRADIENT, math.nan, "guard/bad_curvature"),
    ],
)
def test_guards_leave_the_parameters_alone(gradient: Tensor, curvature: float, guard: str) -> None:
    params, metrics = step(W, LOSS, gradient, problem, lambda v: curvature * v, TrustRegion())
    assert params is W
    assert metrics[guard] == 1


def test_non_finite_candidates_are_not_accepted() -> None:
    def broken(params: Params) -> tuple[Tensor, Tensor]:
        loss, kl = problem(params)
        return (loss * math.nan if bool(params["w"].any()) else loss), kl

    params, metrics = step(W, LOSS, GRADIENT, broken, lambda v: v, TrustRegion())
    assert params is W
    assert metrics["guard/line_search_failed"] == 1


def test_zero_gradient_is_no_step_and_no_alarm() -> None:
    params, metrics = step(W, LOSS, torch.zeros(2, dtype=F64), problem, lambda v: v, TrustRegion())
    assert params is W
    assert sum(v for k, v in metrics.items() if k.startswith("guard/")) == 0
