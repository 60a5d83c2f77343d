"""The picture of the README from the figures in results/: ``python scripts/picture.py [OUT]`` (docs/adaptation.svg)."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

RESULTS = Path(__file__).parent.parent / "results"
COLOURS = {"maml-trpo": "#0b6e99", "multitask-ppo": "#c77700", "multitask-trpo": "#c77700", "untrained": "#8a8a8a"}
NAMES = {
    "maml-trpo": "meta-learned (MAML)",
    "multitask-ppo": "trained on all tasks (PPO)",
    "multitask-trpo": "trained on all tasks (TRPO)",
    "untrained": "untrained",
}
WIDTHS = {"maml-trpo": 2.2}
SCRATCH = "#c77700"


def adaptation(axis: Any, name: str, baseline: str, value: str, scale: float) -> None:
    """Before and after each adaptation step, with 95 % intervals; `baseline` is the stronger of the multi-task two."""
    summary = json.loads((RESULTS / f"{name}.json").read_text())
    for group in ("maml-trpo", baseline, "untrained"):
        colour = COLOURS[group]
        stages = summary["groups"][group]["stages"]
        steps = [stage["adaptation_steps"] for stage in stages]
        low, high = zip(*(stage[f"{value}_interval"] for stage in stages), strict=True)
        axis.fill_between(steps, [scale * x for x in low], [scale * x for x in high], color=colour, alpha=0.15, lw=0)
        line = [scale * stage[value] for stage in stages]
        axis.plot(steps, line, marker="o", color=colour, lw=WIDTHS.get(group, 1.4), label=NAMES[group])
    axis.set(xticks=steps, xlabel="adaptation steps")


def skill(axis: Any) -> None:
    """A new goal: adapted, and from scratch."""
    summary = json.loads((RESULTS / "skill-reach.json").read_text())
    points = [list(zip(*curve, strict=True)) for curve in summary["curves"]["scratch"]]
    steps = [x / 1000 for x in points[0][0]]
    for _, returns, _ in points:
        axis.plot(steps, returns, color=SCRATCH, lw=0.5, alpha=0.5)
    mean = [sum(at) / len(at) for at in zip(*(returns for _, returns, _ in points), strict=True)]
    axis.plot(steps, mean, color=SCRATCH, lw=1.4, label="from scratch")
    before, after = summary["rows"][:2]
    ends = [row["env_steps"] / 1000 for row in (before, after)]
    axis.plot(ends, [before["return"], after["return"]], marker="o", color=COLOURS["maml-trpo"], lw=2.2,
              label="meta-learned, one step")  # fmt: skip
    axis.set(xlabel="thousand env steps in the new task")


def main(out: Path) -> None:
    """Three panels."""
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "meta-rl", "font.size": 9,
                         "axes.spines.top": False, "axes.spines.right": False})  # fmt: skip
    figure, (reach, new, navigation) = plt.subplots(1, 3, figsize=(11, 3.1), constrained_layout=True)
    adaptation(reach, "reach-2m", "multitask-ppo", "success", 100)
    reach.set(title="reach-v3, 50 unseen goals: success, %", ylim=(0, 100))
    skill(new)
    new.set(title="reach-v3, unseen goals: return")
    adaptation(navigation, "navigation", "multitask-trpo", "return", 1)
    navigation.set(title="navigation, 40 unseen goals: return", ylim=(-130, 0))
    for axis, place in ((reach, "upper left"), (new, "lower right"), (navigation, "center right")):
        axis.legend(frameon=False, fontsize=8, loc=place)
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/adaptation.svg"))
