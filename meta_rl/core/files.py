"""Names of files with results."""

from __future__ import annotations

from pathlib import Path

ENDINGS = (".json", ".md", ".csv", ".png")
"""What is written of results under one name."""


def with_ending(name: Path, ending: str) -> Path:
    """The file of a name that several files share: the ending is added, so that ``lr0.1`` and ``lr0.5`` are two names.
    One of `ENDINGS` that the name has already is replaced."""
    return name.with_name((name.stem if name.suffix in ENDINGS else name.name) + ending)
