"""An agent in a single `gymnasium.Env`: adapt to it, then act in it.

player = meta_rl.load("runs/NAME").player()
player.adapt(env)                        # practises there, then learns from what happened
observation, _ = env.reset()
action = player.act(observation)
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from torch import nn

from envs import SingleEnv
from meta_rl.algorithms.base import Actor, MetaLearner, draw_noise
from meta_rl.config import EvaluateConfig
from meta_rl.core.interface import Interface, to_env
from meta_rl.core.seeding import Purpose, generator, integer
from meta_rl.core.types import Rollout
from meta_rl.core.weights import Weights
from meta_rl.errors import ConfigError
from meta_rl.sources.collect import as_sent, join_rollouts, rollout


class Player:
    """A policy for one environment at a time; unadapted at first.

    Actions are what the policy answers, as in training; where an environment wants them inside its bounds, wrap it in
    `gymnasium.wrappers.ClipAction`. For agents with a memory (RL2) tell every step to `observe`; the others do not
    mind.

    Args:
        protocol: has the default numbers of episodes and steps of `adapt`.
        seed: of the noise of adaptation episodes and of the environments' resets.
    """

    def __init__(
        self, learner: MetaLearner, weights: Weights, interface: Interface, protocol: EvaluateConfig, seed: int
    ) -> None:
        self._learner, self._weights, self._interface = learner, weights, interface
        self._protocol, self._seed = protocol, seed
        self._played, self._warned = 0, False
        self.forget()

    def forget(self) -> None:
        """Return to the meta-parameters, for another task."""
        self._adapted = self._learner.start(self._weights, 1)
        self._stage = 0
        self.reset()

    def reset(self) -> None:
        """Forget what happened since the last adaptation; an episode begins."""
        self._actor: Actor | None = None
        self._over = False

    def adapt(
        self,
        env: gym.Env[Any, Any],
        episodes: int | None = None,
        steps: int | None = None,
        horizon: int | None = None,
    ) -> Player:
        """Practise in `env` with sampled actions and adapt to it, on top of what was adapted before.

        Args:
            episodes: number of episodes that each step learns from; default: as in the protocol of the training run.
            steps: number of adaptations, one after another; default: as in the protocol of the training run.
            horizon: env steps after which an episode is cut off if the environment does not end it. Default: as in
                training.
        Returns:
            Itself.
        Raises:
            ConfigError: `env` has other spaces than the agent, or a number is below 1.
            NonFiniteError: an observation or reward is not finite.
        """
        episodes = self._protocol.adaptation_episodes if episodes is None else episodes
        steps = self._protocol.adaptation_steps if steps is None else steps
        single = self._open(env, horizon)
        for name, value in (("episodes", episodes), ("steps", steps)):
            if value < 1:
                raise ConfigError(f"{name}: must be at least 1, got {value}")
        for _ in range(steps):
            if self._learner.episodes_at_once:
                self._adapt_once(single, episodes)
            else:
                for _ in range(episodes):
                    self._adapt_once(single, 1)
        self.reset()
        return self

    def _adapt_once(self, env: SingleEnv, episodes: int) -> None:
        """One adaptation on `episodes` episodes, which the evaluator would collect side by side."""
        rng = generator(self._seed, Purpose.TEST_NOISE, stage=self._stage)
        noise = draw_noise(rng, self._learner.policy, 1, episodes, env.horizon)
        actor = self._learner.actor(self._adapted)
        seeds = [self._env_seed(k, 2 * self._stage + 1) for k in range(episodes)]
        recorded = join_rollouts([rollout(env, actor, noise[:, k : k + 1], seeds[k : k + 1]) for k in range(episodes)])
        self._look_at(recorded.observation)
        self._adapted = self._learner.adapt(self._adapted, self._learner.prepare(self._adapted, recorded), actor)
        self._stage += 1

    def play(self, env: gym.Env[Any, Any], seed: int | None = None, horizon: int | None = None) -> Rollout:
        """One episode with mode actions, from what the last adaptation left; ``[1, 1, time, ...]``. Its actions are
        those that `env` was sent.

        Args:
            seed: of the environment's reset; default: a new one for every call, which follows from the player's.
            horizon: as in `adapt`.
        Raises:
            ConfigError, NonFiniteError: as `adapt`.
        """
        single = self._open(env, horizon)
        if seed is None:
            # Even stages are those of judged episodes; the first one here is the evaluator's first, where 31 bits hold
            # its seed.
            seed = self._env_seed(self._played, 2 * self._stage)
            self._played += 1
        played = as_sent(rollout(single, self._learner.actor(self._adapted), None, [seed]), single)
        self._look_at(played.observation)
        return played

    def module(self) -> nn.Module:
        """What `act` does after a `reset`, as a PyTorch module that holds the adapted weights and the statistics of
        observations: `meta_rl.networks.modules.ActingModule`, or `RecurrentModule` for agents with a memory.

        Raises:
            ConfigError: the agent has no network.
        """
        actor = self._learner.actor(self._adapted)
        make = getattr(actor, "module", None)
        if make is None:
            raise ConfigError(f"module: a {type(actor).__name__} has no network")
        module: nn.Module = make(self._interface.action_space)
        return module

    def act(self, observation: Any) -> Any:
        """The mode action ``[action]`` (an int for discrete ones) at `observation` ``[obs]``.

        Raises:
            ConfigError: the observation has another shape than those of training.
            NonFiniteError: a number in it is not finite.
        """
        seen = self._interface.read(observation)
        self._look_at(seen)
        if self._actor is None:
            self._actor = self._learner.actor(self._adapted)
            self._actor.begin()
        elif self._over:
            self._actor.begin()
        self._over = False
        space = self._interface.action_space
        action = to_env(space, self._actor.act(seen[None, None], None)[0, 0])
        return int(action) if isinstance(space, gym.spaces.Discrete) else action

    def observe(self, reward: float, done: bool) -> None:
        """Tell what followed the last action; `done` is True if the episode is over, terminated or truncated. An agent
        with a memory takes it into the next episode, unless `reset` comes first."""
        assert self._actor is not None, "observe follows act"
        self._over = bool(done)
        self._actor.observe(_lone(reward, np.float64), _lone(done, np.bool_))

    def _env_seed(self, episode: int, stage: int) -> int:
        """A seed of the environment that follows from the player's. Simulators in C++ often keep one in 31 bits."""
        return integer(self._seed, Purpose.TEST_ENV, task=episode, stage=stage) % 2**31

    def _look_at(self, observation: NDArray[Any]) -> None:
        """Warn, once, of an observation ``[..., obs]`` that the agent cannot read."""
        self._warned = self._warned or self._interface.warn_of_news(observation)

    def _open(self, env: gym.Env[Any, Any], horizon: int | None) -> SingleEnv:
        if not hasattr(env, "has_wrapper_attr"):
            raise ConfigError(f"env: must be a single gymnasium.Env, got {type(env).__name__}")
        self._interface.check(env)
        horizon = self._interface.horizon if horizon is None else horizon
        if horizon < 1:
            raise ConfigError(f"horizon: must be at least 1, got {horizon}")
        return SingleEnv(env, horizon)


def _lone(value: Any, kind: Any) -> NDArray[Any]:
    """``[1, 1]``."""
    return np.full((1, 1), value, kind)
