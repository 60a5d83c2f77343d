"""Learners that compare embeddings: prototypical, matching and Siamese networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from meta_rl.config.base import AlgorithmConfig, Rows
from meta_rl.config.bounds import NonNegativeFloat, PositiveFloat, PositiveInt
from meta_rl.config.fewshot import classes_recipe


@dataclass(frozen=True)
class MetricConfig(AlgorithmConfig):
    """Prototypical networks, and base of what compares embeddings."""

    meta_lr: PositiveFloat = 1e-3
    """Step size of Adam."""
    max_grad_norm: NonNegativeFloat = 0.0
    """Gradients are scaled down to this norm; 0: never."""


@dataclass(frozen=True)
class MatchingConfig(MetricConfig):
    """Matching networks (see `meta_rl.algorithms.matching`)."""

    similarity: Literal["cosine", "l2"] = "cosine"
    """Attention logits: cosine times the inverse temperature, or minus the squared distance."""
    temperature: PositiveFloat = 0.1
    """cosine: divides the similarities, which lie in [-1, 1] and alone give a flat softmax."""
    full_context: bool = False
    """Full-context embeddings: a bidirectional LSTM over the support set, an attention LSTM for the query."""
    context_steps: PositiveInt = 5
    """full-context: reading steps of the query's LSTM."""


@dataclass(frozen=True)
class SiameseConfig(MetricConfig):
    """Siamese networks (see `meta_rl.algorithms.siamese`)."""

    pair_loss: Literal["contrastive", "koch"] = "contrastive"
    """contrastive: (1 - y) D^2 + y max(0, margin - D)^2, y = 1 for different classes; koch: weighted L1 distance and
    cross-entropy."""
    margin: PositiveFloat = 1.0
    """contrastive: distance beyond which different classes cost nothing."""


RECIPES = {
    "prototypical": classes_recipe(
        "meta_rl.algorithms.prototypical:Prototypical", MetricConfig(), "prototypical networks (Snell et al. 2017)"
    ),
    "matching": classes_recipe(
        "meta_rl.algorithms.matching:Matching",
        MatchingConfig(),
        "matching networks (Vinyals et al. 2016)",
        {"algorithm.full_context": False},
    ),
    "matching-fce": classes_recipe(
        "meta_rl.algorithms.matching:Matching",
        MatchingConfig(full_context=True),
        "the same, full-context embeddings",
        {"algorithm.full_context": True},
    ),
    "siamese": classes_recipe(
        "meta_rl.algorithms.siamese:Siamese",
        SiameseConfig(),
        "Siamese networks, contrastive loss (Hadsell et al. 2006)",
        {"algorithm.pair_loss": "contrastive"},
    ),
    "siamese-koch": classes_recipe(
        "meta_rl.algorithms.siamese:Siamese",
        SiameseConfig(pair_loss="koch"),
        "Siamese networks, weighted L1 and cross-entropy (Koch et al. 2015)",
        {"algorithm.pair_loss": "koch"},
    ),
}


DEFAULTS: Rows = [
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
