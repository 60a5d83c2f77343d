import pytest
import torch
from torch import distributions as oracle

from meta_rl.maths.distributions import Categorical, DiagonalGaussian

torch.manual_seed(0)
GAUSSIAN = DiagonalGaussian(torch.randn(5, 3, dtype=torch.float64), 0.3 * torch.randn(5, 3, dtype=torch.float64))
OTHER_GAUSSIAN = DiagonalGaussian(torch.randn(5, 3, dtype=torch.float64), 0.3 * torch.randn(5, 3, dtype=torch.float64))
CATEGORICAL = Categorical(torch.randn(5, 4, dtype=torch.float64))
OTHER_CATEGORICAL = Categorical(torch.randn(5, 4, dtype=torch.float64))


def as_torch(d: DiagonalGaussian | Categorical) -> oracle.Distribution:
    if isinstance(d, Categorical):
        return oracle.Categorical(logits=d.logits)
    return oracle.Independent(oracle.Normal(d.mean, d.log_std.exp()), 1)


@pytest.mark.parametrize(("p", "q"), [(GAUSSIAN, OTHER_GAUSSIAN), (CATEGORICAL, OTHER_CATEGORICAL)])
def test_against_torch_distributions(p, q) -> None:  # type: ignore[no-untyped-def]
    reference = as_torch(p)
    action = reference.sample()
    torch.testing.assert_close(p.log_prob(action), reference.log_prob(action))
    torch.testing.assert_close(p.entropy(), reference.entropy())
    torch.testing.assert_close(p.kl(q), oracle.kl_divergence(reference, as_torch(q)))
    torch.testing.assert_close(p.kl(p), torch.zeros(5, dtype=torch.float64))


@pytest.mark.parametrize("p", [GAUSSIAN, CATEGORICAL])
def test_fisher_product_is_the_hessian_of_the_kl(p) -> None:  # type: ignore[no-untyped-def]
    first = type(p)(*(x[0] for x in p))
    sizes = [x.numel() for x in first]

    def kl(flat: torch.Tensor) -> torch.Tensor:
        return first.kl(type(p)(*flat.split(sizes)))

    flat = torch.cat(list(first))
    hessian = torch.autograd.functional.hessian(kl, flat)
    tangent = torch.randn_like(flat)
    product = torch.cat(list(first.fisher_product(type(p)(*tangent.split(sizes)))))
    torch.testing.assert_close(product, hessian @ tangent)


def test_gaussian_sample_and_mode() -> None:
    noise = torch.ones(5, 3, dtype=torch.float64)
    torch.testing.assert_close(GAUSSIAN.sample(noise), GAUSSIAN.mean + GAUSSIAN.log_std.exp())
    assert GAUSSIAN.mode() is GAUSSIAN.mean


def test_categorical_sampling_inverts_the_cumulative_distribution() -> None:
    # p = [0.2, 0.5, 0.3]: uniforms below 0.2 give 0, below 0.7 give 1, the rest 2.
    d = Categorical(torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).log())
    uniforms = torch.tensor([[0.0], [0.19], [0.21], [0.69], [0.71], [0.999999999]], dtype=torch.float64)
    assert [int(d.sample(u)) for u in uniforms] == [0, 0, 1, 1, 2, 2]
    assert int(d.mode()) == 1
    frequencies = torch.bincount(d.sample(torch.rand(200_000, 1, dtype=torch.float64)), minlength=3) / 200_000
    torch.testing.assert_close(frequencies, torch.tensor([0.2, 0.5, 0.3]), atol=0.005, rtol=0)
