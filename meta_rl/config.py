"""What can be trained and with which numbers: config dataclasses, the table of recipes, defaults per environment.

Nothing here imports torch or metaworld, so the command line parses, checks and refuses within a fraction of a second.
"""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import importlib.util
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro
from tyro.conf import Positional

import envs
from meta_rl.base_config import AlgorithmConfig as AlgorithmConfig  # part of this module's face
from meta_rl.errors import ConfigError
from meta_rl.fewshot_config import DEFAULTS as FEWSHOT_DEFAULTS
from meta_rl.fewshot_config import (
    EpisodesConfig,
    MatchingConfig,
    MetaLstmConfig,
    MetricConfig,
    SiameseConfig,
    SupervisedMamlConfig,
    SupervisedReptileConfig,
    closest_kind,
    parse_name,
)


@dataclass(frozen=True)
class NetworkConfig:
    """The policy network, or the network of a few-shot learner."""

    hidden: tuple[int, ...] = (128, 128)
    """Units of each hidden layer (filters of each block for images); the last one of a recurrent policy is its cell."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Non-linearity between layers."""
    cell: Literal["lstm", "gru"] = "lstm"
    """Recurrent cell (rl2)."""
    memory_steps: int = 0
    """rl2: env steps over which the cell's units forget at first, uniformly from two to so many (chrono initialisation,
    Tallec and Ollivier 2018); 0: all of an LSTM's over four, all of a GRU's over two."""
    recall_observation: bool = False
    """rl2: read the previous observation beside the previous action, reward and done, so that what an action did in a
    state is one input; else the cell itself must keep the state until its reward arrives."""
    clock_steps: int = 0
    """rl2: read the time in the episode, in units of so many env steps, and which episode of the trial it is; 0:
    neither."""
    head_hidden: tuple[int, ...] = ()
    """rl2: hidden layers of the action head, which then reads what the cell reads beside what it remembers; none: it is
    linear in the memory."""
    critic_hidden: tuple[int, ...] = ()
    """rl2: the same of the value head."""
    mean_bound: float = 0.0
    """Actions in a box: largest absolute mean, reached through a tanh; 0: none."""
    init_std: float = 1.0
    """Initial standard deviation of actions, in action units."""
    min_std: float = 1e-6
    """Lower bound on the standard deviation."""
    normalise_observations: bool = False
    """Policies: every number of an observation is shifted and scaled by its mean and standard deviation over all
    training steps so far, and cut off at 10 deviations (see `meta_rl.core.normaliser`). For observations in a flat box,
    the only ones that policies read; few-shot tasks have none."""
    norm: Literal["batch", "group", "none"] = "batch"
    """Images: normalise over the batch (its own statistics, never running ones), over groups of channels of one image,
    or not."""
    pooling: Literal["stride", "max"] = "stride"
    """Images: how a block halves height and width; max pooling costs four times as much."""


@dataclass(frozen=True)
class MamlConfig(AlgorithmConfig):
    """Policy-gradient MAML: inner loss, outer loss and outer step (see `meta_rl.algorithms.maml`)."""

    inner_lr: float = 0.1
    """Step size of the adaptation; with learn-inner-lr its initial value."""
    inner_steps: int = 1
    """Gradient steps per task while meta-training; each has its own support rollout. 0: plain multi-task training."""
    inner_loss: Literal["lvc", "dice", "score"] = "lvc"
    """What the adaptation descends. All have the policy gradient; second derivatives: lvc low variance, dice unbiased,
    score biased (see `meta_rl.core.losses`)."""
    first_order: bool = False
    """Ignore second derivatives (FOMAML)."""
    learn_inner_lr: bool = False
    """Meta-learn a step size for every single parameter (Meta-SGD)."""
    outer_step: Literal["trpo", "ppo", "vpg"] = "trpo"
    """Trust region; clipped surrogate, several Adam epochs; one Adam step on the policy gradient."""
    discount: float = 0.99
    """Discount factor of the returns."""
    gae_lambda: float = 1.0
    """Lambda of generalised advantage estimation."""
    max_kl: float = 0.01
    """trpo: largest mean KL divergence of the post-adaptation policies, in nats."""
    cg_iters: int = 10
    """trpo: conjugate-gradient iterations."""
    cg_damping: float = 1e-5
    """trpo: added to the curvature matrix."""
    curvature_stride: int = 10
    """trpo: curvature products use every n-th step of each episode, of a short one ten or all it has (the line search
    checks the KL on all of them); see results/curvature.md for what that costs and saves."""
    backtrack_ratio: float = 0.8
    """trpo: factor between the candidates of the line search."""
    max_backtracks: int = 15
    """trpo: number of candidates."""
    meta_lr: float = 1e-3
    """ppo, vpg: step size of Adam."""
    epochs: int = 5
    """ppo: passes over the batch per iteration."""
    minibatches: int = 1
    """ppo: parts of each pass, an Adam step each: cut between tasks, or without adaptation (inner-steps 0) between the
    steps of every task."""
    clip_eps: float = 0.2
    """ppo: probability ratios count up to 1 +- this."""
    inner_kl_coef: float = 0.0
    """ppo: weight of KL(old || new) of the pre-adaptation policies on the support data (ProMP's penalty)."""
    max_grad_norm: float = 0.0
    """ppo, vpg: meta-gradients are scaled down to this norm; 0: never."""


