"""What the classical agents share: they act on many tasks at once, and some have one constant to tune.

Each is an `Actor` (see `meta_rl.algorithms.base`) and learns only through `act` and `observe`. Its statistics last
over consecutive rollouts, so unlike other actors one of these lasts for a whole trial.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class ClassicalAgent(ABC):
    """One agent per ``[task, env]``, all in lockstep.

    Args:
        shape: ``(num_tasks, envs_per_task)``.
        setting: the sizes of the problem and the length of the trial.
        rng: where its randomness comes from.
        constant: the number that the agent is tuned by, for agents that have one. Default: what `tuned` holds for
            `setting`, or `default` for a setting that is not in there.
    """

    grid: ClassVar[tuple[float, ...]] = ()
    """Constants to choose from; empty for agents without one."""
    default: ClassVar[float] = 0.0
    tuned: ClassVar[Mapping[tuple[int, ...], float]] = {}
    """Setting -> the constant that paid most on tuning tasks (``scripts/classical.py --tune``)."""

    def __init__(
        self, shape: tuple[int, int], setting: tuple[int, ...], rng: np.random.Generator, constant: float | None = None
    ) -> None:
        self.shape, self.rng = shape, rng
        self.constant = self.tuned.get(tuple(setting), self.default) if constant is None else constant

    def begin(self, mask: NDArray[np.bool_] | None = None) -> None:  # noqa: B027  (nothing to do)
        """Begin a new episode of the same trial; nothing is forgotten."""

    @abstractmethod
    def act(self, observation: NDArray[Any], noise: NDArray[Any] | None) -> NDArray[np.int64]:
        """Actions ``[task, env]`` for observations ``[task, env, obs]``; `noise` is not used."""

    @abstractmethod
    def observe(self, reward: Array, done: NDArray[np.bool_]) -> None:
        """Called with what followed the last action, ``[task, env]`` both."""

    def explore(self, action: NDArray[np.int64], chance: float, num_actions: int) -> NDArray[np.int64]:
        """`action`, or with this chance a uniformly random one."""
        random = self.rng.integers(num_actions, size=self.shape)
        return np.where(self.rng.random(self.shape) < chance, random, action)
