"""Pictures of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meta_rl.evaluation.kinds.base import Comparison, Group
from meta_rl.evaluation.kinds.looks import Look, looks
from meta_rl.evaluation.scores import RATES, Score

DPI = 110


def plot_policies(comparison: Comparison, path: Path) -> None:
    """Training curves (left) and adaptation curves on test tasks (middle: return, right: success)."""
    from matplotlib import pyplot as plt

    shown = comparison.names[::-1]  # the return, which all tasks have, first
    size = (5.5 + 3.75 * len(shown), 3.6)
    figure, (training, *adaptation) = plt.subplots(1, 1 + len(shown), figsize=size, dpi=DPI, constrained_layout=True)
    practised = comparison.stages[0].practice is not None
    judged = "test tasks (seen)" if comparison.task_distribution.get("multitask") else "unseen tasks"
    for (label, group), look in zip(comparison.groups.items(), looks(comparison.groups).values(), strict=True):
        _training(training, group, look)
        for axis, name in zip(adaptation, shown, strict=True):
            along = [stage.steps if stage.practice is None else stage.practice for stage in group.stages]
            scores = [stage.scores[comparison.headline][name] for stage in group.stages]
            adaptation_curve(axis, along, scores, look, label)
    training.set(title="training tasks (dashed: before adaptation)", xlabel="env steps", ylabel="return")
    for axis, name in zip(adaptation, shown, strict=True):
        axis.set(title=f"{judged}: {name}", xlabel="episodes of practice" if practised else "adaptation steps")
        axis.xaxis.get_major_locator().set_params(integer=True)
        if name in RATES:
            axis.set_ylim(bottom=-0.03)
    for axis in (training, *adaptation):
        axis.grid(alpha=0.25)
    figure.legend(*adaptation[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.suptitle(f"{comparison.env}: mean and range over seeds (left), mean and 95 % interval (right)", fontsize=9)
    figure.savefig(path)
    plt.close(figure)


def _training(axis: Any, group: Group, look: Look) -> None:
    """The return of the first and the last stage while training: mean and range over seeds."""
    if not group.training_curves or not group.training_curves[0]:
        return
    length = min(len(curve) for curve in group.training_curves)
    curves = np.array([curve[:length] for curve in group.training_curves])  # [seed, row, column]
    env_steps, last = curves[:, :, 0].mean(0), (curves.shape[2] - 1) // 2 - 1
    for stage in {0, last}:
        returns, line = curves[:, :, 1 + stage], look["linestyle"] if stage == last else "--"
        axis.plot(env_steps, returns.mean(0), color=look["color"], linestyle=line, linewidth=1.2)
        axis.fill_between(env_steps, returns.min(0), returns.max(0), color=look["color"], alpha=0.12, linewidth=0)


def plot_examples(comparison: Comparison, path: Path) -> None:
    """The first score with 95 % intervals: on the left against adaptation steps, where there are more than one; on the
    right after the last step, with a dot for every training seed."""
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), dpi=DPI, layout="constrained", width_ratios=(3, 2))
    name = comparison.names[0]
    shown, rows = {0}, [*comparison.groups, *comparison.baselines]
    drawn = looks(comparison.groups)
    for row, (label, group) in enumerate(comparison.groups.items()):
        steps = [stage.steps for stage in group.stages]
        scores = [stage.scores[comparison.headline][name] for stage in group.stages]
        look, last = drawn[label], scores[-1]
        if len(steps) > 2:
            adaptation_curve(left, steps, scores, look, label)
            shown |= set(steps)
        right.errorbar(last.mean, row, xerr=last.half, fmt="|", color=look["color"], capsize=3)
        right.plot(last.by_seed, [row] * len(group.seeds), ".", color=look["color"])
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


def adaptation_curve(axis: Any, along: Sequence[float], scores: Sequence[Score], look: Look, label: str) -> None:
    """Means with a mark each, and their intervals as a band."""
    axis.plot(along, [score.mean for score in scores], label=label, markersize=5, **look)
    low, high = [score.low for score in scores], [score.high for score in scores]
    axis.fill_between(along, low, high, color=look["color"], alpha=0.15, linewidth=0)
