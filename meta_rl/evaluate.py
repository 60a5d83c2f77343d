"""Unbiased evaluation: for every task, fixed numbers of adaptation and evaluation episodes.

Each task is a fresh start from the meta-parameters. Stage k is judged on evaluation episodes with mode actions; then
the policy of stage k collects its adaptation episodes with sampled actions (all at once, or one after another where
each is remembered by the next) and takes adaptation step k + 1. Every episode of every task counts once, whenever it
ends. (Meta-World's own evaluator counts the first episodes *to finish*, while episodes end on success, which favours
successes; see docs/evaluation.md.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from envs import Task, TaskDistribution, TaskVectorEnv
from meta_rl.algorithms.base import MetaLearner
from meta_rl.config import EvaluateConfig
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.statistics import bootstrap_interval, interquartile_mean
from meta_rl.core.types import Rollout
from meta_rl.core.weights import Weights
from meta_rl.sources.collect import Streams, envs_per_task, rollout

DEFAULT_TEST_TASKS = 40
"""Number of test tasks where a distribution has infinitely many."""


class Watch(Protocol):
    """Sees the judged episodes of an evaluation while they are played."""

    def begin(self, positions: Sequence[int], rows: Sequence[int], stage: int) -> None:
        """Episodes of `stage` come next: those of the test tasks `positions`, in these `rows` of the environments."""
        ...

    def look(self, env: TaskVectorEnv) -> None:
        """After the reset, and after every step."""
        ...

    def end(self, rollout: Rollout) -> None:
        """What was recorded."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """Results per task, stage (adaptation steps taken) and episode.

    Attributes:
        tasks: what was evaluated.
        returns: undiscounted, ``[task, stage, episode]``.
        solved: success at any step of the episode, ``[task, stage, episode]``.
        practice_returns: of the episodes with sampled actions that were adapted on, ``[task, step, episode]``; for a
            learner with a memory the learning curve of a trial.
        env_steps: environment steps the evaluation took.
    """

    tasks: list[Task]
    returns: NDArray[np.float64]
    solved: NDArray[np.bool_]
    practice_returns: NDArray[np.float64]
    env_steps: int

    def summary(self) -> dict[str, Any]:
        """JSON-able: per stage the mean success and return with a 95 % stratified-bootstrap interval over tasks, the
        interquartile mean of returns, and the mean success of each family."""
        families = [task.family for task in self.tasks]
        stages = []
        for stage in range(self.returns.shape[1]):
            success, returns = self.solved[:, stage].mean(-1), self.returns[:, stage].mean(-1)
            rng = generator(0, Purpose.BOOTSTRAP, stage=stage)
            by_family = {
                family: float(np.mean([s for s, f in zip(success, families, strict=True) if f == family]))
                for family in dict.fromkeys(families)
            }
            stages.append(
                {
                    "adaptation_steps": stage,
                    "success": float(success.mean()),
                    "success_interval": bootstrap_interval(success, families, rng),
                    "return": float(returns.mean()),
                    "return_interval": bootstrap_interval(returns, families, rng),
                    "return_iqm": interquartile_mean(returns),
                    "success_by_family": by_family,
                }
            )
        return {
            "tasks": len(self.tasks),
            "env_steps": self.env_steps,
            "stages": stages,
            "practice_returns": self.practice_returns.mean(0).tolist(),
        }

    def details(self) -> list[dict[str, Any]]:
        """JSON-able: every task with its returns and successes ``[stage][episode]``."""
        return [
            {"family": t.family, "vector": t.vector, "returns": r.tolist(), "solved": s.tolist()}
            for t, r, s in zip(self.tasks, self.returns, self.solved, strict=True)
        ]


def evaluate(
    learner: MetaLearner,
    weights: Weights,
    distribution: TaskDistribution,
    protocol: EvaluateConfig,
    chosen: Sequence[int] | None = None,
    watch: Watch | None = None,
    tasks: Sequence[Task] | None = None,
) -> Evaluation:
    """Adaptation curves of `weights` (on the CPU) on the tasks of `distribution`, usually a test split.

    Args:
        chosen: positions of the tasks to evaluate among the test tasks; default all. A task's numbers do not depend on
            which others are chosen.
        watch: sees the judged episodes.
        tasks: to be evaluated on instead of the protocol's test tasks.
    """
    seed = protocol.evaluation_seed
    tasks = test_tasks(distribution, protocol.test_tasks, seed) if tasks is None else tasks
    positions = list(range(len(tasks))) if chosen is None else list(chosen)
    size = min(protocol.tasks_at_once, len(tasks))
    episodes = 1 if distribution.deterministic else protocol.evaluation_episodes
    steps = protocol.adaptation_steps
    judge = distribution.make(size, episodes)
    practice = distribution.make(size, envs_per_task(learner, protocol.adaptation_episodes)) if steps else None
    rollouts = 1 if learner.parallel else protocol.adaptation_episodes
    streams = Streams(seed, 0, Purpose.TEST_NOISE, Purpose.TEST_ENV)
    returns = np.zeros((len(tasks), steps + 1, episodes))
    solved = np.zeros(returns.shape, bool)
    practice_returns = np.zeros((len(tasks), steps, protocol.adaptation_episodes))
    env_steps = 0
    for start in range(0, len(tasks), size):
        # Batch shapes stay fixed: a chunk is played whole or not at all, and the last one repeats its last task.
        indices = [min(i, len(tasks) - 1) for i in range(start, start + size)]
        rows = [i for i in range(start, min(start + size, len(tasks))) if i in positions]
        kept = [i - start for i in rows]
        if not rows:
            continue
        chunk = [tasks[i] for i in indices]
        adapted = learner.start(weights, size)
        for step in range(steps + 1):
            judge.set_tasks(chunk)
            if watch is not None:
                watch.begin(rows, kept, step)
            seeds = streams.env_seeds(2 * step * rollouts, indices)
            judged = rollout(judge, learner.actor(adapted), None, seeds, look=watch.look if watch is not None else None)
            if watch is not None:
                watch.end(judged)
            returns[rows, step], solved[rows, step] = judged.returns[kept], judged.solved[kept]
            env_steps += int(judged.valid[kept].sum())
            if practice is None or step == steps:
                continue
            practice.set_tasks(chunk)
            collected = []
            for stage in range(step * rollouts, (step + 1) * rollouts):
                actor = learner.actor(adapted)
                noise = streams.action_noise(stage, indices, practice, learner.policy)
                recorded = rollout(practice, actor, noise, streams.env_seeds(2 * stage + 1, indices))
                adapted = learner.adapt(adapted, learner.prepare(adapted, recorded), actor)
                collected.append(recorded.returns[kept])
                env_steps += int(recorded.valid[kept].sum())
            practice_returns[rows, step] = np.concatenate(collected, 1)
    judge.close()
    if practice is not None:
        practice.close()
    chosen_tasks = [tasks[i] for i in positions]
    return Evaluation(chosen_tasks, returns[positions], solved[positions], practice_returns[positions], env_steps)


def test_tasks(distribution: TaskDistribution, count: int, seed: int) -> list[Task]:
    """The tasks to evaluate: all, or `count` of them (families equally often); continuous distributions draw, on the
    train split others than on the test split."""
    every = distribution.tasks()
    if every is not None and count in (0, len(every)):
        return every
    rng = generator(seed, Purpose.TEST_TASKS, stage=int(distribution.split == "train"))
    return distribution.sample(rng, count or DEFAULT_TEST_TASKS)
