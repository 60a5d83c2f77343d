"""Draw the figures in results/ again from their numbers: ``python scripts/figures.py [NAME ...]``.

Reads ``results/NAME.json`` and ``NAME.csv`` and writes ``NAME.png`` and ``NAME.md`` as this version shows them. Numbers
and commands stay as they are. Default: every comparison there is, and the curves of ``rl2_table``.
"""

import json
import sys
from pathlib import Path

import rl2_table

from meta_rl.evaluation.compare import comparison_table, read_comparison, write_text

RESULTS = Path(__file__).parent.parent / "results"
RL2_TABLE = RESULTS / "rl2_table.json"
"""Numbers that are no comparison, with a figure of their own."""


def comparisons() -> list[Path]:
    """The files of all comparisons."""
    found = {path: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    return [path for path, summary in found.items() if isinstance(summary, dict) and "groups" in summary]


def main(names: list[str]) -> None:
    """Draw those that are named, or all."""
    paths = [RESULTS / f"{name}.json" for name in names] or [*comparisons(), RL2_TABLE]
    for path in paths:
        if path == RL2_TABLE:
            rl2_table.draw(json.loads(path.read_text()), path.with_suffix(".png"))
            print(path.stem)
            continue
        comparison, command = read_comparison(path)
        text = comparison_table(comparison)
        write_text(text, path.with_suffix(""), command, lambda picture, c=comparison: c.kind.plot(c, picture))
        print(path.stem)


if __name__ == "__main__":
    main(sys.argv[1:])
