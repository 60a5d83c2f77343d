"""Policies: modules that map observations to an action distribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from meta_rl.config import NetworkConfig
from meta_rl.core import normaliser
from meta_rl.core.types import Params
from meta_rl.maths.distributions import Categorical, DiagonalGaussian
from meta_rl.networks import functional
from meta_rl.networks.initial import drawn_from
from meta_rl.networks.mlp import mlp


Layers = Callable[[Sequence[int], str, float], nn.Module]
"""Makes a network from its sizes, the activation and the gain of its last layer, as `meta_rl.networks.mlp.mlp` does."""


class Policy(nn.Module):
    """Base of the feed-forward policies.

    Attributes:
        noise_shape: trailing shape of the noise one action takes (see `distributions`).
        noise_kind: ``"normal"`` or ``"uniform"``.
        normalised: numbers of an observation, if they are normalised before the policy reads them; else 0.
    """

    noise_shape: tuple[int, ...]
    noise_kind: str
    normalised: int = 0

    def statistics(self) -> Params:
        """Statistics of observations before the first step (see `meta_rl.core.normaliser`); empty if not normalised."""
        return normaliser.empty(self.normalised) if self.normalised else {}

    def apply(self, params: Params, observation: Tensor) -> Any:  # type: ignore[override]
        """The distribution at `observation` ``[..., obs]`` under `params` (the module's own are not used)."""
        return functional.call(self, params, observation)


class GaussianPolicy(Policy):
    """Mean from a multi-layer perceptron, standard deviation a free parameter that is adapted too."""

    noise_kind = "normal"

    def __init__(self, observation_dim: int, action_dim: int, config: NetworkConfig, layers: Layers = mlp) -> None:
        super().__init__()
        self.mean = layers([observation_dim, *config.hidden, action_dim], config.activation, 0.1)
        self.log_std = nn.Parameter(torch.full((action_dim,), math.log(config.init_std)))
        self.min_log_std, self.mean_bound = math.log(config.min_std), config.mean_bound
        self.noise_shape = (action_dim,)

    def forward(self, observation: Tensor) -> DiagonalGaussian:
        """``[..., obs]`` -> a diagonal Gaussian over ``[..., action]``."""
        mean = self.mean(observation)
        if self.mean_bound:
            mean = self.mean_bound * torch.tanh(mean / self.mean_bound)
        # The maximum (not clamp) keeps second derivatives defined everywhere.
        log_std = torch.maximum(self.log_std, torch.full_like(self.log_std, self.min_log_std))
        return DiagonalGaussian(mean, log_std.expand_as(mean))


class CategoricalPolicy(Policy):
    """Logits from a multi-layer perceptron."""

    noise_kind = "uniform"
    noise_shape = (1,)

    def __init__(self, observation_dim: int, actions: int, config: NetworkConfig, layers: Layers = mlp) -> None:
        super().__init__()
        self.logits = layers([observation_dim, *config.hidden, actions], config.activation, 0.1)

    def forward(self, observation: Tensor) -> Categorical:
        """``[..., obs]`` -> a categorical distribution."""
        return Categorical(self.logits(observation))


def flat_width(observation_space: gym.spaces.Box) -> int:
    """Numbers of a flat observation.

    Raises:
        ValueError: it is not flat.
    """
    if len(observation_space.shape) != 1:
        raise ValueError(f"policies read flat observations [obs], got shape {observation_space.shape}")
    return int(observation_space.shape[0])


def make_policy(
    observation_space: gym.spaces.Box, action_space: gym.spaces.Space[Any], config: NetworkConfig, seed: int
) -> Policy:
    """The policy that fits the spaces (flat observations; Box or Discrete actions).

    Its initial parameters are a function of `seed` alone; torch's global generator is left untouched.
    """
    width = flat_width(observation_space)
    with drawn_from(seed):
        policy = policy_for(action_space, width, config)
    policy.normalised = width if config.normalise_observations else 0
    return policy


def policy_for(
    action_space: gym.spaces.Space[Any], input_dim: int, config: NetworkConfig, layers: Layers = mlp
) -> Policy:
    """The kind of policy that fits `action_space`, on inputs ``[..., input_dim]``; `layers` makes its network."""
    if isinstance(action_space, gym.spaces.Discrete):
        return CategoricalPolicy(input_dim, int(action_space.n), config, layers)
    assert action_space.shape is not None
    return GaussianPolicy(input_dim, action_space.shape[0], config, layers)
