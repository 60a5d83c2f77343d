"""The ELBO: divergences and densities are torch's, and a sum estimated from some steps is right on average."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from meta_rl.maths import elbo
from meta_rl.maths.distributions import DiagonalGaussian


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def normal(mean: Tensor, log_std: Tensor) -> Independent:
    return Independent(Normal(mean, log_std.exp()), 1)


@pytest.mark.parametrize("sequential", [True, False])
def test_revisions_are_the_divergences_of_torch(sequential: bool) -> None:
    mean, log_std = drawn(3, 4, 2), drawn(3, 4, 2, seed=1)
    found = elbo.revision(DiagonalGaussian(mean, log_std), sequential)
    assert found.shape == (3, 4)
    unit = normal(torch.zeros(2).double(), torch.zeros(2).double())
    for row in range(3):
        for t in range(4):
            prior = normal(mean[row, t - 1], log_std[row, t - 1]) if sequential and t else unit
            expected = kl_divergence(normal(mean[row, t], log_std[row, t]), prior)
            assert found[row, t].item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_belief_that_is_not_revised_costs_nothing() -> None:
    mean, log_std = drawn(1, 1, 2).expand(1, 3, 2), drawn(1, 1, 2, seed=1).expand(1, 3, 2)
    cost = elbo.revision(DiagonalGaussian(mean, log_std), True)
    assert cost[0, 0] > 0
    assert cost[0, 1:].tolist() == [0, 0]


def test_the_likelihood_is_the_density_of_torch() -> None:
    expected, seen = drawn(2, 3, 4), drawn(2, 3, 4, seed=1)
    torch.testing.assert_close(
        elbo.log_likelihood(expected, seen, 0.3), Normal(expected, torch.tensor(0.3).double()).log_prob(seen).sum(-1)
    )


def test_the_bound_of_all_steps_is_their_sum() -> None:
    """Two beliefs, three steps of which the last is padding: 1 + 2 - 0.5 * 4 = 1 and 3 + 5 - 0.5 * 6 = 5."""
    likelihood = torch.tensor([[[1.0, 2, 100], [3, 5, 100]]])
    weight, kl = torch.tensor([[1.0, 1, 0]]), torch.tensor([[4.0, 6]])
    assert elbo.lower_bound(likelihood, weight, torch.tensor([2.0]), kl, 0.5).tolist() == [[1, 5]]


def test_the_bound_of_some_steps_is_right_on_average() -> None:
    """Over all choices of two of five steps."""
    likelihood, kl, length = drawn(1, 2, 5), drawn(1, 2, seed=1), torch.tensor([5.0]).double()
    whole = elbo.lower_bound(likelihood, torch.ones(1, 5).double(), length, kl, 0.1)
    parts = []
    for pair in combinations(range(5), 2):
        picked = likelihood[:, :, list(pair)]
        parts.append(elbo.lower_bound(picked, torch.ones(1, 2).double(), length, kl, 0.1))
    torch.testing.assert_close(torch.stack(parts).mean(0), whole)
    assert torch.stack(parts).std() > 0.1
