"""Reptile, in environments and on labelled examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from meta_rl.config.base import Recipe, Rows
from meta_rl.config.bounds import Fraction, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from meta_rl.config.fewshot import TaskMap, examples_recipe
from meta_rl.config.meta_step import MetaStepConfig


@dataclass(frozen=True)
class ReptileConfig(MetaStepConfig):
    """Reptile (see `meta_rl.algorithms.reptile`). ``--meta-batch-size 1`` is the serial version."""

    shared_update: ClassVar[bool] = True

    inner_lr: PositiveFloat = 0.1
    """Step size of the adaptation."""
    inner_steps: NonNegativeInt = 3
    """Rollouts per task and iteration, besides a last one that shows the result; all of them are learned from."""
    inner_loss: Literal["lvc", "ppo"] = "lvc"
    """Policy gradient, or PPO's clipped surrogate."""
    inner_optimizer: Literal["sgd", "adam"] = "sgd"
    """Plain gradient descent, or Adam without momentum, whose second moments are learned too."""
    inner_epochs: PositiveInt = 1
    """Passes over each rollout (more than 1 is meant for ppo)."""
    inner_minibatches: PositiveInt = 1
    """Parts of each pass, a gradient step each."""
    clip_eps: PositiveFloat = 0.2
    """ppo: probability ratios count up to 1 +- this."""
    meta_optimizer: Literal["sgd", "adam"] = "sgd"
    """How the step towards the adapted parameters is taken: plain interpolation, or Adam on the difference."""
    discount: Fraction = 0.99
    """Discount factor of the returns."""
    gae_lambda: Fraction = 1.0
    """Lambda of generalised advantage estimation."""

    @property
    def gradient_steps(self) -> int:
        """See `AlgorithmConfig`."""
        return self.inner_epochs * self.inner_minibatches


@dataclass(frozen=True)
class SupervisedReptileConfig(MetaStepConfig):
    """Reptile on labelled examples (see `meta_rl.algorithms.reptile`)."""

    final_meta_lr: NonNegativeFloat = field(default=0.0, kw_only=True)
    inner_lr: PositiveFloat = 1e-3
    """Step size of the adaptation."""
    inner_steps: NonNegativeInt = 5
    """Minibatch steps per task while meta-training."""
    inner_batch: NonNegativeInt = 10
    """Support examples per step, in turn; 0 or more than there are: all."""
    inner_optimizer: Literal["adam", "sgd"] = "adam"
    """adam: with beta1 = 0; its second moments last from task to task and into the tests, as in the authors' code."""
    meta_optimizer: Literal["sgd", "adam"] = "sgd"
    """How the step towards the adapted parameters is taken: plain interpolation, or Adam on the difference."""
    task_map: TaskMap = "auto"
    """Tasks computed together, as for MAML."""


RECIPES = {
    "reptile": Recipe(
        "meta_rl.algorithms.reptile:Reptile", ReptileConfig(), "Reptile with policy-gradient steps (Nichol et al. 2018)"
    ),
    "reptile-supervised": examples_recipe(
        "meta_rl.algorithms.reptile:SupervisedReptile", SupervisedReptileConfig(), "Reptile (Nichol et al. 2018)"
    ),
}


DEFAULTS: Rows = [
    (
        "reptile",
        "metaworld/*",
        {
            "algorithm.inner_loss": "ppo",
            "algorithm.inner_optimizer": "adam",
            "algorithm.inner_lr": 1e-3,
            "algorithm.inner_steps": 2,
            "algorithm.inner_epochs": 4,
            "algorithm.inner_minibatches": 10,
            "algorithm.gae_lambda": 0.95,
            "network.init_std": 0.7,
            "network.min_std": 0.5,  # PPO narrows a policy until it finds out nothing new
        },
    ),
    # It has no step that it was trained for, and goes on getting better for several.
    ("reptile", "metaworld/ml1-*", {"evaluate.adaptation_steps": 5}),
    # As for MAML: on raw inputs, which hardly differ between states, a step is the same correction in all of them.
    ("reptile", "metaworld/ml1-reach-v3", {"network.normalise_observations": False}),
    (
        "reptile-supervised",
        "*",
        {
            "meta_batch_size": 5,
            "iterations": 10000,
            "fewshot.train_shots": 10,
            "evaluate.adaptation_steps": 50,
        },
    ),
    # Three times the published step sizes, by validation classes: for runs of so few iterations (published: 100,000).
    ("reptile-supervised", "omniglot*", {"algorithm.inner_lr": 3e-3}),
    (
        "reptile-supervised",
        "omniglot*-20way-*",
        {"algorithm.inner_lr": 1.5e-3, "algorithm.inner_steps": 10, "algorithm.inner_batch": 20},
    ),
    ("reptile-supervised", "images-*", {"fewshot.train_shots": 15}),
    (
        "reptile-supervised",
        "sinusoid-*",
        {
            "algorithm.inner_optimizer": "sgd",
            "algorithm.inner_lr": 0.02,
            "algorithm.inner_steps": 5,
            "fewshot.train_shots": 50,
            "algorithm.meta_lr": 0.3,
            "iterations": 20000,
            "evaluate.adaptation_steps": 10,
        },
    ),
    (
        "reptile-supervised",
        "*ratings-*",
        {
            "algorithm.inner_optimizer": "sgd",
            "algorithm.inner_lr": 0.02,
            # Minibatches: what Reptile learns of generalising is what one of them does for the next.
            "algorithm.inner_steps": 20,
            "algorithm.inner_batch": 5,
            "fewshot.train_shots": 30,
            "evaluate.adaptation_steps": 10,
        },
    ),
]
