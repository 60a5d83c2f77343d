"""An LSTM cell written out: unlike `nn.LSTMCell` it works under `vmap`, and cuDNN's has no second derivative."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LstmCell(nn.Module):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000), the weights and gate order (input,
    forget, cell, output) of `nn.LSTMCell`."""

    def __init__(self, inputs: int, units: int, std: float | None = None) -> None:
        super().__init__()
        bound = units**-0.5 if std is None else std
        self.weight_ih = nn.Parameter(torch.empty(4 * units, inputs).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(4 * units, units).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(4 * units))
        nn.init.ones_(self.bias.data[units : 2 * units])
        self.units = units

    def forward(self, inputs: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden and cell state ``[..., units]`` after reading ``[..., inputs]``."""
        gates = inputs @ self.weight_ih.mT + hidden @ self.weight_hh.mT + self.bias
        i, f, g, o = gates.chunk(4, -1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        return o.sigmoid() * cell.tanh(), cell
