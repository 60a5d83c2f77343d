"""Initial parameters that are a function of a seed, whatever else this process does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from meta_rl.core.seeding import Purpose, integer

_LOCK = threading.RLock()


@contextmanager
def drawn_from(seed: int, stage: int = 0) -> Iterator[None]:
    """Context in which torch's global generator has the numbers of `seed`; afterwards it goes on as if nothing had been
    drawn. All threads have the same generator, so one after another is inside.

    Args:
        stage: of the initial parameters: those of the network are 0, those that a learner adds 1.
    """
    with _LOCK, torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer(seed, Purpose.INIT, stage=stage))
        yield