@dataclass(frozen=True)
class ReptileConfig(AlgorithmConfig):
    """Reptile (see `meta_rl.algorithms.reptile`). ``--meta-batch-size 1`` is the serial version."""

    inner_lr: float = 0.1
    """Step size of the adaptation."""
    inner_steps: int = 3
    """Rollouts per task and iteration that are learned from; one more is collected with the result and learned from
    too, so that no sample is wasted."""
    inner_loss: Literal["lvc", "ppo"] = "lvc"
    """Policy gradient, or PPO's clipped surrogate."""
    inner_optimizer: Literal["sgd", "adam"] = "sgd"
    """Plain gradient descent, or Adam without momentum, whose second moments are learned too."""
    inner_epochs: int = 1
    """Passes over each rollout (more than 1 is meant for ppo)."""
    inner_minibatches: int = 1
    """Parts of each pass, a gradient step each."""
    clip_eps: float = 0.2
    """ppo: probability ratios count up to 1 +- this."""
    meta_optimizer: Literal["sgd", "adam"] = "sgd"
    """How the step towards the adapted parameters is taken: plain interpolation, or Adam on the difference."""
    meta_lr: float = 1.0
    """Interpolation step (sgd), or Adam's step size."""
    final_meta_lr: float = 1.0
    """Factor on meta-lr that is reached linearly after meta-lr-iterations."""
    meta_lr_iterations: int = 0
    """Length of the annealing; 0: none."""
    discount: float = 0.99
    """Discount factor of the returns."""
    gae_lambda: float = 1.0
    """Lambda of generalised advantage estimation."""


@dataclass(frozen=True)
class Rl2Config(AlgorithmConfig):
    """RL^2: a recurrent policy trained by PPO over whole trials (see `meta_rl.algorithms.rl2`)."""

    discount: float = 0.99
    """Discount factor, also across the episodes of a trial."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation over the trial."""
    final_gae_bias: float = 1.0
    """Factor on 1 - gae-lambda that is reached linearly after learning-rate-iterations. 0: estimates end without the
    bias of the value function, which cannot see what little a better exploration would earn."""
    learning_rate: float = 5e-4
    """Step size of Adam; with target-kl the first one."""
    final_learning_rate: float = 1.0
    """Factor on learning-rate that is reached linearly after learning-rate-iterations."""
    learning_rate_iterations: int = 0
    """Length of the annealing; 0: none."""
    epochs: int = 10
    """Passes over the batch per iteration."""
    minibatches: int = 1
    """Parts of each pass, each a random choice of chunks of trials."""
    chunk: int = 250
    """Env steps that gradients flow back through."""
    clip_eps: float = 0.2
    """Probability ratios count up to 1 +- this."""
    target_kl: float = 0.0
    """KL divergence from the policy that acted, in nats, that the learning rate follows: it is divided by 1.5 after an
    iteration that ends at more than twice this, and multiplied by 1.5 after one at less than half; 0: it follows
    nothing."""
    max_kl: float = 0.05
    """An iteration takes no further steps once the mean KL divergence from the policy that acted is above this, in
    nats: clipping alone does not keep a recurrent policy from running away."""
    value_coef: float = 0.5
    """Weight of the value loss (on normalised returns)."""
    entropy_coef: float = 5e-3
    """Weight of the entropy bonus."""
    final_entropy_coef: float = 1.0
    """Factor on entropy-coef that is reached linearly after learning-rate-iterations."""
    reward_coef: float = 0.0
    """Weight of the squared error in the reward that the memory expects of the action taken, an auxiliary loss that
    teaches it what to keep (Jaderberg et al. 2017); 0: none."""
    reward_everywhere: bool = False
    """Judge the memory at every step by the rewards of all steps of its chunk, past and future, not of that step alone:
    what was learned of one observation is to be kept while others are seen (Zintgraf et al. 2020 decode whole
    trajectories likewise). What is expected of rewards is linear in the observation then."""
    act_on_rewards: bool = False
    """Discrete actions are chosen by nothing but the rewards that the memory expects of them and, as long as much is
    left to earn, its doubts about them. Meant for rewards that differ by about 1 between actions and tasks: see
    reward-scale."""
    learn_from_means: bool = False
    """Learn from the mean reward of each action instead of the one received, where the environment knows it: the same
    gradient on average, with less noise. What the network reads stays as it was."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm; 0: never."""
    reward_scale: float = 1.0
    """Factor on the rewards that the network reads."""


@dataclass(frozen=True)
class RandomConfig(AlgorithmConfig):
    """Uniformly random actions; nothing to set."""


