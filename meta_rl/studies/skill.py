"""A robot's skill adapted to new tasks, beside learning each of them from scratch at equal env steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl.agents.agent import Agent
from meta_rl.config import TrainConfig, default_config, make_distribution, replace_paths
from meta_rl.core.seeding import Purpose, generator
from meta_rl.errors import Say
from meta_rl.evaluation import markdown
from meta_rl.evaluation.compare import write_summary
from meta_rl.evaluation.episodes import evaluate
from meta_rl.maths.statistics import bootstrap_interval
from meta_rl.runs.folder import versions
from meta_rl.studies.from_scratch import Progress, learn_from_scratch

SCRATCH = "multitask-trpo"
"""Recipe that learns one task from scratch: MAML's outer step without an adaptation."""


@dataclass(frozen=True)
class SkillConfig:
    """Meta-train on some tasks; adapt to new ones; learn the same ones from scratch."""

    env: str = "metaworld/ml1-reach-v3"
    """Task distribution; new goals of a family, or new families: metaworld/reach-v3,push-v3:door-open-v3."""
    recipe: str = "maml-trpo"
    """Meta-learner."""
    iterations: int = 40
    """Meta-updates."""
    meta_batch_size: int = 10
    """Tasks per meta-update."""
    episodes_per_task: int = 5
    """Episodes per task and stage of meta-training."""
    goals: int = 10
    """New tasks, which meta-training never saw."""
    episodes: int = 10
    """Episodes in a new task that the meta-learned agent adapts on, in one step."""
    scratch_iterations: int = 40
    """Updates of learning from scratch, with half as many episodes each."""
    out: str = "runs/skill"
    """Folder for the run, the table, the picture and the video."""

    @property
    def training(self) -> TrainConfig:
        """The meta-training run."""
        names = ("iterations", "meta_batch_size", "episodes_per_task")
        changes: dict[str, Any] = {name: getattr(self, name) for name in names}
        protocol = {"test_tasks": self.goals, "adaptation_episodes": self.episodes, "adaptation_steps": 1}
        changes |= {f"evaluate.{name}": value for name, value in protocol.items()}
        return replace_paths(default_config(self.recipe, self.env), changes | {"run_dir": f"{self.out}/run"})

    @property
    def scratch(self) -> TrainConfig:
        """Learning a task from scratch: the policy of the meta-learner, untrained."""
        changes = {
            "iterations": self.scratch_iterations,
            "meta_batch_size": 1,
            "episodes_per_task": max(1, self.episodes // 2),
        }
        network = {"network": self.training.network, "evaluate": self.training.evaluate}
        return replace_paths(default_config(SCRATCH, self.env), changes | network)


def compare_with_scratch(agent: Agent, config: SkillConfig, say: Say = print) -> dict[str, Any]:
    """Adapt `agent` to the new tasks, and learn each of them from scratch.

    Returns:
        JSON-able: ``rows`` (learner, env steps in the task, success and return with 95 % intervals over tasks), the
        ``curves`` of learning from scratch, and what identifies it all.
    """
    test = make_distribution(config.training, "test")
    adapted = evaluate(agent.learner, agent.weights, test, replace(config.training.evaluate, judge_sampled=False))
    families = [task.family for task in adapted.tasks]
    curves: list[list[Progress]] = []
    for number, task in enumerate(adapted.tasks):
        # Another seed per task: its own initial policy and its own noise.
        curves.append(list(learn_from_scratch(test, task, replace(config.scratch, seed=number))))
        last = curves[-1][-1]
        say(
            f"from scratch, task {number + 1} of {len(families)}, {task.family}: return {last.mean_return:.1f} "
            f"after {last.env_steps:,} env steps"
        )
    budget = config.episodes * test.horizon
    rows = [
        _row("meta-learned, before", 0, adapted.solved[:, 0].mean(-1), adapted.returns[:, 0].mean(-1), families),
        _row("meta-learned, adapted", budget, adapted.solved[:, 1].mean(-1), adapted.returns[:, 1].mean(-1), families),
    ]
    ends = [len(curve) - 1 for curve in curves]
    equal = [next((i for i, p in enumerate(c) if p.env_steps >= budget), len(c) - 1) for c in curves]
    for label, places in (("from scratch, at equal env steps", equal), ("from scratch, at the end", ends)):
        points = [curve[place] for curve, place in zip(curves, places, strict=True)]
        success, returns = (np.array([getattr(p, name) for p in points]) for name in ("success", "mean_return"))
        rows.append(_row(label, round(np.mean([p.env_steps for p in points])), success, returns, families))
    return {
        "env": config.env,
        "recipe": config.recipe,
        "iteration": agent.iteration,
        "tasks": len(families),
        "task_distribution": test.fingerprint(),
        "versions": versions(),
        "rows": rows,
        "curves": [[[p.env_steps, p.mean_return, p.success] for p in curve] for curve in curves],
    }


def _row(
    label: str, env_steps: int, success: NDArray[Any], returns: NDArray[Any], families: Sequence[str]
) -> dict[str, Any]:
    """Means over tasks and their intervals."""
    row: dict[str, Any] = {"learner": label, "env_steps": env_steps}
    for name, values in (("success", success), ("return", returns)):
        values = np.asarray(values, np.float64)
        interval = bootstrap_interval(values, families, generator(0, Purpose.BOOTSTRAP))
        row |= {name: float(values.mean()), f"{name}_interval": interval}
    return row


def skill_table(summary: dict[str, Any]) -> str:
    """The rows in Markdown."""
    title = f"{summary['recipe']} on {summary['env']}, {summary['iteration']} iterations; {summary['tasks']} new tasks"
    cells = [["learner", "env steps in the new task", "success (95 % interval)", "return (95 % interval)"]]
    for row in summary["rows"]:
        low, high = row["success_interval"]
        bottom, top = row["return_interval"]
        success = f"{row['success']:.0%} ({low:.0%} to {high:.0%})"
        cells.append(
            [row["learner"], f"{row['env_steps']:,}", success, f"{row['return']:.1f} ({bottom:.1f} to {top:.1f})"]
        )
    return "\n".join([title, "", *markdown.table(cells)])


def write_skill(summary: dict[str, Any], out: Path, command: str) -> None:
    """``OUT.json``, ``OUT.md`` and (if matplotlib is installed) ``OUT.png``."""
    write_summary(summary, skill_table(summary), out, command, lambda path: plot_skill(summary, path))


def plot_skill(summary: dict[str, Any], path: Path) -> None:
    """Return over env steps in the new task: from scratch (a thin line per task, the mean bold) and adapted."""
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.6), dpi=100, constrained_layout=True)
    curves = np.array(summary["curves"])  # [task, point, (env steps, return, success)]
    for curve in curves:
        axis.plot(curve[:, 0], curve[:, 1], color="C1", linewidth=0.6, alpha=0.5)
    axis.plot(curves[:, :, 0].mean(0), curves[:, :, 1].mean(0), color="C1", linewidth=2, label="from scratch")
    before, after = summary["rows"][:2]
    steps, returns = ([row[name] for row in (before, after)] for name in ("env_steps", "return"))
    axis.plot(steps, returns, color="C0", marker="o", linewidth=2, label=f"{summary['recipe']}, one adaptation")
    axis.hlines(after["return"], after["env_steps"], curves[0, -1, 0], color="C0", linestyle=":", linewidth=1)
    axis.set(
        xlabel="env steps in the new task", ylabel="return", title=f"{summary['env']}: {summary['tasks']} new tasks"
    )
    axis.legend()
    figure.savefig(path)
    plt.close(figure)
