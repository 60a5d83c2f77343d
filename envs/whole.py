"""Whole numbers that users give."""

from __future__ import annotations

import operator
from typing import Any


def whole(what: str, number: Any, least: int = 1) -> int:
    """`number` as a Python int; numpy's whole numbers are such too.

    Args:
        what: the argument, which begins the error.
    Raises:
        ValueError: it is no whole number, or below `least`.
    """
    try:
        found = operator.index(number)
    except TypeError:
        raise ValueError(f"{what} must be a whole number, got {number!r}") from None
    if found < least:
        raise ValueError(f"{what} must be at least {least}, got {found}")
    return found
