"""Files of ratings as people have them, read into columns: any separator, order of columns, quoting and ids.

A first row is a header if no field of it is a number; columns are then found by their names. Without a header they are
user, item, rating and, where there is a fourth, time. Without times, ratings are in the order of the file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from meta_rl.errors import ConfigError

SEPARATORS = ("\t", "::", ";", ",")
"""Separators of fields. Where several divide the first row, the first one counts that finds a rating or names there."""
HEADER_NAMES = {
    "user": ("user", "userid", "uid", "users", "reviewer", "reviewerid", "customer", "customerid", "rater", "raterid"),
    "item": (
        *("item", "itemid", "iid", "items", "movie", "movieid", "film", "filmid", "book", "bookid", "isbn", "product"),
        *("productid", "asin", "parentasin", "song", "songid", "track", "trackid", "artist", "artistid", "anime"),
        *("animeid", "game", "gameid", "joke", "jokeid", "business", "businessid", "recipe", "recipeid"),
    ),
    "rating": ("rating", "ratings", "score", "scores", "stars", "overall", "bookrating", "userrating", "preference"),
    "time": (
        "time",
        "timestamp",
        "datetime",
        "date",
        "ts",
        "unixtime",
        "unixreviewtime",
        "reviewtime",
        "createdat",
        "when",
    ),
}
"""Column -> names of it in headers, without capitals and signs; what follows a colon in a name is its type."""
FORMS = (
    "known: user, item, rating and, where there is a fourth, time (a number, or a date like 2003-02-28), between tabs, "
    "::, semicolons or commas; or a header that names these columns in any order"
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"0|-?[1-9]\d*", re.ASCII)
_BETWEEN = "\x1f"
"""Stands for the separators that have two signs, which the csv module does not take."""

ItemId = int | str
"""What a file calls an item (or a user): a whole number, or a text."""
Cells = list[tuple[int, list[str]]]
"""Rows that are not empty, each with its number in the file, from 1."""


class RatingColumns(NamedTuple):
    """Columns of a file, as long as it has ratings; ids are its own."""

    user: list[str]
    item: list[str]
    rating: list[float]
    time: list[float | int]
    """Numbers as the file has them, dates as seconds since 1970, or the number of the row where it has neither."""


def read_columns(path: Path, low: float, high: float) -> RatingColumns:
    """Read a file of ratings between `low` and `high`; every row is checked.

    Raises:
        ConfigError: no such file, or a row (named by its number) that does not fit or is a repetition.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--data: cannot read {path}: {error}") from None
    cells, width, places = _table(path, text)
    found = RatingColumns([], [], [], [])
    seen: set[tuple[str, str]] = set()
    for number, fields in cells:
        where = f"--data: {path}, row {number}"
        if width and any(fields[width:]):
            raise ConfigError(f"{where}: has {len(fields)} fields, but the header names {width} columns")
        try:
            user, item, rating = fields[places["user"]], fields[places["item"]], float(fields[places["rating"]])
            time = _seconds(fields[places["time"]]) if "time" in places else number
        except (IndexError, ValueError):
            raise _misfit(where, fields) from None
        if not user or not item or "\n" in user + item:
            raise _misfit(where, fields)
        if not low <= rating <= high:
            raise ConfigError(f"{where}: ratings are between {low} and {high}, got {rating}; --lowest-rating and "
                              "--highest-rating take another scale")  # fmt: skip
        if (user, item) in seen:
            raise ConfigError(f"{where}: user {user} has rated item {item} before")
        seen.add((user, item))
        found.user.append(user)
        found.item.append(item)
        found.rating.append(rating)
        found.time.append(time)
    return found


def number_ids(column: Sequence[str]) -> tuple[list[int], tuple[ItemId, ...]]:
    """The ids of a column numbered from 0 in their order, and the ids in this order.

    They are ordered as whole numbers, and are such, where all are written as such; else they are texts.
    """
    whole = all(map(_INTEGER.fullmatch, column))
    ids: list[Any] = sorted(map(int, set(column))) if whole else sorted(set(column))
    place = {str(name): index for index, name in enumerate(ids)}
    return [place[name] for name in column], tuple(ids)


