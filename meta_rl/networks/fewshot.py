"""Networks of the few-shot learners, chosen by what they observe: images, vectors or items."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from meta_rl.config import NetworkConfig
from meta_rl.core.types import Params
from meta_rl.errors import ConfigError
from meta_rl.networks import functional
from meta_rl.networks.conv import conv_net
from meta_rl.networks.initial import drawn_from
from meta_rl.networks.mlp import mlp


class Network(nn.Module):
    """A module used as a function of its parameters.

    Attributes:
        kind: ``"classes"`` or ``"numbers"``: what its outputs are compared with.
        width: number of outputs.
        seed: what its initial parameters derive from; so do those that a learner adds.
        batch_statistics: whether an example's answer depends on the others in its batch.
    """

    def __init__(self, module: nn.Module, kind: str, width: int, batch_statistics: bool, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.module, self.kind, self.width, self.batch_statistics = module, kind, width, batch_statistics

    def forward(self, observation: Tensor) -> Tensor:
        """``[example, ...]`` -> ``[example, width]``."""
        return self.module(observation)  # type: ignore[no-any-return]

    def apply(self, params: Params, observation: Tensor) -> Tensor:  # type: ignore[override]
        """Outputs ``[example, width]`` under `params` (the module's own are not used)."""
        return functional.call(self, params, observation)  # type: ignore[no-any-return]


class RatingNet(nn.Module):
    """The rating that a user gives an item: an embedding of the item, a perceptron on it, and a bias per item.

    The user is in the weights: adapting to a user's ratings is all that personalises it. It begins above the middle of
    the scale, where most ratings are: at 3.5 of 0.5 to 5.
    """

    def __init__(self, items: int, scale: gym.spaces.Box, config: NetworkConfig) -> None:
        super().__init__()
        low, high = float(scale.low[0]), float(scale.high[0])
        first = config.hidden[0] if config.hidden else 8
        self.embedding = nn.Parameter(0.3 * torch.randn(items, first))
        self.item_bias = nn.Parameter(torch.zeros(items))
        self.perceptron = mlp([first, *config.hidden, 1], config.activation)
        self.offset = nn.Parameter(torch.full((1,), low + (high - low) * 2 / 3))

    def forward(self, item: Tensor) -> Tensor:
        """``[example]`` -> ``[example, 1]``."""
        hidden = self.perceptron(self.embedding[item])
        return hidden + self.item_bias[item].unsqueeze(-1) + self.offset  # type: ignore[no-any-return]


def make_network(
    observation_space: gym.spaces.Space[Any], action_space: gym.spaces.Space[Any], config: NetworkConfig, seed: int
) -> Network:
    """The network that answers: logits ``[example, ways]`` where actions are discrete, else numbers ``[example, 1]``.

    Its initial parameters are a function of `seed` alone; torch's global generator is left untouched.
    """
    classes = isinstance(action_space, gym.spaces.Discrete)
    outputs = int(action_space.n) if isinstance(action_space, gym.spaces.Discrete) else 1
    kind = "classes" if classes else "numbers"
    with drawn_from(seed):
        if isinstance(observation_space, gym.spaces.Discrete):
            assert isinstance(action_space, gym.spaces.Box)
            return Network(RatingNet(int(observation_space.n), action_space, config), kind, outputs, False, seed)
        assert observation_space.shape is not None
        if len(observation_space.shape) == 1:
            sizes = [observation_space.shape[0], *config.hidden, outputs]
            return Network(mlp(sizes, config.activation), kind, outputs, False, seed)
        body, features = _body(observation_space.shape, config)
        head = nn.Linear(features, outputs)
        nn.init.xavier_uniform_(head.weight)
        nn.init.zeros_(head.bias)
        return Network(nn.Sequential(body, head), kind, outputs, config.norm == "batch", seed)


def make_embedding(
    observation_space: gym.spaces.Space[Any], action_space: gym.spaces.Space[Any], config: NetworkConfig, seed: int
) -> Network:
    """The network that embeds images; `make_network` without its last layer."""
    assert observation_space.shape is not None
    with drawn_from(seed):
        body, features = _body(observation_space.shape, config)
    return Network(body, "classes", features, config.norm == "batch", seed)


def _body(shape: tuple[int, ...], config: NetworkConfig) -> tuple[nn.Module, int]:
    if not config.hidden:
        raise ConfigError("--hidden: a network for images needs at least one block of filters")
    return conv_net(shape, config.hidden, config.norm, config.pooling)
