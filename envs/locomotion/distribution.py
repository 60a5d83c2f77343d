"""Locomotion task distributions: a row of `presets.TABLE` behind the contract of `envs.api`.

Making a distribution costs nothing; only its environments (`envs.locomotion.engine`) load mujoco.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np

from envs.api import Task, TaskDistribution, TaskVectorEnv, sample_balanced
from envs.locomotion.presets import PRESETS, Preset, spaces
from envs.scene import Scene

FIXED_TASKS_SEED = 1337
"""Seeds the lists of tasks that are drawn once and for all (PEARL's number, though not PEARL's generator)."""


class Locomotion(TaskDistribution):
    """Tasks of one preset.

    Args:
        name: a key of `presets.PRESETS`, e.g. ``"cheetah-vel@promp"``.
        split: ``"train"`` or ``"test"``. Both draw from the same distribution; where the preset fixes its tasks, the
            test tasks are others than the train tasks. (Forward and backward are all there is along x.)
        horizon: env steps per episode; default the preset's.
        num_threads: threads of the native engine; default one per available core. Results do not depend on it.
    Raises:
        ValueError: an unknown preset, or a horizon below 1.
    """

    has_success = False
    no_dynamics = ""

    def __init__(
        self, name: str, split: str = "train", *, horizon: int | None = None, num_threads: int | None = None
    ) -> None:
        if name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}; valid: {', '.join(PRESETS)}")
        self.preset = PRESETS[name]
        self.name, self.split, self.families = name, split, (self.preset.family,)
        self.horizon = self.preset.horizon if horizon is None else horizon
        if self.horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {horizon}")
        self.num_threads = num_threads
        self.observation_space, self.action_space = spaces(self.preset)

    def tasks(self) -> list[Task] | None:
        """Both directions, or the fixed tasks of the split, or None where tasks are drawn anew each time."""
        vectors = _finite(self.preset, self.split)
        return None if vectors is None else [Task(self.preset.family, vector) for vector in vectors]

    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        """Independent draws; from a finite list without repeats while there are tasks left."""
        listed = self.tasks()
        if listed is not None:
            return sample_balanced(rng, {self.preset.family: listed}, count)
        return [Task(self.preset.family, tuple(self.preset.draw(rng))) for _ in range(count)]

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """Environments on the native engine."""
        return self._make(num_tasks, envs_per_task, False)

    def make_varied(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """Environments on the native engine, with dynamics of their own."""
        return self._make(num_tasks, envs_per_task, True)

    def _make(self, num_tasks: int, envs_per_task: int, dynamics: bool) -> TaskVectorEnv:
        from envs.locomotion import engine

        return engine.make(
            num_tasks, envs_per_task, self.preset, self.horizon, dynamics=dynamics, num_threads=self.num_threads
        )

    def scene(self, task: Task) -> Scene:
        """The robot on its floor, followed by the camera."""
        from envs.locomotion.render import scene

        return scene(self.preset, task)

    def with_goal(self, task: Task, place: Sequence[float]) -> Task | None:
        """See `TaskDistribution.with_goal`: anywhere in the disc that goals are drawn from."""
        if self.preset.targets != "disc":
            return None
        point, radius = np.array(place[:2], np.float64), self.preset.extent[0]
        point *= min(1.0, radius / max(float(np.hypot(*point)), 1e-9))
        return Task(task.family, tuple(point))

    def fingerprint(self) -> dict[str, Any]:
        """The row of the table, the engine, and the versions that the physics and the model come from."""
        return super().fingerprint() | {
            "preset": self.preset.to_dict(),
            "engine": "native",
            "mujoco": metadata.version("mujoco"),
            "gymnasium": metadata.version("gymnasium"),
        }


@functools.cache
def _finite(preset: Preset, split: str) -> tuple[tuple[float, ...], ...] | None:
    """The vectors of all tasks of a split, where there are finitely many."""
    if preset.targets == "sign":
        others = (0.0,) * (preset.task_dim - 1)
        return ((-1.0, *others), (1.0, *others))
    train, test = preset.tasks
    if not train:
        return None
    rng = np.random.default_rng(FIXED_TASKS_SEED)
    drawn = tuple(tuple(preset.draw(rng).tolist()) for _ in range(train + test))
    return drawn[:train] if split == "train" else drawn[train:]
