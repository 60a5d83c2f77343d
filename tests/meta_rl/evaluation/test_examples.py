"""Few-shot evaluation: intervals, metrics and baselines by hand; the curve of a learner whose steps are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from meta_rl.config import default_config, replace_paths
from meta_rl.core.types import Examples, MetaBatch
from meta_rl.evaluation.examples import evaluate_fewshot
from meta_rl.evaluation.scores import INDUCTIVE, TRANSDUCTIVE, Score
from meta_rl.fewshot.rating_metrics import Statistics, mean_absolute_error, ndcg, rating_baselines
from meta_rl.fewshot.ratings import Ratings, synthetic
from meta_rl.fewshot.sinusoid import Sinusoids, sinusoid_oracle
from meta_rl.fewshot.users import Users


def test_interval_by_hand() -> None:
    """Values 1, 2, 3: mean 2, sd 1, half width 1.96 / sqrt(3)."""
    found = Score.normal(np.array([1.0, 2.0, 3.0]))
    half = 1.96 / 3**0.5
    assert (found.mean, found.half) == (2.0, pytest.approx(half))
    assert (found.low, found.high) == (pytest.approx(2 - half), pytest.approx(2 + half))
    assert Score.normal(np.array([5.0])) == Score.around(5.0, 0.0)  # one value has no spread


def rated(targets: list[float], weights: list[float]) -> Examples:
    return Examples(torch.arange(len(targets)).unsqueeze(0), torch.tensor([targets]), torch.tensor([weights]))


def test_ranking_by_hand() -> None:
    """Predicted order 5, 1, 3 (the last item is padding): (5 + 1 / log2 3 + 3 / 2) / (5 + 3 / log2 3 + 1 / 2)."""
    query = rated([5.0, 3.0, 1.0, 4.0], [1, 1, 1, 0])
    outputs = torch.tensor([[[4.0], [2.0], [3.0], [9.0]]])
    log3 = float(np.log2(3))
    assert float(ndcg(outputs, query)) == pytest.approx((5 + 1 / log3 + 1.5) / (5 + 3 / log3 + 0.5))
    assert float(ndcg(query.target.unsqueeze(-1), query)) == pytest.approx(1)
    assert float(ndcg(outputs, query, cutoff=1)) == pytest.approx(1)
    assert float(mean_absolute_error(outputs, query)) == pytest.approx((1 + 1 + 2) / 3)


def test_rating_baselines_by_hand() -> None:
    """Two items, three ratings: mean 3; item 0 has 4 and 3, drawn to the mean by 5 more: 3 + 1 / 7."""
    training = Ratings(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([4.0, 2.0, 3.0]), 2, "by hand")
    known = Statistics(training)
    assert known.mean == 3
    assert known.item_mean.tolist() == pytest.approx([3 + 1 / 7, 3 - 1 / 6])
    batch = MetaBatch((rated([5.0], [1.0]),), rated([4.0, 2.0], [1.0, 1.0]))
    found = rating_baselines(known, batch)
    assert found["global mean"].squeeze().tolist() == [3, 3]
    assert found["item mean"].squeeze().tolist() == pytest.approx(known.item_mean.tolist())
    x = np.concatenate([[1], known.factors[0]])  # one observation: weights are x * residual / (1 + |x|^2)
    weights = x * (5 - known.item_mean[0]) / (1 + x @ x)
    assert float(found["ridge on item factors"][0, 0]) == pytest.approx(known.item_mean[0] + x @ weights)


def test_ridge_finds_the_factors_of_the_generator() -> None:
    """Better than item means on held-out users, and better with more ratings."""
    ratings, errors = synthetic(users=300, items=80), []
    for shots in (1, 10):
        users = Users(ratings, "test", shots)
        rng, known = np.random.default_rng(0), Statistics(users.training)
        squared: dict[str, list[float]] = {}
        for index in range(len(users.rows()) and 20):
            batch = users.test_task(index, rng, 1, shots, 100)
            for name, prediction in rating_baselines(known, batch).items():
                error = (prediction.squeeze(-1) - batch.query.target).square() * batch.query.weight
                squared.setdefault(name, []).append(float(error.sum() / batch.query.weight.sum()))
        errors.append({name: np.mean(values) for name, values in squared.items()})
    assert errors[1]["ridge on item factors"] < 0.7 * errors[1]["item mean"]
    assert errors[1]["ridge on item factors"] < errors[0]["ridge on item factors"]
    assert errors[0]["item mean"] < errors[0]["global mean"]


def test_the_oracle_knows_the_sinusoid() -> None:
    batch = Sinusoids().sample(np.random.default_rng(0), 20, 1, 5, 30)
    error = (sinusoid_oracle(batch).squeeze(-1) - batch.query.target).abs().max()
    assert float(error) < 1e-3


class Counting:
    """Predicts the number of steps that were taken, as a learner with all the verbs; inductive answers are 100 off."""

    class policy:
        kind, batch_statistics = "numbers", True

    def start(self, params: Any, num_tasks: int) -> int:
        return 0

    def adapt(self, adapted: int, support: Examples) -> int:
        return adapted + 1

    def predict(self, adapted: int, support: Examples, observation: Tensor, inductive: bool) -> Tensor:
        return torch.full((*observation.shape[:2], 1), adapted + 100.0 * inductive)


def test_every_point_of_the_curve_is_scored_on_the_fixed_episodes() -> None:
    config = default_config("maml", "sinusoid-5shot")
    protocol = replace_paths(config.evaluate, {"test_tasks": 7, "tasks_at_once": 3, "adaptation_steps": 4})
    learner: Any = Counting()
    evaluation = evaluate_fewshot(learner, {}, Sinusoids(), config, protocol)
    assert evaluation.points == [0, 1, 2, 3, 4]
    transductive, inductive = (evaluation.values[way]["mse"] for way in (TRANSDUCTIVE, INDUCTIVE))
    assert transductive.shape == inductive.shape == (7, 5, 1)
    again = evaluate_fewshot(learner, {}, Sinusoids(), config, replace_paths(protocol, {"tasks_at_once": 7}))
    np.testing.assert_array_equal(transductive, again.values[TRANSDUCTIVE]["mse"])
    some = evaluate_fewshot(learner, {}, Sinusoids(), config, replace_paths(protocol, {"shown_steps": (3, 1, 9)}))
    assert some.points == [1, 3, 4]
    np.testing.assert_array_equal(some.values[INDUCTIVE]["mse"], inductive[:, some.points])
    # (y - k)^2 has second differences of 2 in k, whatever the episode.
    np.testing.assert_allclose(np.diff(transductive, 2, axis=1), 2, atol=1e-3)
    assert (inductive > 8000).all()
    assert evaluation.stages()[2].steps == 2
    assert evaluation.stages()[2].scores[TRANSDUCTIVE]["mse"].mean == pytest.approx(transductive[:, 2].mean())
    (oracle,) = evaluation.baselines.values()
    assert oracle["mse"].mean < 1e-4


def test_ratings_are_told_by_their_tasks() -> None:
    """Whatever the type of the items: root of 4 is 2, and the mean of 1 and 3 is 2."""
    users = Users(synthetic(users=50, items=90), "test", 2)
    outputs, query = (
        torch.tensor([[[2.0], [0.0]]]),
        Examples(torch.zeros(1, 2), torch.tensor([[3.0, 3.0]]), torch.ones(1, 2)),
    )
    found = users.metrics(torch.tensor([4.0]), outputs, query)
    assert list(found) == ["rmse", "mae", "ndcg"]
    assert float(found["rmse"]) == 2
    assert float(found["mae"]) == 2
    assert Sinusoids().metrics(torch.tensor([4.0]), outputs, query) == {}
    batch = users.sample(np.random.default_rng(0), 2, 1, 2, 2)
    assert list(users.baselines(batch)) == ["global mean", "item mean", "ridge on item factors"]
