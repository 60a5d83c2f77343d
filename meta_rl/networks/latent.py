"""Policies that read a latent variable z which stands for the task: an encoder of steps, an actor, twin critics."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import softplus

from meta_rl.config import NetworkConfig
from meta_rl.core import normaliser
from meta_rl.core.interface import Space
from meta_rl.core.replay import Transitions
from meta_rl.core.threads import threads_for
from meta_rl.core.types import Params, from_numpy
from meta_rl.core.weights import Weights
from meta_rl.maths.distributions import DiagonalGaussian, SquashedGaussian
from meta_rl.maths.products import Evidence
from meta_rl.networks import functional
from meta_rl.networks.initial import drawn_from
from meta_rl.networks.mlp import mlp
from meta_rl.networks.modules import ActingModule, Reader
from meta_rl.networks.policy import flat_width
from meta_rl.networks.soft_actor_critic import ActionBox, SquashedActor, TwinCritics, require_bounded

LEAST_VARIANCE = 1e-7
"""Smallest variance of what one step says of z."""


class LatentPolicy(nn.Module):
    """Encoder, actor and critics, each a function of parameters by name.

    Attributes:
        noise_shape, noise_kind: noise that one action takes: that of the action, then that of z. The first step of an
            episode alone uses the latter, which keeps acting a pure function of what it is given.
        latent_size: numbers in z.
        normalised: numbers of an observation, if they are normalised before the policy reads them; else 0.
    """

    noise_kind = "normal"

    def __init__(self, observation_dim: int, space: gym.spaces.Box, config: NetworkConfig) -> None:
        super().__init__()
        action_dim, self.latent_size = space.shape[0], config.latent_size
        self._encode_next = config.encode_next
        read = observation_dim * (1 + config.encode_next) + action_dim + 1
        self.encoder = mlp([read, *config.encoder_hidden, 2 * self.latent_size], config.activation)
        self.actor = SquashedActor(observation_dim + self.latent_size, space, config)
        self.critics = TwinCritics(observation_dim + self.latent_size, space, config)
        self.box = ActionBox(space)
        self.action_dim, self.noise_shape = action_dim, (action_dim + self.latent_size,)
        self.normalised = observation_dim if config.normalise_observations else 0

    def statistics(self) -> Params:
        """Statistics of observations before the first step (see `meta_rl.core.normaliser`); empty if not normalised."""
        return normaliser.empty(self.normalised) if self.normalised else {}

    def evidence(self, params: Params, steps: Transitions, weight: Tensor) -> Evidence:
        """What `steps` say of z, ``[..., latent]``: a Gaussian factor each, as the encoder makes it.

        Args:
            steps: ``[..., step, ...]``, observations as the policy reads them.
            weight: ``[..., step]``, 0 for padding.
        """
        parts = [steps.observation, self.box(steps.action), steps.reward.unsqueeze(-1)]
        seen = torch.cat([*parts, steps.next_observation] if self._encode_next else parts, -1)
        mean, spread = functional.call(self.encoder, functional.part_of(params, "encoder"), seen).chunk(2, -1)
        variance = softplus(spread).clamp(min=LEAST_VARIANCE)
        return Evidence.of(DiagonalGaussian(mean, 0.5 * variance.log()), weight)

    def distribution(self, params: Params, observation: Tensor, latent: Tensor) -> SquashedGaussian:
        """Actions at observations ``[..., obs]`` as the policy reads them, given z ``[..., latent]``."""
        found: SquashedGaussian = functional.call(self.actor, functional.part_of(params, "actor"), observation, latent)
        return found

    def values(self, params: Params, observation: Tensor, action: Tensor, latent: Tensor) -> Tensor:
        """Values ``[critic, ...]`` of `action` ``[..., action]``, both critics'."""
        mine = functional.part_of(params, "critics")
        found: Tensor = functional.call(self.critics, mine, action, observation, latent)
        return found


