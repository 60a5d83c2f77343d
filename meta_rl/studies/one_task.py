"""Learning one task alone, from scratch or on from what an agent has learned: what an adapted agent must be compared
with, at equal env steps on that task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from envs import FixedTask, Task, TaskDistribution
from meta_rl.algorithms.base import make_learner
from meta_rl.config import TrainConfig
from meta_rl.core.types import Params
from meta_rl.core.weights import Weights, adopt
from meta_rl.evaluation.episodes import evaluate
from meta_rl.sources.base import Plan
from meta_rl.sources.in_process import InProcess
from meta_rl.training.train import select_device, train_iteration
from meta_rl.training.warm_start import taken_over


@dataclass(frozen=True)
class Progress:
    """A learner on its way.

    Attributes:
        env_steps: taken in the task so far, judging not counted.
        mean_return: undiscounted, of the judged episodes (mode actions).
        success: rate of judged episodes that reached the goal at any step.
    """

    env_steps: int
    mean_return: float
    success: float


def learn_one_task(
    distribution: TaskDistribution,
    task: Task,
    config: TrainConfig,
    start: Weights | None = None,
    extras: Params | None = None,
) -> Iterator[Progress]:
    """Train `config`'s recipe on `task` alone, ``config.iterations`` times ``config.episodes_per_task`` episodes.

    Args:
        start: what it goes on from: parameters, which have to fit the recipe's network, and statistics; None: from
            scratch.
        extras: further tensors that it goes on with (see `meta_rl.training.warm_start`).
    Yields:
        Where it stands: before the first iteration and after each.
    """
    alone = FixedTask(distribution, task)
    learner = make_learner(config, alone)
    state = learner.init()
    if start is not None:
        state.params, state.shared, state.statistics = adopt(start._replace(shared=state.shared), state.weights)
        state.extras = taken_over(state.extras, extras or {})
    protocol = replace(config.evaluate, adaptation_steps=0, test_tasks=1, judge_sampled=False)
    with closing(InProcess(alone, learner, Plan(1, config.episodes_per_task, config.seed))) as source:
        while True:
            judged = evaluate(learner, state.weights, alone, protocol)
            yield Progress(state.env_steps, float(judged.returns.mean()), float(judged.solved.mean()))
            if state.iteration == config.iterations:
                return
            train_iteration(state, source, learner, select_device("cpu"))
