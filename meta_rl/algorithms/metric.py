"""What learners that compare embeddings share: a network embeds support and query, and a query gets the class with the
closest support. Adaptation is remembering the support; learning is one Adam step on the mean loss over tasks.

Each of the files `prototypical`, `matching` and `siamese` defines what "closest" means.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from meta_rl.algorithms import supervised
from meta_rl.config import MetricConfig
from meta_rl.core.state import TrainState
from meta_rl.core.types import Examples, MetaBatch, Metrics, Params
from meta_rl.core.weights import Weights, joined, parted
from meta_rl.maths import gradient_step, losses
from meta_rl.networks.fewshot import Network


class MetricAdapted(NamedTuple):
    """Result of adaptation: the parameters, and whether queries may be compared with the support.

    Attributes:
        seen: False before the first adaptation, when every class is equally likely; True after it.
    """

    params: Params
    """Parameters of network and comparison together (`joined`)."""
    seen: bool


class MetricLearner:
    """See `meta_rl.algorithms.supervised.FewShotLearner` for the verbs.

    Args:
        network: embeds observations ``[example, ...]`` as ``[example, width]``.
        head: further parameters of the comparison.
    """

    def __init__(self, config: MetricConfig, network: Network, head: nn.Module | None = None) -> None:
        self.config, self.policy = config, network
        self.head = head or nn.Module()

    def logits(self, params: Params, support: Tensor, member: Tensor, query: Tensor) -> Tensor:
        """Scores ``[query, way]`` of one task whose softmax is the probability of each class.

        Args:
            support: embeddings ``[support, width]``.
            member: 1 where a support example is of a class ``[support, way]``.
            query: embeddings ``[query, width]``.
        """
        raise NotImplementedError

    def loss(self, params: Params, embedded: tuple[Tensor, Tensor], logits: Tensor, data: MetaBatch) -> Tensor:
        """Loss of one task: the cross-entropy of the queries' classes.

        Args:
            embedded: embeddings of support and query, ``[example, width]`` each.
            logits: ``[query, way]``.
        """
        return losses.cross_entropy(logits, data.query)

    def init(self) -> TrainState:
        """Parameters as network and head were initialised."""
        params, head = ({n: p.detach().clone() for n, p in m.named_parameters()} for m in (self.policy, self.head))
        return TrainState(0, 0, params, head)

    def start(self, weights: Weights, num_tasks: int) -> MetricAdapted:
        """Tasks without support: every class is equally likely."""
        return MetricAdapted(joined(weights.params, weights.shared), False)

    def adapt(self, adapted: MetricAdapted, support: Examples) -> MetricAdapted:
        """Tasks with support. Nothing is computed, because `predict` is given the support itself."""
        return MetricAdapted(adapted.params, True)

    @torch.no_grad()
    def predict(self, adapted: MetricAdapted, support: Examples, observation: Tensor, inductive: bool) -> Tensor:
        """See `FewShotLearner.predict`."""
        tasks, queries = observation.shape[:2]
        if not adapted.seen:
            return torch.zeros(tasks, queries, count_ways(support), device=observation.device)
        if not (inductive and self.policy.batch_statistics):
            return self._answers(adapted.params, support, observation)[0]
        every = []
        for task in range(tasks):  # each of its queries as a task of its own
            alone = Examples(*(x[task].expand(queries, *x.shape[1:]) for x in support))
            every.append(self._answers(adapted.params, alone, observation[task].unsqueeze(1))[0].squeeze(1))
        return torch.stack(every)

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """One Adam step on the mean loss of all tasks."""

        def objective(params: Params) -> tuple[Tensor, Tensor]:
            logits, embedded = self._answers(params, batch.support[0], batch.query.observation)
            mean: Tensor = torch.vmap(self.loss, (None, 0, 0, 0))(params, embedded, logits, batch).mean()
            return mean, logits.detach()

        start, c = joined(state.params, state.shared), self.config
        moved, state.optimizer, metrics, seen, _ = gradient_step.descend(
            start, state.optimizer, [objective], c.meta_lr, 1, c.max_grad_norm, False
        )
        state.params, state.shared = parted(moved)
        return metrics | supervised.scores("classes", seen[0], batch.query)

    def _answers(self, params: Params, support: Examples, query: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Logits ``[task, query, way]`` and the embeddings of support and query."""
        embedded = self.embed(params, support.observation, query)
        member = members(support.target, count_ways(support))
        logits: Tensor = torch.vmap(self.logits, (None, 0, 0, 0))(params, embedded[0], member, embedded[1])
        return logits, embedded

    def embed(self, params: Params, support: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings ``[task, example, width]`` of support and query, normalised over both together where the network
        normalises over its batch. Elsewhere an image is an image: those of all tasks are one batch, which CPUs embed
        faster than `vmap` does."""
        network = parted(params)[0]
        together = torch.cat([support, query], 1)
        if self.policy.batch_statistics:
            embedded = torch.vmap(self.policy.apply, (None, 0))(network, together)
        else:
            images = together.flatten(0, 1).clone(memory_format=torch.channels_last)
            embedded = self.policy.apply(network, images).reshape(*together.shape[:2], -1)
        return embedded[:, : support.shape[1]], embedded[:, support.shape[1] :]


def head(params: Params) -> Params:
    """The parameters of the comparison, by their names in the head."""
    return parted(params)[1]


def count_ways(support: Examples) -> int:
    """Classes per task; all tasks of a meta-batch have equally many."""
    return int(support.target.max()) + 1


def members(target: Tensor, ways: int) -> Tensor:
    """``[..., example]`` -> 1 at each example's class ``[..., example, way]``."""
    return (target.unsqueeze(-1) == torch.arange(ways, device=target.device)).to(torch.get_default_dtype())


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """``[n, width]`` and ``[m, width]`` -> ``[n, m]``, exactly 0 between equals."""
    return (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(-1)
