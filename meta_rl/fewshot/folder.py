"""Any folder of images in the mini-ImageNet layout: ``FOLDER/{train,val,test}/CLASS/IMAGE``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from meta_rl.errors import ConfigError
from meta_rl.fewshot.images import ImageSet
from meta_rl.fewshot.pictures import read_picture

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
FOLDERS = {"train": "train", "validation": "val", "test": "test"}


def load_folder(folder: Path, split: str) -> ImageSet:
    """All images of a split, RGB, as bytes.

    Raises:
        ConfigError: no such folder, no classes, an unreadable image, or images of different sizes.
    """
    root = folder / FOLDERS[split]
    if not root.is_dir():
        raise ConfigError(f"--data: {root} is not a folder; {folder} must hold train/, val/ and test/")
    classes = sorted(path for path in root.iterdir() if path.is_dir())
    images: list[np.ndarray] = []
    counts = []
    first = None
    for path in classes:
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        if not files:
            raise ConfigError(f"--data: the class folder {path} holds no image ({', '.join(sorted(SUFFIXES))})")
        for file in files:
            image = np.asarray(read_picture(file, file, "RGB"), np.uint8)
            first = first or (file, image.shape)
            if image.shape != first[1]:
                sizes = [f"{shape[1]}x{shape[0]}" for shape in (first[1], image.shape)]
                raise ConfigError(
                    f"--data: images must be of one size, but {first[0]} is {sizes[0]} and {file} {sizes[1]}"
                )
            images.append(image.transpose(2, 0, 1))
        counts.append(len(files))
    if not images:
        raise ConfigError(f"--data: {root} holds no class folders")
    return ImageSet(np.stack(images), np.array(counts), str(root))