@dataclass(frozen=True)
class EvaluateConfig:
    """The evaluation protocol; the defaults are those of `docs/evaluation.md`."""

    test_tasks: int = 0
    """Test tasks (few-shot: episodes); 0 means all of them where they are finitely many, else 40."""
    adaptation_episodes: int = 10
    """Episodes each adaptation step learns from, with sampled actions."""
    evaluation_episodes: int = 3
    """Episodes each policy is judged on: with mode actions, where one suffices, and is used, if the environment is
    deterministic; and as many with sampled actions."""
    adaptation_steps: int = 1
    """Adaptation steps at test time; the curve has one point more."""
    shown_steps: tuple[int, ...] = ()
    """Few-shot: steps after which is scored, besides the last; none given: 0, 1, 2, 3, 5, 8, 10, 20, 50, ..."""
    tasks_at_once: int = 10
    """Tasks evaluated in one batch of environments."""
    evaluation_seed: int = 0
    """Seeds the choice of test tasks and the noise of adaptation; the same for all runs, so that they compare."""
    stock_goals: int = 0
    """Also run Meta-World's own (biased) evaluator on so many goals per family and print its number beside ours;
    0: no."""
    judge_sampled: bool = True
    """Also judge each policy by sampled actions, beside mode actions, which are the headline. False saves the time.
    Few-shot tasks have no such thing."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    recipe: Positional[Annotated[str, tyro.conf.arg(metavar="RECIPE")]] = "maml-trpo"
    """Name of the algorithm's recipe."""
    env: str = "metaworld/ml1-reach-v3"
    """Task distribution: a name known to `envs.make`, or few-shot tasks like omniglot-5way-1shot."""
    seed: int = 0
    """Everything random derives from it."""
    iterations: int = 100
    """Meta-updates; 0 evaluates the untrained policy."""
    meta_batch_size: int = 20
    """Tasks per meta-update."""
    episodes_per_task: int = 10
    """Episodes per task and rollout stage."""
    shards: int = 1
    """Parts that the meta-batch is cut into for sampling. Results depend on it (in the last digits), but not on how
    many workers share the parts out."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the learner computes; sampling is always on the CPU."""
    learners: int = 1
    """Processes that share the meta-update, each with as many tasks (and, on CUDA, a GPU of its own). Results depend on
    it in the last digits."""
    workers: int = 0
    """Processes that sample, at most one per shard; 0: sample in the learner's own process."""
    worker_cores: int = 0
    """Cores of each worker, and threads of its native environments; 0: this machine's shared out, on Ray 1."""
    ray_address: str = ""
    """Sample on this Ray cluster (HOST:PORT; auto: the one this machine belongs to; local: start one here) instead of
    in processes of this machine."""
    worker_timeout: float = 120.0
    """Seconds without an env step (or without getting started) after which a worker counts as hung."""
    on_worker_failure: Literal["retry", "raise"] = "retry"
    """What a lost worker means: another one does the same again, or the run stops."""
    start_from: str = ""
    """Folder of a run or of an exported agent whose weights (not its optimizer) the run begins with."""
    run_dir: str = ""
    """Folder of the run; default runs/RECIPE_ENV_sSEED. A run found there is resumed."""
    checkpoint_every: int = 10
    """Iterations between checkpoints."""
    keep_checkpoints: int = 3
    """Newest checkpoints kept; 0: all of them."""
    logger: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """Where metrics go besides the files of the run; each needs the extra of its name."""
    algorithm: AlgorithmConfig = field(default_factory=MamlConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    fewshot: EpisodesConfig = field(default_factory=EpisodesConfig)

    @property
    def path(self) -> Path:
        """The run directory."""
        return Path(self.run_dir or f"runs/{self.recipe}_{self.env.replace('/', '-')}_s{self.seed}")


@dataclass(frozen=True)
class Recipe:
    """A row of the table: which learner, with which settings.

    Attributes:
        learner: ``module:class`` of the learner, imported when needed.
        algorithm: its default config.
        summary: one line for the help.
        policy: ``module:function`` that makes the policy.
        learns: what from: an environment (rl), or labelled examples: any (examples), or of classes only (classes).
    """

    learner: str
    algorithm: AlgorithmConfig
    summary: str
    policy: str = "meta_rl.networks.policy:make_policy"
    learns: Literal["rl", "examples", "classes"] = "rl"


_MAML = "meta_rl.algorithms.maml:Maml"
_RL2 = "meta_rl.algorithms.rl2:Rl2"
_RECURRENT = "meta_rl.networks.recurrent:make_policy"

RECIPES: dict[str, Recipe] = {
    "maml-trpo": Recipe(
        _MAML, MamlConfig(), "MAML, second order, low-variance curvature, TRPO outer step (Finn et al. 2017)"
    ),
    "fomaml-trpo": Recipe(_MAML, MamlConfig(first_order=True), "first-order MAML, TRPO outer step"),
    "maml-dice-trpo": Recipe(
        _MAML, MamlConfig(inner_loss="dice"), "MAML with unbiased second derivatives (Foerster et al. 2018)"
    ),
    "maml-ppo": Recipe(_MAML, MamlConfig(outer_step="ppo"), "MAML, clipped outer objective, Adam"),
    "maml-vpg": Recipe(_MAML, MamlConfig(outer_step="vpg"), "MAML, policy-gradient outer step, Adam"),
    "promp": Recipe(
        _MAML,
        MamlConfig(outer_step="ppo", clip_eps=0.3, inner_kl_coef=5e-4),
        "ProMP: low-variance curvature, clipped outer objective, KL penalty (Rothfuss et al. 2019)",
    ),
    "metasgd-trpo": Recipe(
        _MAML, MamlConfig(learn_inner_lr=True), "MAML-TRPO with a learned step size per parameter (Li et al. 2017)"
    ),
    "reptile": Recipe(
        "meta_rl.algorithms.reptile:Reptile", ReptileConfig(), "Reptile with policy-gradient steps (Nichol et al. 2018)"
    ),
    "rl2": Recipe(
        _RL2, Rl2Config(), "RL^2: an LSTM that remembers its episodes, trained by PPO (Duan et al. 2016)", _RECURRENT
    ),
    "rl2-gru": Recipe(_RL2, Rl2Config(), "the same with a GRU", _RECURRENT),
    "multitask-trpo": Recipe(
        _MAML,
        MamlConfig(inner_steps=0),
        "baseline: one policy trained on all tasks by TRPO without adaptation; adapted only at test time",
    ),
    "multitask-ppo": Recipe(
        _MAML,
        MamlConfig(inner_steps=0, outer_step="ppo"),
        "baseline: the same, trained by PPO",
    ),
    "random": Recipe(
        "meta_rl.algorithms.random:Random",
        RandomConfig(),
        "baseline: uniformly random actions",
        policy="meta_rl.algorithms.random:make_policy",
    ),
}


def _examples(learner: str, algorithm: AlgorithmConfig, summary: str) -> Recipe:
    return Recipe(learner, algorithm, f"few-shot: {summary}", "meta_rl.networks.fewshot:make_network", "examples")


def _classes(learner: str, algorithm: AlgorithmConfig, summary: str) -> Recipe:
    return Recipe(learner, algorithm, f"few-shot: {summary}", "meta_rl.networks.fewshot:make_embedding", "classes")


_SUPERVISED_MAML = "meta_rl.algorithms.maml:SupervisedMaml"

RECIPES |= {
    "maml": _examples(_SUPERVISED_MAML, SupervisedMamlConfig(), "MAML, second order (Finn et al. 2017)"),
    "fomaml": _examples(_SUPERVISED_MAML, SupervisedMamlConfig(first_order=True), "first-order MAML"),
    "metasgd": _examples(
        _SUPERVISED_MAML, SupervisedMamlConfig(learn_inner_lr=True), "MAML with learned step sizes (Li et al. 2017)"
    ),
    "pretrained": _examples(
        _SUPERVISED_MAML,
        SupervisedMamlConfig(inner_steps=0),
        "baseline: one network for all tasks; adapted in tests only",
    ),
    "reptile-supervised": _examples(
        "meta_rl.algorithms.reptile:SupervisedReptile", SupervisedReptileConfig(), "Reptile (Nichol et al. 2018)"
    ),
    "meta-lstm": _examples(
        "meta_rl.algorithms.meta_lstm:MetaLstm",
        MetaLstmConfig(),
        "a learned update rule, an LSTM per coordinate (Ravi and Larochelle 2017)",
    ),
    "prototypical": _classes(
        "meta_rl.algorithms.prototypical:Prototypical", MetricConfig(), "prototypical networks (Snell et al. 2017)"
    ),
    "matching": _classes(
        "meta_rl.algorithms.matching:Matching", MatchingConfig(), "matching networks (Vinyals et al. 2016)"
    ),
    "matching-fce": _classes(
        "meta_rl.algorithms.matching:Matching", MatchingConfig(full_context=True), "the same, full-context embeddings"
    ),
    "siamese": _classes(
        "meta_rl.algorithms.siamese:Siamese",
        SiameseConfig(),
        "Siamese networks, contrastive loss (Hadsell et al. 2006)",
    ),
    "siamese-koch": _classes(
        "meta_rl.algorithms.siamese:Siamese",
        SiameseConfig(pair_loss="koch"),
        "Siamese networks, weighted L1 and cross-entropy (Koch et al. 2015)",
    ),
}


def register_recipe(name: str, recipe: Recipe) -> None:
    """Make `recipe` known as `name`, to everything that takes the name of a recipe.

    Raises:
        ValueError: the name is taken.
    """
    if name in RECIPES:
        raise ValueError(f"{name!r} is already a recipe")
    RECIPES[name] = recipe


# (recipes, environments, field path -> value): what differs from the dataclasses' defaults. Patterns as in the shell;
# all matching rows apply, later ones win.
DEFAULTS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "*",
        "navigation",
        {
            "episodes_per_task": 20,
            "network.hidden": (100, 100),
            "network.activation": "relu",
            "network.init_std": 0.3,  # actions are clipped to 0.1; with 1.0 exploration is mostly clipped noise
            "evaluate.adaptation_episodes": 20,
            "evaluate.adaptation_steps": 3,
        },
    ),
    ("maml-vpg", "navigation", {"algorithm.meta_lr": 5e-3}),  # one step per iteration where PPO takes five
    # Locomotion, FAMILY@PRESET. Rothfuss et al. 2019: run_scripts and experiments/all_envs_eval of jonasrothfuss/ProMP,
    # about 1000 iterations each.
    (
        "*",
        "*@*",
        {
            "meta_batch_size": 40,
            "episodes_per_task": 20,
            "network.hidden": (64, 64),
            "evaluate.adaptation_episodes": 20,
            "evaluate.adaptation_steps": 3,
        },
    ),
    # Actions are clipped to 0.4.
    ("*", "humanoid-dir@*", {"network.hidden": (128, 128), "network.init_std": 0.4}),
    ("promp", "ant-goal@*", {"algorithm.inner_steps": 2}),
    (
        "promp",
        "*-params@*",
        {"algorithm.inner_lr": 0.05, "algorithm.epochs": 3, "algorithm.inner_kl_coef": 1e-3},
    ),
    # Finn et al. 2017: maml_examples/cluster_maml_trpo_cheetah.py of cbfinn/maml_rl.
    ("*", "*@maml2017", {"network.hidden": (100, 100), "network.activation": "relu"}),
    # Some 50 to 160 Adam steps per iteration, not 5; a first choice, not tuned.
    ("multitask-ppo", "metaworld/*", {"algorithm.epochs": 10, "algorithm.minibatches": 16}),
    *[(recipe, "metaworld/*", {"algorithm.minibatches": 10}) for recipe in ("maml-ppo", "promp")],
    (
        "rl2*",
        "*",
        {
            "network.hidden": (256,),
            # One episode after another: the curve has a point after each.
            "evaluate.adaptation_episodes": 1,
            "evaluate.adaptation_steps": 10,
        },
    ),
    ("rl2-gru", "*", {"network.cell": "gru"}),
    # run_scripts/rl2_run_sweep.py of jonasrothfuss/ProMP.
    (
        "rl2*",
        "*@*",
        {
            "meta_batch_size": 100,
            "episodes_per_task": 2,
            "network.hidden": (64,),
            "algorithm.learning_rate": 1e-3,
            "algorithm.epochs": 5,
            "algorithm.gae_lambda": 1.0,
            "algorithm.chunk": 200,
            "evaluate.adaptation_steps": 2,
        },
    ),
    # The RL^2 of Zintgraf et al. 2020: config/mujoco/args_cheetah_vel_rl2.py of lmzintgraf/varibad; a batch is 16
    # processes x 800 env steps.
    (
        "rl2*",
        "*@varibad",
        {
            "meta_batch_size": 32,
            "network.hidden": (128,),
            "algorithm.learning_rate": 7e-4,
            "algorithm.epochs": 2,
            "algorithm.minibatches": 4,
            "algorithm.clip_eps": 0.1,
            "algorithm.discount": 0.97,
            "algorithm.gae_lambda": 0.9,
            "algorithm.entropy_coef": 0.01,
            "algorithm.max_grad_norm": 0.5,
        },
    ),
    # Positions are read in metres, where millimetres decide.
    ("*", "metaworld/*", {"network.normalise_observations": True}),
    ("*", "metaworld/ml25", {"meta_batch_size": 25}),
    ("*", "metaworld/ml45", {"meta_batch_size": 45}),
    *[(recipes, "metaworld/*", {"algorithm.max_kl": 0.03}) for recipes in ("*maml-*", "metasgd-*", "multitask-trpo")],
    # A step of 0.1 from a policy that is trained without steps destroys it: scripts/adaptation.py step.
    ("multitask-*", "metaworld/*", {"algorithm.inner_lr": 0.03}),
    # Where to reach is the same correction in all states. On raw inputs, which hardly differ between states, a gradient
    # step is just that, and a memory that moves the hand has less to work against.
    ("rl2*", "metaworld/ml1-reach-v3", {"network.normalise_observations": False}),
    *[
        (recipes, "metaworld/ml1-reach-v3", {"network.normalise_observations": False, "algorithm.inner_lr": 0.1})
        for recipes in ("*maml-*", "metasgd-*", "promp", "multitask-*")
    ],
    *[
        (recipes, "metaworld/ml1-reach-v3", {"algorithm.max_kl": 0.01})
        for recipes in ("*maml-*", "metasgd-*", "multitask-trpo")
    ],
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
    (
        "rl2*",
        "metaworld/*",
        {
            # Small batches of short trials, and many passes over each: nine tenths of a trial of ten episodes teach
            # what three can, and an iteration moves a policy only so far. The rate is constant: one that follows the
            # KL divergence of such small batches grows too large.
            "meta_batch_size": 10,
            "episodes_per_task": 3,
            "evaluate.adaptation_steps": 2,
            "network.hidden": (128, 128),
            "network.head_hidden": (128,),
            "network.critic_hidden": (128,),
            "algorithm.epochs": 10,
            "algorithm.minibatches": 5,
            "algorithm.max_kl": 0.3,
            "algorithm.entropy_coef": 1e-3,
            "algorithm.reward_scale": 0.1,  # rewards are in [0, 10]
            "network.init_std": 0.7,
        },
    ),
    ("rl2*", "metaworld/ml25", {"meta_batch_size": 25}),
    ("rl2*", "metaworld/ml45", {"meta_batch_size": 45}),
    (
        "rl2*",
        "navigation",
        {
            "iterations": 200,
            "meta_batch_size": 40,
            "episodes_per_task": 4,
            "network.hidden": (64,),
            "algorithm.chunk": 200,
            "algorithm.minibatches": 4,
            "algorithm.learning_rate": 1e-3,
            "algorithm.max_kl": 1.0,  # aiming well takes small deviations, for which a small change is much in nats
            "evaluate.adaptation_steps": 3,
        },
    ),
    *[
        (
            "rl2*",
            env,
            {
                "iterations": 300,
                "network.hidden": (128,),
                "algorithm.minibatches": 4,
                "algorithm.epochs": 5,
                "algorithm.gae_lambda": 0.3,  # as in the paper
                "algorithm.learning_rate": 3e-3,
                "algorithm.final_learning_rate": 0.1,
                "algorithm.learning_rate_iterations": 300,  # give --learning-rate-iterations with --iterations
                "algorithm.entropy_coef": 1e-2,
                "algorithm.final_entropy_coef": 0.1,
                "evaluate.adaptation_steps": 1,
                **changes,
            },
        )
        for env, changes in (
            ("bandit/*", {"meta_batch_size": 1000, "episodes_per_task": 1}),  # the trial is one episode, all pulls
            (
                "tabular",
                {
                    "iterations": 2500,
                    "meta_batch_size": 250,
                    "evaluate.adaptation_episodes": 10,
                    # What each of ten states and five actions pays is more than an LSTM learns to keep by itself: it
                    # settles for the action that pays best in all states. All of these together got it further.
                    "network.recall_observation": True,
                    "network.memory_steps": 100,
                    "algorithm.reward_coef": 1.0,
                    "algorithm.reward_everywhere": True,
                    "algorithm.act_on_rewards": True,
                    "algorithm.learn_from_means": True,
                    "algorithm.max_kl": 1.0,  # what is expected changes much in an iteration, and actions with it
                    "algorithm.entropy_coef": 0.03,
                    "algorithm.final_entropy_coef": 0.0,
                    "algorithm.final_gae_bias": 0.05,
                    "algorithm.learning_rate": 5e-3,
                    "algorithm.learning_rate_iterations": 2500,
                    "algorithm.final_learning_rate": 0.05,
                    "algorithm.epochs": 2,
                    "algorithm.minibatches": 10,
                },
            ),
        )
    ],
    # A hundred pulls and more: sampling is cheap, and new trials teach more than another epoch on old ones.
    *[
        (
            "rl2*",
            f"bandit/*-n{pulls}",
            {
                "iterations": 1000,
                "meta_batch_size": 50_000 // pulls,
                "algorithm.epochs": 2,
                "algorithm.minibatches": 10,
                "algorithm.gae_lambda": 0.7,
                "algorithm.learning_rate_iterations": 1000,
                "algorithm.entropy_coef": 0.04,
                "algorithm.final_entropy_coef": 0.0,
                "algorithm.final_gae_bias": 0.0,
            },
        )
        for pulls in (100, 500)
    ],
    ("random", "*", {"iterations": 0}),  # there is nothing to learn
    *FEWSHOT_DEFAULTS,
]

