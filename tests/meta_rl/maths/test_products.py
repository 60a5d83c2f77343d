"""Products of Gaussians against the closed form, the density of a product, and torch's own KL divergence."""

from __future__ import annotations

import torch
from torch.distributions import Normal, kl_divergence

from meta_rl.maths.distributions import DiagonalGaussian
from meta_rl.maths.products import Evidence, unit_gaussian

RNG = torch.Generator().manual_seed(1)
FACTORS = DiagonalGaussian(*(torch.randn(2, 7, 3, dtype=torch.float64, generator=RNG) for _ in range(2)))
WEIGHT = torch.ones(2, 7, dtype=torch.float64)


def test_two_factors_by_hand() -> None:
    # N(1, 1) N(4, 2^2): precisions 1 and 0.25; variance 1 / 1.25 = 0.8, mean 0.8 (1 + 1) = 1.6.
    factors = DiagonalGaussian(torch.tensor([[1.0], [4.0]]).double(), torch.tensor([[1.0], [2.0]]).double().log())
    found = Evidence.of(factors, torch.ones(2).double()).product()
    torch.testing.assert_close(found.mean, torch.tensor([1.6]).double())
    torch.testing.assert_close(found.log_std.exp().square(), torch.tensor([0.8]).double())


def test_the_product_has_the_closed_form() -> None:
    found = Evidence.of(FACTORS, WEIGHT).product()
    variance = FACTORS.log_std.exp().square()
    expected = 1 / (1 / variance).sum(1)
    torch.testing.assert_close(found.log_std.exp().square(), expected)
    torch.testing.assert_close(found.mean, expected * (FACTORS.mean / variance).sum(1))


def test_its_density_is_the_product_of_densities_up_to_a_constant() -> None:
    found = Evidence.of(FACTORS, WEIGHT).product()
    z = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(9, 1, 1)  # [point, 1, 1]
    summed = Normal(FACTORS.mean, FACTORS.log_std.exp()).log_prob(z.unsqueeze(2)).sum(2)  # [point, task, latent]
    difference = summed - Normal(found.mean, found.log_std.exp()).log_prob(z)
    torch.testing.assert_close(difference, difference[:1].expand_as(difference))


def test_evidence_adds_up_in_any_order_and_padding_does_not_count() -> None:
    whole = Evidence.of(FACTORS, WEIGHT)
    first = torch.zeros_like(WEIGHT)
    first[0, [1, 4]], first[1, :6] = 1, 1
    for a, b in ((first, WEIGHT - first), (WEIGHT - first, first)):
        for found, expected in zip(Evidence.of(FACTORS, a).plus(Evidence.of(FACTORS, b)), whole, strict=True):
            torch.testing.assert_close(found, expected)
    part = DiagonalGaussian(*(x[:1, [1, 4]] for x in FACTORS))
    for found, expected in zip(Evidence.of(FACTORS, first), Evidence.of(part, WEIGHT[:1, :2]), strict=True):
        torch.testing.assert_close(found[:1], expected)


def test_nothing_seen_is_the_prior_and_has_a_gradient() -> None:
    mean = torch.zeros(1, 1, 3, requires_grad=True)
    found = Evidence.of(DiagonalGaussian(mean, torch.zeros(1, 1, 3)), torch.zeros(1, 1)).product()
    assert torch.equal(found.mean, torch.zeros(1, 3))
    assert torch.equal(found.log_std, torch.zeros(1, 3))
    assert torch.equal(Evidence.none(2, 3).product().mean, torch.zeros(2, 3))
    (gradient,) = torch.autograd.grad(found.mean.sum() + found.kl(unit_gaussian(found)).sum(), mean)
    assert torch.equal(gradient, torch.zeros_like(mean))


def test_the_price_of_a_posterior_is_torchs_divergence() -> None:
    found = Evidence.of(FACTORS, WEIGHT).product()
    expected = kl_divergence(Normal(found.mean, found.log_std.exp()), Normal(torch.zeros(()), torch.ones(()))).sum(-1)
    torch.testing.assert_close(found.kl(unit_gaussian(found)), expected.double())
