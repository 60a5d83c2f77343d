"""Omniglot (Lake, Salakhutdinov and Tenenbaum 2015): from a folder, the official zips, or the packed array.

Looked for in this order, for every part (``images_background``, ``images_evaluation``, ``images_background_small1``,
``images_background_small2``): a folder PART/ALPHABET/CHARACTER/*.png, the archive PART.zip with the same inside, and
omniglot_28x28.npz (the first two parts only). Ink is high, 28x28.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl.core.seeding import Purpose, generator
from meta_rl.errors import ConfigError
from meta_rl.fewshot.images import ImageSet
from meta_rl.fewshot.pictures import read_picture

if TYPE_CHECKING:
    from PIL.Image import Image

OMNIGLOT = "omniglot"
"""How the names of its tasks begin."""
SIZE = 28
PACKED = "omniglot_28x28.npz"
TRAIN, VALIDATION = 1100, 100
"""Characters for training and for model selection: the first 1100 and the last 100 of 1200 random ones."""
BACKGROUND = {
    "omniglot-background": "images_background",
    "omniglot-small1": "images_background_small1",
    "omniglot-small2": "images_background_small2",
}


class OneShotRun(NamedTuple):
    """One of the 20 within-alphabet runs: which of 20 characters, each seen once, is each of 20 test drawings?"""

    support: NDArray[np.uint8]
    """``[20, 1, 28, 28]``, one drawing per class."""
    query: NDArray[np.uint8]
    """``[20, 1, 28, 28]``."""
    target: NDArray[np.int64]
    """Class of each query ``[20]``."""


def characters(folder: Path, kind: str, split: str) -> ImageSet:
    """The characters of a split.

    ``omniglot``: all 1,623, split at random once and for all into 1100 for training, 100 for validation and 423 for
    tests. The other kinds train on a background set and test on the 20 evaluation alphabets.

    Raises:
        ConfigError: the data is missing or damaged.
    """
    if kind in BACKGROUND:
        if split == "validation":
            raise ConfigError(f"--split: {kind} has no validation split; valid: train, test")
        images = load_part(folder, BACKGROUND[kind] if split == "train" else "images_evaluation")
    else:
        images = np.concatenate([load_part(folder, part) for part in ("images_background", "images_evaluation")])
        order = generator(0, Purpose.DATA).permutation(len(images))
        cuts = dict(zip(("train", "validation", "test"), np.split(order, [TRAIN, TRAIN + VALIDATION]), strict=True))
        images = images[cuts[split]]
    count, drawers = images.shape[:2]
    flat = images.reshape(count * drawers, 1, SIZE, SIZE)
    return ImageSet(flat, np.full(count, drawers), f"Omniglot ({split} of {kind})")


def load_part(folder: Path, part: str) -> NDArray[np.uint8]:
    """Images uint8 ``[character, drawer, 28, 28]`` of a part, sorted by alphabet, character and drawer.

    Raises:
        ConfigError: the part is missing or damaged.
    """
    if (folder / part).is_dir():
        files = ((str(p.relative_to(folder)), p.read_bytes()) for p in sorted((folder / part).glob("*/*/*.png")))
        return _stack(files, folder / part)
    archive = folder / f"{part}.zip"
    if archive.exists():
        return _stack(_members(archive), archive)
    packed = folder / PACKED
    if packed.exists() and part in ("images_background", "images_evaluation"):
        return _unpack(packed, part)
    raise ConfigError(
        f"--data: no {part} of Omniglot in {folder} (a folder or zip of that name"
        + (f", or {PACKED})" if not part.endswith(("1", "2")) else ")")
    )


def _unpack(packed: Path, part: str) -> NDArray[np.uint8]:
    try:
        with np.load(packed, allow_pickle=False) as arrays:
            images, split = arrays["images"], arrays["split"]
            if images.dtype != np.uint8 or images.shape[2:] != (SIZE, SIZE) or len(split) != len(images):
                raise ValueError(f"images are {images.dtype}{list(images.shape)}")
            found: NDArray[np.uint8] = images[split == part]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise ConfigError(f"--data: {packed} is damaged: {error}") from None
    return found


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(archive) as file:
            for name in sorted(n for n in file.namelist() if n.endswith(".png")):
                yield name, file.read(name)
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigError(f"--data: {archive} is damaged: {error}") from None


def _stack(files: Iterator[tuple[str, bytes]], where: Path) -> NDArray[np.uint8]:
    classes: dict[str, list[NDArray[np.uint8]]] = {}
    for name, data in files:
        classes.setdefault(str(PurePosixPath(name).parent), []).append(decode(data, f"{where}: {name}"))
    counts = {len(images) for images in classes.values()}
    if len(counts) != 1:
        problem = f"characters with {min(counts)} to {max(counts)} drawings" if counts else "no images"
        raise ConfigError(f"--data: {where} has {problem}; it must hold ALPHABET/CHARACTER/*.png, equally many each")
    return np.stack([np.stack(images) for images in classes.values()])


def decode(data: bytes, name: str) -> NDArray[np.uint8]:
    """A drawing ``[28, 28]``, ink high, from the bytes of its file.

    Raises:
        ConfigError: not an image.
    """
    return drawing(read_picture(io.BytesIO(data), name, "L"))


def drawing(picture: Image) -> NDArray[np.uint8]:
    """A grey picture with dark ink as ``[28, 28]``, ink high; the filter is that of the packed array to the bit."""
    from PIL.Image import Resampling

    return 255 - np.asarray(picture.resize((SIZE, SIZE), Resampling.LANCZOS), np.uint8)


def one_shot_runs(folder: Path) -> list[OneShotRun]:
    """The 20 runs of all_runs.zip. Their images are evaluation images: only for models trained on a background set.

    Raises:
        ConfigError: the archive is missing or damaged.
    """
    archive = folder / "all_runs.zip"
    try:
        with zipfile.ZipFile(archive) as file:
            return [_run(file, f"run{number:02d}", archive) for number in range(1, 21)]
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ConfigError(f"--data: {archive} is missing or damaged: {error}") from None


def _run(file: zipfile.ZipFile, run: str, archive: Path) -> OneShotRun:
    names = [f"{run}/training/class{i:02d}.png" for i in range(1, 21)]
    pairs = dict(line.split() for line in file.read(f"{run}/class_labels.txt").decode().splitlines() if line.strip())
    tests = sorted(pairs)

    def images(paths: list[str]) -> NDArray[np.uint8]:
        return np.stack([decode(file.read(path), f"{archive}: {path}") for path in paths])[:, None]

    return OneShotRun(images(names), images(tests), np.array([names.index(pairs[test]) for test in tests]))
