"""PEARL: soft actor-critic from a replay, with an inferred task variable."""

from __future__ import annotations

from dataclasses import dataclass

from meta_rl.config.base import Recipe, Rows
from meta_rl.config.bounds import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from meta_rl.config.off_policy import OffPolicyConfig
from meta_rl.errors import ConfigError


@dataclass(frozen=True)
class PearlConfig(OffPolicyConfig):
    """PEARL: a policy told the task by an encoder, trained off-policy (see `meta_rl.algorithms.pearl`)."""

    discount: Fraction = 0.99
    """Discount factor of the values, within an episode."""
    learning_rate: PositiveFloat = 3e-4
    """Step size of Adam, for encoder, actor, critics and temperature alike."""
    update_tasks: PositiveInt = 16
    """Tasks of a gradient step, drawn from those in the replay; all of them if they are fewer."""
    batch_size: PositiveInt = 128
    """Env steps of each task in a gradient step, drawn from its replay."""
    context_size: PositiveInt = 64
    """Env steps of each task that a gradient step infers z from, drawn from its last visit's episodes; at most those
    that a stage brings of a task, episodes-per-task x horizon."""
    posterior_context: bool = False
    """Also infer z from the episodes that were played with an inferred z; False: from those with z of the prior
    alone."""
    kl_coef: NonNegativeFloat = 0.1
    """Weight of KL(q(z|context) || N(0, I)), in nats, summed over the tasks of a gradient step."""
    reward_scale: PositiveFloat = 1.0
    """Factor on the rewards that values are sums of; the encoder reads them as they are."""
    max_grad_norm: NonNegativeFloat = 0.0
    """Gradients are scaled down to this norm; 0: never."""
    replay_size: PositiveInt = 10_000
    """Env steps of each task that are kept, the newest. A run says when it starts how much memory that is."""
    replay_tasks: PositiveInt = 100
    """Tasks that are kept, those played last; where there are finitely many, at least as many keep all of them."""

    @property
    def gradient_steps(self) -> int:
        """See `AlgorithmConfig`."""
        return 0

    @property
    def infers(self) -> bool:
        """See `AlgorithmConfig`."""
        return True

    def kept_steps(self, brought: int) -> int:
        """See `AlgorithmConfig`: the replay, and the context of each task."""
        if self.context_size > brought:
            raise ConfigError(
                f"--context-size: {self.context_size} env steps, but a stage brings at most {brought} of a task "
                f"(episodes-per-task x horizon); valid: 1 to {brought}"
            )
        context = brought * (2 if self.posterior_context else 1)
        return self.replay_tasks * (self.replay_size + min(context, self.replay_size))


RECIPES = {
    "pearl": Recipe(
        "meta_rl.algorithms.pearl:Pearl",
        PearlConfig(),
        "PEARL: infers the task from episodes, learns off-policy by soft actor-critic (Rakelly et al. 2019)",
        "meta_rl.networks.latent:make_latent_policy",
    ),
}

DEFAULTS: Rows = [
    (
        "pearl",
        "*",
        {
            "meta_batch_size": 5,
            "episodes_per_task": 2,
            "network.activation": "relu",
            "network.init_std": 1.0,  # before squashing
            # One episode after another, each inferred from: the curve has a point after each.
            "evaluate.adaptation_episodes": 1,
            "evaluate.adaptation_steps": 3,
        },
    ),
    # configs/default.py and cheetah-vel.json of katerakelly/oyster. The networks are three times 300, the encoder's
    # three times 200; an iteration plays 5 tasks and takes 2,000 gradient steps.
    (
        "pearl",
        "*@*",
        {
            "network.hidden": (300, 300, 300),
            "network.encoder_hidden": (200, 200, 200),
            "algorithm.update_steps": 2000,
            "algorithm.batch_size": 256,
            "algorithm.reward_scale": 5.0,
        },
    ),
    ("pearl", "*-params@*", {"network.encode_next": True}),
    ("pearl", "*-goal@pearl", {"algorithm.replay_tasks": 150}),
    # 50 goals of each family.
    *[
        (
            "pearl",
            f"metaworld/{benchmark}",
            {"meta_batch_size": families, "algorithm.replay_tasks": 50 * families, "algorithm.replay_size": 2_000},
        )
        for benchmark, families in (("ml10", 10), ("ml25", 25), ("ml45", 45), ("mt10", 10), ("mt25", 25), ("mt50", 50))
    ],
    (
        "pearl",
        "navigation",
        {
            "iterations": 100,
            "network.hidden": (64, 64),
            "network.encoder_hidden": (64, 64),
            "algorithm.batch_size": 64,
            "algorithm.learning_rate": 1e-3,
            "algorithm.target_rate": 0.02,
            "algorithm.discount": 0.9,
            # Rewards of -0.4 are not worth the price of knowing the goal: with 1 the encoder says nothing.
            "algorithm.reward_scale": 20.0,
        },
    ),
]
