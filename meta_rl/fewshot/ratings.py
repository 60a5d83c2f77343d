"""Cold-start recommendation: a task is a user, the support a few ratings, the query those held out.

Loads a MovieLens-format file that the user has (``u.data``: user, item, rating, time between tabs; ``ratings.csv``: the
same with a header between commas), and makes a synthetic stand-in. Synthetic results prove the code path only.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.types import Examples, MetaBatch, from_numpy
from meta_rl.errors import ConfigError

LOW, HIGH = 0.5, 5.0


class Ratings(NamedTuple):
    """Ratings of one user after another, each user's in order of time; users and items are numbered from 0."""

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    rating: NDArray[np.float64]
    num_items: int
    source: str


def load(path: Path) -> Ratings:
    """Read a MovieLens-format file; every row is checked.

    Raises:
        ConfigError: no such file, or a row (named by its number) is malformed, out of range or a repetition.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--data: cannot read {path}: {error}") from None
    lines = text.splitlines()
    separator = "\t" if lines and "\t" in lines[0] else ","
    rows = [(number, row) for number, row in enumerate(csv.reader(lines, delimiter=separator), 1) if row]
    if rows and separator == "," and not rows[0][1][0].strip().isdigit():
        rows = rows[1:]  # the header
    seen: set[tuple[int, int]] = set()
    table = []
    for number, row in rows:
        where = f"--data: {path}, row {number}"
        try:
            user, item, rating, time = int(row[0]), int(row[1]), float(row[2]), float(row[3])
        except (ValueError, IndexError):
            raise ConfigError(f"{where}: must be user, item, rating, timestamp, got {separator.join(row)!r}") from None
        if not LOW <= rating <= HIGH:
            raise ConfigError(f"{where}: ratings are between {LOW} and {HIGH}, got {rating}")
        if (user, item) in seen:
            raise ConfigError(f"{where}: user {user} has rated item {item} before")
        seen.add((user, item))
        table.append((user, item, rating, time))
    if not table:
        raise ConfigError(f"--data: {path} holds no ratings")
    columns = np.array(table)
    columns = columns[np.lexsort((columns[:, 1], columns[:, 3], columns[:, 0]))]
    users, items = (np.unique(columns[:, k], return_inverse=True)[1] for k in (0, 1))
    return Ratings(users, items, columns[:, 2], int(items.max()) + 1, str(path.name))


def synthetic(users: int = 1000, items: int = 200, factors: int = 4, clusters: int = 8, seed: int = 0) -> Ratings:
    """Ratings of a latent-factor model, r = mu + b_u + b_i + p_u . q_i + noise, clipped to 1 to 5.

    Users belong to clusters of taste; popular items are rated by more users.
    """
    rng = generator(seed, Purpose.DATA)
    centre = rng.normal(0, 0.6, (clusters, factors))
    taste = centre[rng.integers(clusters, size=users)] + rng.normal(0, 0.25, (users, factors))
    item_factor = rng.normal(0, 0.9, (items, factors))
    user_bias, item_bias = rng.normal(0, 0.4, users), rng.normal(0, 0.4, items)
    popularity = np.arange(1, items + 1) ** -0.7
    popularity /= popularity.sum()
    lengths = rng.integers(30, 81, size=users)
    rated = [rng.choice(items, n, replace=False, p=popularity) for n in lengths]
    user, item = np.repeat(np.arange(users), lengths), np.concatenate(rated)
    mean = 3.5 + user_bias[user] + item_bias[item] + (taste[user] * item_factor[item]).sum(-1)
    rating = np.clip(mean + rng.normal(0, 0.3, len(user)), 1, 5)
    return Ratings(user, item, rating, items, f"synthetic, seed {seed}")


def select(ratings: Ratings, mask: NDArray[np.bool_]) -> Ratings:
    """The ratings of a mask over rows."""
    return ratings._replace(user=ratings.user[mask], item=ratings.item[mask], rating=ratings.rating[mask])


class Users:
    """The users of a split; see `meta_rl.fewshot.tasks.TaskSet`.

    80 % of the users train, 10 % validate and 10 % test, the same ones whatever is asked of them. Training draws a
    user's ratings in random order; otherwise the support is the first ratings that the user gave.

    Args:
        ratings: of all users.
        split: train, validation or test.
        shots: ratings of support; users with fewer than one more are left out.
    Attributes:
        training: the ratings of the training users, whatever the split.
    Raises:
        ConfigError: a split without users.
    """

    def __init__(self, ratings: Ratings, split: str, shots: int) -> None:
        count = int(ratings.user.max()) + 1
        order = generator(0, Purpose.DATA, stage=1).permutation(count)
        cuts = [int(0.8 * count), int(0.9 * count)]
        parts = dict(zip(("train", "validation", "test"), np.split(order, cuts), strict=True))
        chosen = parts[split]
        self.training = select(ratings, np.isin(ratings.user, parts["train"]))
        ends = np.cumsum(np.bincount(ratings.user, minlength=count))
        starts = ends - np.bincount(ratings.user, minlength=count)
        self._users = [slice(starts[u], ends[u]) for u in chosen if ends[u] - starts[u] > shots]
        if not self._users:
            raise ConfigError(f"--env: no {split} user of {ratings.source} has more than {shots} ratings")
        self.ratings, self._split = ratings, split
        self.count = None if split == "train" else len(self._users)
        self.observation_space = gym.spaces.Discrete(ratings.num_items)
        self.action_space = gym.spaces.Box(LOW, HIGH, (1,), np.float32)

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

    def fingerprint(self) -> dict[str, Any]:
        """Counts and a hash of the ratings."""
        r = self.ratings
        digest = hashlib.sha256(r.user.tobytes() + r.item.tobytes() + r.rating.tobytes()).hexdigest()
        return {"source": r.source, "users": len(self._users), "items": r.num_items, "sha256": digest}
