"""MAML and its relatives, in environments and on labelled examples; multi-task training is MAML without steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from meta_rl.config.base import AlgorithmConfig, Recipe, Rows
from meta_rl.config.bounds import (
    ABOVE_ZERO,
    AT_LEAST_ONE,
    ZERO,
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    other_than,
)
from meta_rl.config.fewshot import TaskMap, examples_recipe
from meta_rl.config.meta_step import MetaStepConfig


@dataclass(frozen=True)
class MamlConfig(MetaStepConfig):
    """Policy-gradient MAML: inner loss, outer loss and outer step (see `meta_rl.algorithms.maml`)."""

    shared_update: ClassVar[bool] = True

    meta_lr: PositiveFloat = field(default=1e-3, kw_only=True)
    inner_lr: PositiveFloat = 0.1
    """Step size of the adaptation; with learn-inner-lr its initial value."""
    inner_steps: NonNegativeInt = 1
    """Gradient steps per task while meta-training; each has its own support rollout. 0: plain multi-task training."""
    inner_loss: Literal["lvc", "dice", "score"] = "lvc"
    """Loss of the adaptation. All have the policy gradient; second derivatives: lvc low variance, dice unbiased, score
    biased (see `meta_rl.maths.losses`)."""
    first_order: bool = False
    """Ignore second derivatives (FOMAML)."""
    learn_inner_lr: bool = False
    """Meta-learn a step size for every single parameter (Meta-SGD)."""
    outer_step: Literal["trpo", "ppo", "vpg"] = "trpo"
    """Trust region; clipped surrogate, several Adam epochs; one Adam step on the policy gradient."""
    discount: Fraction = 0.99
    """Discount factor of the returns."""
    gae_lambda: Fraction = 1.0
    """Lambda of generalised advantage estimation."""
    max_kl: PositiveFloat = 0.01
    """trpo: largest mean KL divergence of the post-adaptation policies, in nats."""
    cg_iters: PositiveInt = 10
    """trpo: conjugate-gradient iterations."""
    cg_damping: NonNegativeFloat = 1e-5
    """trpo: added to the curvature matrix."""
    curvature_stride: PositiveInt = 10
    """trpo: curvature products use every n-th step of each episode, but at least ten; the line search checks the KL on
    all steps. 1: all steps. Costs and savings: results/curvature.md."""
    backtrack_ratio: Fraction = 0.8
    """trpo: factor between the candidates of the line search."""
    max_backtracks: PositiveInt = 15
    """trpo: number of candidates."""
    epochs: PositiveInt = 5
    """ppo: passes over the batch per iteration."""
    minibatches: PositiveInt = 1
    """ppo: parts of each pass, an Adam step each: cut between tasks, or without adaptation (inner-steps 0) between the
    steps of every task."""
    clip_eps: PositiveFloat = 0.2
    """ppo: probability ratios count up to 1 +- this."""
    inner_kl_coef: NonNegativeFloat = 0.0
    """ppo: weight of KL(old || new) of the pre-adaptation policies on the support data (ProMP's penalty)."""
    max_grad_norm: NonNegativeFloat = 0.0
    """ppo, vpg: meta-gradients are scaled down to this norm; 0: never."""


@dataclass(frozen=True)
class SupervisedMamlConfig(AlgorithmConfig):
    """MAML on labelled examples (see `meta_rl.algorithms.maml`)."""

    inner_lr: PositiveFloat = 0.4
    """Step size on the mean loss over the support examples (reference code that sums over N classes has N times as
    much for the same number)."""
    inner_steps: NonNegativeInt = 1
    """Gradient steps per task while meta-training. 0: plain training on all tasks at once (pre-training)."""
    first_order: bool = False
    """Ignore second derivatives (FOMAML)."""
    learn_inner_lr: bool = False
    """Meta-learn a step size for every single parameter (Meta-SGD)."""
    meta_lr: PositiveFloat = 1e-3
    """Step size of Adam."""
    max_grad_norm: NonNegativeFloat = 0.0
    """Meta-gradients are scaled down to this norm; 0: never."""
    task_map: TaskMap = "auto"
    """All tasks at once (vmap), two at once (groups), one after another (loop), or the fastest, measured in the first
    iteration and kept in the checkpoint. They round differently: name one where runs must agree bit for bit."""


_MAML = "meta_rl.algorithms.maml:Maml"
_SUPERVISED_MAML = "meta_rl.algorithms.maml:SupervisedMaml"


def _by(inner_steps: Any = AT_LEAST_ONE, **settings: Any) -> dict[str, Any]:
    """Settings of the algorithm that define a recipe."""
    return {f"algorithm.{name}": value for name, value in {**settings, "inner_steps": inner_steps}.items()}


_PLAIN = {"first_order": False, "learn_inner_lr": False}
"""Second order, with one step size."""
_NOT_DICE = other_than("dice")

RECIPES = {
    "maml-trpo": Recipe(
        _MAML,
        MamlConfig(),
        "MAML, second order, low-variance curvature, TRPO outer step (Finn et al. 2017)",
        defined_by=_by(outer_step="trpo", inner_loss=_NOT_DICE, **_PLAIN),
    ),
    "fomaml-trpo": Recipe(
        _MAML,
        MamlConfig(first_order=True),
        "first-order MAML, TRPO outer step",
        defined_by=_by(outer_step="trpo", first_order=True, learn_inner_lr=False),
    ),
    "maml-dice-trpo": Recipe(
        _MAML,
        MamlConfig(inner_loss="dice"),
        "MAML with unbiased second derivatives (Foerster et al. 2018)",
        defined_by=_by(outer_step="trpo", inner_loss="dice", **_PLAIN),
    ),
    "maml-ppo": Recipe(
        _MAML,
        MamlConfig(outer_step="ppo"),
        "MAML, clipped outer objective, Adam",
        defined_by=_by(outer_step="ppo", inner_kl_coef=ZERO),
    ),
    "maml-vpg": Recipe(
        _MAML,
        MamlConfig(outer_step="vpg"),
        "MAML, policy-gradient outer step, Adam",
        defined_by=_by(outer_step="vpg"),
    ),
    "promp": Recipe(
        _MAML,
        MamlConfig(outer_step="ppo", clip_eps=0.3, inner_kl_coef=5e-4),
        "ProMP: low-variance curvature, clipped outer objective, KL penalty (Rothfuss et al. 2019)",
        defined_by=_by(outer_step="ppo", inner_kl_coef=ABOVE_ZERO),
    ),
    "metasgd-trpo": Recipe(
        _MAML,
        MamlConfig(learn_inner_lr=True),
        "MAML-TRPO with a learned step size per parameter (Li et al. 2017)",
        defined_by=_by(outer_step="trpo", learn_inner_lr=True),
    ),
    "multitask-trpo": Recipe(
        _MAML,
        MamlConfig(inner_steps=0),
        "baseline: one policy trained on all tasks by TRPO without adaptation; adapted only at test time",
        defined_by=_by(outer_step="trpo", inner_steps=0),
    ),
    "multitask-ppo": Recipe(
        _MAML,
        MamlConfig(inner_steps=0, outer_step="ppo"),
        "baseline: the same, trained by PPO",
        defined_by=_by(outer_step="ppo", inner_steps=0),
    ),
    "maml": examples_recipe(
        _SUPERVISED_MAML, SupervisedMamlConfig(), "MAML, second order (Finn et al. 2017)", _by(**_PLAIN)
    ),
    "fomaml": examples_recipe(
        _SUPERVISED_MAML,
        SupervisedMamlConfig(first_order=True),
        "first-order MAML",
        _by(first_order=True, learn_inner_lr=False),
    ),
    "metasgd": examples_recipe(
        _SUPERVISED_MAML,
        SupervisedMamlConfig(learn_inner_lr=True),
        "MAML with learned step sizes (Li et al. 2017)",
        _by(learn_inner_lr=True),
    ),
    "pretrained": examples_recipe(
        _SUPERVISED_MAML,
        SupervisedMamlConfig(inner_steps=0),
        "baseline: one network for all tasks; adapted in tests only",
        _by(inner_steps=0),
    ),
}


DEFAULTS: Rows = [
    ("maml-vpg", "navigation", {"algorithm.meta_lr": 5e-3}),  # one step per iteration where PPO takes five,
    ("promp", "ant-goal@*", {"algorithm.inner_steps": 2}),
    (
        "promp",
        "*-params@*",
        {"algorithm.inner_lr": 0.05, "algorithm.epochs": 3, "algorithm.inner_kl_coef": 1e-3},
    ),
    # Some 50 to 160 Adam steps per iteration, not 5; a first choice, not tuned.
    ("multitask-ppo", "metaworld/*", {"algorithm.epochs": 10, "algorithm.minibatches": 16}),
    *[(recipe, "metaworld/*", {"algorithm.minibatches": 10}) for recipe in ("maml-ppo", "promp")],
    *[(recipes, "metaworld/*", {"algorithm.max_kl": 0.03}) for recipes in ("*maml-*", "metasgd-*", "multitask-trpo")],
    # MT benchmarks ask what one policy can do that is told goal and family: nothing is adapted. Not tuned.
    ("multitask-*", "metaworld/mt*", {"evaluate.adaptation_steps": 0}),
    *[("multitask-*", f"metaworld/{name}", {"network.hidden": (256, 256)}) for name in ("mt10", "mt25", "mt50")],
    # A step of 0.1 from a policy that is trained without steps destroys it: scripts/adaptation.py step.
    ("multitask-*", "metaworld/*", {"algorithm.inner_lr": 0.03}),
    *[
        (recipes, "metaworld/ml1-reach-v3", {"network.normalise_observations": False, "algorithm.inner_lr": 0.1})
        for recipes in ("*maml-*", "metasgd-*", "promp", "multitask-*")
    ],
    *[
        (recipes, "metaworld/ml1-reach-v3", {"algorithm.max_kl": 0.01})
        for recipes in ("*maml-*", "metasgd-*", "multitask-trpo")
    ],
    *[
        (recipe, env, changes)
        for recipe in ("*maml", "metasgd")
        for env, changes in (
            ("omniglot*", {"meta_batch_size": 32, "fewshot.query_shots": 1, "evaluate.adaptation_steps": 3}),
            (
                "omniglot*-20way-*",
                {
                    "meta_batch_size": 16,
                    "algorithm.inner_steps": 5,
                    "evaluate.adaptation_steps": 5,
                },
            ),
            (
                "images-*",
                {
                    "algorithm.inner_lr": 0.05,
                    "algorithm.inner_steps": 5,
                    "algorithm.max_grad_norm": 10.0,
                    "evaluate.adaptation_steps": 10,
                },
            ),
            (
                "sinusoid-*",
                {"algorithm.inner_lr": 0.01, "fewshot.train_shots": 10, "evaluate.adaptation_steps": 10},
            ),
            (
                "*ratings-*",
                {"algorithm.inner_lr": 0.05, "algorithm.inner_steps": 3, "evaluate.adaptation_steps": 10},
            ),
        )
    ],
    ("pretrained", "*", {"algorithm.inner_lr": 0.01, "evaluate.adaptation_steps": 10}),
]
