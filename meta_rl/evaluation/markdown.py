"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def table(cells: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; the first row of `cells` is its head."""
    head, *rows = cells
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
