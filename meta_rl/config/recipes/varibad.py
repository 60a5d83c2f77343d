"""VariBAD: a belief about the task, learned by a variational encoder, and a policy that acts on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from meta_rl.config.base import Recipe, Rows
from meta_rl.config.bounds import NonNegativeFloat, PositiveFloat, PositiveInt, SomeLayers
from meta_rl.config.recipes import rl2
from meta_rl.config.trials import TrialPpoConfig


@dataclass(frozen=True)
class VaribadConfig(TrialPpoConfig):
    """VariBAD: PPO on the observation and a belief, which a decoder of rewards teaches (see
    `meta_rl.algorithms.varibad`)."""

    belief_gradient: Literal["elbo", "policy"] = "elbo"
    """What the belief learns from: the ELBO alone, as published, or PPO's loss too."""
    belief_learning_rate: PositiveFloat = 1e-3
    """Step size of Adam on the ELBO, at the beginning; annealed as learning-rate is."""
    belief_epochs: PositiveInt = 10
    """Passes of the ELBO over the trials per iteration, after those of PPO."""
    belief_minibatches: PositiveInt = 4
    """Parts of each of these passes, each a random choice of whole trials."""
    elbo_steps: PositiveInt = 32
    """Steps of each trial whose beliefs are taught in a pass, drawn anew for each; all, if a trial has no more."""
    decoded_steps: PositiveInt = 64
    """Steps of each trial, past and future, that these beliefs are decoded at in a pass, drawn anew for each; all, if a
    trial has no more."""
    kl_weight: NonNegativeFloat = 0.1
    """Weight of the KL divergence of a belief from its prior."""
    prior: Literal["previous", "unit"] = "previous"
    """Prior of a belief: the belief a step before, at the first step the unit Gaussian; or that at every step."""
    reward_std: PositiveFloat = 0.7
    """Standard deviation of the decoder's rewards, in units of those that the network reads. At 0.7 a squared error
    counts once, as published; with rewards that differ by less between tasks a smaller one."""
    decode_states: bool = False
    """Also decode the next observation, where tasks differ in their dynamics."""
    state_std: PositiveFloat = 0.7
    """Standard deviation of each number of the decoder's next observation, in units of those that the policy reads."""
    decoder_hidden: SomeLayers = (64, 32)
    """Units of each hidden layer of the decoder."""


RECIPES = {
    "varibad": Recipe(
        "meta_rl.algorithms.varibad:Varibad",
        VaribadConfig(),
        "VariBAD: acts on a belief about the task, which decoding rewards teaches (Zintgraf et al. 2020)",
        "meta_rl.networks.belief:make_belief_policy",
    ),
}

DEFAULTS: Rows = [
    # A trial ends, so the value falls, and without a memory the heads have to be told the time.
    ("varibad", "*", {"network.head_hidden": (64, 64), "network.critic_hidden": (64, 64), "network.clock_steps": 100}),
    *rl2.rows_for("varibad", VaribadConfig),
    # Distances to goals differ by about 0.2 from each other.
    ("varibad", "navigation", {"algorithm.reward_std": 0.1, "algorithm.belief_learning_rate": 3e-3}),
    # config/mujoco/args_cheetah_dir_varibad.py of lmzintgraf/varibad, as for RL^2 with batches of its own.
    (
        "varibad",
        "*@varibad",
        {
            "network.head_hidden": (128, 128),
            "network.critic_hidden": (128, 128),
            "network.normalise_observations": True,
            "algorithm.belief_epochs": 3,
            "algorithm.elbo_steps": 50,
        },
    ),
]
