"""The protocol of few-shot learners, and what they share. The idea is that of RL here: condition on support, then face
the query."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Protocol

import torch
from torch import Tensor

from meta_rl.core.state import TrainState
from meta_rl.core.task_map import BACKENDS, fastest, over_tasks
from meta_rl.core.types import Adapted, Examples, MetaBatch, Metrics, Params
from meta_rl.core.weights import Weights
from meta_rl.maths import losses
from meta_rl.networks.fewshot import Network

SUPERVISED_LOSSES: dict[str, losses.SupervisedLoss] = {
    "classes": losses.cross_entropy,
    "numbers": losses.squared_error,
}
BACKEND = "task_map"
"""Name of the chosen back end among the extras of a state: its index in `BACKENDS`."""
QUERIES_AT_ONCE = 4
"""Queries that a CPU answers side by side, each beside its own copy of the support. Chosen by measurement: with 20 ways
and 1 shot, 4 queries at once take a third of the time per query of 100 at once, whose activations no cache holds."""


class FewShotLearner(Protocol):
    """The verbs that the training loop and the evaluation of labelled examples use."""

    policy: Network

    def init(self) -> TrainState:
        """State before the first iteration."""
        ...

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """Learn from one meta-batch: change `state` in place, return metrics. If the loss or gradient is not finite,
        `state` stays as it was, and ``guard/non_finite_gradient`` is 1."""
        ...

    def start(self, weights: Weights, num_tasks: int) -> Adapted:
        """Every task before adaptation."""
        ...

    def adapt(self, adapted: Adapted, support: Examples) -> Adapted:
        """One step of every task on its support ``[task, example, ...]``."""
        ...

    def predict(self, adapted: Adapted, support: Examples, observation: Tensor, inductive: bool) -> Tensor:
        """Logits ``[task, example, way]`` or numbers ``[task, example, 1]`` for `observation` ``[task, example, ...]``.

        Args:
            inductive: every query is answered as if it were alone with the support; else all queries of a task may
                share statistics (transduction).
        """
        ...


def adapt_stepwise(
    learner: FewShotLearner, weights: Weights, support: Examples, points: Collection[int]
) -> Iterator[tuple[int, Adapted]]:
    """Adapt all tasks to their support, step by step.

    Yields:
        For each number in `points`, ascending: the number, and the tasks after that many steps.
    """
    adapted = learner.start(weights, len(support.target))
    for step in range(max(points) + 1):
        if step:
            adapted = learner.adapt(adapted, support)
        if step in points:
            yield step, adapted


def choose_backend(task_map: str, state: TrainState, run: Callable[[str], object]) -> str:
    """The back end for `meta_rl.core.task_map.over_tasks`: as configured, as chosen in an earlier iteration, or (auto)
    the fastest at ``run(backend)``, which is remembered among the extras of `state`."""
    if task_map != "auto":
        return task_map
    if BACKEND not in state.extras:
        winner = fastest({name: lambda name=name: run(name) for name in BACKENDS})  # type: ignore[misc]
        state.extras[BACKEND] = torch.tensor(BACKENDS.index(winner))
    return BACKENDS[int(state.extras[BACKEND])]


def test_backend(params: Params) -> str:
    """The back end for adaptation in tests, where each task has weights of its own: on a CPU, one task after another
    for convolutions (scripts/benchmark_fewshot.py). A rule, so that a test gives the same numbers twice.

    Args:
        params: of the networks, ``[task, ...]``.
    """
    # The filters of all tasks: [task, out, in, height, width].
    grouped = any(p.dim() == 5 and p.device.type == "cpu" for p in params.values())
    return "loop" if grouped else "vmap"


@torch.no_grad()
def predict_answers(
    network: Network, params: Params, support: Examples, observation: Tensor, inductive: bool
) -> Tensor:
    """Answers ``[task, example, out]`` of networks with parameters ``[task, ...]``; see `FewShotLearner.predict`.

    Transductive normalisation is over the queries of a task, as in the published numbers of MAML; inductive over its
    support and one query.
    """
    backend = test_backend(params)
    if not (inductive and network.batch_statistics):
        return over_tasks(backend, network.apply, params, observation)  # type: ignore[no-any-return]

    def one(params: Params, support: Tensor, queries: Tensor) -> Tensor:
        return alone(lambda query: network.apply(params, torch.cat([support, query]))[-1:], queries)

    return over_tasks(backend, one, params, support.observation, observation)  # type: ignore[no-any-return]


def alone(answer: Callable[[Tensor], Tensor], queries: Tensor) -> Tensor:
    """``answer(queries[i : i + 1])`` of every query, side by side: ``[example, out]``."""
    chunk = QUERIES_AT_ONCE if queries.device.type == "cpu" else None
    answers: Tensor = torch.vmap(answer, chunk_size=chunk)(queries.unsqueeze(1))
    return answers.squeeze(1)


def scores(kind: str, outputs: Tensor, query: Examples) -> Metrics:
    """Accuracy, or mean squared error, over all tasks."""
    name, values = per_task(kind, outputs, query)
    return {f"query/{name}": float(values.mean())}


def per_task(kind: str, outputs: Tensor, query: Examples) -> tuple[str, Tensor]:
    """``("accuracy", [task])`` or ``("mse", [task])``, means over the examples that count."""
    if kind == "classes":
        name, value = "accuracy", (outputs.argmax(-1) == query.target).float()
    else:
        name, value = "mse", (outputs.squeeze(-1) - query.target).square()
    return name, (value * query.weight).sum(-1) / query.weight.sum(-1)
