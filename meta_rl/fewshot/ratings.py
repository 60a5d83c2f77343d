"""Cold-start recommendation: a task is a user, the support a few ratings, the query those held out.

Loads a MovieLens-format file that the user has (``u.data``: user, item, rating, time between tabs; ``ratings.csv``: the
same with a header between commas), and makes a synthetic stand-in. Synthetic results prove the code path only.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl.core.seeding import Purpose, generator
from meta_rl.errors import ConfigError

LOW, HIGH = 0.5, 5.0


class Ratings(NamedTuple):
    """Ratings of one user after another, each user's in order of time; users and items are numbered from 0."""

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    rating: NDArray[np.float64]
    num_items: int
    source: str


def load_ratings(path: Path) -> Ratings:
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


def select_ratings(ratings: Ratings, mask: NDArray[np.bool_]) -> Ratings:
    """The ratings of a mask over rows."""
    return ratings._replace(user=ratings.user[mask], item=ratings.item[mask], rating=ratings.rating[mask])
