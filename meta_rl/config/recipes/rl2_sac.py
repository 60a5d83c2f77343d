"""RL^2 learned by soft actor-critic from a replay of trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from meta_rl.config.base import Recipe, Rows
from meta_rl.config.bounds import BurnIn, PositiveInt
from meta_rl.config.off_policy import OffPolicyConfig
from meta_rl.config.trials import MemoryConfig
from meta_rl.errors import ConfigError


@dataclass(frozen=True)
class Rl2SacConfig(MemoryConfig, OffPolicyConfig):
    """A recurrent policy trained by soft actor-critic from a replay of trials (see `meta_rl.algorithms.rl2_sac`)."""

    kept_observations: ClassVar[int] = 1

    update_trials: PositiveInt = 16
    """Trials of a gradient step, drawn from those in the replay; all of them if they are fewer."""
    burn_in: BurnIn = None
    """Env steps before a chunk from which its memory is made anew, without a gradient, beginning with an empty one;
    None: all steps of the trial before it, as when it was played."""
    memory_gradient: Literal["critics", "both"] = "critics"
    """What the memory learns from: the errors of the critics alone, or the actor's loss too."""
    replay_size: PositiveInt = 500_000
    """Env steps that are kept, in as many whole trials as have these at full length, the newest. A run says when it
    starts how much memory that is."""

    def kept_steps(self, brought: int) -> int:
        """See `AlgorithmConfig`; a stage brings an episode, and `brought` is a trial."""
        least = self.update_trials * brought
        if self.replay_size < least:
            raise ConfigError(
                f"--replay-size: {self.replay_size} env steps hold fewer than the {self.update_trials} trials of a "
                f"gradient step (--update-trials), of up to {brought} env steps each; valid: at least {least}"
            )
        if self.burn_in is not None and self.chunk >= brought:
            raise ConfigError(
                f"--burn-in: {self.burn_in} env steps before a chunk, but a chunk of {self.chunk} (--chunk) is a whole "
                f"trial of at most {brought}; valid: None, or with a --chunk below {brought}"
            )
        return self.replay_size // brought * brought


RECIPES = {
    "rl2-sac": Recipe(
        "meta_rl.algorithms.rl2_sac:Rl2Sac",
        Rl2SacConfig(),
        "RL^2's memory, learned off-policy by soft actor-critic from a replay of trials (Ni et al. 2022)",
        "meta_rl.networks.squashed:make_squashed_policy",
    ),
}

DEFAULTS: Rows = [
    (
        "rl2-sac",
        "*",
        {
            "meta_batch_size": 10,
            "episodes_per_task": 2,
            "network.hidden": (128,),
            "network.head_hidden": (128, 128),
            "network.critic_hidden": (128, 128),
            "network.activation": "relu",
            "network.init_std": 1.0,  # before squashing
            # One episode after another: the curve has a point after each.
            "evaluate.adaptation_episodes": 1,
            "evaluate.adaptation_steps": 3,
        },
    ),
    (
        "rl2-sac",
        "navigation",
        {
            "iterations": 100,
            "episodes_per_task": 4,
            "network.hidden": (64,),
            "network.head_hidden": (64,),
            "network.critic_hidden": (64,),
            "algorithm.chunk": 400,
            "algorithm.learning_rate": 1e-3,
            "algorithm.target_rate": 0.01,
            "algorithm.update_steps": 50,
        },
    ),
]
