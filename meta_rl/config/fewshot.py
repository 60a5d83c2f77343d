"""Supervised few-shot learning: names of its task distributions, and their episodes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from meta_rl.config.base import AlgorithmConfig, Recipe
from meta_rl.config.bounds import NonNegativeInt, PositiveInt
from meta_rl.errors import ConfigError

# kind -> whether its tasks are classifications (N ways); their sources are the rows of `meta_rl.fewshot.tasks`.
# None: either, which its names say; such are the kinds of `meta_rl.register_tasks`.
TASK_KINDS: dict[str, bool | None] = {
    "sinusoid": False,
    "omniglot": True,  # random characters, 1200 for training and 423 for tests
    "omniglot-background": True,  # 30 alphabets for training, 20 for tests
    "omniglot-small1": True,  # 5 alphabets for training
    "omniglot-small2": True,
    "images": True,  # a folder of the user's
    "ratings": False,  # a MovieLens-format file of the user's
    "synthetic-ratings": False,
}

_SEEN = {
    "omniglot": "hand-written characters",
    "omniglot-background": "hand-written characters",
    "omniglot-small1": "hand-written characters",
    "omniglot-small2": "hand-written characters",
    "images": "kinds of images",
    "sinusoid": "a sine wave, of which {shots} points are shown; the network tells the others",
    "ratings": "a user, of whom {shots} ratings are shown; the network tells the others",
    "synthetic-ratings": "an invented user, of whom {shots} ratings are shown; the network tells the others",
}
"""Kind -> its classes, or what a task is."""

_SIZES = {
    True: r"-([1-9]\d*)way-([1-9]\d*)shot",
    False: r"()-([1-9]\d*)shot",
    None: r"(?:-([1-9]\d*)way)?-([1-9]\d*)shot",
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
    """Parts of `name`; None if it is not the name of a few-shot task distribution.

    Raises:
        ConfigError: the name of a few-shot kind with a malformed rest.
    """
    kind = next((k for k in sorted(TASK_KINDS, key=len, reverse=True) if name == k or name.startswith(f"{k}-")), None)
    if kind is None:
        return None
    sizes = re.fullmatch(_SIZES[TASK_KINDS[kind]], name[len(kind) :])
    if not sizes:
        raise ConfigError(f"--env: bad few-shot tasks {name!r}; write them like {example_name(kind)}")
    ways = int(sizes[1] or 0)
    if ways == 1:
        raise ConfigError(
            f"--env: {name!r} has one class, so nothing to classify; at least 2 ways, like {example_name(kind)}"
        )
    return FewShotName(kind, ways, int(sizes[2]))


def describe_task(name: FewShotName) -> str:
    """What a task is, in a sentence; empty for a user's own."""
    seen = _SEEN.get(name.kind)
    if seen is None:
        return ""
    if not name.ways:
        return f"Every task is {seen.format(shots=name.shots)}."
    shown = "one picture of each is" if name.shots == 1 else f"{name.shots} pictures of each are"
    return f"Every task has {name.ways} {seen}, of which {shown} shown; the network tells which a new picture shows."


def closest_kind(name: str) -> str | None:
    """An example of the few-shot name that a misspelt one may mean."""
    from envs import closest

    close = closest(re.sub(r"(-\d+way)?-\d+shot$", "", name, flags=re.IGNORECASE), TASK_KINDS, least=0.8)
    return close and example_name(close)


def example_name(kind: str) -> str:
    """Tasks of a kind, as their name is written."""
    return f"{kind}-5way-1shot" if TASK_KINDS[kind] else f"{kind}-10shot"


@dataclass(frozen=True)
class EpisodesConfig:
    """How few-shot tasks are drawn; what is tested (N ways, K shots) is in the name given to --env."""

    data: str = ""
    """Folder (images, omniglot) or file (ratings) of the data; default for Omniglot: $META_RL_DATA/omniglot, else
    ../shared/data/omniglot."""
    train_ways: NonNegativeInt = 0
    """Classes per training task; 0: as tested."""
    train_shots: NonNegativeInt = 0
    """Support examples per class while training; 0: as tested."""
    query_shots: PositiveInt = 5
    """Query examples per class (classification) or per task (regression) while training."""
    test_query_shots: PositiveInt = 5
    """The same for test tasks. For ratings both are upper bounds: users have rated different numbers of items."""
    rotations: bool = True
    """omniglot: characters turned by 90, 180 and 270 degrees are classes of their own."""
    lowest_rating: float = 0.5
    """ratings: lower end of the scale of the file."""
    highest_rating: float = 5.0
    """ratings: upper end of the scale of the file."""


TaskMap = Literal["auto", "vmap", "groups", "loop"]
"""How the tasks of a meta-batch are adapted together."""


def examples_recipe(
    learner: str, algorithm: AlgorithmConfig, summary: str, defined_by: Mapping[str, Any] | None = None
) -> Recipe:
    """The row of a recipe that learns from labelled examples of any kind."""
    network = "meta_rl.networks.fewshot:make_network"
    return Recipe(learner, algorithm, f"few-shot: {summary}", network, "examples", defined_by or {})


def classes_recipe(
    learner: str, algorithm: AlgorithmConfig, summary: str, defined_by: Mapping[str, Any] | None = None
) -> Recipe:
    """The row of a recipe that learns to tell classes apart."""
    network = "meta_rl.networks.fewshot:make_embedding"
    return Recipe(learner, algorithm, f"few-shot: {summary}", network, "classes", defined_by or {})