def _misfit(where: str, fields: Sequence[str]) -> ConfigError:
    shown = repr(", ".join(fields))
    shown = shown if len(shown) < 120 else f"{shown[:117]}..."
    return ConfigError(f"{where}: must be user, item, rating, timestamp, got {shown}; {FORMS}")


def _table(path: Path, text: str) -> tuple[Cells, int, dict[str, int]]:
    """The rows of ratings, the number of columns that a header names (0: there is none), and the place of each column.

    Raises:
        ConfigError: no row, or a header whose names say too little.
    """
    cells = list(_parse(path, text, _separator(text)))
    if not cells:
        raise ConfigError(f"--data: {path} holds no ratings")
    number, first = cells[0]
    where = f"--data: {path}, row {number}"
    if len(first) < 3:
        raise _misfit(where, first)
    if any(map(_NUMBER.fullmatch, first)):
        return cells, 0, {name: place for place, name in enumerate(HEADER_NAMES) if place < len(first)}
    meant = [_column(name) for name in first]
    problems = [f"names no {name}" for name in ("user", "item", "rating") if name not in meant]
    problems += [f"names {name} twice" for name in HEADER_NAMES if meant.count(name) > 1]
    unknown = [name for name, column in zip(first, meant, strict=True) if name and column is None]
    if problems or (unknown and "time" not in meant):
        known = "; ".join(f"{column}: {', '.join(names[:6])}, ..." for column, names in HEADER_NAMES.items())
        said = f"; unknown: {', '.join(unknown)}" if unknown else ""
        problem = (problems or ["names no time"])[0]
        raise ConfigError(
            f"{where}: a header, because no field is a number, but it {problem}{said}; known names are {known}"
        )
    if len(cells) == 1:
        raise ConfigError(f"--data: {path} holds no ratings")
    return cells[1:], len(first), _header(first)


def _separator(text: str) -> str:
    """The separator that divides the first row into a header or a rating; else the one that finds most fields."""
    first = next((line for line in io.StringIO(text, newline=None) if line.strip(" \t\n,:;")), "")
    found: dict[str, int] = {}
    for separator in SEPARATORS:
        try:
            fields = next(_split(first, separator), [])
        except csv.Error:
            continue
        found[separator] = len(fields)
        if any(map(_NUMBER.fullmatch, fields)):
            fits = len(fields) > 2 and bool(_NUMBER.fullmatch(fields[2]))
        else:
            fits = {"user", "item", "rating"} <= _header(fields).keys()
        if fits:
            return separator
    return max(found, key=found.__getitem__, default=",")


def _parse(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    number = 0
    try:
        for number, fields in enumerate(_split(text, separator), 1):
            if any(fields):
                yield number, fields
    except csv.Error as error:
        raise ConfigError(f"--data: {path}, row {number + 1}: {error}; {FORMS}") from None


def _split(text: str, separator: str) -> Iterator[list[str]]:
    """Rows of fields, without blanks around them and without their quotes."""
    sign = separator
    if len(separator) > 1:
        text, sign = text.replace(separator, _BETWEEN), _BETWEEN
    for row in csv.reader(io.StringIO(text, newline=""), delimiter=sign, skipinitialspace=True, strict=True):
        yield [field.replace(_BETWEEN, separator).strip() for field in row]


def _column(name: str) -> str | None:
    """The column that a name in a header means; None: none of those needed."""
    plain = re.sub(r"[^a-z]", "", name.partition(":")[0].lower())
    return next((column for column, names in HEADER_NAMES.items() if plain in names), None)


def _header(fields: Sequence[str]) -> dict[str, int]:
    """The place of each column that a header names."""
    return {column: place for place, field in enumerate(fields) if (column := _column(field))}


def _seconds(text: str) -> float | int:
    """A time as a number.

    Raises:
        ValueError: it is none.
    """
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
