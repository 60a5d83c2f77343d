"""Where tests find Omniglot, and data made up on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from meta_rl.core.types import Examples, MetaBatch
from meta_rl.fewshot.images import ImageSet
from meta_rl.fewshot.tasks import data_folder

OMNIGLOT = data_folder("omniglot")
needs_omniglot = pytest.mark.skipif(
    not (OMNIGLOT / "omniglot_28x28.npz").exists(), reason=f"no Omniglot (META_RL_DATA or {OMNIGLOT})"
)


def labelled(classes: int = 6, drawers: int = 5, size: int = 4) -> ImageSet:
    """Images whose first row says who they are: ``[class, drawer, 0, ...]``; the rest is 0."""
    images = np.zeros((classes, drawers, 1, size, size), np.uint8)
    images[..., 0, 0, 0] = np.arange(classes)[:, None] + 100
    images[..., 0, 0, 1] = np.arange(drawers) + 1
    return ImageSet(images.reshape(-1, 1, size, size), np.full(classes, drawers), "made up")


def write_png(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def image_batch(
    tasks: int = 2, ways: int = 3, shots: int = 2, query: int = 2, size: int = 8, seed: int = 0
) -> MetaBatch:
    """Random images in float64; every class has a picture of its own below the noise."""
    rng = torch.Generator().manual_seed(seed)
    classes = 0.5 * torch.randn(tasks, ways, 1, size, size, dtype=torch.float64, generator=rng)

    def examples(each: int) -> Examples:
        target = torch.arange(ways).repeat_interleave(each).expand(tasks, -1).contiguous()
        noise = torch.rand(tasks, ways * each, 1, size, size, dtype=torch.float64, generator=rng)
        images = noise + classes[torch.arange(tasks)[:, None], target]
        return Examples(images, target, torch.ones(tasks, ways * each, dtype=torch.float64))

    return MetaBatch((examples(shots),), examples(query))
