"""Evaluation of few-shot learners: the same pre-drawn test episodes for every learner, with 95 % intervals.

Every episode starts from the meta-parameters and is scored after 0, 1, 2, ... steps: the adaptation curve. Where a
network normalises over its batch, queries help each other (transduction); each score is then taken a second time with
every query alone beside the support (induction), and both are reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl.algorithms.supervised import FewShotLearner, adapt_stepwise, per_task
from meta_rl.config import EvaluateConfig, TrainConfig
from meta_rl.core.types import Examples, MetaBatch, map_tensors, to_device
from meta_rl.core.weights import Weights
from meta_rl.errors import Advance
from meta_rl.evaluation.scores import INDUCTIVE, TRANSDUCTIVE, Score, Scores, Stage, Values
from meta_rl.fewshot.tasks import TaskSet, fixed_episodes

SHOWN_STEPS = (0, 1, 2, 3, 5, 8, 10, 20, 50, 100, 200, 500)

Numbers = dict[str, NDArray[np.float64]]
"""Per metric ``[episode, point]``."""


@dataclass(frozen=True)
class FewShotEvaluation:
    """Results per episode.

    Attributes:
        points: adaptation steps after which was scored.
        values: every score ``[episode, point, 1]``; the same transductive and inductive ones where the network does not
            normalise over its batch.
        baselines: scores of other, closed-form predictors on the same episodes, by label.
    """

    points: list[int]
    values: Values
    baselines: dict[str, Scores]

    def stages(self) -> list[Stage]:
        """The scores at each point, over episodes."""

        def scores(k: int) -> dict[str, Scores]:
            return {
                way: {name: Score.normal(v[:, k, 0]) for name, v in found.items()} for way, found in self.values.items()
            }

        return [Stage(point, scores(k)) for k, point in enumerate(self.points)]


def evaluate_fewshot(
    learner: FewShotLearner,
    weights: Weights,
    tasks: TaskSet,
    config: TrainConfig,
    protocol: EvaluateConfig,
    split: str = "test",
    advance: Advance = lambda count: None,
) -> FewShotEvaluation:
    """Adaptation curves of `weights` on the fixed episodes of `tasks`, on the device of the run where it is there: on
    another one, scores differ by rounding.

    Args:
        advance: takes how many more episodes are judged.
    """
    device = torch.device("cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu")
    weights = map_tensors(lambda x: x.to(device), weights)
    last = protocol.adaptation_steps
    points = sorted({p for p in protocol.shown_steps or SHOWN_STEPS if p <= last} | {last})
    rows: dict[str, list[Numbers]] = {TRANSDUCTIVE: [], INDUCTIVE: []}
    baselines: dict[str, list[Numbers]] = {}
    for batch in fixed_episodes(tasks, config, protocol, split):
        for way, scores in curves(learner, weights, tasks, to_device(batch, device), points).items():
            rows[way].append(scores)
        for label, prediction in tasks.baselines(batch).items():
            baselines.setdefault(label, []).append(score_answers(tasks, learner.policy.kind, prediction, batch.query))
        advance(len(batch.query.observation))
    return FewShotEvaluation(
        points,
        {way: {name: v[..., None] for name, v in join_numbers(parts).items()} for way, parts in rows.items()},
        {
            label: {name: Score.normal(v[:, 0]) for name, v in join_numbers(parts).items()}
            for label, parts in baselines.items()
        },
    )


def curves(
    learner: FewShotLearner, weights: Weights, tasks: TaskSet, batch: MetaBatch, points: list[int]
) -> dict[str, Numbers]:
    """Scores ``[task, point]`` of a meta-batch, by way."""
    (support,) = batch.support
    columns: dict[str, list[Numbers]] = {TRANSDUCTIVE: [], INDUCTIVE: []}
    for _, adapted in adapt_stepwise(learner, weights, support, points):
        for way, column in columns.items():
            if way == INDUCTIVE and not learner.policy.batch_statistics:
                column.append(columns[TRANSDUCTIVE][-1])
                continue
            outputs = learner.predict(adapted, support, batch.query.observation, way == INDUCTIVE)
            column.append(score_answers(tasks, learner.policy.kind, outputs, batch.query))
    return {
        way: {key: np.concatenate([c[key] for c in column], 1) for key in column[0]} for way, column in columns.items()
    }


def score_answers(tasks: TaskSet, kind: str, outputs: Tensor, query: Examples) -> Numbers:
    """Every metric ``[task, 1]``: accuracy or mse, and what `tasks` add to it."""
    name, values = per_task(kind, outputs, query)
    found = {name: values, **tasks.metrics(values, outputs, query)}
    return {key: v.double().cpu().numpy()[:, None] for key, v in found.items()}


def join_numbers(parts: list[Numbers]) -> Numbers:
    """The numbers of several meta-batches, one behind another."""
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
