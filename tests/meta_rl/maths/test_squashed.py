"""Squashed Gaussians against torch.distributions, and where rounding would hurt."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import AffineTransform, Independent, Normal, TanhTransform, TransformedDistribution

from meta_rl.maths.distributions import SquashedGaussian

CENTRE, HALF = torch.tensor([0.5, -1.0, 0.0]).double(), torch.tensor([2.0, 0.1, 1.0]).double()


def case() -> tuple[SquashedGaussian, TransformedDistribution, torch.Tensor]:
    """Ours, torch's, and noise; five distributions of three dimensions."""
    rng = torch.Generator().manual_seed(0)
    mean, log_std, noise = (torch.randn(5, 3, dtype=torch.float64, generator=rng) for _ in range(3))
    transforms = [TanhTransform(), AffineTransform(CENTRE, HALF)]
    theirs = TransformedDistribution(Independent(Normal(mean, log_std.exp()), 1), transforms)
    return SquashedGaussian(mean, log_std, CENTRE, HALF), theirs, noise


def test_samples_and_densities_are_those_of_torch() -> None:
    ours, theirs, noise = case()
    action, log_prob = ours.sample_with_log_prob(noise)
    assert torch.equal(action, ours.sample(noise))
    torch.testing.assert_close(log_prob, theirs.log_prob(action))
    torch.testing.assert_close(ours.log_prob(action), log_prob)
    assert ((action - CENTRE).abs() < HALF).all()


def test_the_density_integrates_to_one() -> None:
    ours = SquashedGaussian(torch.tensor([0.3]).double(), torch.tensor([0.2]).double(), CENTRE[:1], HALF[:1])
    action = torch.linspace(-1.5, 2.5, 100_001, dtype=torch.float64)[1:-1].unsqueeze(-1)
    total = torch.trapezoid(ours.log_prob(action).exp(), action.squeeze(-1))
    assert math.isclose(float(total), 1, rel_tol=1e-4)


def test_the_mode_is_the_median() -> None:
    ours, _, _ = case()
    below = ours.sample(torch.full((3,), -1e-6, dtype=torch.float64))
    above = ours.sample(torch.full((3,), 1e-6, dtype=torch.float64))
    assert (below < ours.mode()).all()
    assert (ours.mode() < above).all()


@pytest.mark.parametrize("u", [-30.0, 30.0])
def test_far_out_the_density_is_finite_in_single_precision(u: float) -> None:
    """There tanh rounds to 1. log N(u; u, 1) - log(1 - tanh(u)^2) is -log sqrt(2 pi) + 2 |u| - log 4."""
    ours = SquashedGaussian(torch.tensor([u]), torch.zeros(1), torch.zeros(1), torch.ones(1))
    action, log_prob = ours.sample_with_log_prob(torch.zeros(1))
    assert abs(float(action)) == 1
    assert math.isclose(float(log_prob), -0.5 * math.log(2 * math.pi) + 60 - math.log(4), rel_tol=1e-6)
    assert math.isfinite(float(ours.log_prob(action)))


def test_a_gradient_passes_through_samples() -> None:
    ours, _, noise = case()

    def density(mean: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
        return ours._replace(mean=mean, log_std=log_std).sample_with_log_prob(noise)[1]

    assert torch.autograd.gradcheck(density, [x.clone().requires_grad_() for x in ours[:2]])
