"""Imitation of an expert: DAgger, and behaviour cloning of demonstrations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from meta_rl.config.base import AlgorithmConfig, Annealing, Recipe, Rows
from meta_rl.config.bounds import Fraction, Length, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from meta_rl.config.recipes import rl2


@dataclass(frozen=True)
class ImitationConfig(AlgorithmConfig):
    """A recurrent policy that learns what an expert does (see `meta_rl.algorithms.dagger`)."""

    shared_update: ClassVar[bool] = True
    annealing: ClassVar[Annealing] = Annealing("learning_rate_iterations", ("final_learning_rate",))

    learning_rate: PositiveFloat = 1e-3
    """Step size of Adam."""
    final_learning_rate: NonNegativeFloat = 0.1
    """Factor on learning-rate that is reached linearly after learning-rate-iterations."""
    learning_rate_iterations: Length = None
    """Length of the annealing in iterations; None: those that the run begins with; 0: no annealing."""
    epochs: PositiveInt = 5
    """Passes over the batch per iteration."""
    minibatches: PositiveInt = 4
    """Parts of each pass, each a random choice of chunks of trials."""
    chunk: PositiveInt = 250
    """Env steps that gradients flow back through."""
    value_coef: NonNegativeFloat = 0.1
    """Weight of the value loss (on normalised returns): for learners that begin with this one. Nothing here reads the
    values."""
    discount: Fraction = 0.99
    """Discount factor of the returns that values are learned from, also across the episodes of a trial."""
    max_grad_norm: NonNegativeFloat = 1.0
    """Gradients are scaled down to this norm; 0: never."""
    reward_scale: PositiveFloat = 1.0
    """Factor on the rewards that the network reads."""

    @property
    def gradient_steps(self) -> int:
        """See `AlgorithmConfig`."""
        return 0

    @property
    def remembers(self) -> bool:
        """See `AlgorithmConfig`."""
        return True


@dataclass(frozen=True)
class DaggerConfig(ImitationConfig):
    """DAgger: the expert labels what the student does."""

    expert_iterations: NonNegativeInt = 5
    """Iterations over which the share of trials in which the expert acts falls from all of them to none; 0: the student
    acts from the beginning."""

    @property
    def taught_for(self) -> int:
        """See `AlgorithmConfig`."""
        return self.expert_iterations


@dataclass(frozen=True)
class BcConfig(ImitationConfig):
    """Behaviour cloning: the student learns from what was recorded, and steps no environment."""

    demonstrations: str = ""
    """The .npz file of `meta-rl demonstrate` or `meta-rl record`, or minari:NAME, a data set of Minari (extra
    minari)."""

    @property
    def shown(self) -> str:
        """See `AlgorithmConfig`."""
        return self.demonstrations


_RECURRENT = "meta_rl.networks.recurrent:make_recurrent_policy"

RECIPES = {
    "dagger": Recipe(
        "meta_rl.algorithms.dagger:Imitator",
        DaggerConfig(),
        "DAgger: RL^2's policy learns what an expert would have done in its place (Ross et al. 2011)",
        _RECURRENT,
    ),
    "bc": Recipe(
        "meta_rl.algorithms.dagger:Imitator",
        BcConfig(),
        "behaviour cloning: RL^2's policy learns from recorded demonstrations",
        _RECURRENT,
    ),
}

_SHARED = ("network.", "evaluate.", "meta_batch_size", "episodes_per_task", "algorithm.reward_scale")


def _as_rl2(changes: dict[str, Any]) -> dict[str, Any]:
    """The settings of RL^2's network, its trials and what it reads: with the same, RL^2 can begin with a student."""
    return {path: value for path, value in changes.items() if path.startswith(_SHARED)}


DEFAULTS: Rows = [
    (recipe, env, _as_rl2(changes)) for recipe in RECIPES for kind, env, changes in rl2.DEFAULTS if kind == "rl2*"
]
