"""Few-shot task distributions by name, and the source that hands their meta-batches to the training loop.

All data is in memory (images as bytes); a meta-batch is one gather. What is drawn depends on (seed, iteration) alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

import envs
from meta_rl.config import EvaluateConfig, TrainConfig
from meta_rl.config.fewshot import SPLITS, TASK_KINDS, FewShotName, parse_name
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.types import Examples, MetaBatch
from meta_rl.core.weights import Weights
from meta_rl.errors import ConfigError
from meta_rl.fewshot import omniglot, ratings
from meta_rl.fewshot.folder import load_folder
from meta_rl.fewshot.images import ImageTasks
from meta_rl.fewshot.sinusoid import Sinusoids
from meta_rl.fewshot.users import Users

Maker = Callable[[str, FewShotName, str], "TaskSet"]
"""``maker(split, name, data)``: the tasks of a split."""

DEFAULT_TEST_EPISODES = 600
"""Number of test episodes, each a task, if there are infinitely many tasks."""


class TaskSet(Protocol):
    """One split of a few-shot task distribution. Answers are called actions, as in `envs`."""

    observation_space: Any
    action_space: gym.spaces.Space[Any]
    count: int | None
    """How many tasks there are, if they are finitely many and a test takes them all."""

    def sample(self, rng: np.random.Generator, tasks: int, ways: int, shots: int, query: int) -> MetaBatch:
        """Random tasks: support ``[task, ways * shots]`` in random order and query ``[task, ways * query]`` examples
        (`ways` counts as 1 for regression)."""
        ...

    def test_task(self, index: int, rng: np.random.Generator, ways: int, shots: int, query: int) -> MetaBatch:
        """One task: the `index`-th of a finite set, else a random one."""
        ...

    def metrics(self, error: Tensor, outputs: Tensor, query: Examples) -> dict[str, Tensor]:
        """Scores of answers, each ``[task]``, beside the accuracy or the mean squared error.

        Args:
            error: mean squared error ``[task]``; of classes the accuracy.
            outputs: answers ``[task, example, ...]`` to `query`.
        """
        ...

    def baselines(self, batch: MetaBatch) -> dict[str, Tensor]:
        """Answers ``[task, example, 1]`` of predictors that need no network to the queries of `batch`, by label."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """JSON-able: what identifies the data."""
        ...


_MEMBERS = ("observation_space", "action_space", "count",
            *("sample", "test_task", "metrics", "baselines", "fingerprint"))  # fmt: skip


def data_folder(name: str) -> Path:
    """Default path of the data `name`: below $META_RL_DATA if it is set, else in ../shared/data beside the checkout."""
    root = os.environ.get("META_RL_DATA")
    return (Path(root) if root else Path(__file__).parents[2].parent / "shared" / "data") / name


def _omniglot(turned: tuple[str, ...], split: str, data: str, name: FewShotName, config: TrainConfig) -> TaskSet:
    """Characters; those of the splits `turned` also by 90, 180 and 270 degrees."""
    folder = Path(data) if data else data_folder("omniglot")
    images = omniglot.characters(folder, name.kind, split)
    return ImageTasks(images, name.ways, 4 if config.fewshot.rotations and split in turned else 1)


# The random split counts turned characters as classes in tests too; the evaluation alphabets are taken as they are.
_random_omniglot, _background_omniglot = partial(_omniglot, SPLITS), partial(_omniglot, ("train",))


def _images(split: str, data: str, name: FewShotName, config: TrainConfig) -> TaskSet:
    if not data:
        raise ConfigError("--data: name the folder that holds train/, val/ and test/ with a folder of images per class")
    return ImageTasks(load_folder(Path(data), split), name.ways, 1)


def _sinusoid(split: str, data: str, name: FewShotName, config: TrainConfig) -> TaskSet:
    return Sinusoids()


def _ratings(split: str, data: str, name: FewShotName, config: TrainConfig) -> TaskSet:
    if not data:
        raise ConfigError("--data: name the ratings file, a MovieLens u.data or ratings.csv")
    low, high = config.fewshot.lowest_rating, config.fewshot.highest_rating
    return Users(ratings.load_ratings(Path(data), low, high), split, name.shots)


def _synthetic(split: str, data: str, name: FewShotName, config: TrainConfig) -> TaskSet:
    return Users(ratings.synthetic(), split, name.shots)


_OPEN: dict[str, Callable[[str, str, FewShotName, TrainConfig], TaskSet]] = {
    "sinusoid": _sinusoid,
    "omniglot": _random_omniglot,
    "omniglot-background": _background_omniglot,
    "omniglot-small1": _background_omniglot,
    "omniglot-small2": _background_omniglot,
    "images": _images,
    "ratings": _ratings,
    "synthetic-ratings": _synthetic,
}


def register_tasks(name: str, maker: Maker) -> None:
    """Make few-shot tasks of one's own known: as ``NAME-Kshot`` if their answers are numbers, as ``NAME-Nway-Kshot`` if
    they are classes.

    Args:
        maker: ``maker(split, name, data)`` gives the `TaskSet` of a split (train, validation or test), for the ways and
            shots of a `FewShotName` and the path given to ``--data``. It raises ConfigError where there is none.
    Raises:
        ValueError: the name is taken, or is none.
    """
    if not re.fullmatch(r"[A-Za-z][\w.-]*", name):
        raise ValueError(f"{name!r} is no name for few-shot tasks: letters, digits, dots and dashes, a letter first")
    taken = [*TASK_KINDS, *envs.list_names(), *(key.partition("/")[0] for key in envs.list_names())]
    if name in taken or any(known.startswith(f"{name}-") for known in envs.list_names()):
        raise ValueError(f"{name!r} is already the name of tasks")

    def opened(split: str, data: str, parsed: FewShotName, config: TrainConfig) -> TaskSet:
        tasks = maker(split, parsed, data)
        missing = [member for member in _MEMBERS if not hasattr(tasks, member)]
        if missing:
            raise ConfigError(f"--env: the tasks of {config.env} lack {', '.join(missing)}; see "
                              "meta_rl.fewshot.tasks.TaskSet")  # fmt: skip
        return tasks

    TASK_KINDS[name], _OPEN[name] = None, opened


def open_tasks(config: TrainConfig, split: str) -> TaskSet:
    """The tasks of ``config.env``, checked to be enough for what the config asks.

    Raises:
        ConfigError: missing or damaged data, or too few classes or samples for N and K.
    """
    name = parse_name(config.env)
    assert name is not None
    if split not in SPLITS:
        raise ConfigError(f"--split: unknown split {split!r}; valid: {', '.join(SPLITS)}")
    tasks = _OPEN[name.kind](split, config.fewshot.data, name, config)
    ways, shots, query = sizes(config, split)
    if isinstance(tasks, ImageTasks):
        tasks.check(ways, shots, query, f"{config.env}, {split}")
    return tasks


def sizes(config: TrainConfig, split: str) -> tuple[int, int, int]:
    """Ways (1 for regression), shots and query shots of a split."""
    name, c = parse_name(config.env), config.fewshot
    assert name is not None
    if split == "train":
        return c.train_ways or name.ways or 1, c.train_shots or name.shots, c.query_shots
    return name.ways or 1, name.shots, c.test_query_shots


class Episodes(NamedTuple):
    """A meta-batch on its way to the learner; the twin of `meta_rl.sources.collect.Shard`."""

    batch: MetaBatch
    env_steps: int = 0
    measured: tuple[()] = ()
    missing_success: str = ""

    def describe(self) -> dict[str, float]:
        """No sampling metrics."""
        return {}


class FewShotSource:
    """The meta-batches of a run.

    Args:
        tasks: of the training split.
        config: batch sizes and seed.
    """

    restarts = 0

    def __init__(self, tasks: TaskSet, config: TrainConfig) -> None:
        self._tasks, self._config = tasks, config

    def sample(self, weights: Weights, iteration: int) -> Episodes:
        """The meta-batch of `iteration`; the weights do not matter."""
        rng = generator(self._config.seed, Purpose.TRAIN_TASKS, iteration)
        return Episodes(self._tasks.sample(rng, self._config.meta_batch_size, *sizes(self._config, "train")))

    def close(self) -> None:
        """Nothing to free."""


def fixed_episodes(tasks: TaskSet, config: TrainConfig, protocol: EvaluateConfig, split: str) -> Iterator[MetaBatch]:
    """The test episodes, the same for every learner: a function of the evaluation seed, in chunks of `tasks_at_once`.

    All tasks where there are finitely many and ``test_tasks`` is 0.
    """
    total = episode_count(tasks, protocol)
    for first in range(0, total, protocol.tasks_at_once):
        count = min(protocol.tasks_at_once, total - first)
        # Drawn one task at a time, so that the size of chunks changes nothing.
        parts = []
        for index in range(first, first + count):
            rng = generator(protocol.evaluation_seed, Purpose.TEST_TASKS, task=index)
            parts.append(tasks.test_task(index, rng, *sizes(config, split)))
        yield stack_tasks(parts)


def episode_count(tasks: TaskSet, protocol: EvaluateConfig) -> int:
    """How many there are of `fixed_episodes`."""
    total = protocol.test_tasks or tasks.count or DEFAULT_TEST_EPISODES
    return min(total, tasks.count) if tasks.count else total


def stack_tasks(parts: list[MetaBatch]) -> MetaBatch:
    """Meta-batches of one task each as one."""
    support, query = (
        Examples(*(torch.cat(tensors) for tensors in zip(*examples, strict=True)))
        for examples in ([part.support[0] for part in parts], [part.query for part in parts])
    )
    return MetaBatch((support,), query)
