"""Supervised few-shot learning: names of its task distributions and the configs of its algorithms. No torch here."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from meta_rl.base_config import AlgorithmConfig
from meta_rl.errors import ConfigError

# kind -> whether its tasks are classifications (N ways); their sources are the rows of `meta_rl.sources.fewshot`.
KINDS: dict[str, bool] = {
    "sinusoid": False,
    "omniglot": True,  # random characters, 1200 for training and 423 for tests
    "omniglot-background": True,  # 30 alphabets for training, 20 for tests
    "omniglot-small1": True,  # 5 alphabets for training
    "omniglot-small2": True,
    "images": True,  # a folder of the user's
    "ratings": False,  # a MovieLens-format file of the user's
    "synthetic-ratings": False,
}

SPLITS = ("train", "validation", "test")


class FewShotName(NamedTuple):
    """A task distribution, as in ``omniglot-5way-1shot`` or ``sinusoid-10shot``."""

    kind: str
    ways: int
    """Classes per task; 0 for regression."""
    shots: int
    """Support examples per class (classification) or per task (regression)."""


def parse_name(name: str) -> FewShotName | None:
    """What `name` means; None if it is not the name of a few-shot task distribution.

    Raises:
        ConfigError: the name of a few-shot kind with a malformed rest.
    """
    kind = next((k for k in sorted(KINDS, key=len, reverse=True) if name == k or name.startswith(f"{k}-")), None)
    if kind is None:
        return None
    sizes = re.fullmatch(r"-([1-9]\d*)way-([1-9]\d*)shot" if KINDS[kind] else r"()-([1-9]\d*)shot", name[len(kind) :])
    example = f"{kind}-5way-1shot" if KINDS[kind] else f"{kind}-10shot"
    if not sizes:
        raise ConfigError(f"--env: bad few-shot tasks {name!r}; write them like {example}")
    ways = int(sizes[1] or 0)
    if ways == 1:
        raise ConfigError(f"--env: {name!r} has one class to tell apart from none; at least 2 ways, like {example}")
    return FewShotName(kind, ways, int(sizes[2]))


def closest_kind(name: str) -> str | None:
    """An example of the few-shot name that a misspelt one may mean."""
    close = difflib.get_close_matches(re.sub(r"(-\d+way)?-\d+shot$", "", name), list(KINDS), 1, 0.8)
    return None if not close else f"{close[0]}-5way-1shot" if KINDS[close[0]] else f"{close[0]}-10shot"


@dataclass(frozen=True)
class EpisodesConfig:
    """How few-shot tasks are drawn; what is tested (N ways, K shots) is in the name given to --env."""

    data: str = ""
    """Folder (images, omniglot) or file (ratings) of the data; default for Omniglot: $META_RL_DATA/omniglot, else
    ../shared/data/omniglot."""
    train_ways: int = 0
    """Classes per training task; 0: as tested."""
    train_shots: int = 0
    """Support examples per class while training; 0: as tested."""
    query_shots: int = 5
    """Query examples per class (classification) or per task (regression) while training."""
    test_query_shots: int = 5
    """The same for test tasks. For ratings both are upper bounds: users have rated different numbers of items."""
    rotations: bool = True
    """omniglot: characters turned by 90, 180 and 270 degrees are classes of their own."""


TaskMap = Literal["auto", "vmap", "groups", "loop"]


@dataclass(frozen=True)
class SupervisedMamlConfig(AlgorithmConfig):
    """MAML on labelled examples (see `meta_rl.algorithms.maml`)."""

    inner_lr: float = 0.4
    """Step size on the mean loss over the support examples (reference code that sums over N classes has N times as
    much for the same number)."""
    inner_steps: int = 1
    """Gradient steps per task while meta-training. 0: plain training on all tasks at once (pre-training)."""
    first_order: bool = False
    """Ignore second derivatives (FOMAML)."""
    learn_inner_lr: bool = False
    """Meta-learn a step size for every single parameter (Meta-SGD)."""
    meta_lr: float = 1e-3
    """Step size of Adam."""
    max_grad_norm: float = 0.0
    """Meta-gradients are scaled down to this norm; 0: never."""
    task_map: TaskMap = "auto"
    """All tasks at once (vmap), two at once (groups), one after another (loop), or the fastest, measured in the first
    iteration and kept in the checkpoint. They round differently: name one where runs must agree bit for bit."""


@dataclass(frozen=True)
class SupervisedReptileConfig(AlgorithmConfig):
    """Reptile on labelled examples (see `meta_rl.algorithms.reptile`)."""

    inner_lr: float = 1e-3
    """Step size of the adaptation."""
    inner_steps: int = 5
    """Minibatch steps per task while meta-training."""
    inner_batch: int = 10
    """Support examples per step, in turn; 0 or more than there are: all."""
    inner_optimizer: Literal["adam", "sgd"] = "adam"
    """adam: with beta1 = 0; its second moments last from task to task and into the tests, as in the authors' code."""
    meta_optimizer: Literal["sgd", "adam"] = "sgd"
    """How the step towards the adapted parameters is taken: plain interpolation, or Adam on the difference."""
    meta_lr: float = 1.0
    """Interpolation step (sgd), or Adam's step size."""
    final_meta_lr: float = 0.0
    """Factor on meta-lr that is reached linearly after meta-lr-iterations."""
    meta_lr_iterations: int = 0
    """Length of the annealing; 0: none."""
    task_map: TaskMap = "auto"
    """As for MAML."""


