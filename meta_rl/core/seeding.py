"""Randomness is derived, never carried.

Every random draw comes from ``SeedSequence([seed, purpose, iteration, task, stage])``. So a checkpoint holds no
generator state, a resumed run equals an uninterrupted one bit for bit, and a lost rollout can be done again exactly.
"""

from __future__ import annotations

import enum

import numpy as np


class Purpose(enum.IntEnum):
    """Use of a random stream; part of its key, so that no two uses share numbers."""

    INIT = 0
    TRAIN_TASKS = 1
    TRAIN_NOISE = 2
    TRAIN_ENV = 3
    TEST_TASKS = 4
    TEST_NOISE = 5
    TEST_ENV = 6
    BOOTSTRAP = 7
    MINIBATCHES = 8
    DATA = 9
    JUDGED_NOISE = 10
    EXPERT = 11
    TASK_NUMBERS = 12
    REPLAY = 13
    BELIEFS = 14


def sequence(seed: int, purpose: Purpose, iteration: int = 0, task: int = 0, stage: int = 0) -> np.random.SeedSequence:
    """The seed sequence of one use; all arguments non-negative."""
    return np.random.SeedSequence([seed, int(purpose), iteration, task, stage])


def generator(seed: int, purpose: Purpose, iteration: int = 0, task: int = 0, stage: int = 0) -> np.random.Generator:
    """A fresh numpy generator for one use."""
    return np.random.default_rng(sequence(seed, purpose, iteration, task, stage))


def integer(seed: int, purpose: Purpose, iteration: int = 0, task: int = 0, stage: int = 0) -> int:
    """A 32-bit seed for something that wants a plain number."""
    return int(sequence(seed, purpose, iteration, task, stage).generate_state(1)[0])
