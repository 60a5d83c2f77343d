"""Classical agents on the bandits and tabular MDPs of the RL^2 paper, beside its published numbers.

``python scripts/classical.py bandit --k 5 --n 10`` or ``tabular --n 10``: one row of a table.
``python scripts/classical.py --all``: all rows, written to results/classical.json and results/classical.md.
``python scripts/classical.py --tune``: the constants, chosen on tuning tasks, to copy into meta_rl/classical.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from meta_rl.classical.protocol import BANDIT_ROWS, TABULAR_ROWS, TableRow, bandit, tabular, tune
from meta_rl.classical.report import as_line, measure_agent, write_results

GROUPS = {"bandit": BANDIT_ROWS, "tabular": [TABULAR_ROWS]}
TUNING_TASKS = {"bandit": 8000, "tabular": 1000}


def print_constants(family: str, num_tasks: int | None, seed: int) -> None:
    """The best constant of every agent that has one, for every row."""
    for rows in GROUPS[family]:
        for name, agent in rows[0].agents.items():
            if agent.grid:
                best = tune(agent, rows, num_tasks or TUNING_TASKS[family], seed)
                print(name, {tuple(setting): float(f"{c:.4g}") for setting, c in best.items()}, flush=True)


def main() -> None:
    """Measure, tune or write it all down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", nargs="?", choices=list(GROUPS))
    parser.add_argument("--k", type=int, default=5, help="arms of a bandit")
    parser.add_argument("--n", type=int, default=10, help="pulls of a bandit, episodes of an MDP")
    parser.add_argument("--tasks", type=int, help="default: enough for a standard error below 0.4 %%")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="all rows, written to results/")
    parser.add_argument("--tune", action="store_true", help="print the best constants")
    options = parser.parse_args()
    if not (options.family or options.all or options.tune):
        parser.error("say bandit, tabular, --all or --tune")
    chosen = [options.family] if options.family else list(GROUPS)
    if options.tune:
        for family in chosen:
            print_constants(family, options.tasks, options.seed)
        return
    one: dict[str, Callable[[], TableRow]] = {
        "bandit": lambda: bandit(options.k, options.n),
        "tabular": lambda: tabular(options.n),
    }
    every = [row for groups in GROUPS.values() for group in groups for row in group]
    results = []
    for row in every if options.all else [one[options.family]()]:
        for name in row.agents:
            results.append(measure_agent(row, name, options.tasks or row.num_tasks, options.seed))
            print(as_line(results[-1]), flush=True)
    if options.all:
        write_results(results, f"python scripts/classical.py {' '.join(sys.argv[1:])}", Path("results/classical"))


if __name__ == "__main__":
    main()
