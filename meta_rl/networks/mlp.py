"""Fully connected networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


def linear(fan_in: int, fan_out: int, gain: float = 1.0) -> nn.Linear:
    """A linear layer with Xavier-uniform weights, scaled by `gain`, and zero biases."""
    layer = nn.Linear(fan_in, fan_out)
    nn.init.xavier_uniform_(layer.weight, gain=gain)
    nn.init.zeros_(layer.bias)
    return layer


def mlp(sizes: Sequence[int], activation: str, final_gain: float = 1.0) -> nn.Sequential:
    """Linear layers of `sizes` (input first, output last) with `activation` between them.

    Xavier-uniform weights and zero biases; the last layer's weights are scaled by `final_gain`.
    """
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        linear = nn.Linear(fan_in, fan_out)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, ACTIVATIONS[activation]()]
    last = layers[-2]
    assert isinstance(last, nn.Linear)
    nn.init.xavier_uniform_(last.weight, gain=final_gain)
    return nn.Sequential(*layers[:-1])
