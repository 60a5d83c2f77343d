import numpy as np
import torch

from meta_rl.core import baseline


def test_features_by_hand() -> None:
    # Second step (t = 0.01) with observation 20 -> clipped to 10: [10, 100, 0.01, 1e-4, 1e-6, 1]
    feature = baseline.features(torch.tensor([[0.0], [20.0]]))
    np.testing.assert_allclose(feature[1].numpy(), [10, 100, 0.01, 1e-4, 1e-6, 1], rtol=1e-12)


def test_fit_equals_numpy_least_squares_for_every_task() -> None:
    rng = np.random.default_rng(0)
    observation = torch.from_numpy(rng.normal(size=(3, 4, 25, 2)))
    target = torch.from_numpy(rng.normal(size=(3, 4, 25)))
    valid = torch.ones(3, 4, 25, dtype=torch.bool)
    valid[1, 2, 10:] = False
    feature = baseline.features(observation)
    coefficients = baseline.fit(feature, target, valid)
    for task in range(3):
        x, y = feature[task][valid[task]].numpy(), target[task][valid[task]].numpy()
        # Ridge regression is least squares with rows sqrt(ridge) * I appended.
        rows = np.sqrt(baseline.RIDGE) * np.eye(x.shape[1])
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
