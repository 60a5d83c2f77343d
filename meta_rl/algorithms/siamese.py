"""Siamese networks: one embedding for both members of a pair, trained on all pairs of an episode.

* contrastive (Hadsell, Chopra and LeCun 2006, with the square outside the hinge): D = |f(a) - f(b)|,

      L = (1 - y) D^2 + y max(0, margin - D)^2,    y = 1 for different classes

  No numbers on Omniglot are published for this loss.
* koch (Koch, Zemel and Salakhutdinov 2015): p(same) = sigmoid(sum_j w_j |f_j(a) - f_j(b)| + b), cross-entropy.

Pairs of the same class are few; both kinds of pairs weigh the same. A query's class is the one whose support examples
are the nearest (koch: the likeliest to be the same) in the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from meta_rl.algorithms.metric import MetricLearner, head, squared_distances
from meta_rl.config import SiameseConfig
from meta_rl.core.types import MetaBatch, Params
from meta_rl.networks import functional
from meta_rl.networks.fewshot import Network

EPS = 1e-8
"""Added below the square root, whose derivative at 0 is infinite."""


class WeightedL1(nn.Module):
    """Koch's comparison; starts from the plain mean distance."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), -1.0 / width))
        self.bias = nn.Parameter(torch.ones(()))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """``[n, width]`` and ``[m, width]`` -> logits of being the same ``[n, m]``."""
        return (a.unsqueeze(1) - b.unsqueeze(0)).abs() @ self.weight + self.bias


class Siamese(MetricLearner):
    """See `MetricLearner`."""

    config: SiameseConfig

    def __init__(self, config: SiameseConfig, network: Network) -> None:
        heads = {"contrastive": nn.Module(), "koch": WeightedL1(network.width)}
        super().__init__(config, network, heads[config.pair_loss])
        self._similarity, self._pair_loss = {
            "contrastive": (self._squared, self._contrastive),
            "koch": (self._koch, cross_entropy_of_pairs),
        }[config.pair_loss]

    def logits(self, params: Params, support: Tensor, member: Tensor, query: Tensor) -> Tensor:
        """Mean similarity to each class's support."""
        similarity = self._similarity(params, query, support)
        member = member.to(similarity.dtype)
        return similarity @ member / member.sum(0)

    def loss(self, params: Params, embedded: tuple[Tensor, Tensor], logits: Tensor, data: MetaBatch) -> Tensor:
        """Mean over the pairs of the same class plus mean over the others, halved."""
        everything = torch.cat(embedded)
        target = torch.cat([data.support[0].target, data.query.target])
        i, j = torch.triu_indices(len(target), len(target), 1, device=target.device)
        different = (target[i] != target[j]).to(everything.dtype)
        value = self._pair_loss(self._similarity(params, everything, everything)[i, j], different)
        return 0.5 * (weighted(value, different) + weighted(value, 1 - different))

    def _squared(self, params: Params, a: Tensor, b: Tensor) -> Tensor:
        return -squared_distances(a, b)

    def _contrastive(self, similarity: Tensor, different: Tensor) -> Tensor:
        return contrastive(-similarity, different, self.config.margin)

    def _koch(self, params: Params, a: Tensor, b: Tensor) -> Tensor:
        return functional.call(self.head, head(params), a, b)  # type: ignore[no-any-return]


def contrastive(squared_distance: Tensor, different: Tensor, margin: float) -> Tensor:
    """``(1 - y) D^2 + y max(0, margin - D)^2`` of each pair; `different` is y, 1 for different classes."""
    distance = (squared_distance + EPS).sqrt()
    return (1 - different) * squared_distance + different * F.relu(margin - distance).square()


def cross_entropy_of_pairs(same_logit: Tensor, different: Tensor) -> Tensor:
    """``-log p`` of the true case, for each pair."""
    return F.softplus(same_logit * (2 * different - 1))


def weighted(value: Tensor, weight: Tensor) -> Tensor:
    """Mean over the elements with weight 1; 0 if there are none."""
    return (value * weight).sum() / weight.sum().clamp(min=1)
