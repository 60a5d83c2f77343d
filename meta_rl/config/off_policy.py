"""Settings that learners by soft actor-critic from a replay share."""

from __future__ import annotations

from dataclasses import dataclass

from meta_rl.config.base import AlgorithmConfig
from meta_rl.config.bounds import Fraction, NonNegativeInt, PositiveFloat, PositiveInt


@dataclass(frozen=True)
class OffPolicyConfig(AlgorithmConfig):
    """A policy that learns by soft actor-critic from a replay (see `meta_rl.algorithms.off_policy`)."""

    update_steps: PositiveInt = 200
    """Gradient steps per iteration."""
    collect_iterations: NonNegativeInt = 0
    """Iterations at the beginning that fill the replay and take no gradient steps."""
    target_rate: Fraction = 0.005
    """Share of the way that the targets' parameters go towards those of the critics at each gradient step."""
    temperature: PositiveFloat = 0.2
    """Weight of the policy's entropy at the beginning. It is learned, so that the entropy becomes minus the number of
    the actions' dimensions (of actions in half-widths of their box)."""