@dataclass(frozen=True)
class MetricConfig(AlgorithmConfig):
    """Prototypical networks, and base of what compares embeddings."""

    meta_lr: float = 1e-3
    """Step size of Adam."""
    max_grad_norm: float = 0.0
    """Gradients are scaled down to this norm; 0: never."""


@dataclass(frozen=True)
class MatchingConfig(MetricConfig):
    """Matching networks (see `meta_rl.algorithms.matching`)."""

    similarity: Literal["cosine", "l2"] = "cosine"
    """Attention logits: cosine times the inverse temperature, or minus the squared distance."""
    temperature: float = 0.1
    """cosine: divides the similarities, which lie in [-1, 1] and alone give a flat softmax."""
    full_context: bool = False
    """Full-context embeddings: a bidirectional LSTM over the support set, an attention LSTM for the query."""
    context_steps: int = 5
    """full-context: reading steps of the query's LSTM."""


@dataclass(frozen=True)
class SiameseConfig(MetricConfig):
    """Siamese networks (see `meta_rl.algorithms.siamese`)."""

    pair_loss: Literal["contrastive", "koch"] = "contrastive"
    """contrastive: (1 - y) D^2 + y max(0, margin - D)^2, y = 1 for different classes; koch: weighted L1 distance and
    cross-entropy."""
    margin: float = 1.0
    """contrastive: distance beyond which different classes cost nothing."""


@dataclass(frozen=True)
class MetaLstmConfig(AlgorithmConfig):
    """The LSTM meta-learner (see `meta_rl.algorithms.meta_lstm`)."""

    inner_steps: int = 8
    """Updates per task while meta-training."""
    inner_batch: int = 0
    """Support examples per update, in turn; 0 or more than there are: all."""
    hidden_units: int = 20
    """Units of the LSTM that reads gradient and loss; the gates read it."""
    preprocess_p: float = 10.0
    """Numbers below exp(-this) are scaled up instead of having their logarithm taken."""
    meta_lr: float = 1e-3
    """Step size of Adam."""
    max_grad_norm: float = 0.25
    """Meta-gradients are scaled down to this norm; 0: never."""


# Rows of `meta_rl.config.DEFAULTS`. Sources of the numbers: the papers, with step sizes for losses that are means.
DEFAULTS: list[tuple[str, str, dict[str, Any]]] = [
    *[
        (
            "*",
            f"{kind}-*",
            {
                "iterations": 3000,
                "meta_batch_size": 16,
                "checkpoint_every": 500,
                "network.hidden": (64, 64, 64, 64),
                "network.activation": "relu",
                "evaluate.test_tasks": 1000,
                "evaluate.tasks_at_once": 20,
                "evaluate.adaptation_steps": 1,
                **changes,
            },
        )
        for kind, changes in {
            "omniglot": {},
            "images": {
                "network.hidden": (32, 32, 32, 32),
                "network.pooling": "max",
                "meta_batch_size": 4,
                "fewshot.query_shots": 15,
                "fewshot.test_query_shots": 15,
                "evaluate.test_tasks": 600,
            },
            "sinusoid": {
                "network.hidden": (40, 40),
                "meta_batch_size": 25,
                "fewshot.query_shots": 10,
                "fewshot.test_query_shots": 100,
                "iterations": 20000,
                "checkpoint_every": 2000,
                "evaluate.test_tasks": 600,
                "evaluate.tasks_at_once": 100,
            },
            "ratings": {
                "network.hidden": (32, 32),
                "network.activation": "tanh",
                "fewshot.query_shots": 20,
                "fewshot.test_query_shots": 100,
                "evaluate.test_tasks": 0,
            },
            "synthetic-ratings": {
                "network.hidden": (32, 32),
                "network.activation": "tanh",
                "fewshot.query_shots": 20,
                "fewshot.test_query_shots": 100,
                "evaluate.test_tasks": 0,
            },
        }.items()
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
    (
        "reptile-supervised",
        "*",
        {
            "meta_batch_size": 5,
            "iterations": 10000,
            "fewshot.train_shots": 10,
            "evaluate.adaptation_steps": 50,
            "algorithm.meta_lr_iterations": 10000,
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
            "algorithm.meta_lr_iterations": 20000,
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
    ("meta-lstm", "*", {"meta_batch_size": 1, "evaluate.adaptation_steps": 8}),
    ("meta-lstm", "*-5shot", {"algorithm.inner_batch": 25}),
    ("meta-lstm", "omniglot*", {"network.hidden": (32, 32, 32, 32)}),
    # Metric learners: max pooling; without batch statistics a query's answer does not depend on its neighbours.
    *[
        (
            recipe,
            "omniglot*",
            {"meta_batch_size": 1, "network.norm": "group", "network.pooling": "max", "fewshot.train_ways": 20},
        )
        for recipe in ("prototypical", "matching*", "siamese*")
    ],
]
