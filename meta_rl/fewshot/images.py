"""N-way K-shot episodes from images that lie in memory as bytes."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl.core.types import Examples, MetaBatch, from_numpy
from meta_rl.errors import ConfigError


class ImageSet(NamedTuple):
    """Classes of images.

    Attributes:
        images: uint8 ``[image, channel, height, width]``, those of a class behind each other.
        counts: images of each class ``[class]``.
        source: where they come from, for messages.
    """

    images: NDArray[np.uint8]
    counts: NDArray[np.int64]
    source: str


class ImageTasks:
    """Tasks of telling N classes apart; see `meta_rl.fewshot.tasks.TaskSet`.

    Args:
        images: the classes.
        ways: classes per test task, the number of the network's answers.
        turns: 4 to count every class turned by 90, 180 and 270 degrees as classes of their own, else 1.
    """

    count: int | None = None

    def __init__(self, images: ImageSet, ways: int, turns: int) -> None:
        self._images, self._counts = torch.from_numpy(images.images), images.counts
        self._first = np.concatenate([[0], np.cumsum(images.counts)[:-1]])
        self._turns, self._source = turns, images.source
        self.observation_space = gym.spaces.Box(0, 1, images.images.shape[1:], np.float32)
        self.action_space = gym.spaces.Discrete(ways)

    @property
    def classes(self) -> int:
        """Number of classes, turned ones included."""
        return len(self._counts) * self._turns

    def check(self, ways: int, shots: int, query: int, what: str) -> None:
        """Refuse tasks that the data is too small for.

        Raises:
            ConfigError: naming what there is and what is asked for.
        """
        if ways > self.classes:
            raise ConfigError(f"--env: {what} needs {ways} classes, {self._source} has {self.classes}")
        if shots + query > self._counts.min():
            raise ConfigError(
                f"--env: {what} needs {shots} support and {query} query images per class, but a class in "
                f"{self._source} has {self._counts.min()}"
            )

    def sample(self, rng: np.random.Generator, tasks: int, ways: int, shots: int, query: int) -> MetaBatch:
        """See `meta_rl.fewshot.tasks.TaskSet`; the same drawing is never in support and query of a task."""
        classes = np.stack([rng.choice(self.classes, ways, replace=False) for _ in range(tasks)])
        base, turn = classes % len(self._counts), classes // len(self._counts)
        keys = rng.random((tasks, ways, int(self._counts.max())))
        keys[np.arange(keys.shape[-1]) >= self._counts[base][..., None]] = np.inf
        drawn = np.argsort(keys, -1)[..., : shots + query] + self._first[base][..., None]
        orders = rng.permuted(np.tile(np.arange(ways * shots), (tasks, 1)), axis=1)
        support = self._gather(drawn[..., :shots], turn, orders)
        orders = np.tile(np.arange(ways * query), (tasks, 1))
        return MetaBatch((support,), self._gather(drawn[..., shots:], turn, orders))

    def _gather(self, index: NDArray[np.int64], turn: NDArray[np.int64], order: NDArray[np.int64]) -> Examples:
        """Images ``[task, example, ...]`` of indices ``[task, way, shot]``, each task's in its `order`."""
        tasks, ways, shots = index.shape
        target = np.broadcast_to(np.arange(ways)[None, :, None], index.shape).reshape(tasks, -1)
        turns = np.broadcast_to(turn[..., None], index.shape).reshape(tasks, -1)
        flat = np.take_along_axis(index.reshape(tasks, -1), order, 1)
        turns = np.take_along_axis(turns, order, 1)
        images = rotate(self._images[torch.from_numpy(flat.reshape(-1))], from_numpy(turns.reshape(-1)))
        observation = images.float().div_(255).reshape(tasks, ways * shots, *images.shape[1:])
        labels = from_numpy(np.take_along_axis(target, order, 1))
        return Examples(observation, labels, torch.ones(labels.shape))

    def test_task(self, index: int, rng: np.random.Generator, ways: int, shots: int, query: int) -> MetaBatch:
        """See `meta_rl.fewshot.tasks.TaskSet`."""
        return self.sample(rng, 1, ways, shots, query)

    def metrics(self, error: Tensor, outputs: Tensor, query: Examples) -> dict[str, Tensor]:
        """None beside the accuracy."""
        return {}

    def baselines(self, batch: MetaBatch) -> dict[str, Tensor]:
        """None: pixels tell nothing by a formula."""
        return {}

    def fingerprint(self) -> dict[str, Any]:
        """Number of classes and images, and a hash of every byte of them."""
        return {
            "source": self._source,
            "classes": self.classes,
            "images": len(self._images),
            "sha256": hashlib.sha256(self._images.numpy().tobytes()).hexdigest(),
        }


def rotate(images: Tensor, turns: Tensor) -> Tensor:
    """Images ``[n, channel, height, width]`` each turned counter-clockwise by ``turns[i]`` quarters."""
    result = images.clone()
    for quarter in (1, 2, 3):
        mask = turns == quarter
        if bool(mask.any()):
            result[mask] = torch.rot90(images[mask], quarter, (-2, -1))
    return result
