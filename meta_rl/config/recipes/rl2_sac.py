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
        Rl2SacConfig(temperature=0.1),
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
            # A trial ends, so values fall, and critics have to be told the time.
            "network.clock_steps": 100,
            # One episode after another: the curve has a point after each.
            "evaluate.adaptation_episodes": 1,
            "evaluate.adaptation_steps": 2,
        },
    ),
    # Trials of two episodes as in configs/meta/cheetah_vel/rnn.yml of twni2016/pomdp-baselines, 25 an iteration with
    # 200 gradient steps on 32 whole ones.
    (
        "rl2-sac",
        "*@pearl",
        {
            "meta_batch_size": 25,
            "algorithm.chunk": 400,
            "algorithm.update_trials": 32,
            "algorithm.learning_rate": 3e-4,
            "algorithm.replay_size": 1_000_000,
        },
    ),
    # As RL^2's: short trials, wide layers.
    (
        "rl2-sac",
        "metaworld/*",
        {
            "episodes_per_task": 3,
            "algorithm.replay_size": 1_000_000,
        },
    ),
    *[
        ("rl2-sac", f"metaworld/{benchmark}", {"meta_batch_size": trials})
        for benchmark, trials in (("ml25", 25), ("ml45", 45), ("mt25", 25), ("mt50", 50))
    ],
    (
        "rl2-sac",
        "navigation",
        {
            "iterations": 100,
            "episodes_per_task": 4,
            "evaluate.adaptation_steps": 3,
            "network.hidden": (64,),
            "network.head_hidden": (64,),
            "network.critic_hidden": (64,),
            "algorithm.chunk": 100,
            "algorithm.update_steps": 100,
            "algorithm.learning_rate": 1e-3,
            "algorithm.target_rate": 0.05,
            "algorithm.discount": 0.9,
        },
    ),
]
