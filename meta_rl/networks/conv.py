"""The convolutional network of few-shot learning: blocks of 3x3 convolution, normalisation, ReLU and halving."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MAX_GROUPS = 8


class BatchNorm(nn.Module):
    """Normalises channels over the batch and the image, always by the statistics of this very batch.

    Written from primitives: second-order MAML through `nn.BatchNorm2d` under `vmap`, differentiated from outside,
    silently gives a wrong meta-gradient (torch 2.13, CPU), and running statistics fail under `vmap`.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """``[n, channel, height, width]`` to the same shape."""
        mean = x.mean((0, 2, 3), keepdim=True)
        centred = x - mean
        scale = (centred.square().mean((0, 2, 3), keepdim=True) + self.eps).rsqrt()
        return centred * (scale * self.weight[:, None, None]) + self.bias[:, None, None]


class GroupNorm(nn.Module):
    """Normalises groups of channels of each image on its own (Wu and He 2018); an image's answer is its own."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.groups = next(g for g in range(min(MAX_GROUPS, channels), 0, -1) if channels % g == 0)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """``[n, channel, height, width]`` to the same shape."""
        return nn.functional.group_norm(x, self.groups, self.weight, self.bias, self.eps)


NORMS: dict[str, type[nn.Module]] = {"batch": BatchNorm, "group": GroupNorm, "none": nn.Identity}


def conv_net(shape: tuple[int, ...], filters: Sequence[int], norm: str, pooling: str) -> tuple[nn.Sequential, int]:
    """Blocks for images of `shape` (channel, height, width), and the number of features that come out.

    Every block halves height and width, rounding down, as long as they are 2 or more.
    """
    channels, height, width = shape
    layers: list[nn.Module] = []
    for out in filters:
        halve = min(height, width) >= 2
        strided = halve and pooling == "stride"
        conv = nn.Conv2d(channels, out, 3, stride=2 if strided else 1, padding=1)
        nn.init.xavier_uniform_(conv.weight)
        assert conv.bias is not None
        nn.init.zeros_(conv.bias)
        arguments = () if norm == "none" else (out,)
        layers += [conv, NORMS[norm](*arguments), nn.ReLU()]
        if halve and not strided:
            layers.append(nn.MaxPool2d(2))
        if halve:  # a strided convolution with padding rounds up, pooling rounds down
            height, width = ((height + 1) // 2, (width + 1) // 2) if strided else (height // 2, width // 2)
        channels = out
    return nn.Sequential(*layers, nn.Flatten()), channels * height * width
