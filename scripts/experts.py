"""What the experts of Meta-World earn: its 50 scripted policies, on the native engine and on Meta-World's own envs.

``python scripts/experts.py [--goals N] [--out results/experts]``: each plays N test goals of its family on the native
engine, and the first of them on Meta-World's own environment too, whose actions and rewards have to be the same.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from measured import write_measured

import envs
from envs.metaworld.benchmarks import FAMILIES


def play(distribution: envs.TaskDistribution, goals: int) -> dict[str, Any]:
    """An episode of each of the first goals: actions, returns and success."""
    tasks = (distribution.tasks() or [])[:goals]
    actions, total, solved = [], np.zeros(goals), np.zeros(goals, bool)
    with distribution.make(goals, 1) as env:
        env.set_tasks(tasks)
        observation = env.reset([0] * goals)
        for _ in range(distribution.horizon):
            actions.append(env.expert_action(observation))
            step = env.step(actions[-1])
            observation, total, solved = step.observation, total + step.reward[:, 0], solved | step.success[:, 0]
    return {"actions": np.array(actions)[:, :, 0], "returns": total, "solved": solved}


def measure(family: str, goals: int) -> dict[str, Any]:
    """The numbers of a family."""
    name = f"metaworld/ml1-{family}"
    native = play(envs.make(name, "test", engine="native"), goals)
    own = play(envs.make(name, "test", engine="reference"), 1)
    return {
        "success": float(native["solved"].mean()),
        "return": float(native["returns"].mean()),
        "same_actions": bool(np.array_equal(native["actions"][:, 0], own["actions"][:, 0])),
        "same_success": bool(native["solved"][0] == own["solved"][0]),
        "return_difference": float(abs(native["returns"][0] - own["returns"][0])),
    }


def table(found: dict[str, dict[str, Any]], goals: int, command: str) -> str:
    """The numbers as Markdown."""
    lines = [
        f"# Meta-World's experts\n\nMeta-World's own scripted policies, each on {goals} test goals of its family (ML1, "
        "500 steps each).\n\nLast column: the first goal again on Meta-World's own "
        f"environment.\n\n`{command}`\n",
        "| family | success | return | on Meta-World's own env |",
        "|---|---|---|---|",
    ]
    for family, row in found.items():
        equal = row["same_actions"] and row["same_success"]
        words = f"the same actions, returns {row['return_difference']:.0e} apart" if equal else "differs"
        lines.append(f"| {family} | {row['success']:.0%} | {row['return']:.0f} | {words} |")
    solved = sum(row["success"] == 1 for row in found.values())
    mean = np.mean([row["success"] for row in found.values()])
    lines.append(f"\n{solved} of {len(found)} families are solved at every goal; mean success {mean:.1%}.\n")
    return "\n".join(lines)


def main() -> None:
    """Play and write."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--goals", type=int, default=10, help="test goals of each family, 1 to 50")
    made.add_argument("--out", type=Path, default=Path("results/experts"))
    options = made.parse_args()
    if not 1 <= options.goals <= 50:
        made.error(f"--goals: must be between 1 and 50, got {options.goals}")
    found = {}
    for family in FAMILIES:
        found[family] = measure(family, options.goals)
        print(family, found[family], flush=True)
    command = f"python scripts/experts.py --goals {options.goals}"
    record = {"command": command, "goals": options.goals, "families": found}
    write_measured(options.out, record, table(found, options.goals, command))


if __name__ == "__main__":
    main()
