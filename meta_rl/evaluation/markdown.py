"""Documents and tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from meta_rl.runs.display import Part


def table(cells: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; the first row of `cells` is its head."""
    head, *rows = cells
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def document(parts: Sequence[Part]) -> str:
    """A document, without a line break at its end."""
    return "\n\n".join("\n".join(table(part.cells)) if part.cells else _paragraph(part) for part in parts)


def _paragraph(part: Part) -> str:
    return f"# {part.text}" if part.role == "heading" else part.text
