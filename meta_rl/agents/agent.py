"""A trained agent outside the training loop: load it, adapt it, hand it to Meta-World's own evaluator."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from meta_rl.agents import bundle
from meta_rl.agents.player import Player
from meta_rl.agents.predictor import Predictor
from meta_rl.agents.saved import read_player
from meta_rl.algorithms.base import Actor, MetaLearner, draw_noise, make_learner
from meta_rl.config import RECIPES, TrainConfig, load_config, replace_paths
from meta_rl.core.interface import INTERFACE, Interface
from meta_rl.core.moments import Moments
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.state import TrainState
from meta_rl.core.types import Adapted, Rollout
from meta_rl.core.weights import Weights, adopt
from meta_rl.errors import ConfigError
from meta_rl.networks.modules import fill, filled
from meta_rl.runs import checkpoint
from meta_rl.runs.durable import CheckpointError
from meta_rl.runs.folder import absolute_data, find_iteration, is_exported, require_run
from meta_rl.runs.problem import open_problem
from meta_rl.runs.recorded import FINGERPRINT, learned_on, read_about, read_interface


class Agent:
    """Meta-learned parameters with the learner that knows how to adapt them.

    Attributes:
        config: of the training run.
        learner: adapts and acts (a `FewShotLearner` for few-shot tasks: adapts and predicts).
        weights: what was meta-learned, on the CPU.
        iteration: finished meta-updates.
        env_steps: env steps of training; 0 for few-shot tasks.
        interface: spaces and horizon of the tasks that it was trained on.
        learned_from: the fingerprint of these tasks; empty where the run did not write it down.
        about: all that the run wrote down of itself: versions, device, tasks.
        extras: further tensors of the algorithm, for a run that begins with the agent; an exported agent has the
            statistics of returns alone.
    """

    def __init__(
        self,
        config: TrainConfig,
        learner: MetaLearner,
        weights: Weights,
        iteration: int,
        env_steps: int,
        interface: Interface,
        learned_from: Mapping[str, Any] | None = None,
        about: Mapping[str, Any] | None = None,
        extras: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.extras = dict(extras or {})
        self.learned_from, self.about = dict(learned_from or {}), dict(about or {})
        self.config, self.learner, self.weights = config, learner, weights
        self.iteration, self.env_steps, self.interface = iteration, env_steps, interface
        hold(learner, weights)

    @property
    def trained_on(self) -> str:
        """Name of the tasks that it learned from; `config` names those that it was handed over for."""
        return learned_on(self.about) or self.config.env

    def module(self) -> nn.Module:
        """The network before adaptation as a PyTorch module that holds what was learned, the statistics of observations
        too (see `Player.module`). An agent of labelled examples: from observations to answers, or to embeddings where
        the learner compares those.

        Raises:
            ConfigError: the agent has no network.
        """
        if RECIPES[self.config.recipe].learns == "rl":
            return self.player().module()
        module: nn.Module = filled(self.learner.policy, self.weights.params)  # type: ignore[arg-type]
        return module

    def player(self, seed: int = 0) -> Player:
        """The agent before adaptation, to adapt to a single `gymnasium.Env` and to act in it.

        Raises:
            ConfigError: it has learned from labelled examples.
        """
        if RECIPES[self.config.recipe].learns != "rl":
            raise ConfigError(f"player: {self.config.recipe} has learned from labelled examples, not to act; valid: "
                              "predictor")  # fmt: skip
        about = {key: value for key, value in self.about.items() if key != INTERFACE}
        returned = Moments.among(self.extras)
        saved = bundle.Bundle(self.weights, self.iteration, self.env_steps, self.interface, about, returned)
        return Player(self.learner, self.weights, self.interface, self.config.evaluate, seed, (saved, self.config))

    def predictor(self) -> Predictor:
        """The agent before adaptation, to adapt to labelled examples and to answer.

        Raises:
            ConfigError: it has learned to act.
        """
        if RECIPES[self.config.recipe].learns == "rl":
            raise ConfigError(f"predictor: {self.config.recipe} has learned to act; valid: player")
        learner: Any = self.learner
        return Predictor(learner, self.weights, self.interface, self.config)

    def as_metaworld_agent(self, seed: int = 0) -> MetaWorldAgent:
        """The agent as `metaworld.evaluation.metalearning_evaluation` takes it."""
        return MetaWorldAgent(self.learner, self.weights, seed, self.interface)


def hold(learner: Any, weights: Weights) -> None:
    """Put `weights` into the modules of `learner`, so that calling, tracing or saving them gives what was learned.
    `init` goes on giving the state before the first iteration."""
    first = learner.init()
    for module in vars(learner).values():
        if not isinstance(module, nn.Module):
            continue
        if module is learner.policy:
            fill(module, weights.params, bool(weights.statistics))
        elif dict(module.named_parameters()).keys() <= weights.shared.keys():  # a head, a learned rule
            fill(module, weights.shared)
    learner.init = functools.partial(copy.deepcopy, first)


def load(folder: str | Path, iteration: int | None = None, data: str | Path = "") -> Agent:
    """The agent of a run's newest sound checkpoint, or of a folder that `meta-rl export` wrote.

    Args:
        iteration: take the checkpoint of this iteration and no other (an exported agent has but its own).
        data: where its data lies now, if it has moved, or if the agent came from elsewhere.
    Raises:
        ConfigError: neither is there, or the run has no checkpoint, or none of `iteration`, naming those it has.
        CheckpointError: every checkpoint, or that of `iteration`, or the exported file, is damaged.
    """
    folder = Path(folder)
    require_run(folder)
    config = load_config(folder / "config.json")
    if data:
        config = absolute_data(replace_paths(config, {"fewshot.data": str(data)}))
    found: bundle.Bundle | TrainState
    if is_exported(folder):
        found = bundle.read_bundle(folder)
        interface, about = found.interface, found.about
        if iteration is not None:
            find_iteration(folder, iteration)
    else:
        found, interface, about = load_state(folder, iteration), interface_of(folder, config), read_about(folder)
    learner: Any = make_learner(config, interface)
    weights = adopted(folder, learner, found.weights)
    extras = found.extras if isinstance(found, TrainState) else found.returned
    learned_from = about.get(FINGERPRINT)
    return Agent(config, learner, weights, found.iteration, found.env_steps, interface, learned_from, about, extras)


def load_player(folder: str | Path) -> Player:
    """The player that `Player.save` wrote, as it was after its last adaptation. Needs no environment.

    Raises:
        ConfigError: there is none.
        CheckpointError: a file is missing, damaged, or of another agent.
    """
    folder = Path(folder)
    kept = read_player(folder)
    player = load(folder).player()
    try:
        player.restore(kept)
    except ValueError as error:
        raise CheckpointError(f"{folder}: {error}") from None
    return player


def interface_of(run_dir: Path, config: TrainConfig) -> Interface:
    """What the agent of a run observes and answers: as the run wrote it down, so that neither its environments nor its
    training data are opened. Runs of earlier versions did not write it; their tasks are opened.

    Raises:
        ConfigError: the tasks of such a run cannot be opened.
    """
    return read_interface(read_about(run_dir)) or open_problem(config).interface


def load_state(run_dir: Path, iteration: int | None = None) -> TrainState:
    """The newest sound checkpoint of a run, or the one of `iteration` and no other.

    Raises:
        ConfigError: there is none, or none of `iteration`, naming those there are.
        CheckpointError: all are damaged, or that of `iteration` is.
    """
    if iteration is None:
        newest = checkpoint.load_newest(run_dir / "checkpoints")
        if newest is None:
            raise ConfigError(f"RUN: {run_dir} holds no checkpoint yet")
        return newest
    path = find_iteration(run_dir, iteration)
    state = checkpoint.load_checkpoint(path)
    if state.iteration != iteration:
        raise CheckpointError(f"{path}: holds iteration {state.iteration}")
    return state


def adopted(folder: Path, learner: Any, found: Weights) -> Weights:
    """`found` as `learner` has it (see `meta_rl.core.weights.adopt`).

    Raises:
        CheckpointError: it is of another network.
    """
    try:
        return adopt(found, learner.init().weights)
    except ValueError as error:
        raise CheckpointError(f"{folder}: {error}") from None


class MetaWorldAgent:
    """Meta-World's `MetaLearningAgent` protocol; each environment of its vector env is one task.

    Observations and actions are float64, as the protocol has them. The vector env must autoreset in the same step
    (Meta-World's default).
    """

    def __init__(self, learner: MetaLearner, weights: Weights, seed: int, interface: Interface | None = None) -> None:
        self._learner, self._weights, self._interface = learner, weights, interface
        self._rng = generator(seed, Purpose.TEST_NOISE)
        self.init()

    def init(self) -> None:
        """Forget every adaptation."""
        self._adapted: Adapted = None
        self._actor: Actor | None = None
        self._timesteps: list[Any] = []
        self._judged = False

    def reset(self, env_mask: NDArray[np.bool_]) -> None:
        """Episodes begin in the environments of `env_mask` ``[env]``."""
        if self._actor is not None:
            self._actor.begin(np.asarray(env_mask, bool)[:, None])

    def adapt_action(self, observations: NDArray[np.float64]) -> tuple[NDArray[np.float64], dict[str, NDArray[Any]]]:
        """Sampled actions ``[env, action]`` for the adaptation episodes."""
        self._judged = False
        return self._act(observations, draw_noise(self._rng, self._learner.policy, len(observations), 1)), {}

    def eval_action(self, observations: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mode actions ``[env, action]``."""
        self._judged = True
        return self._act(observations, None)

    def observe(self, reward: NDArray[np.float64], done: NDArray[np.bool_]) -> None:
        """What followed an `eval_action`, ``[env]`` each; after an `adapt_action` (see `step`) it does nothing.

        Not part of the protocol, which keeps rewards to itself while it judges. An agent with a memory acts without
        it, but as if all its rewards were 0.
        """
        if self._judged and self._actor is not None:
            self._actor.observe(np.asarray(reward, np.float64)[:, None], np.asarray(done, bool)[:, None])

    def step(self, timestep: Any) -> None:
        """Record one `metaworld.evaluation.Timestep` of all environments."""
        self._timesteps.append(timestep)
        if self._actor is not None:
            done = np.asarray(timestep.terminated, bool) | np.asarray(timestep.truncated, bool)
            self._actor.observe(np.asarray(timestep.reward, np.float64)[:, None], done[:, None])
            self._actor.begin(done[:, None])  # the protocol's `reset` is called in its evaluation only

    def adapt(self) -> None:
        """One adaptation on the recorded episodes."""
        recorded = episodes_of(self._timesteps)
        adapted = self._current(len(recorded.reward))
        actor = self._actor or self._learner.actor(adapted)
        self._adapted = self._learner.adapt(adapted, self._learner.prepare(adapted, recorded), actor)
        self._actor, self._timesteps = None, []

    def _current(self, num_tasks: int) -> Adapted:
        return self._learner.start(self._weights, num_tasks) if self._adapted is None else self._adapted

    def _act(self, observations: NDArray[np.float64], noise: NDArray[np.float32] | None) -> NDArray[np.float64]:
        if self._interface is not None:
            observations = self._interface.read(observations, len(observations)).astype(np.float64)
        if self._actor is None:
            self._actor = self._learner.actor(self._current(len(observations)))
            self._actor.begin()
        return self._actor.act(observations[:, None], noise)[:, 0].astype(np.float64)


def episodes_of(timesteps: list[Any]) -> Rollout:
    """Cut the streams of a vector env into complete episodes ``[env, episode, time]``, padded to the longest.

    Environments may finish different numbers of episodes; all keep as many as the one that finished fewest.
    Meta-World's protocol never hands over the last observation, so it is the last one acted on, repeated.
    """
    observation = np.stack([t.observation for t in timesteps], 1).astype(np.float32)
    action = np.stack([t.action for t in timesteps], 1).astype(np.float32)
    reward = np.stack([t.reward for t in timesteps], 1).astype(np.float32)
    terminated = np.stack([t.terminated for t in timesteps], 1).astype(bool)
    ended = terminated | np.stack([t.truncated for t in timesteps], 1).astype(bool)
    ends = [np.flatnonzero(row) + 1 for row in ended]
    episodes = min(len(e) for e in ends)
    if episodes == 0:
        raise ValueError("adapt() needs at least one complete episode in every environment")
    starts = [np.concatenate([[0], e[:-1]]) for e in ends]
    length = max(int((e - s)[:episodes].max()) for s, e in zip(starts, ends, strict=True))
    shape = (len(ends), episodes, length)
    # Padding repeats the last step of the episode; `valid` says what counts.
    index = np.zeros(shape, np.int64)
    valid = np.zeros(shape, bool)
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        for k in range(episodes):
            index[i, k] = np.minimum(start[k] + np.arange(length), end[k] - 1)
            valid[i, k] = np.arange(length) < end[k] - start[k]
    rows = np.arange(len(ends))[:, None, None]
    earned = reward[rows, index] * valid
    return Rollout(
        observation[rows, index],
        action[rows, index],
        earned,
        valid,
        np.zeros(shape, bool),
        terminated[rows, index][..., -1],
        observation[rows, index][:, :, -1],
        earned,
        action[rows, index],
    )
