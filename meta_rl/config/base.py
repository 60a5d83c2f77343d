"""Parts of which configs are made, and the row of a recipe."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from meta_rl.config.bounds import (
    Layers,
    MemorySteps,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Steps,
)
from meta_rl.errors import ConfigError


@dataclass(frozen=True)
class AlgorithmConfig:
    """Base of the algorithms' configs; each stands for itself."""

    shared_update: ClassVar[bool] = False
    """Whether the meta-update is made of means over tasks, so that several processes can share it."""

    @property
    def needs_mean_reward(self) -> bool:
        """Whether tasks have to know the mean of their rewards."""
        return False


@dataclass(frozen=True)
class NetworkConfig:
    """The policy network, or the network of a few-shot learner."""

    hidden: Layers = (128, 128)
    """Units of each hidden layer (filters of each block for images); the last one of a recurrent policy is its cell."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Non-linearity between layers."""
    cell: Literal["lstm", "gru"] = "lstm"
    """Recurrent cell (rl2)."""
    memory_steps: MemorySteps = 0
    """rl2: env steps over which the cell's units forget at first, uniformly from two to so many (chrono initialisation,
    Tallec and Ollivier 2018); 0: all of an LSTM's over four, all of a GRU's over two."""
    recall_observation: bool = False
    """rl2: read the previous observation beside the previous action, reward and done, so that what an action did in a
    state is one input; else the cell itself must keep the state until its reward arrives."""
    clock_steps: NonNegativeInt = 0
    """rl2: read the time in the episode, in units of so many env steps, and which episode of the trial it is; 0:
    neither."""
    head_hidden: Layers = ()
    """rl2: hidden layers of the action head, which then reads what the cell reads beside what it remembers; none: it is
    linear in the memory."""
    critic_hidden: Layers = ()
    """rl2: the same of the value head."""
    mean_bound: NonNegativeFloat = 0.0
    """Actions in a box: largest absolute mean, reached through a tanh; 0: none."""
    init_std: PositiveFloat = 1.0
    """Initial standard deviation of actions, in action units."""
    min_std: PositiveFloat = 1e-6
    """Lower bound on the standard deviation."""
    normalise_observations: bool = False
    """Policies: every number of an observation is shifted and scaled by its mean and standard deviation over all
    training steps so far, and cut off at 10 deviations (see `meta_rl.core.normaliser`). For observations in a flat box,
    the only ones that policies read; few-shot tasks have none."""
    norm: Literal["batch", "group", "none"] = "batch"
    """Images: normalise over the batch (its own statistics, never running ones), over groups of channels of one image,
    or not."""
    pooling: Literal["stride", "max"] = "stride"
    """Images: how a block halves height and width; max pooling costs four times as much."""


@dataclass(frozen=True)
class EvaluateConfig:
    """The evaluation protocol; the defaults are those of `docs/evaluation.md`."""

    test_tasks: NonNegativeInt = 0
    """Test tasks (few-shot: episodes); 0 means all of them where they are finitely many, else 40."""
    adaptation_episodes: PositiveInt = 10
    """Episodes each adaptation step learns from, with sampled actions."""
    evaluation_episodes: PositiveInt = 3
    """Episodes each policy is judged on: with mode actions, where one suffices, and is used, if the environment is
    deterministic; and as many with sampled actions."""
    adaptation_steps: NonNegativeInt = 1
    """Adaptation steps at test time; the curve has one point more."""
    shown_steps: Steps = ()
    """Few-shot: steps after which is scored, besides the last; none given: 0, 1, 2, 3, 5, 8, 10, 20, 50, ..."""
    tasks_at_once: PositiveInt = 10
    """Tasks evaluated in one batch of environments."""
    evaluation_seed: NonNegativeInt = 0
    """Seeds the choice of test tasks and the noise of adaptation; the same for all runs, so that they compare."""
    stock_goals: NonNegativeInt = 0
    """Also run Meta-World's own (biased) evaluator on so many goals per family and print its number beside ours;
    0: no."""
    judge_sampled: bool = True
    """Also judge each policy by sampled actions, beside mode actions, which are the headline. False saves the time.
    Few-shot tasks have no such thing."""


@dataclass(frozen=True)
class Recipe:
    """A row of the table: which learner, with which settings.

    Attributes:
        learner: ``module:class`` of the learner, imported when needed.
        algorithm: its default config.
        summary: one line for the help.
        policy: ``module:function`` that makes the policy.
        learns: what from: an environment (rl), or labelled examples: any (examples), or of classes only (classes).
    """

    learner: str
    algorithm: AlgorithmConfig
    summary: str
    policy: str = "meta_rl.networks.policy:make_policy"
    learns: Literal["rl", "examples", "classes"] = "rl"


Rows = list[tuple[str, str, dict[str, Any]]]
"""(recipes, tasks, field path -> value): what differs from the defaults of the dataclasses. Patterns as in the shell;
all matching rows apply, later ones win."""


def check_choice(option: str, value: str, valid: Mapping[str, Any]) -> None:
    """Raise ConfigError unless `value` is a key of `valid`, naming the closest key."""
    if value not in valid:
        close = difflib.get_close_matches(value, list(valid), 1, 0.0)[0]
        raise ConfigError(f"{option}: unknown {value!r}; closest: {close} (all: {', '.join(valid)})")
