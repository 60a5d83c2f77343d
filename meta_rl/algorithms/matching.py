"""Matching networks (Vinyals et al. 2016).

With embeddings f of the query and g of the support (x_i, y_i):

    a(x, x_i) = softmax_i(s(f(x), g(x_i))),    p(y = k | x) = sum over i with y_i = k of a(x, x_i)

s is the cosine divided by a temperature (the paper's plain cosine lies in [-1, 1], a flat softmax), or minus the
squared distance. The logits are logsumexp over each class's members, whose softmax is that sum.

Full-context embeddings (section 2.1.2): g is a bidirectional LSTM over the support, in its random order, added to the
embedding; f is an LSTM that reads the support by attention for a number of steps:

    h, c <- LSTM([f'(x), r], h, c);    h <- h + f'(x);    r <- sum_i softmax_i(h . g(x_i)) g(x_i)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from meta_rl.algorithms.metric import MetricLearner, head, squared_distances
from meta_rl.config import MatchingConfig
from meta_rl.core.types import Params
from meta_rl.networks import functional
from meta_rl.networks.cell import LstmCell
from meta_rl.networks.fewshot import Network
from meta_rl.networks.initial import drawn_from


class Context(nn.Module):
    """Full-context embeddings of `width` numbers."""

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.there, self.back = LstmCell(width, width), LstmCell(width, width)
        self.reader = LstmCell(2 * width, width)
        self.steps = steps

    def forward(self, support: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        """``[support, width]`` and ``[query, width]`` to the same shapes."""
        there = unroll(self.there, support)
        back = unroll(self.back, support.flip(0)).flip(0)
        support = support + there + back
        hidden, read, cell = query, torch.zeros_like(query), torch.zeros_like(query)
        for _ in range(self.steps):
            hidden, cell = self.reader(torch.cat([query, read], -1), hidden, cell)
            hidden = hidden + query
            read = attention(hidden @ support.mT) @ support
        return support, hidden


class Matching(MetricLearner):
    """See `MetricLearner`."""

    config: MatchingConfig

    def __init__(self, config: MatchingConfig, network: Network) -> None:
        with drawn_from(network.seed, stage=1):
            context = Context(network.width, config.context_steps) if config.full_context else None
        super().__init__(config, network, context)
        self._similarity = {"cosine": self._cosine, "l2": _l2}[config.similarity]

    def logits(self, params: Params, support: Tensor, member: Tensor, query: Tensor) -> Tensor:
        """Log of the attention that each class gets, up to a constant."""
        if self.config.full_context:
            support, query = functional.call(self.head, head(params), support, query)
        similarity = self._similarity(query, support)
        return similarity.unsqueeze(-1).masked_fill(member == 0, -torch.inf).logsumexp(-2)

    def _cosine(self, query: Tensor, support: Tensor) -> Tensor:
        return F.normalize(query, dim=-1) @ F.normalize(support, dim=-1).mT / self.config.temperature


def _l2(query: Tensor, support: Tensor) -> Tensor:
    return -squared_distances(query, support)


def attention(similarity: Tensor) -> Tensor:
    """``[query, support]`` -> weights that sum to 1 over the support."""
    return similarity.softmax(-1)


def unroll(cell: LstmCell, inputs: Tensor) -> Tensor:
    """Hidden states ``[time, units]`` on ``[time, in]``, from zeros."""
    hidden = state = torch.zeros_like(inputs[0, : cell.units])
    outputs = []
    for step in inputs:
        hidden, state = cell(step, hidden, state)
        outputs.append(hidden)
    return torch.stack(outputs)
