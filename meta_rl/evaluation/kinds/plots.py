"""Pictures of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meta_rl.evaluation.kinds.base import Comparison, Group
from meta_rl.evaluation.scores import Score


def plot_policies(comparison: Comparison, path: Path) -> None:
    """Training curves (left) and adaptation curves on test tasks (middle: return, right: success)."""
    from matplotlib import pyplot as plt

    shown = comparison.names[::-1]  # the return, which all tasks have, first
    size = (5.5 + 3.75 * len(shown), 3.6)
    figure, (training, *adaptation) = plt.subplots(1, 1 + len(shown), figsize=size, dpi=80, constrained_layout=True)
    colours = plt.get_cmap("tab20" if len(comparison.groups) > 10 else "tab10")
    for index, (label, group) in enumerate(comparison.groups.items()):
        colour = colours(index % colours.N)
        _training(training, group, colour)
        for axis, name in zip(adaptation, shown, strict=True):
            practice = [stage.practice or 0 for stage in group.stages]
            scores = [stage.scores[comparison.headline][name] for stage in group.stages]
            adaptation_curve(axis, practice, scores, colour, label)
    training.set(title="training tasks (dashed: not fully adapted)", xlabel="env steps", ylabel="return")
    for axis, name in zip(adaptation, shown, strict=True):
        axis.set(title=f"unseen tasks: {name}", xlabel="episodes of practice")
        axis.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*adaptation[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.suptitle(f"{comparison.env}: mean and range over seeds (left), mean and 95 % interval (right)", fontsize=9)
    figure.savefig(path)
    plt.close(figure)


def _training(axis: Any, group: Group, colour: Any) -> None:
    """The return of every stage while training: mean and range over seeds."""
    if not group.training_curves[0]:
        return
    length = min(len(curve) for curve in group.training_curves)
    curves = np.array([curve[:length] for curve in group.training_curves])  # [seed, row, column]
    env_steps, stages = curves[:, :, 0].mean(0), (curves.shape[2] - 1) // 2
    for stage in range(stages):
        returns = curves[:, :, 1 + stage]
        style = {"color": colour, "linestyle": "-" if stage == stages - 1 else "--"}
        axis.plot(env_steps, returns.mean(0), **style)
        axis.fill_between(env_steps, returns.min(0), returns.max(0), color=colour, alpha=0.12, linewidth=0)


def plot_examples(comparison: Comparison, path: Path) -> None:
    """The first score with 95 % intervals: on the left against adaptation steps, where there are more than one; on the
    right after the last step, with a dot for every training seed."""
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), dpi=80, layout="constrained", width_ratios=(3, 2))
    name = comparison.names[0]
    shown, rows = {0}, [*comparison.groups, *comparison.baselines]
    for row, (label, group) in enumerate(comparison.groups.items()):
        steps = [stage.steps for stage in group.stages]
        scores = [stage.scores[comparison.headline][name] for stage in group.stages]
        colour, last = f"C{row}", scores[-1]
        if len(steps) > 2:
            adaptation_curve(left, steps, scores, colour, label, markersize=4)
            shown |= set(steps)
        right.errorbar(last.mean, row, xerr=last.half, fmt="|", color=colour, capsize=3)
        right.plot(last.by_seed, [row] * len(group.seeds), ".", color=colour)
    for row, (label, found) in enumerate(comparison.baselines.items(), len(comparison.groups)):
        value = found[name].mean
        left.axhline(value, linestyle=":", color="grey")
        left.annotate(label, (0, value), fontsize=7, va="bottom")
        right.errorbar(value, row, xerr=found[name].half, fmt="|", color="grey", capsize=3)
    if max(shown) > 10:  # learners of one step and of fifty
        left.set_xscale("symlog", linthresh=1)
    left.set_xticks(sorted(shown), [str(step) for step in sorted(shown)], fontsize=7)
    left.minorticks_off()
    left.set(title=f"{comparison.env}: mean and 95 % interval", xlabel="adaptation steps", ylabel=name)
    right.set(title="after the last step", xlabel=name)
    right.set_yticks(range(len(rows)), [label.partition(" (")[0] for label in rows], fontsize=7)
    right.invert_yaxis()
    right.grid(axis="x", alpha=0.3)
    if left.get_legend_handles_labels()[0]:
        left.legend(fontsize=7)
    figure.savefig(path)
    plt.close(figure)


def adaptation_curve(
    axis: Any, along: Sequence[float], scores: Sequence[Score], colour: Any, label: str, **style: Any
) -> None:
    """Means with a mark each, and their intervals as a band."""
    axis.plot(along, [score.mean for score in scores], marker="o", color=colour, label=label, **style)
    low, high = [score.low for score in scores], [score.high for score in scores]
    axis.fill_between(along, low, high, color=colour, alpha=0.15, linewidth=0)
