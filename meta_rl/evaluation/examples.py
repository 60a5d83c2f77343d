"""Evaluation of few-shot learners: the same pre-drawn test episodes for every learner, with 95 % intervals.

Every episode starts from the meta-parameters and is scored after 0, 1, 2, ... steps: the adaptation curve. Where a
network normalises over its batch, queries help each other (transduction); each score is then taken a second time with
every query alone beside the support (induction), and both are reported.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl.algorithms.supervised import FewShotLearner, adaptation, per_task
from meta_rl.config import EvaluateConfig, TrainConfig
from meta_rl.core.types import Examples, MetaBatch, map_tensors, to_device
from meta_rl.core.weights import Weights
from meta_rl.fewshot.rating_metrics import Statistics, mean_absolute_error, ndcg, rating_baselines
from meta_rl.fewshot.ratings import Users
from meta_rl.fewshot.sinusoid import Sinusoids
from meta_rl.fewshot.tasks import TaskSet, fixed_episodes

SHOWN = (0, 1, 2, 3, 5, 8, 10, 20, 50, 100, 200, 500)

Scores = dict[str, NDArray[np.float64]]
"""Per metric ``[episode, point]``."""


@dataclass(frozen=True)
class FewShotEvaluation:
    """Results per episode.

    Attributes:
        points: adaptation steps after which was scored.
        transductive: all queries of an episode at once.
        inductive: each query alone; the same numbers where the network does not normalise over its batch.
        baselines: of other, closed-form predictors on the same episodes, per metric ``[episode]``.
    """

    points: list[int]
    transductive: Scores
    inductive: Scores
    baselines: dict[str, Scores]

    def summary(self) -> dict[str, Any]:
        """JSON-able: mean and half width of the 95 % interval (1.96 sd / sqrt(episodes)) of every score."""
        return {
            "tasks": len(next(iter(self.transductive.values()))),
            "stages": [
                {
                    "adaptation_steps": point,
                    "transductive": {key: mean_interval(v[:, k]) for key, v in self.transductive.items()},
                    "inductive": {key: mean_interval(v[:, k]) for key, v in self.inductive.items()},
                }
                for k, point in enumerate(self.points)
            ],
            "baselines": {
                name: {key: mean_interval(v) for key, v in scores.items()} for name, scores in self.baselines.items()
            },
        }

    def details(self) -> dict[str, Any]:
        """JSON-able: every episode's scores."""
        return {
            "points": self.points,
            "transductive": {key: v.tolist() for key, v in self.transductive.items()},
            "inductive": {key: v.tolist() for key, v in self.inductive.items()},
        }


def evaluate_fewshot(
    learner: FewShotLearner,
    weights: Weights,
    tasks: TaskSet,
    config: TrainConfig,
    protocol: EvaluateConfig,
    split: str = "test",
) -> FewShotEvaluation:
    """Adaptation curves of `weights` on the fixed episodes of `tasks`, on the device of the run where it is there: on
    another one, scores differ by rounding."""
    device = torch.device("cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu")
    weights = map_tensors(lambda x: x.to(device), weights)
    last = protocol.adaptation_steps
    points = sorted({p for p in protocol.shown_steps or SHOWN if p <= last} | {last})
    rows: dict[bool, list[Scores]] = {False: [], True: []}
    baselines: dict[str, list[Scores]] = {}
    others = closed_form(tasks)
    for batch in fixed_episodes(tasks, config, protocol, split):
        for inductive, scores in curves(learner, weights, to_device(batch, device), points).items():
            rows[inductive].append(scores)
        for name, prediction in others(batch).items():
            baselines.setdefault(name, []).append(score(learner.policy.kind, prediction, batch.query))
    return FewShotEvaluation(
        points,
        join(rows[False]),
        join(rows[True]),
        {name: {key: v[:, 0] for key, v in join(parts).items()} for name, parts in baselines.items()},
    )


def curves(learner: FewShotLearner, weights: Weights, batch: MetaBatch, points: list[int]) -> dict[bool, Scores]:
    """Scores ``[task, point]`` of a meta-batch: ``{False: transductive, True: inductive}``."""
    (support,) = batch.support
    columns: dict[bool, list[Scores]] = {False: [], True: []}
    for _, adapted in adaptation(learner, weights, support, points):
        for inductive, column in columns.items():
            if inductive and not learner.policy.batch_statistics:
                column.append(columns[False][-1])
                continue
            outputs = learner.predict(adapted, support, batch.query.observation, inductive)
            column.append(score(learner.policy.kind, outputs, batch.query))
    return {
        inductive: {key: np.concatenate([c[key] for c in column], 1) for key in column[0]}
        for inductive, column in columns.items()
    }


def score(kind: str, outputs: Tensor, query: Examples) -> Scores:
    """Every metric ``[task, 1]`` that fits: accuracy; or mse, and for ratings (items are integers) rmse, mae and ndcg,
    each of a user."""
    name, values = per_task(kind, outputs, query)
    found = {name: values}
    if not query.observation.is_floating_point():
        found |= {"rmse": values.sqrt(), "mae": mean_absolute_error(outputs, query), "ndcg": ndcg(outputs, query)}
    return {key: v.double().cpu().numpy()[:, None] for key, v in found.items()}


def closed_form(tasks: TaskSet) -> Callable[[MetaBatch], dict[str, Tensor]]:
    """Predictors that need no network: their predictions ``[task, example, 1]`` on the queries of a meta-batch."""
    if isinstance(tasks, Users):
        return functools.partial(rating_baselines, Statistics(tasks.training))
    if isinstance(tasks, Sinusoids):
        return lambda batch: {"oracle (least squares on sine and cosine)": sinusoid_oracle(batch)}
    return lambda batch: {}


def sinusoid_oracle(batch: MetaBatch) -> Tensor:
    """The best ``a sin x + b cos x`` on the support, at the queries; the least one where several are as good.

    Solves the normal equations, whose sums round alike wherever the numbers lie in memory; torch's `lstsq` does not.
    """
    (support,) = batch.support
    x, q = support.observation[..., 0].double(), batch.query.observation[..., 0].double()
    basis, target = torch.stack([x.sin(), x.cos()], -1), support.target.double().unsqueeze(-1)
    moments = (basis.unsqueeze(-1) * basis.unsqueeze(-2)).sum(-3)  # [task, 2, 2]
    weights = torch.linalg.solve(moments + 1e-12 * torch.eye(2).to(basis), (basis * target).sum(-2))
    prediction: Tensor = torch.stack([q.sin(), q.cos()], -1) @ weights.unsqueeze(-1)
    return prediction


def mean_interval(values: NDArray[np.float64]) -> dict[str, float]:
    """Mean and the half width of its normal 95 % interval."""
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(values.mean()), "interval": 1.96 * spread / len(values) ** 0.5}


def join(parts: list[Scores]) -> Scores:
    """Chunks of episodes behind each other."""
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
