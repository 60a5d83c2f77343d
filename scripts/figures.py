"""Draw the comparisons in results/ again from their numbers: ``python scripts/figures.py [NAME ...]``.

Reads ``results/NAME.json`` and ``NAME.csv`` and writes ``NAME.png`` and ``NAME.md`` as this version shows them. Numbers
and commands stay as they are. Default: every comparison there is.
"""

import json
import sys
from pathlib import Path

from meta_rl.evaluation.compare import comparison_table, read_comparison, write_text

RESULTS = Path(__file__).parent.parent / "results"


def comparisons() -> list[Path]:
    """The files of all comparisons."""
    found = {path: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    return [path for path, summary in found.items() if isinstance(summary, dict) and "groups" in summary]


def main(names: list[str]) -> None:
    """Draw those that are named, or all."""
    for path in [RESULTS / f"{name}.json" for name in names] or comparisons():
        comparison, command = read_comparison(path)
        text = comparison_table(comparison)
        write_text(text, path.with_suffix(""), command, lambda picture, c=comparison: c.kind.plot(c, picture))
        print(path.stem)


if __name__ == "__main__":
    main(sys.argv[1:])
