"""The agent that learns nothing: uniformly random actions, before and after "adaptation"."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from meta_rl.config import NetworkConfig, RandomConfig
from meta_rl.core.state import TrainState
from meta_rl.core.types import MetaBatch, Metrics, Rollout
from meta_rl.core.weights import Weights
from meta_rl.errors import ConfigError


class UniformPolicy:
    """Uniform over the action space, from uniform noise."""

    noise_kind = "uniform"

    def __init__(self, action_space: gym.spaces.Box | gym.spaces.Discrete) -> None:
        self.space = action_space
        self.noise_shape: tuple[int, ...] = (
            (1,) if isinstance(action_space, gym.spaces.Discrete) else action_space.shape
        )

    def act(self, noise: NDArray[np.float32]) -> NDArray[Any]:
        """Actions for `noise` ``[..., *noise_shape]``."""
        if isinstance(self.space, gym.spaces.Discrete):
            return np.asarray(noise[..., 0] * self.space.n, np.int64)
        return np.asarray(self.space.low + noise * (self.space.high - self.space.low), np.float32)


def make_uniform_policy(
    observation_space: gym.spaces.Box,
    action_space: gym.spaces.Box | gym.spaces.Discrete,
    network: NetworkConfig,
    seed: int,
) -> UniformPolicy:
    """The random policy of `action_space`; the other arguments do not matter.

    Raises:
        ConfigError: a Box without bounds.
    """
    if isinstance(action_space, gym.spaces.Box) and not action_space.is_bounded():
        raise ConfigError(f"recipe: random actions need a bounded action space, got {action_space}")
    return UniformPolicy(action_space)


class UniformActor:
    """Random actions in all environments; see `meta_rl.algorithms.base.Actor` for the verbs.

    It is judged like all others, by "mode" actions, for which it draws noise of its own. Every actor has a generator to
    itself, which starts the same, so an evaluation repeats exactly.
    """

    def __init__(self, policy: UniformPolicy) -> None:
        self._policy, self._rng = policy, np.random.default_rng(0)

    def begin(self, mask: NDArray[np.bool_] | None = None) -> None:
        """Nothing to forget."""

    def act(self, observation: NDArray[Any], noise: NDArray[Any] | None) -> NDArray[Any]:
        """See `Actor.act`."""
        if noise is None:
            noise = self._rng.random((*observation.shape[:2], *self._policy.noise_shape), dtype=np.float32)
        return self._policy.act(noise)

    def observe(self, reward: NDArray[np.float64], done: NDArray[np.bool_]) -> None:
        """Nothing to remember."""


class Random:
    """The learner; see `meta_rl.algorithms.base.MetaLearner` for its verbs."""

    episodes_at_once = True

    def __init__(self, config: RandomConfig, policy: UniformPolicy) -> None:
        self.policy = policy

    def init(self) -> TrainState:
        """No parameters."""
        return TrainState(0, 0, {})

    def stages(self, episodes_per_task: int) -> int:
        """No support."""
        return 1

    def start(self, weights: Weights, num_tasks: int) -> Weights:
        """Nothing."""
        return weights

    def actor(self, adapted: Weights) -> UniformActor:
        """An actor from the start of its noise."""
        return UniformActor(self.policy)

    def prepare(self, adapted: Weights, rollout: Rollout) -> tuple[()]:
        """Nothing to learn from."""
        return ()

    def adapt(self, adapted: Weights, support: tuple[()], actor: object = None) -> Weights:
        """Nothing changes."""
        return adapted

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """Nothing to learn."""
        return {}