# Fields that may differ between a run and its resumption, because they do not change its numbers.
RESUMABLE_CHANGES = {
    "iterations",
    "device",
    "workers",
    "worker_cores",
    "ray_address",
    "worker_timeout",
    "on_worker_failure",
    "run_dir",
    "checkpoint_every",
    "keep_checkpoints",
    "evaluate",
    "logger",
}

C = TypeVar("C")


def default_config(recipe: str, env: str) -> TrainConfig:
    """The config of a recipe on an environment, before options."""
    check_choice("recipe", recipe, RECIPES)
    config = TrainConfig(recipe=recipe, env=env, algorithm=RECIPES[recipe].algorithm)
    for recipes, environments, changes in DEFAULTS:
        if fnmatch.fnmatchcase(recipe, recipes) and fnmatch.fnmatchcase(env, environments):
            config = replace_paths(config, changes)
    return config


def replace_paths(config: C, changes: Mapping[str, Any]) -> C:
    """`dataclasses.replace` with dotted paths into nested configs."""
    for path, value in changes.items():
        head, _, rest = path.partition(".")
        new = replace_paths(getattr(config, head), {rest: value}) if rest else value
        config = dataclasses.replace(config, **{head: new})  # type: ignore[type-var]
    return config


def check_choice(option: str, value: str, valid: Mapping[str, Any]) -> None:
    """Raise ConfigError unless `value` is a key of `valid`, naming the closest key."""
    if value not in valid:
        close = difflib.get_close_matches(value, list(valid), 1, 0.0)[0]
        raise ConfigError(f"{option}: unknown {value!r}; closest: {close} (all: {', '.join(valid)})")


