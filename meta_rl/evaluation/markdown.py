"""Tables in Markdown, and scores in their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(cells: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; the first row of `cells` is its head."""
    head, *rows = cells
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def score(stage: Mapping[str, Any], prefix: str, name: str) -> str:
    """A mean with its 95 % interval.

    Args:
        stage: of an evaluation or a comparison.
        prefix: empty for mode actions, ``"sampled_"`` for sampled ones.
        name: ``"success"`` (a rate, in per cent) or ``"return"``.
    """
    form = ".1%" if name == "success" else ".2f"
    low, high = stage[f"{prefix}{name}_interval"]
    return f"{stage[prefix + name]:{form}} ({low:{form}} to {high:{form}})"
