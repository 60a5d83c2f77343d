"""Cold-start recommendation: a task is a user, the support a few ratings, the query those held out.

Loads a file that the user has, MovieLens's ``u.data``, ``ratings.dat`` and ``ratings.csv`` among others, and makes a
synthetic stand-in. Synthetic results prove the code path only.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl.core.seeding import Purpose, generator
from meta_rl.fewshot.ratings_file import ItemId, number_ids, read_columns

LOW, HIGH = 0.5, 5.0
"""Ends of the scale where none is named."""


class Ratings(NamedTuple):
    """Ratings of one user after another, each user's in order of time; users and items are numbered from 0."""

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    rating: NDArray[np.float64]
    num_items: int
    source: str
    ids: tuple[ItemId, ...] = ()
    """What the file calls the items, in the order of their numbers; empty: their numbers."""
    low: float = LOW
    high: float = HIGH
    """Ends of the scale."""


def load_ratings(path: Path, low: float = LOW, high: float = HIGH) -> Ratings:
    """Read a file of ratings (see `meta_rl.fewshot.ratings_file`).

    Args:
        low, high: ends of the scale.
    Raises:
        ConfigError: no such file, or a row (named by its number) is malformed, out of range or a repetition.
    """
    found = read_columns(path, low, high)
    (users, _), (items, ids) = number_ids(found.user), number_ids(found.item)
    rank = {time: place for place, time in enumerate(sorted(set(found.time)))}
    user, item, time = (np.array(x, np.int64) for x in (users, items, [rank[t] for t in found.time]))
    order = np.lexsort((item, time, user))
    return Ratings(user[order], item[order], np.array(found.rating)[order], len(ids), path.name, ids, low, high)


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


def select_ratings(ratings: Ratings, mask: NDArray[np.bool_]) -> Ratings:
    """The ratings of a mask over rows."""
    return ratings._replace(user=ratings.user[mask], item=ratings.item[mask], rating=ratings.rating[mask])
