"""The kind of each recipe."""

from __future__ import annotations

from meta_rl.config import RECIPES, TrainConfig
from meta_rl.evaluation.kinds.examples import ExamplesKind
from meta_rl.evaluation.kinds.policies import PolicyKind

Kind = PolicyKind | ExamplesKind
KINDS: dict[str, Kind] = {"rl": PolicyKind(), "examples": ExamplesKind(), "classes": ExamplesKind()}
"""By what recipes learn from (see `meta_rl.config.Recipe`)."""


def kind_of(config: TrainConfig) -> Kind:
    """The kind of the learner that `config` trains."""
    return KINDS[RECIPES[config.recipe].learns]
