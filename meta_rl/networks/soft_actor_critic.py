"""Networks of soft actor-critic: an actor with squashed actions, and twin critics. What they read besides the
observation (a latent variable of the task, features of a memory) is their user's business."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from meta_rl.config import NetworkConfig
from meta_rl.errors import ConfigError
from meta_rl.maths.distributions import SquashedGaussian
from meta_rl.networks.mlp import mlp

MAX_LOG_STD = 2.0
"""Largest log standard deviation before squashing, as in Haarnoja et al. 2018: wider ones only fill the bounds."""


def require_bounded(action_space: gym.spaces.Space[Any], recipe: str) -> gym.spaces.Box:
    """The action space, if actions can be squashed into it.

    Raises:
        ConfigError: it is discrete, or a box without bounds.
    """
    if not isinstance(action_space, gym.spaces.Box):
        raise ConfigError(f"recipe: {recipe} squashes actions into a box; these tasks have {action_space}; valid here: "
                          "maml-trpo, rl2 or another that takes discrete actions")  # fmt: skip
    if not action_space.is_bounded() or bool((action_space.low == action_space.high).any()):
        raise ConfigError(f"recipe: {recipe} squashes actions between bounds, got {action_space}; "
                          "gymnasium.wrappers.TransformAction(env, lambda action: action, BOUNDED_BOX) gives them "
                          "some")  # fmt: skip
    return action_space


class ActionBox(nn.Module):
    """Middle and half-width of a bounded box, ``[action]`` each."""

    centre: Tensor
    half_width: Tensor

    def __init__(self, space: gym.spaces.Box) -> None:
        super().__init__()
        low, high = (torch.as_tensor(bound, dtype=torch.float32) for bound in (space.low, space.high))
        self.register_buffer("centre", (low + high) / 2, persistent=False)
        self.register_buffer("half_width", (high - low) / 2, persistent=False)

    @property
    def target_entropy(self) -> float:
        """Minus the number of dimensions, of actions in half-widths; in nats of actions in their own units."""
        return float((self.half_width.log() - 1).sum())

    def bounds(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Middle and half-width on the device and in the dtype of another tensor: parameters come from outside, and
        buffers stay where the module was made."""
        return self.centre.to(like), self.half_width.to(like)

    def forward(self, action: Tensor) -> Tensor:
        """Actions in half-widths around the middle, as networks read them."""
        centre, half_width = self.bounds(action)
        return (action - centre) / half_width


class SquashedActor(nn.Module):
    """Mean and standard deviation, before squashing, from one multi-layer perceptron."""

    def __init__(self, input_dim: int, space: gym.spaces.Box, config: NetworkConfig) -> None:
        super().__init__()
        self.box = ActionBox(space)
        self.layers = mlp([input_dim, *config.hidden, 2 * space.shape[0]], config.activation, final_gain=0.1)
        self._first, self._least = math.log(config.init_std), math.log(config.min_std)

    def forward(self, *inputs: Tensor) -> SquashedGaussian:
        """`inputs` ``[..., width]`` each, side by side -> a distribution over ``[..., action]``."""
        mean, change = self.layers(torch.cat(inputs, -1)).chunk(2, -1)
        log_std = (self._first + change).clamp(self._least, MAX_LOG_STD)
        return SquashedGaussian(mean, log_std, *self.box.bounds(mean))


class TwinCritics(nn.Module):
    """Two values of an action, by networks of their own."""

    def __init__(self, input_dim: int, space: gym.spaces.Box, config: NetworkConfig) -> None:
        super().__init__()
        self.box = ActionBox(space)
        sizes = [input_dim + space.shape[0], *config.hidden, 1]
        self.each = nn.ModuleList(mlp(sizes, config.activation) for _ in range(2))

    def forward(self, action: Tensor, *inputs: Tensor) -> Tensor:
        """`action` ``[..., action]`` and `inputs` ``[..., width]`` each -> values ``[critic, ...]``."""
        seen = torch.cat([*inputs, self.box(action)], -1)
        return torch.stack([critic(seen).squeeze(-1) for critic in self.each])
