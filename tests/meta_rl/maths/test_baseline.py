import numpy as np
import pytest
import torch

from meta_rl.maths import baseline


def test_features_by_hand() -> None:
    # Second step (t = 0.01) with observation 20 -> clipped to 10: [10, 100, 0.01, 1e-4, 1e-6, 1]
    feature = baseline.features(torch.tensor([[0.0], [20.0]]))
    np.testing.assert_allclose(feature[1].numpy(), [10, 100, 0.01, 1e-4, 1e-6, 1], rtol=1e-12)


@pytest.mark.parametrize("shrinkage", [0.0, 1.0, 1e3])
def test_fit_equals_numpy_least_squares_for_every_task(shrinkage: float) -> None:
    rng = np.random.default_rng(0)
    observation = torch.from_numpy(rng.normal(size=(3, 4, 25, 2)))
    target = torch.from_numpy(rng.normal(size=(3, 4, 25)))
    valid = torch.ones(3, 4, 25, dtype=torch.bool)
    valid[1, 2, 10:] = False
    feature = baseline.features(observation)
    coefficients = baseline.fit(feature, target, valid, shrinkage)
    for task in range(3):
        x, y = feature[task][valid[task]].numpy(), target[task][valid[task]].numpy()
        # Ridge regression is least squares with rows sqrt(ridge) * I appended; t, t^2, t^3 and 1 are not shrunk.
        strength = (shrinkage * 8 / len(x)) ** 2  # of 100 steps, or 85 where an episode is shorter
        shrunk = np.array([*(strength * len(x) * x[:, i].var() for i in range(4)), 0, 0, 0, 0])
        rows = np.diag(np.sqrt(baseline.RIDGE + shrunk))
        expected = np.linalg.lstsq(np.vstack([x, rows]), np.concatenate([y, np.zeros(len(rows))]), rcond=None)[0]
        np.testing.assert_allclose(coefficients[task].numpy(), expected, rtol=1e-6, atol=1e-8)
    value = baseline.predict(feature, coefficients, valid)
    assert (value[1, 2, 10:] == 0).all()
    np.testing.assert_allclose(value[0, 0].numpy(), feature[0, 0].numpy() @ coefficients[0].numpy(), rtol=1e-12)


def test_constant_observations_do_not_break_the_fit() -> None:
    # Meta-World hides the goal: columns of zeros make the Gram matrix singular without the ridge.
    feature = baseline.features(torch.zeros(2, 3, 10, 5))
    target = torch.linspace(0, 1, 10, dtype=torch.float64).expand(2, 3, 10)
    valid = torch.ones(2, 3, 10, dtype=torch.bool)
    value = baseline.predict(feature, baseline.fit(feature, target, valid), valid)
    torch.testing.assert_close(value, target, atol=1e-3, rtol=0)


def noise(episodes: int, steps: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """39 numbers that wander, and returns that do so too and have nothing to do with them."""
    rng = torch.Generator().manual_seed(0)
    walk = torch.randn(4, episodes, steps, 40, dtype=torch.float64, generator=rng).cumsum(2) / 10
    return baseline.features(walk[..., :39]), walk[..., 39] + 5, torch.ones(4, episodes, steps, dtype=torch.bool)


def test_few_short_episodes_are_not_taken_to_pieces() -> None:
    """82 coefficients fit the 100 returns of two episodes, and leave nothing to learn from."""
    feature, target, valid = noise(2, 50)
    left = []
    for shrinkage in (0.0, baseline.SHRINKAGE, 1e6):
        value = baseline.predict(feature, baseline.fit(feature, target, valid, shrinkage), valid)
        left.append(float((target - value).var()))
    unshrunk, shrunk, time_alone = left
    assert 10 * unshrunk < shrunk < time_alone


@pytest.mark.parametrize("episodes", [1, 5])
def test_shrunk_to_the_end_it_is_a_fit_of_the_time_alone(episodes: int) -> None:
    feature, target, valid = noise(episodes, 50)
    value = baseline.predict(feature, baseline.fit(feature, target, valid, 1e6), valid)
    time = feature[..., -baseline.TIMES :]
    alone = baseline.predict(time, baseline.fit(time, target, valid), valid)
    torch.testing.assert_close(value, alone, rtol=0, atol=1e-4)


def test_the_unit_of_an_observation_does_not_matter() -> None:
    feature, target, valid = noise(2, 50)
    scaled = feature * torch.cat([torch.tensor([0.1]).expand(39), torch.tensor([0.01]).expand(39), torch.ones(4)])
    values = [baseline.predict(x, baseline.fit(x, target, valid), valid) for x in (feature, scaled)]
    torch.testing.assert_close(*values, rtol=0, atol=1e-2)
