"""Inputs and labels from outside of training, as the learners of labelled examples take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl.config.fewshot import TASK_KINDS, parse_name
from meta_rl.core.interface import Interface
from meta_rl.core.types import from_numpy
from meta_rl.errors import ConfigError
from meta_rl.fewshot import omniglot
from meta_rl.fewshot.pictures import read_picture

CHANNELS = {1: "L", 3: "RGB"}
"""Channels of an image -> Pillow's mode."""
BRIGHTEST = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535, np.dtype(bool): 1}
"""What counts as 1 in an array of images."""
DRAWN = {kind: omniglot.drawing for kind in TASK_KINDS if kind.partition("-")[0] == omniglot.OMNIGLOT}
"""Kinds of tasks whose pictures are not taken as they are -> what is made of a grey one."""


def observations(inputs: Any, interface: Interface, env: str) -> Tensor:
    """Inputs as a network of `interface` observes them, ``[example, ...]``.

    Args:
        inputs: of images an array ``[example, channel, height, width]`` or ``[example, height, width, channel]`` (the
            channel may be absent where there is one) of bytes or of floats from 0 to 1, or pictures: of Pillow, or
            paths. Omniglot's pictures are turned into what the network knows; arrays of it must have high ink. Of items
            their own ids. Else vectors ``[example, in]``.
        env: name of the tasks.
    Raises:
        ConfigError: another form, numbers out of range, or an item that the agent does not know.
    """
    if isinstance(inputs, Tensor):
        inputs = inputs.detach().cpu().numpy()
    space = interface.observation_space
    if not hasattr(inputs, "__len__") or not len(inputs):
        raise ConfigError(f"inputs: must be a sequence with at least one element, got {inputs!r}")
    if isinstance(space, gym.spaces.Discrete):
        return torch.tensor(_items(inputs, int(space.n), interface.ids))
    if len(space.shape) == 3 and not isinstance(inputs, np.ndarray) and _are_pictures(inputs):
        name = parse_name(env)
        return from_numpy(_pictures(inputs, space, DRAWN.get(name.kind) if name else None)).float().div_(255)
    try:
        array = np.asarray(inputs)
    except ValueError:  # of unequal lengths
        raise _wrong_form(space, "rows of unequal lengths") from None
    return _image_array(array, space) if len(space.shape) == 3 else _vectors(array, space)


def _wrong_form(space: gym.spaces.Box, got: str) -> ConfigError:
    shape = ", ".join(map(str, space.shape))
    return ConfigError(f"inputs: must be an array [example, {shape}] of numbers, got {got}")


def _vectors(array: NDArray[Any], space: gym.spaces.Box) -> Tensor:
    if array.ndim == 1 and space.shape == (1,):
        array = array[:, None]
    if array.dtype.kind not in "biuf" or array.shape[1:] != space.shape or array.ndim == 0:
        raise _wrong_form(space, f"{array.dtype} {list(array.shape)}")
    if not np.isfinite(array).all():
        raise ConfigError(f"inputs: number {np.argwhere(~np.isfinite(array))[0, 0]} is not finite")
    return from_numpy(array.astype(np.float32))


def _image_array(array: NDArray[Any], space: gym.spaces.Box) -> Tensor:
    channel, height, width = space.shape
    if channel == 1 and array.shape[1:] == (height, width):
        array = array[:, None]
    elif array.shape[1:] != space.shape and array.shape[1:] == (height, width, channel):
        array = array.transpose(0, 3, 1, 2)
    if array.shape[1:] != space.shape or array.dtype.kind not in "biuf":
        raise _wrong_form(space, f"{array.dtype} {list(array.shape)}")
    low, high = float(space.low.min()), float(space.high.max())
    if array.dtype in BRIGHTEST and (low, high) == (0, 1):
        return from_numpy(array.astype(np.float32)).div_(BRIGHTEST[array.dtype])
    if array.dtype.kind != "f" or not ((array >= low) & (array <= high)).all():
        raise ConfigError(
            f"inputs: images are bytes, 16-bit numbers or floats from {low:g} to {high:g}, got {array.dtype} from "
            f"{array.min()} to {array.max()}"
        )
    return from_numpy(array.astype(np.float32))


def _are_pictures(inputs: Any) -> bool:
    """Whether a sequence holds paths, or pictures of Pillow."""
    return all(isinstance(x, (str, Path)) or hasattr(x, "getbands") for x in inputs)


def _pictures(
    pictures: Sequence[Any], space: gym.spaces.Box, make: Callable[[Any], NDArray[np.uint8]] | None
) -> NDArray[np.uint8]:
    """Pictures as bytes ``[example, channel, height, width]``."""
    channel, height, width = space.shape
    if channel not in CHANNELS:
        raise _wrong_form(space, "pictures")
    found = []
    for place, each in enumerate(pictures):
        name = each if isinstance(each, (str, Path)) else f"picture {place}"
        picture = read_picture(Path(each) if isinstance(each, str) else each, name, CHANNELS[channel])
        pixels = make(picture) if make else np.asarray(picture, np.uint8)
        if pixels.shape[:2] != (height, width):
            size = f"{pixels.shape[1]}x{pixels.shape[0]}"
            raise ConfigError(f"inputs: {name} is {size}; the agent was trained with {width}x{height}")
        found.append(pixels.reshape(height, width, channel).transpose(2, 0, 1))
    return np.stack(found)


def _items(items: Any, count: int, ids: Sequence[int | str]) -> list[int]:
    """Numbers of items from their ids; without ids, the numbers themselves."""
    place = {str(name): number for number, name in enumerate(ids or range(count))}
    found = []
    for item in items:
        if str(item) not in place:
            known = f"{count:,} ids, like {ids[0]!r}" if ids else f"0 to {count - 1}, as the run did not keep its ids"
            raise ConfigError(f"inputs: the agent does not know the item {item!r}; valid: {known}")
        found.append(place[str(item)])
    return found


def plain_labels(labels: Any) -> list[Any]:
    """Labels one by one, as Python has them.

    Raises:
        ConfigError: they are no sequence, or no labels.
    """
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    try:
        found = [x.item() if isinstance(x, (np.generic, Tensor)) else x for x in labels]
        hash(tuple(found))
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError("labels: must be a sequence with one label (a number, a text, ...) per example") from None
    return found


def number_labels(labels: Sequence[Any]) -> tuple[list[int], list[Any]]:
    """Labels numbered from 0, and the classes in this order: sorted where they can be, else as they come."""
    classes = list(dict.fromkeys(labels))
    try:
        classes.sort()
    except TypeError:
        classes = list(dict.fromkeys(labels))
    place = {label: number for number, label in enumerate(classes)}
    return [place[label] for label in labels], classes
