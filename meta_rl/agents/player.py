"""An agent in a single `gymnasium.Env`: adapt to it, then act in it.

player = meta_rl.load("runs/NAME").player()
player.adapt(env)                        # practises there, then learns from what happened
observation, _ = env.reset()
action = player.act(observation)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from torch import nn

from envs import NonFiniteError, SingleEnv
from meta_rl.agents.bundle import Bundle
from meta_rl.agents.practised import Budget, Judgement, Practised, check_count, check_practice, judge
from meta_rl.agents.saved import Kept, adapted_leaves, with_leaves, write_player
from meta_rl.algorithms.base import Actor, MetaLearner, draw_noise
from meta_rl.config import EvaluateConfig, TrainConfig
from meta_rl.core.interface import Interface, to_env
from meta_rl.core.seeding import Purpose, generator, integer
from meta_rl.core.types import Adapted, Rollout
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
        agent: the agent that it is of, as `save` writes it, and the config of its training run; None: it cannot be
            saved.
    Raises:
        ConfigError: `seed` is no whole number of at least 0.
    Attributes:
        practice: what the last `adapt` used, and whether its result was kept; None before the first.
    """

    practice: Practised | None

    def __init__(
        self,
        learner: MetaLearner,
        weights: Weights,
        interface: Interface,
        protocol: EvaluateConfig,
        seed: int,
        agent: tuple[Bundle, TrainConfig] | None = None,
    ) -> None:
        self._learner, self._weights, self._interface = learner, weights, interface
        check_count("seed", seed, 0)
        self._protocol, self._seed, self._agent = protocol, int(seed), agent
        self._played, self._warned = 0, False
        self.forget()

    def forget(self) -> None:
        """Return to the meta-parameters, for another task."""
        self._adapted = self._fresh()
        self._stage = 0
        self.practice = None
        self.reset()

    def reset(self) -> None:
        """Forget what happened since the last adaptation; an episode begins."""
        self._actor: Actor | None = None
        self._over = self._acted = False

    def adapt(
        self,
        env: gym.Env[Any, Any],
        episodes: int | None = None,
        steps: int | None = None,
        horizon: int | None = None,
        *,
        env_steps: int | None = None,
        seconds: float | None = None,
        keep_if: str | None = None,
        judge_episodes: int = 10,
    ) -> Player:
        """Practise in `env` with sampled actions and adapt to it, on top of what was adapted before. What it used is
        the attribute `practice` afterwards.

        With a budget (`env_steps`, `seconds` or both) every step has an equal share of it, and `episodes` is no more
        than a limit, if it is given. Episodes are whole, and none begins that might not fit into the rest; but the
        first is played whatever it takes. A step for which no episode is left does not happen. Judging (`keep_if`)
        comes on top.

        Args:
            episodes: number of episodes that each step learns from; default: as in the protocol of the training run.
            steps: number of adaptations, one after another; default: as in the protocol of the training run.
            horizon: env steps after which an episode is cut off if the environment does not end it. Default: as in
                training.
            env_steps: budget in env steps.
            seconds: budget in seconds of wall-clock time, learning included; the last learning is not foreseen.
            keep_if: "not-worse" or "better": play `judge_episodes` episodes with the new policy and as many with the
                old one, in turns, and go back to the old one unless the condition holds
                (`meta_rl.agents.practised.Judgement` has the rule). Default: keep the new one. For agents with a memory
                the old policy is the one with the memory before this practice, and every judged episode begins with a
                copy of one of the two memories.
            judge_episodes: number of episodes that judge each policy, at least 2.
        Returns:
            Itself.
        Raises:
            ConfigError: `env` has other spaces than the agent, or an argument is out of bounds.
            NonFiniteError: an observation or reward is not finite.
        """
        single = self._open(env, horizon)
        most: float = self._protocol.adaptation_episodes if episodes is None else episodes
        if episodes is None and (env_steps is not None or seconds is not None):
            most = math.inf
        steps = self._protocol.adaptation_steps if steps is None else steps
        given = {"episodes": episodes, "steps": steps, "env_steps": env_steps}
        check_practice(given, seconds, keep_if, judge_episodes)
        before, budget = self._adapted, Budget(single.horizon, env_steps or math.inf, seconds or math.inf)
        for step in range(steps):
            numbers = budget.numbers(most, (step + 1) / steps)
            if self._learner.episodes_at_once:
                self._adapt_once(single, numbers, budget)
            else:
                for _ in numbers:
                    self._adapt_once(single, [0], budget)
        used = budget.used()
        if keep_if is not None:
            judgement = self._judge(single, before, keep_if, judge_episodes)
            used = replace(used, judgement=judgement)
            self._adapted = self._adapted if judgement.kept else before
        self.practice = used
        self.reset()
        return self

    def _adapt_once(self, env: SingleEnv, numbers: Iterable[int], budget: Budget) -> None:
        """One adaptation on the episodes `numbers`, which the evaluator would collect side by side."""
        rng = generator(self._seed, Purpose.TEST_NOISE, stage=self._stage)
        actor, episodes = self._learner.actor(self._adapted), []
        for k in numbers:
            noise = draw_noise(rng, self._learner.policy, 1, 1, env.horizon)
            episodes.append(rollout(env, actor, noise, [self._env_seed(k, 2 * self._stage + 1)]))
            budget.spend(episodes[-1])
        if not episodes:
            return
        recorded = join_rollouts(episodes)
        self._look_at(recorded.observation)
        self._adapted = self._learner.adapt(self._adapted, self._learner.prepare(self._adapted, recorded), actor)
        self._stage += 1
        budget.adaptations += 1

    def _judge(self, env: SingleEnv, before: Adapted, keep_if: str, episodes: int) -> Judgement:
        """Compare what practice left with `before`. The two take turns, and turns at being first, so that an
        environment that changes with time favours neither."""
        policies, returns, env_steps = (before, self._adapted), np.zeros((2, episodes)), 0
        for k in range(episodes):
            seed = self._next_seed()
            for which in (0, 1) if k % 2 == 0 else (1, 0):
                played = rollout(env, self._learner.actor(policies[which]), None, [seed])
                returns[which, k] = played.returns[0, 0]
                env_steps += played.env_steps
        return judge(keep_if, returns, env_steps)

    def play(self, env: gym.Env[Any, Any], seed: int | None = None, horizon: int | None = None) -> Rollout:
        """One episode with mode actions, from what the last adaptation left; ``[1, 1, time, ...]``. Its actions are
        those that `env` was sent.

        Args:
            seed: of the environment's reset; default: a new one for every call, which follows from the player's.
            horizon: as in `adapt`.
        Raises:
            ConfigError, NonFiniteError: as `adapt`.
        """
        if seed is not None:
            check_count("seed", seed, 0)
        single = self._open(env, horizon)
        seed = self._next_seed() if seed is None else seed
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
        self._over, self._acted = False, True
        space = self._interface.action_space
        action = to_env(space, self._actor.act(seen[None, None], None)[0, 0])
        return int(action) if isinstance(space, gym.spaces.Discrete) else action

    def observe(self, reward: float, done: bool) -> None:
        """Tell what followed the last action; `done` is True if the episode is over, terminated or truncated. An agent
        with a memory takes it into the next episode, unless `reset` comes first.

        Raises:
            ConfigError: no action came before it, or the reward is not one number.
            NonFiniteError: the reward is not finite; a memory would never forget it.
        """
        if self._actor is None or not self._acted:
            raise ConfigError("observe: tells what followed an action; call act first, once before each observe")
        told = _lone(_reward(reward), np.float64), _lone(bool(done), np.bool_)
        self._over, self._acted = bool(done), False
        self._actor.observe(*told)

    def save(self, folder: str | Path) -> Path:
        """Write the agent and all that this player has adapted into `folder`; returns it. `meta_rl.load_player` reads
        it, and `meta_rl.load` the agent before adaptation. What happened since the last adaptation is not part of it.

        Raises:
            ConfigError: the folder holds anything but a saved player.
            RunError: it cannot be written.
        """
        assert self._agent is not None, "the player of an agent can be saved"
        kept = Kept(adapted_leaves(self._adapted, self._fresh()), self._seed, self._stage, self._played, self.practice)
        return write_player(Path(folder), *self._agent, kept)

    def restore(self, kept: Kept) -> None:
        """Go on as the player that was saved.

        Raises:
            ValueError: it is of another agent; in one line.
        """
        self._adapted = with_leaves(kept.leaves, self._fresh())
        self._seed, self._stage, self._played, self.practice = kept.seed, kept.stage, kept.played, kept.practice
        self.reset()

    def is_of(self, weights: Weights) -> bool:
        """Whether this player began with `weights`."""
        return not adapted_leaves(self._weights, weights)

    def _fresh(self) -> Adapted:
        """The state before adaptation."""
        return self._learner.start(self._weights, 1)

    def _next_seed(self) -> int:
        """A seed for an episode with mode actions, another one for every call. Even stages are those of judged
        episodes; the first one here is the evaluator's first, where 31 bits hold its seed."""
        self._played += 1
        return self._env_seed(self._played - 1, 2 * self._stage)

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
        check_count("horizon", horizon)
        return SingleEnv(env, int(horizon))


def _reward(value: Any) -> float:
    """One finite number, of those that a policy can read."""
    given = np.asarray(value)
    if given.dtype.kind not in "fiub" or given.size != 1:
        raise ConfigError(f"observe: the reward must be one number, got {value!r}")
    number = float(given.item())
    if not abs(number) <= float(np.finfo(np.float32).max):
        raise NonFiniteError(f"observe: the reward is {number}; it must be finite in float32")
    return number


def _lone(value: Any, kind: Any) -> NDArray[Any]:
    """``[1, 1]``."""
    return np.full((1, 1), value, kind)