def validate(config: TrainConfig) -> None:
    """Refuse impossible settings.

    Raises:
        ConfigError: one line naming the option and what would be valid.
    """
    check_choice("recipe", config.recipe, RECIPES)
    families = _families(config.env)
    _check_match(config)
    _check_ranges(config)
    if config.evaluate.stock_goals > 50:
        raise ConfigError(f"--stock-goals: Meta-World has 50 goals per family, got {config.evaluate.stock_goals}")
    if config.evaluate.stock_goals and not config.env.startswith("metaworld/ml"):
        raise ConfigError(f"--stock-goals: Meta-World's evaluator knows its ML benchmarks, not {config.env}; valid: 0")
    if config.evaluate.shown_steps and parse_name(config.env) is None:
        raise ConfigError(f"--shown-steps: for few-shot tasks, not {config.env}, where every step is scored; valid: "
                          "none")  # fmt: skip
    if config.network.normalise_observations and parse_name(config.env):
        raise ConfigError(f"--normalise-observations: for policies; few-shot tasks like {config.env} have none; valid: "
                          "False")  # fmt: skip
    expected = type(RECIPES[config.recipe].algorithm)
    if type(config.algorithm) is not expected:
        raise ConfigError(f"recipe: {config.recipe} takes a {expected.__name__}, got {config.algorithm}")
    if config.meta_batch_size % len(families):
        below = config.meta_batch_size // len(families) * len(families)
        valid = " or ".join(str(n) for n in (below, below + len(families)) if n)
        raise ConfigError(
            f"--meta-batch-size: {config.meta_batch_size} does not divide evenly among the {len(families)} families "
            f"of {config.env}; closest: {valid}"
        )
    if config.shards > 1 or config.workers:
        _check_workers(config)
    if config.ray_address:
        _check_ray(config)
    if config.learners > 1:
        _check_learners(config)


