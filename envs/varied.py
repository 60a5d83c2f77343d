"""A distribution whose tasks differ in their dynamics too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from envs import dynamics as dyn
from envs.api import Task, TaskDistribution, TaskVectorEnv
from envs.names import UnknownNameError
from envs.scene import Scene


class VariedDynamics(TaskDistribution):
    """The tasks of `base`, each with dynamics of its own, drawn anew each time; see `envs.dynamics`.

    Args:
        base: Meta-World, Gymnasium's robots, or a robot of your own (`envs.MujocoDistribution`).
        ranges: presets and ranges, as in ``physics`` or ``mass+delay=0..3``.
    Raises:
        UnknownNameError: `base` has no dynamics to vary, or there is no such preset or quantity.
    """

    no_dynamics = "its dynamics vary already; name all ranges at once, as in mass+delay=0..3"

    def __init__(self, base: TaskDistribution, ranges: str) -> None:
        self.dynamics = dyn.parse(ranges)
        self.base = base
        problem = base.no_dynamics
        if problem:
            raise UnknownNameError(f"{base.name}+{ranges}: {problem}")
        self._take_after(base)
        self.name = f"{base.name}+{ranges}"
        self.deterministic = base.deterministic and not self.dynamics.noisy

    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        """Tasks of the base, with dynamics at the end of their vectors."""
        return self.dynamics.extend(self.base.sample(rng, count), rng)

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """The environments of the base, with dynamics of their own."""
        return self.base.make_varied(num_tasks, envs_per_task)

    def scene(self, task: Task) -> Scene:
        """The scene of the plain task; the dynamics stand beside its goal."""
        plain, numbers = dyn.split(task)
        scene = self.base.scene(plain)
        scene.goal = f"{scene.goal}, {dyn.describe(numbers)}"
        return scene

    def with_goal(self, task: Task, place: Sequence[float]) -> Task | None:
        """See `TaskDistribution.with_goal`: with the same dynamics."""
        plain, numbers = dyn.split(task)
        moved = self.base.with_goal(plain, place)
        return None if moved is None else Task(moved.family, (*moved.vector, *numbers))

    def fingerprint(self) -> dict[str, Any]:
        """The fingerprint of the base, and the ranges."""
        return self.base.fingerprint() | {"name": self.name, "dynamics": self.dynamics.to_dict()}
