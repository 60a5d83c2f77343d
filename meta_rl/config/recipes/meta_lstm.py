"""The LSTM meta-learner."""

from __future__ import annotations

from dataclasses import dataclass

from meta_rl.config.base import AlgorithmConfig, Rows
from meta_rl.config.bounds import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from meta_rl.config.fewshot import examples_recipe


@dataclass(frozen=True)
class MetaLstmConfig(AlgorithmConfig):
    """The LSTM meta-learner (see `meta_rl.algorithms.meta_lstm`)."""

    inner_steps: NonNegativeInt = 8
    """Updates per task while meta-training."""
    inner_batch: NonNegativeInt = 0
    """Support examples per update, in turn; 0 or more than there are: all."""
    hidden_units: PositiveInt = 20
    """Units of the LSTM that reads gradient and loss; the gates read it."""
    preprocess_p: PositiveFloat = 10.0
    """Numbers below exp(-this) are scaled up instead of having their logarithm taken."""
    meta_lr: PositiveFloat = 1e-3
    """Step size of Adam."""
    max_grad_norm: NonNegativeFloat = 0.25
    """Meta-gradients are scaled down to this norm; 0: never."""


RECIPES = {
    "meta-lstm": examples_recipe(
        "meta_rl.algorithms.meta_lstm:MetaLstm",
        MetaLstmConfig(),
        "a learned update rule, an LSTM per coordinate (Ravi and Larochelle 2017)",
    ),
}


DEFAULTS: Rows = [
    ("meta-lstm", "*", {"meta_batch_size": 1, "evaluate.adaptation_steps": 8}),
    ("meta-lstm", "*-5shot", {"algorithm.inner_batch": 25}),
    ("meta-lstm", "omniglot*", {"network.hidden": (32, 32, 32, 32)}),
]
