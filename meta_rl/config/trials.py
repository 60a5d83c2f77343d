"""Settings that learners with a memory share: they learn by back-propagation through whole trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meta_rl.config.base import AlgorithmConfig, Annealing
from meta_rl.config.bounds import Fraction, Length, NonNegativeFloat, PositiveFloat, PositiveInt


@dataclass(frozen=True)
class TrialsConfig(AlgorithmConfig):
    """A recurrent policy that learns from trials (see `meta_rl.algorithms.recurrent`)."""

    shared_update: ClassVar[bool] = True
    annealing: ClassVar[Annealing] = Annealing("learning_rate_iterations", ("final_learning_rate",))

    discount: Fraction = 0.99
    """Discount factor, also across the episodes of a trial."""
    learning_rate: PositiveFloat = 5e-4
    """Step size of Adam, at the beginning."""
    final_learning_rate: NonNegativeFloat = 1.0
    """Factor on learning-rate that is reached linearly after learning-rate-iterations."""
    learning_rate_iterations: Length = None
    """Length of the annealing in iterations; None: those that the run begins with; 0: no annealing."""
    epochs: PositiveInt = 10
    """Passes over the batch per iteration."""
    minibatches: PositiveInt = 1
    """Parts of each pass, each a random choice of chunks of trials."""
    chunk: PositiveInt = 250
    """Env steps that gradients flow back through."""
    value_coef: NonNegativeFloat = 0.5
    """Weight of the value loss (on normalised returns)."""
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
