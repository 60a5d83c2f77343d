"""Heads whose layers the memory modulates: what is remembered says how an input is read (Beck et al. 2022, 2023).

A layer of an ordinary head reads memory m and input x side by side. Here it reads x alone, and m sets the layer:

    film:       h = act(s(m) * (W x + b) + t(m)),   s(m) = 1 + S m,  t(m) = T m     (Perez et al. 2018, eq. 2)
    hypernet:   h = act(W(m) x + b(m)),   W(m) = W + sum_k m_k A_k,  b(m) = b + B m   (Ha et al. 2017)

* S, T, A and B start at zero, so that the head starts as an ordinary one on x (Bias-HyperInit, Beck et al. 2022).
* film leaves its last layer as it is; the hypernetwork sets all layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from meta_rl.networks.mlp import ACTIVATIONS, linear


CODE = 16
"""Numbers of the memory that set weights."""


class Film(nn.Module):
    """A linear layer whose outputs are scaled and shifted by what is remembered."""

    def __init__(self, units: int, fan_in: int, fan_out: int, gain: float) -> None:
        super().__init__()
        self.layer = linear(fan_in, fan_out, gain)
        self.setting = nn.Linear(units, 2 * fan_out)
        nn.init.zeros_(self.setting.weight)
        nn.init.zeros_(self.setting.bias)

    def forward(self, memory: Tensor, inputs: Tensor) -> Tensor:
        """``[..., units]`` and ``[..., in]`` -> ``[..., out]``."""
        scale, shift = self.setting(memory).chunk(2, -1)  # [..., out] each
        out: Tensor = (1 + scale) * self.layer(inputs) + shift
        return out


class Hyper(nn.Module):
    """A linear layer whose weights are a linear function of what is remembered."""

    def __init__(self, units: int, fan_in: int, fan_out: int, gain: float) -> None:
        super().__init__()
        self.layer = linear(fan_in, fan_out, gain)
        self.weight = nn.Parameter(torch.zeros(fan_out, fan_in, units))
        self.bias = nn.Parameter(torch.zeros(fan_out, units))

    def forward(self, memory: Tensor, inputs: Tensor) -> Tensor:
        """``[..., units]`` and ``[..., in]`` -> ``[..., out]``."""
        products = (inputs.unsqueeze(-1) * memory.unsqueeze(-2)).flatten(-2)  # [..., in * units]
        out: Tensor = self.layer(inputs) + products @ self.weight.flatten(1).T + memory @ self.bias.T
        return out


class ModulatedMlp(nn.Module):
    """Like `meta_rl.networks.mlp.mlp`, on inputs ``[..., units + in]`` of which the first `units` set the layers.

    Args:
        kind: film or hypernet.
    """

    def __init__(self, kind: str, units: int, sizes: Sequence[int], activation: str, final_gain: float = 1.0) -> None:
        super().__init__()
        self.units = units
        self.code = linear(units, CODE) if kind == "hypernet" else nn.Identity()
        units_ = CODE if kind == "hypernet" else units
        pairs = list(pairwise([sizes[0] - units, *sizes[1:]]))
        gains = [1.0] * (len(pairs) - 1) + [final_gain]
        sizes_and_gains = list(zip(pairs, gains, strict=True))
        layers: list[nn.Module] = []
        self.last = linear(*pairs[-1], final_gain) if kind == "film" else Hyper(units_, *pairs[-1], final_gain)
        layers = [(Film if kind == "film" else Hyper)(units_, *pair, gain) for pair, gain in sizes_and_gains[:-1]]
        self.hidden = nn.ModuleList(layers)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, inputs: Tensor) -> Tensor:
        """``[..., units + in]`` -> ``[..., out]``."""
        memory, seen = self.code(inputs[..., : self.units]), inputs[..., self.units :]
        for layer in self.hidden:
            seen = self.activation(layer(memory, seen))
        out: Tensor = self.last(memory, seen) if isinstance(self.last, Hyper) else self.last(seen)
        return out
