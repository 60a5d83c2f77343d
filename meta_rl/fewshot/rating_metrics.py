"""Metrics of recommendation, and the predictors without meta-learning that it has to beat."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl.core.types import Examples, MetaBatch
from meta_rl.fewshot.ratings import Ratings

CUTOFF = 10
FACTORS = 8


def mean_absolute_error(outputs: Tensor, query: Examples) -> Tensor:
    """``[task]`` from predictions ``[task, example, 1]``."""
    error = (outputs.squeeze(-1) - query.target).abs() * query.weight
    return error.sum(-1) / query.weight.sum(-1)


def ndcg(outputs: Tensor, query: Examples, cutoff: int = CUTOFF, low: float = 0.0) -> Tensor:
    """Normalised discounted cumulative gain ``[task]`` of the held-out items ranked by prediction, at `cutoff`, with
    the rating itself as gain (Jarvelin and Kekalainen 2002): 1 for the best order, and where no item gains anything.

    Args:
        low: lower end of the scale. Where it is negative, a gain is what a rating is above it.
    """
    value = query.target - min(low, 0.0)

    def gain(order: Tensor) -> Tensor:
        top = order.argsort(stable=True, dim=-1, descending=True)[..., :cutoff]
        discount = 1 / torch.arange(2.0, top.shape[-1] + 2, device=order.device).log2()
        return ((value * query.weight).gather(-1, top) * discount).sum(-1)

    padding = query.weight == 0
    predicted = outputs.squeeze(-1).masked_fill(padding, -torch.inf)
    best = gain(query.target.masked_fill(padding, -torch.inf).to(predicted.dtype))
    return torch.where(best > 0, gain(predicted) / best, 1.0)


class Statistics:
    """Statistics of the items in the ratings of the training users.

    Attributes:
        mean: of all ratings.
        item_mean: of each item ``[item]``, drawn to `mean` by 5 pseudo-ratings.
        factors: ``[item, FACTORS]``, by alternating ridge regressions on what is left after the item means.
    """

    def __init__(self, ratings: Ratings, ridge: float = 3.0, sweeps: int = 10) -> None:
        self.mean = float(ratings.rating.mean())
        count = np.bincount(ratings.item, minlength=ratings.num_items)
        total = np.bincount(ratings.item, ratings.rating - self.mean, minlength=ratings.num_items)
        self.item_mean = self.mean + total / (count + 5)
        residual = ratings.rating - self.item_mean[ratings.item]
        users = np.unique(ratings.user, return_inverse=True)[1]
        user_factor = np.zeros((users.max() + 1, FACTORS))
        self.factors = np.random.default_rng(0).normal(0, 0.3, (ratings.num_items, FACTORS))
        for _ in range(sweeps):
            _solve(user_factor, users, self.factors[ratings.item], residual, ridge)
            _solve(self.factors, ratings.item, user_factor[users], residual, ridge)

    def ridge(self, item: NDArray[np.int64], rating: NDArray[np.float64], strength: float = 1.0) -> NDArray[np.float64]:
        """A user's weights ``[FACTORS + 1]`` on (1, item factors), from ratings in addition to the item means."""
        x = np.concatenate([np.ones((len(item), 1)), self.factors[item]], 1)
        gram = x.T @ x + strength * np.eye(x.shape[1])
        return np.linalg.solve(gram, x.T @ (rating - self.item_mean[item]))


def _solve(
    result: NDArray[np.float64],
    group: NDArray[np.int64],
    x: NDArray[np.float64],
    target: NDArray[np.float64],
    ridge: float,
) -> None:
    """Rows of `result`: ridge regressions of `target` on `x`, one per group."""
    gram, moment = np.zeros((len(result), FACTORS, FACTORS)), np.zeros((len(result), FACTORS))
    np.add.at(gram, group, x[:, :, None] * x[:, None])
    np.add.at(moment, group, x * target[:, None])
    result[:] = np.linalg.solve(gram + ridge * np.eye(FACTORS), moment[..., None])[..., 0]


def rating_baselines(known: Statistics, batch: MetaBatch) -> dict[str, Tensor]:
    """Predictions ``[task, example, 1]`` for the queries of users: global mean, item mean, and ridge regression of the
    user's support on item factors of the training users."""
    (support,), query = batch.support, batch.query
    item = query.observation.cpu().numpy()
    means = known.item_mean[item]
    ridge = means.copy()
    for task, weight in enumerate(support.weight.cpu().numpy()):
        rated = weight > 0
        user = known.ridge(support.observation[task].cpu().numpy()[rated], support.target[task].cpu().numpy()[rated])
        ridge[task] += user[0] + known.factors[item[task]] @ user[1:]
    predictions = {"global mean": np.full(item.shape, known.mean), "item mean": means, "ridge on item factors": ridge}
    return {name: torch.from_numpy(p).unsqueeze(-1) for name, p in predictions.items()}