def _check_workers(config: TrainConfig) -> None:
    """Refuse shards and workers that there is no work for."""
    if parse_name(config.env):
        option, valid = ("--workers", 0) if config.workers else ("--shards", 1)
        raise ConfigError(f"{option}: few-shot tasks are drawn in the learner's own process; valid: {valid}")
    if config.shards > config.meta_batch_size:
        raise ConfigError(
            f"--shards: {config.meta_batch_size} tasks cannot be cut into {config.shards} parts; "
            f"closest: {config.meta_batch_size}"
        )
    if config.workers > config.shards:
        raise ConfigError(
            f"--workers: {config.workers} workers need at least as many shards, there {_are(config.shards)}; closest: "
            f"{config.shards} (or --shards {config.workers}, in a new run: results depend on it in the last digits)"
        )


SHARED_UPDATE = (MamlConfig, ReptileConfig, Rl2Config)
"""Algorithms whose meta-update is made of means over tasks all along, so that several processes can share it."""


def _check_learners(config: TrainConfig) -> None:
    """Refuse to share an update that is no mean over tasks, or unequally."""
    if not isinstance(config.algorithm, SHARED_UPDATE):
        raise ConfigError(f"--learners: {config.recipe} updates in one process; valid: 1, got {config.learners}")
    if config.meta_batch_size % config.learners:
        valid = [n for n in range(1, config.meta_batch_size + 1) if config.meta_batch_size % n == 0]
        close = min(valid, key=lambda n: abs(n - config.learners))
        raise ConfigError(
            f"--learners: {config.meta_batch_size} tasks do not divide evenly among {config.learners}; closest: {close}"
        )


