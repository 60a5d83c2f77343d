"""Imitation of an expert: DAgger, and behaviour cloning of demonstrations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from meta_rl.config.base import Recipe, Rows
from meta_rl.config.bounds import NonNegativeInt
from meta_rl.config.recipes import rl2
from meta_rl.config.trials import TrialsConfig


@dataclass(frozen=True)
class DaggerConfig(TrialsConfig):
    """DAgger: the expert labels what the student does (see `meta_rl.algorithms.dagger`). Values are learned for
    learners that begin with this one; nothing here reads them."""

    expert_iterations: NonNegativeInt = 5
    """Iterations over which the share of trials in which the expert acts falls from all of them to none; 0: the student
    acts from the beginning."""

    @property
    def taught_for(self) -> int:
        """See `AlgorithmConfig`."""
        return self.expert_iterations


@dataclass(frozen=True)
class BcConfig(TrialsConfig):
    """Behaviour cloning: the student learns from what was recorded, and steps no environment (see
    `meta_rl.algorithms.dagger`)."""

    demonstrations: str = ""
    """The .npz file of `meta-rl demonstrate` or `meta-rl record`, or minari:NAME, a data set of Minari (extra
    minari)."""

    @property
    def shown(self) -> str:
        """See `AlgorithmConfig`."""
        return self.demonstrations


_IMITATING: dict[str, Any] = {
    "learning_rate": 1e-3,
    "final_learning_rate": 0.1,
    "epochs": 5,
    "minibatches": 4,
    "value_coef": 0.1,
}
_RECURRENT = "meta_rl.networks.recurrent:make_recurrent_policy"

RECIPES = {
    "dagger": Recipe(
        "meta_rl.algorithms.dagger:Imitator",
        DaggerConfig(**_IMITATING),
        "DAgger: RL^2's policy learns what an expert would have done in its place (Ross et al. 2011)",
        _RECURRENT,
    ),
    "bc": Recipe(
        "meta_rl.algorithms.dagger:Imitator",
        BcConfig(**_IMITATING),
        "behaviour cloning: RL^2's policy learns from recorded demonstrations",
        _RECURRENT,
    ),
}

_SHARED = ("network.", "evaluate.", "meta_batch_size", "episodes_per_task", "algorithm.reward_scale")


def _as_rl2(changes: dict[str, Any]) -> dict[str, Any]:
    """The settings of RL^2's network, its trials and what it reads: with the same, RL^2 can begin with a student."""
    return {path: value for path, value in changes.items() if path.startswith(_SHARED)}


DEFAULTS: Rows = [(recipe, env, _as_rl2(changes)) for recipe in RECIPES for _, env, changes in rl2.OF_RL2]