class ConditionedPolicy(nn.Module):
    """An actor that is told the task, as a function of observations alone.

    Args:
        latent: z, ``[latent]``.
    """

    def __init__(self, policy: LatentPolicy, latent: Tensor) -> None:
        super().__init__()
        self.actor = policy.actor
        self.register_buffer("latent", latent)

    def forward(self, observation: Tensor) -> SquashedGaussian:
        """``[..., obs]`` -> a distribution over ``[..., action]``."""
        latent = self.get_buffer("latent")
        found: SquashedGaussian = self.actor(observation, latent.expand(*observation.shape[:-1], len(latent)))
        return found


class LatentActor:
    """A latent policy and its belief about each task; see `meta_rl.algorithms.base.Actor` for the verbs.

    With noise, z of an episode is drawn from the belief when it begins, and stays for the episode (posterior sampling).
    Without, z is the mean of the belief and the action that of the mean.

    Args:
        weights: parameters of the policy, the same for all tasks, and the statistics of observations.
        belief: about z of each task, ``[task, latent]``.
    """

    def __init__(self, policy: LatentPolicy, weights: Weights, belief: DiagonalGaussian) -> None:
        self._policy, self._params, self._statistics = policy, weights.params, weights.statistics
        self._read, self._belief = Reader(weights.statistics), belief
        self._size = sum(p.numel() for p in functional.part_of(weights.params, "actor").values())
        self._latent: Tensor | None = None  # [task, env, latent] of the episodes that are under way
        self._begun: NDArray[np.bool_] | None = None  # [task, env]: episodes without a z so far; None: all

    def begin(self, mask: NDArray[np.bool_] | None = None) -> None:
        """See `Actor.begin`."""
        if mask is None or self._latent is None:
            self._latent = self._begun = None
        else:
            self._begun = mask if self._begun is None else self._begun | mask

    @torch.no_grad()
    def act(self, observation: NDArray[Any], noise: NDArray[Any] | None) -> NDArray[Any]:
        """See `Actor.act`."""
        mean, spread = (x.unsqueeze(1).expand(*observation.shape[:2], -1) for x in self._belief)  # [task, env, latent]
        drawn = None if noise is None else from_numpy(noise)
        with threads_for(2 * self._size * math.prod(observation.shape[:2])):
            seen = self._read(from_numpy(observation.astype(np.float32, copy=False)))
            latent = mean
            if drawn is not None:
                fresh = DiagonalGaussian(mean, spread).sample(drawn[..., self._policy.action_dim :])
                latent = self._latent = self._keep(fresh)
            distribution = self._policy.distribution(self._params, seen, latent)
            action = (
                distribution.mode() if drawn is None else distribution.sample(drawn[..., : self._policy.action_dim])
            )
        return np.asarray(action.numpy())

    def observe(self, reward: NDArray[np.float64], done: NDArray[np.bool_]) -> None:
        """Nothing to remember: the belief changes by adaptation alone."""

    def module(self, action_space: Space) -> ActingModule:
        """The policy of the first task, z the mean of its belief, as a module with its parameters."""
        conditioned = ConditionedPolicy(self._policy, self._belief.mean[0])
        return ActingModule(conditioned, self._params, self._statistics, action_space)

    def _keep(self, fresh: Tensor) -> Tensor:
        """z of each episode: `fresh` where one begins, else as it was."""
        begun, self._begun = self._begun, None
        if self._latent is None:
            return fresh
        if begun is None:
            return self._latent
        return torch.where(torch.from_numpy(begun).unsqueeze(-1), fresh, self._latent)


def make_latent_policy(
    observation_space: gym.spaces.Box, action_space: gym.spaces.Space[Any], config: NetworkConfig, seed: int
) -> LatentPolicy:
    """The latent policy that fits the spaces (flat observations, actions in a bounded box).

    Its initial parameters are a function of `seed` alone; torch's global generator is left untouched.

    Raises:
        ConfigError: actions are discrete, or have no bounds.
    """
    width, space = flat_width(observation_space), require_bounded(action_space, "pearl")
    with drawn_from(seed):
        return LatentPolicy(width, space, config)