def _check_ray(config: TrainConfig) -> None:
    """Refuse a cluster without workers, or without Ray."""
    if not config.workers:
        raise ConfigError("--ray-address: a cluster needs --workers of at least 1, got 0")
    if importlib.util.find_spec("ray") is None:
        raise ConfigError("--ray-address: Ray is not installed here; pip install 'meta-rl[ray]' brings it")


def _are(count: int) -> str:
    return f"are {count}" if count > 1 else "is 1"


def _families(env: str) -> tuple[str, ...]:
    """Names of the families of a task distribution; few-shot tasks are all of one."""
    if parse_name(env):
        return (env,)
    try:
        return envs.families(env, "train")
    except envs.UnknownNameError as error:
        close = closest_kind(env)
        raise ConfigError(f"--env: {f'unknown tasks {env!r}; closest: {close}' if close else error}") from None


def _check_match(config: TrainConfig) -> None:
    """Refuse a recipe on tasks that it cannot learn from."""
    name, learns = parse_name(config.env), RECIPES[config.recipe].learns
    fits = {"rl": name is None, "examples": name is not None, "classes": name is not None and name.ways > 0}
    if not fits[learns]:
        wanted = {"rl": "in an environment", "examples": "from few-shot tasks", "classes": "from N-way few-shot tasks"}
        kind = "rl" if name is None else "classes" if name.ways else "examples"
        valid = [row for row, recipe in RECIPES.items() if recipe.learns in (kind, "examples" if name else "rl")]
        raise ConfigError(
            f"recipe: {config.recipe} learns {wanted[learns]}, which {config.env} is not; valid: {', '.join(valid)}"
        )

    ways = config.fewshot.train_ways
    if learns == "examples" and name and ways not in (0, name.ways):
        raise ConfigError(
            f"--train-ways: {config.recipe} adapts a network with an output per class, so it trains with as many as it "
            f"is tested on; valid: 0, got {ways}"
        )
    if ways == 1 or (ways and name and not name.ways):
        raise ConfigError(f"--train-ways: at least 2 classes, and only where tasks have classes; valid: 0, got {ways}")


