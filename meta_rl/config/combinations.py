"""Settings that have no meaning together."""

from __future__ import annotations

from typing import Any, NamedTuple

from meta_rl.config.recipes.maml import MamlConfig, SupervisedMamlConfig
from meta_rl.config.recipes.meta_lstm import MetaLstmConfig
from meta_rl.config.recipes.pearl import PearlConfig
from meta_rl.config.recipes.reptile import SupervisedReptileConfig
from meta_rl.config.recipes.rl2 import Rl2Config
from meta_rl.config.train import TrainConfig
from meta_rl.errors import ConfigError


class Combination(NamedTuple):
    """Values of an algorithm's settings that cannot be meant together."""

    algorithms: tuple[type, ...]
    """The configs that it is about."""
    values: dict[str, Any]
    """The settings with these values; the first is the one to change."""
    reason: str
    """Why they have no meaning, and what would be valid."""


_NO_STEPS = "nothing is learned without steps; valid: 1 or more"
IMPOSSIBLE = [
    Combination(
        (MamlConfig, SupervisedMamlConfig),
        {"learn_inner_lr": True, "inner_steps": 0},
        "step sizes are learned by taking steps; valid: False, or --inner-steps of at least 1",
    ),
    Combination((SupervisedReptileConfig,), {"inner_steps": 0}, _NO_STEPS),
    Combination((MetaLstmConfig,), {"inner_steps": 0}, _NO_STEPS),
    *[
        Combination(
            (Rl2Config,), {option: True, "reward_coef": 0}, "without --reward-coef above 0 no rewards are expected"
        )
        for option in ("reward_everywhere", "act_on_rewards")
    ],
]


class LowerBound(NamedTuple):
    """A setting that another one bounds from below."""

    algorithm: type
    """The config that has both."""
    larger: str
    smaller: str
    reason: str
    """Why the one is no use below the other."""


BOUNDED = [
    LowerBound(PearlConfig, "replay_size", "batch_size", "a gradient step draws as many of each task"),
]


def check_combinations(config: TrainConfig) -> None:
    """Refuse what is in the tables.

    Raises:
        ConfigError: one line naming the option, why, and what would be valid.
    """
    algorithm = config.algorithm
    for algorithms, values, reason in IMPOSSIBLE:
        if isinstance(algorithm, algorithms) and all(getattr(algorithm, name) == v for name, v in values.items()):
            (option, value), *others = values.items()
            beside = "".join(f" with --{name.replace('_', '-')} {v}" for name, v in others)
            raise ConfigError(f"--{option.replace('_', '-')}: {value}{beside} has no meaning: {reason}")
    for kind, larger, smaller, why in BOUNDED:
        if isinstance(algorithm, kind) and (value := getattr(algorithm, larger)) < (
            least := getattr(algorithm, smaller)
        ):
            option, bound = (f"--{name.replace('_', '-')}" for name in (larger, smaller))
            raise ConfigError(f"{option}: must be at least {bound}, {least}, got {value}: {why}")
