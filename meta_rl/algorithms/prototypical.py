"""Prototypical networks (Snell, Swersky and Zemel 2017).

With f the embedding, c_k the mean of f over class k's support examples:

    p(y = k | x) = softmax_k(-|f(x) - c_k|^2)
"""

from __future__ import annotations

from torch import Tensor

from meta_rl.algorithms.metric import MetricLearner, squared_distances
from meta_rl.core.types import Params


class Prototypical(MetricLearner):
    """See `MetricLearner`."""

    def logits(self, params: Params, support: Tensor, member: Tensor, query: Tensor) -> Tensor:
        """Minus the squared distances to the class means."""
        member = member.to(support.dtype)
        centres = member.mT @ support / member.sum(0).unsqueeze(-1)
        return -squared_distances(query, centres)
