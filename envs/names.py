"""Names that were misspelt: the closest valid one, and the error that says it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher


class UnknownNameError(ValueError):
    """No distribution (or split) has that name; the message gives the closest one that exists."""


def closest(name: str, valid: Iterable[str], least: float = 0.0) -> str | None:
    """The valid name that is most like `name`, whatever its capitals and whether it has dashes or underscores.

    Of several that differ in these alone, the one that is most like `name` as it is written; then the first.

    Args:
        least: likeness that is asked for, by `difflib.SequenceMatcher.ratio`, from 0 to 1.
    Returns:
        None if no valid name is as like.
    """

    def likeness(other: str) -> tuple[float, float]:
        return _ratio(_plain(other), _plain(name)), _ratio(other, name)

    best = max(valid, key=likeness, default=None)
    return best if best is not None and likeness(best)[0] >= least else None


def _plain(name: str) -> str:
    return name.casefold().replace("_", "-")


def _ratio(a: str, b: str) -> float:
    return SequenceMatcher(None, a, b).ratio()
