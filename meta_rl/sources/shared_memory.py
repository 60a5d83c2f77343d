"""Memory that two processes map, without a name.

A named segment outlives whoever was to remove it, when that one is killed. This one is a file without a name: the
kernel frees it with the last process that holds it, whatever way the processes end. It is also not bounded by the size
of ``/dev/shm``, which containers keep small.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass
from multiprocessing import reduction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl.core.types import from_numpy

ALIGNMENT = 64
"""Bytes: every array begins at a multiple of this."""


@dataclass(frozen=True)
class Place:
    """Position and form of an array or tensor in a segment.

    Attributes:
        offset: bytes from the beginning of the segment.
        tensor: whether it was a tensor.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: str
    tensor: bool


class Segment:
    """Memory shared with the process that it is given to as an argument when that process starts.

    One side writes, the other reads; a message between the two says when, and what lies where. It grows as needed.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = _anonymous_file() if descriptor is None else descriptor
        self._map: mmap.mmap | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _inherited, (reduction.DupFd(self._descriptor),)

    def write(self, tree: Any) -> Any:
        """Copy every array and tensor of nested tuples, lists and dicts into the segment, over what was there.

        Returns:
            The same tree with a `Place` instead of each; small enough for a message.
        """
        leaves, spec = torch.utils._pytree.tree_flatten(tree)
        places, offset = [], 0
        for leaf in leaves:
            places.append(leaf)
            if isinstance(leaf, (Tensor, np.ndarray)):
                array = np.asarray(leaf)
                places[-1] = Place(offset, array.shape, array.dtype.str, isinstance(leaf, Tensor))
                offset += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        self.reserve(offset)
        for leaf, place in zip(leaves, places, strict=True):
            if isinstance(place, Place):
                self.view(place)[...] = np.asarray(leaf)
        return torch.utils._pytree.tree_unflatten(places, spec)

    def read(self, tree: Any) -> Any:
        """The inverse of `write`: copies."""

        def read(place: Place) -> Any:
            view = self.view(place)
            return from_numpy(view) if place.tensor else view.copy()

        return torch.utils._pytree.tree_map_only(Place, read, tree)

    def view(self, place: Place) -> NDArray[Any]:
        """The array at `place` itself."""
        dtype = np.dtype(place.dtype)
        count = int(np.prod(place.shape))
        if self._map is None or len(self._map) < place.offset + count * dtype.itemsize:
            self._map = mmap.mmap(self._descriptor, os.fstat(self._descriptor).st_size)  # the other side made it grow
        return np.frombuffer(self._map, dtype, count, place.offset).reshape(place.shape)

    def reserve(self, size: int) -> None:
        """Have room for `size` bytes."""
        if self._map is None or len(self._map) < size:
            os.ftruncate(self._descriptor, max(size, mmap.PAGESIZE))
            self._map = mmap.mmap(self._descriptor, max(size, mmap.PAGESIZE))

    def close(self) -> None:
        """Release this side's hold. The memory is freed with the last hold on it."""
        self._map = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("meta-rl", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _inherited(descriptor: Any) -> Segment:
    return Segment(descriptor.detach())
