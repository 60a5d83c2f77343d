"""Measure the classical agents and write the numbers down beside the published ones."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from meta_rl.classical.protocol import TableRow, play_trials
from meta_rl.core.files import with_ending

PUBLISHED_TASKS = 1000
"""Tasks behind every number of the paper."""

_NOTES = """Classical agents on the bandits and MDPs of RL^2 (Duan et al. 2016, tables 1 and 2): mean total reward.

* Cells are "ours / published". *sigmas* is the difference in standard errors of the difference: ours, that of the
  published mean over 1000 tasks (same spread as ours) and the rounding to one decimal.
* The published columns share their 1000 tasks, so their errors go together. Agents with a constant were tuned in the
  paper on the very runs that are printed, which favours them; ours are tuned on other tasks (`--tune`).
* Bandits: with the luck of the authors' released evaluation (numpy's old generator, seeds 0 to 999) our Greedy and
  UCB1 give the published numbers to the last digit for n = 10 and 100 (a test does this). Where
  fresh tasks differ from the table, it is the table's 1000 tasks that are unlike the average.
* Gittins: the paper took one of several approximations per row and does not say which.
* MDPs: the released evaluation takes agents from TabulaRL, whose prior of mean rewards is N(0, 1), not the N(1, 1)
  that tasks come from; ours have that prior too, because the published numbers are those of N(0, 1).
* UCRL2 earns up to 2 % less than published in long trials. TabulaRL's extended value iteration writes the optimistic
  transitions of one step of the plan over the estimates that the next step starts from. We keep the planning of Jaksch
  et al.
"""


def measure_agent(row: TableRow, name: str, num_tasks: int, seed: int) -> dict[str, Any]:
    """Mean total reward of one agent in one row, JSON-able."""
    start, agent = time.perf_counter(), row.agents[name]
    total = play_trials(agent, row, num_tasks, seed)[:, -1]
    mean, spread = float(total.mean()), float(total.std(ddof=1))
    result = {"env": row.env, "episodes": row.episodes, "agent": name, "tasks": num_tasks, "seed": seed}
    result |= {"constant": agent.tuned.get(row.setting, agent.default) if agent.grid else None}
    result |= {"mean": mean, "standard_error": spread / np.sqrt(num_tasks)}
    if published := row.published.get(name):
        error = np.sqrt(spread**2 * (1 / num_tasks + 1 / PUBLISHED_TASKS) + 0.1**2 / 12)
        result |= {"published": published, "ratio": mean / published, "sigmas": (mean - published) / error}
    return result | {"seconds": round(time.perf_counter() - start, 2)}


def as_line(result: dict[str, Any]) -> str:
    """One row of a Markdown table."""
    constant = "" if result["constant"] is None else f"{result['constant']:.3g}"
    cells = [result["env"], result["episodes"], result["agent"], constant, result["tasks"]]
    cells.append(f"{result['mean']:.2f} ± {result['standard_error']:.2f}")
    if "published" in result:
        cells += [result["published"], f"{result['ratio']:.3f}", f"{result['sigmas']:+.1f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def write_results(results: list[dict[str, Any]], command: str, out: Path) -> None:
    """Write `out`.json and `out`.md: the numbers, the command that made them, and notes."""
    record = {"command": command, "results": results}
    with_ending(out, ".json").write_text(json.dumps(record, indent=1) + "\n")
    lines = [_NOTES, f"Command: `{command}`", ""]
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results:  # bandits and MDPs have agents of their own, hence tables of their own
        groups.setdefault(result["env"].partition("/")[0], []).append(result)
    for group in groups.values():
        lines += [*_wide(group), ""]
    lines += ["| env | episodes | agent | constant | tasks | ours | published | ratio | sigmas |", "|---" * 9 + "|"]
    with_ending(out, ".md").write_text("\n".join([*lines, *map(as_line, results)]) + "\n")


def _wide(results: list[dict[str, Any]]) -> list[str]:
    """A table with one column per agent."""
    agents = list(dict.fromkeys(result["agent"] for result in results))
    rows: dict[str, list[str]] = {}
    for result in results:
        cell = f"{result['mean']:.1f} / {result['published']}"
        rows.setdefault(f"{result['env']}, episodes: {result['episodes']}", []).append(cell)
    head = ["| | " + " | ".join(agents) + " |", "|---" * (len(agents) + 1) + "|"]
    return head + [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()]
