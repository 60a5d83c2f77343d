"""Settings that learners with an annealed step of the meta-parameters share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meta_rl.config.base import AlgorithmConfig, Annealing
from meta_rl.config.bounds import Length, NonNegativeFloat, PositiveFloat


@dataclass(frozen=True, kw_only=True)
class MetaStepConfig(AlgorithmConfig):
    """A step size of the meta-parameters that changes linearly over the iterations."""

    annealing: ClassVar[Annealing] = Annealing("meta_lr_iterations", ("final_meta_lr",))

    meta_lr: PositiveFloat = 1.0
    """Step size of the meta-update, at the beginning: Adam's, or Reptile's interpolation step (sgd). A trust region has
    none."""
    final_meta_lr: NonNegativeFloat = 1.0
    """Factor on meta-lr that is reached linearly after meta-lr-iterations."""
    meta_lr_iterations: Length = None
    """Length of the annealing in iterations; None: those that the run begins with; 0: no annealing."""
