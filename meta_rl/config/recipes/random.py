"""The baseline of random actions."""

from __future__ import annotations

from dataclasses import dataclass

from meta_rl.config.base import AlgorithmConfig, Recipe, Rows


@dataclass(frozen=True)
class RandomConfig(AlgorithmConfig):
    """Uniformly random actions; nothing to set."""

    @property
    def gradient_steps(self) -> int:
        """See `AlgorithmConfig`."""
        return 0


RECIPES = {
    "random": Recipe(
        "meta_rl.algorithms.random:Random",
        RandomConfig(),
        "baseline: uniformly random actions",
        policy="meta_rl.algorithms.random:make_uniform_policy",
    ),
}


DEFAULTS: Rows = [
    ("random", "*", {"iterations": 0}),  # there is nothing to learn,
]
