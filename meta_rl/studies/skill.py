"""A robot's skill in a world that it was not trained in: as it comes, adapted, trained on, and learned from scratch.

An agent is trained on tasks whose dynamics differ, an expert may show it the skill first. Then it meets new tasks in
another world, with heavier and slippery things, say. All that it may do there costs env steps, and is compared at equal
env steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl.agents.agent import Agent
from meta_rl.config import EvaluateConfig, TrainConfig, default_config, make_distribution, replace_paths
from meta_rl.config.bounds import GivenCount, NonNegativeInt, PositiveInt
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.weights import Weights
from meta_rl.errors import Say
from meta_rl.evaluation import markdown
from meta_rl.evaluation.compare import write_summary
from meta_rl.evaluation.episodes import Evaluation, evaluate
from meta_rl.evaluation.words import counted
from meta_rl.maths.statistics import bootstrap_interval
from meta_rl.runs.folder import versions
from meta_rl.studies.one_task import Progress, learn_one_task
from meta_rl.training.warm_start import usable_extras

TEACHER = "dagger"
"""Recipe that learns from an expert."""
ALONE = {True: "rl2", False: "multitask-trpo"}
"""Recipe that learns one task: of policies with a memory, and of those without (MAML's outer step, no adaptation)."""
MEMORY_ALONE: dict[str, Any] = {"algorithm.minibatches": 1}
"""Settings of the first: one trial is too short to be cut into many parts."""


@dataclass(frozen=True)
class SkillConfig:
    """Train an agent on tasks with different dynamics, and take it to another world. Train it on there, too, and learn
    the same tasks from scratch."""

    env: str = "metaworld/ml1-push-v3+dynamics"
    """Tasks to train on."""
    world: str = "metaworld/ml1-push-v3+mass=2.5+friction=0.4"
    """Tasks of the other world; empty: unseen tasks of --env."""
    recipe: str = "rl2"
    """Meta-learner."""
    iterations: NonNegativeInt = 60
    """Its meta-updates; 0: the student of the expert is the agent."""
    shown_iterations: NonNegativeInt = 60
    """Iterations before, in which a student learns what an expert does (recipe dagger); 0: no expert."""
    meta_batch_size: PositiveInt = 10
    """Tasks per meta-update."""
    episodes_per_task: PositiveInt = 3
    """Episodes per task (and stage) of meta-training."""
    seeds: PositiveInt = 1
    """Agents that are trained, each with another seed."""
    goals: PositiveInt = 10
    """New tasks, which training never saw."""
    episodes: GivenCount = None
    """Episodes of each adaptation to a new task; default: the recipe's protocol."""
    tuning_iterations: PositiveInt = 20
    """Updates on one task, from the agent or from scratch; two of them take as many episodes as adapting."""
    hidden: tuple[int, ...] | None = None
    """Layers of the network; default: as training has them."""
    out: str = "runs/skill"
    """Folder for the runs, the table, the picture, the pages, the video and the exported policy."""

    def runs(self, seed: int) -> list[TrainConfig]:
        """The training runs of a seed, each beginning with the one before it."""
        parts = [(TEACHER, self.shown_iterations), (self.recipe, self.iterations)]
        made: list[TrainConfig] = []
        for recipe, iterations in parts:
            if iterations:
                changes = self._training(recipe) | {"iterations": iterations, "seed": seed}
                changes |= {"run_dir": f"{self.out}/{recipe}_s{seed}"}
                changes |= {"start_from": made[-1].run_dir} if made else {}
                made.append(replace_paths(default_config(recipe, self.env), changes))
        return made

    @property
    def training(self) -> TrainConfig:
        """The last training run of the first agent."""
        return self.runs(0)[-1]

    def alone(self, agent: TrainConfig, seed: int) -> TrainConfig:
        """Learning one task with the network of an agent."""
        remembers, protocol = agent.algorithm.remembers, agent.evaluate
        changes: dict[str, Any] = {"iterations": self.tuning_iterations, "meta_batch_size": 1, "seed": seed}
        changes |= {"episodes_per_task": max(1, practice(protocol) // 2)}
        changes |= {"network": agent.network, "evaluate": protocol} | (MEMORY_ALONE if remembers else {})
        return replace_paths(default_config(ALONE[remembers], agent.env), changes)

    def _training(self, recipe: str) -> dict[str, Any]:
        """What all training runs have."""
        changes: dict[str, Any] = {name: getattr(self, name) for name in ("meta_batch_size", "episodes_per_task")}
        changes |= {"evaluate.test_tasks": self.goals}
        changes |= {"evaluate.adaptation_episodes": self.episodes} if self.episodes else {}
        return changes | ({"network.hidden": self.hidden} if self.hidden is not None else {})


def practice(protocol: EvaluateConfig) -> int:
    """Episodes that an agent adapts on in all."""
    return protocol.adaptation_steps * protocol.adaptation_episodes


@dataclass(frozen=True)
class Visit:
    """What an agent did in the other world.

    Attributes:
        judged: as it comes, and through its adaptation.
        tuned, scratch: by task: learning it alone, from the agent and from scratch.
    """

    judged: Evaluation
    tuned: list[list[Progress]]
    scratch: list[list[Progress]]


def take_along(agent: Agent, config: SkillConfig, seed: int, say: Say = print) -> Visit:
    """Adapt an agent of the other world to its tasks, and learn each of them alone."""
    test = make_distribution(agent.config, "test")
    judged = evaluate(agent.learner, agent.weights, test, replace(agent.config.evaluate, judge_sampled=False))
    starts: dict[str, Weights | None] = {"trained on": agent.weights, "from scratch": None}
    curves: dict[str, list[list[Progress]]] = {name: [] for name in starts}
    for number, task in enumerate(judged.tasks):
        # Another seed per task: its own noise and, from scratch, its own first policy.
        alone = config.alone(agent.config, seed * len(judged.tasks) + number)
        for name, start in starts.items():
            curves[name].append(list(learn_one_task(test, task, alone, start, usable_extras(agent, alone))))
        ends = ", ".join(f"{name} {found[-1][-1].mean_return:.1f}" for name, found in curves.items())
        steps = curves["from scratch"][-1][-1].env_steps
        say(f"task {number + 1} of {len(judged.tasks)}, {task.family}: return {ends} after {steps:,} env steps")
    return Visit(judged, *curves.values())


def skill_summary(agents: Sequence[Agent], taken: Sequence[Visit], config: SkillConfig) -> dict[str, Any]:
    """What all agents did.

    Returns:
        JSON-able: ``rows`` (learner, env steps in the task, success and return with 95 % intervals over tasks and
        seeds), the ``curves`` of learning each task alone, and what identifies it all.
    """
    test = make_distribution(agents[0].config, "test")
    budget = practice(agents[0].config.evaluate) * test.horizon
    families = [task.family for one in taken for task in one.judged.tasks]

    rows = []
    for label, env_steps, stage in (("as it comes", 0, 0), ("adapted", budget, -1)):
        success = np.concatenate([one.judged.solved[:, stage].mean(-1) for one in taken])
        returns = np.concatenate([one.judged.returns[:, stage].mean(-1) for one in taken])
        rows.append(_row(label, env_steps, success, returns, families))
    for label, name in (("trained on", "tuned"), ("from scratch", "scratch")):
        curves = [curve for one in taken for curve in getattr(one, name)]
        ends = [len(curve) - 1 for curve in curves]
        equal = [next((i for i, p in enumerate(c) if p.env_steps >= budget), len(c) - 1) for c in curves]
        for when, places in (("at equal env steps", equal), ("at the end", ends)):
            points = [curve[place] for curve, place in zip(curves, places, strict=True)]
            env_steps = round(np.mean([p.env_steps for p in points]))
            success, returns = (np.array([getattr(p, name) for p in points]) for name in ("success", "mean_return"))
            rows.append(_row(f"{label}, {when}", env_steps, success, returns, families))
    return {
        "env": config.env,
        "world": agents[0].config.env,
        "recipes": [run.recipe for run in config.runs(0)],
        "seeds": len(agents),
        "train_env_steps": round(np.mean([agent.env_steps for agent in agents])),
        "tasks": len(taken[0].judged.tasks),
        "task_distribution": test.fingerprint(),
        "versions": versions(),
        "rows": rows,
        "curves": {
            name: [[[p.env_steps, p.mean_return, p.success] for p in c] for one in taken for c in getattr(one, name)]
            for name in ("tuned", "scratch")
        },
    }


def _row(
    label: str, env_steps: int, success: NDArray[Any], returns: NDArray[Any], families: Sequence[str]
) -> dict[str, Any]:
    """Means over tasks and seeds, and their intervals."""
    row: dict[str, Any] = {"learner": label, "env_steps": env_steps}
    for name, values in (("success", success), ("return", returns)):
        values = np.asarray(values, np.float64)
        interval = bootstrap_interval(values, families, generator(0, Purpose.BOOTSTRAP))
        row |= {name: float(values.mean()), f"{name}_interval": interval}
    return row


def skill_table(summary: dict[str, Any]) -> str:
    """The rows in Markdown."""
    agents, recipes = counted(summary["seeds"], "agent"), ", then ".join(summary["recipes"])
    learned = f"{recipes} on {summary['env']}, {summary['train_env_steps']:,} env steps, {agents}"
    title = f"{learned}; {counted(summary['tasks'], 'new task')} of {summary['world']}"
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
    """Return over env steps in the new task: trained on and from scratch (the mean, and the middle half of the tasks),
    and adapted."""
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.6), dpi=100, constrained_layout=True)
    for (name, label), colour in zip(
        {"scratch": "from scratch", "tuned": "trained on"}.items(), ("C1", "C2"), strict=True
    ):
        curves = np.array(summary["curves"][name])  # [seed and task, point, (env steps, return, success)]
        steps, (low, high) = curves[:, :, 0].mean(0), np.quantile(curves[:, :, 1], (0.25, 0.75), axis=0)
        axis.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        axis.plot(steps, curves[:, :, 1].mean(0), color=colour, linewidth=2, label=label)
    before, after = summary["rows"][:2]
    steps, returns = ([row[name] for row in (before, after)] for name in ("env_steps", "return"))
    axis.plot(steps, returns, color="C0", marker="o", linewidth=2, label="adapted")
    axis.axhline(after["return"], color="C0", linestyle=":", linewidth=1)
    axis.set(
        xlabel="env steps in the new task", ylabel="return", title=f"{summary['tasks']} new tasks of {summary['world']}"
    )
    axis.legend()
    figure.savefig(path)
    plt.close(figure)
