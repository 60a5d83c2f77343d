"""How much of the gap between one policy for all tasks and an oracle that sees them each learner closes.

``python scripts/dynamics_table.py NAME`` reads ``results/NAME.json``, a comparison in which a recipe stands twice, with
``--task-visible True`` and without, and writes ``results/NAME_gap.md`` and ``.json``. The share of a learner is

    (its score - randomisation) / (oracle - randomisation)

of mode actions: randomisation and oracle as they were trained, the others after each adaptation step; of success where
tasks have goals, else of the return.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from measured import write_measured

from meta_rl.errors import ConfigError
from meta_rl.evaluation import markdown
from meta_rl.evaluation.compare import read_comparison
from meta_rl.evaluation.kinds.base import Comparison

SEEN, HIDDEN = "task_visible=True", "task_visible=None"
"""Words in the labels of the groups of the recipe that stands twice."""


def ends_of_the_gap(comparison: Comparison) -> tuple[str, str]:
    """Labels of the groups that do not see the task, and that do.

    Raises:
        ConfigError: no recipe stands twice.
    """
    for label in comparison.groups:
        recipe, *words = label.split()
        others = {one for one in comparison.groups if one.split()[0] == recipe and HIDDEN in one.split()}
        if SEEN in words and others:
            return min(others), label
    raise ConfigError("NAME: no recipe stands in it twice, with --task-visible True and without")


def shares(comparison: Comparison) -> dict[str, Any]:
    """The scores of every group after each adaptation step, and the share of the gap that each closes (None where the
    oracle is no better than randomisation); JSON-able."""
    score, way = comparison.names[0], comparison.headline
    found = {
        label: [stage.scores[way][score].mean for stage in group.stages] for label, group in comparison.groups.items()
    }
    low, high = (found[label][0] for label in ends_of_the_gap(comparison))
    rows = {label: [[x, (x - low) / (high - low) if high > low else None] for x in xs] for label, xs in found.items()}
    return {"score": score, "randomisation": low, "oracle": high, "rows": rows}


def table(comparison: Comparison, record: dict[str, Any]) -> list[str]:
    """`shares` as Markdown."""
    steps = max(map(len, record["rows"].values()))
    unit = "%" if record["score"] == "success" else ""

    def shown(score: float, share: float | None) -> str:
        number = f"{100 * score:.0f} %" if unit else f"{score:.1f}"
        return number if share is None else f"{number} ({100 * share:.0f} % of the gap)"

    head = ["learner", *(f"{record['score']} after {step} steps" for step in range(steps))]
    alone = ends_of_the_gap(comparison)
    cells = [head]
    for label, stages in record["rows"].items():
        mine = [shown(*pair) for pair in (stages[:1] if label in alone else stages)]
        cells.append([label, *mine, *[""] * (steps - len(mine))])
    return markdown.table(cells)


def main(arguments: list[str]) -> None:
    """Write the table of one comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of a file in results/, without .json")
    name = parser.parse_args(arguments).name
    try:
        comparison, command = read_comparison(Path("results") / f"{name}.json")
        record = shares(comparison)
    except ConfigError as error:
        parser.error(str(error))
    title = f"{comparison.env}, {comparison.tasks} test tasks: what adapting is worth"
    lines = [title, "", *table(comparison, record), "", f"From [{name}.md]({name}.md), and by:", ""]
    lines.append(f"Command: `python scripts/dynamics_table.py {name}`")
    write_measured(Path("results") / f"{name}_gap", {"command": command, **record}, "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