# Bounds of numbers, by the name of the field wherever in the config it stands: (names, bound, in words).
_RANGES: list[tuple[str, Callable[[Any], bool], str]] = [
    (
        "seed iterations workers worker_cores test_tasks adaptation_steps stock_goals evaluation_seed inner_steps "
        "cg_damping inner_kl_coef max_grad_norm value_coef entropy_coef reward_coef final_meta_lr meta_lr_iterations "
        "final_learning_rate learning_rate_iterations clock_steps mean_bound target_kl inner_batch train_ways "
        "train_shots keep_checkpoints",
        lambda x: x >= 0,
        "must be at least 0",
    ),
    (
        "meta_batch_size episodes_per_task shards learners checkpoint_every adaptation_episodes "
        "evaluation_episodes tasks_at_once cg_iters max_backtracks curvature_stride epochs inner_epochs "
        "inner_minibatches minibatches chunk query_shots test_query_shots context_steps hidden_units",
        lambda x: x >= 1,
        "must be at least 1",
    ),
    (
        "inner_lr max_kl init_std min_std meta_lr clip_eps learning_rate reward_scale temperature margin preprocess_p "
        "worker_timeout",
        lambda x: x > 0,
        "must be above 0",
    ),
    ("discount gae_lambda final_gae_bias backtrack_ratio", lambda x: 0 <= x <= 1, "must be between 0 and 1"),
    ("hidden head_hidden critic_hidden", lambda x: all(units >= 1 for units in x), "every layer needs at least 1 unit"),
    ("shown_steps", lambda x: all(steps >= 0 for steps in x), "must be 0 or more"),
    ("memory_steps", lambda x: x == 0 or x >= 3, "must be 0 or at least 3"),
]


def _check_ranges(config: Any) -> None:
    """Every number of `config` and the configs in it."""
    for item in dataclasses.fields(config):
        name, value = item.name, getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            _check_ranges(value)
        for names, fits, problem in _RANGES:
            if name in names.split() and not fits(value):
                raise ConfigError(f"{_option(name)}: {problem}, got {value}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{_option(name)}: must be a finite number, got {value}")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


# -- JSON ------------------------------------------------------------------------------------------------------------


def to_dict(config: Any) -> dict[str, Any]:
    """A config as JSON-able nested dicts."""
    return json.loads(json.dumps(dataclasses.asdict(config)))  # type: ignore[no-any-return]


def from_dict(cls: type[C], values: Mapping[str, Any], path: str = "") -> C:
    """The inverse of `to_dict`, strict.

    Raises:
        ConfigError: an unknown field or a value of the wrong type.
    """
    hints = typing.get_type_hints(cls)
    if cls is TrainConfig:  # which of the algorithms' configs it holds is the recipe's business
        recipe = values.get("recipe", TrainConfig.recipe)
        check_choice("recipe", recipe, RECIPES)
        hints["algorithm"] = type(RECIPES[recipe].algorithm)
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            close = difflib.get_close_matches(name, list(hints), 1, 0.0)[0]
            raise ConfigError(f"config: unknown field {path + name!r}; closest: {path + close}")
        arguments[name] = _convert(hints[name], value, path + name)
    return cls(**arguments)


def _convert(kind: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigError(f"config: {path} must be an object, got {value!r}")
        return from_dict(kind, value, f"{path}.")  # type: ignore[arg-type]
    origin = typing.get_origin(kind)
    if origin is Literal:
        if value not in typing.get_args(kind):
            raise ConfigError(f"config: {path} must be one of {', '.join(typing.get_args(kind))}, got {value!r}")
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(typing.get_args(kind)[0], item, path) for item in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, types.GenericAlias) or type(value) is not kind:
        raise ConfigError(f"config: {path} must be {kind}, got {value!r}")
    return value


def load_config(path: Path) -> TrainConfig:
    """Read a dumped config.

    Raises:
        ConfigError: the file is missing, not JSON, or holds a bad field.
    """
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"--config: cannot read {path}: {error.strerror}") from None
    except ValueError as error:  # not JSON, or not even text
        raise ConfigError(f"--config: {path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"--config: {path} must hold a JSON object, as a run's config.json does")
    return from_dict(TrainConfig, values)


def changed_fields(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Dotted names of fields that differ and may not differ when a run is resumed, as ``name: old -> new``."""

    def walk(a: Mapping[str, Any], b: Mapping[str, Any], prefix: str) -> list[str]:
        found: list[str] = []
        for name in sorted(a.keys() | b.keys()):
            if prefix + name in RESUMABLE_CHANGES or a.get(name) == b.get(name):
                continue
            if isinstance(a.get(name), dict) and isinstance(b.get(name), dict):
                found += walk(a[name], b[name], f"{prefix}{name}.")
            else:
                found.append(f"{prefix}{name}: {a.get(name)} -> {b.get(name)}")
        return found

    return walk(to_dict(old), to_dict(new), "")
