"""Users as tasks: the support is a few ratings of one user, the query those held out."""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.types import Examples, MetaBatch, from_numpy
from meta_rl.errors import ConfigError
from meta_rl.fewshot.rating_metrics import Statistics, mean_absolute_error, ndcg, rating_baselines
from meta_rl.fewshot.ratings import Ratings, select_ratings


class Users:
    """The users of a split; see `meta_rl.fewshot.tasks.TaskSet`.

    80 % of the users train, 10 % validate and 10 % test, the same ones whatever is asked of them. Training draws a
    user's ratings in random order; otherwise the support is the first ratings that the user gave.

    Args:
        ratings: of all users.
        split: train, validation or test.
        shots: ratings of support; users with fewer than one more are left out.
    Attributes:
        shared: keys of the fingerprint that all splits have in common.
        ids: what the ratings call the items.
        training: the ratings of the training users, whatever the split.
    Raises:
        ConfigError: a split without users.
    """

    shared = ("items", "sha256")

    def __init__(self, ratings: Ratings, split: str, shots: int) -> None:
        count = int(ratings.user.max()) + 1
        order = generator(0, Purpose.DATA, stage=1).permutation(count)
        cuts = [int(0.8 * count), int(0.9 * count)]
        parts = dict(zip(("train", "validation", "test"), np.split(order, cuts), strict=True))
        chosen = parts[split]
        self.training = select_ratings(ratings, np.isin(ratings.user, parts["train"]))
        ends = np.cumsum(np.bincount(ratings.user, minlength=count))
        starts = ends - np.bincount(ratings.user, minlength=count)
        self._users = [slice(starts[u], ends[u]) for u in chosen if ends[u] - starts[u] > shots]
        if not self._users:
            raise ConfigError(f"--env: no {split} user of {ratings.source} has more than {shots} ratings")
        self.ratings, self._split, self.ids = ratings, split, ratings.ids
        self.count = None if split == "train" else len(self._users)
        self.observation_space = gym.spaces.Discrete(ratings.num_items)
        self.action_space = gym.spaces.Box(ratings.low, ratings.high, (1,), np.float32)

    def rows(self) -> NDArray[np.int64]:
        """Rows of this split's users in `ratings`."""
        return np.concatenate([np.arange(s.start, s.stop) for s in self._users])

    def sample(self, rng: np.random.Generator, tasks: int, ways: int, shots: int, query: int) -> MetaBatch:
        """Random users; up to `shots` and `query` of their ratings, what is missing has weight 0."""
        users = rng.choice(len(self._users), tasks, replace=tasks > len(self._users))
        rows = [self.user(int(user), shots, query, rng if self._split == "train" else None) for user in users]
        return MetaBatch((self._examples([s for s, _ in rows], shots),), self._examples([q for _, q in rows], query))

    def test_task(self, index: int, rng: np.random.Generator, ways: int, shots: int, query: int) -> MetaBatch:
        """The `index`-th user."""
        support, queries = self.user(index, shots, query)
        return MetaBatch((self._examples([support], shots),), self._examples([queries], query))

    def user(
        self, index: int, shots: int, query: int, rng: np.random.Generator | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of support and query; in random order if `rng` is given."""
        rows = np.arange(self._users[index].start, self._users[index].stop)
        if rng is not None:
            rows = rng.permutation(rows)
        shots = min(shots, len(rows) - 1)
        return rows[:shots], rows[shots : shots + query]

    def _examples(self, rows: list[NDArray[np.int64]], length: int) -> Examples:
        index = np.stack([np.resize(r, length) for r in rows])  # repeats fill the row; their weight is 0
        weight = np.stack([np.arange(length) < len(r) for r in rows])
        item, rating = self.ratings.item[index], self.ratings.rating[index].astype(np.float32)
        return Examples(from_numpy(item), from_numpy(rating), from_numpy(weight.astype(np.float32)))

    def metrics(self, error: Tensor, outputs: Tensor, query: Examples) -> dict[str, Tensor]:
        """Root mean square and mean absolute error, and how well the items are ranked."""
        return {
            "rmse": error.sqrt(),
            "mae": mean_absolute_error(outputs, query),
            "ndcg": ndcg(outputs, query, low=self.ratings.low),
        }

    def baselines(self, batch: MetaBatch) -> dict[str, Tensor]:
        """Predictors that know the ratings of the training users."""
        return rating_baselines(self._statistics, batch)

    @functools.cached_property
    def _statistics(self) -> Statistics:
        return Statistics(self.training)

    def fingerprint(self) -> dict[str, Any]:
        """Counts and a hash of the ratings."""
        r = self.ratings
        digest = hashlib.sha256(r.user.tobytes() + r.item.tobytes() + r.rating.tobytes()).hexdigest()
        return {"source": r.source, "users": len(self._users), "items": r.num_items, "sha256": digest}
