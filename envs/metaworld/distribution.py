"""Meta-World benchmarks as `TaskDistribution`s: goals from metaworld, environments from one of the engines."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np

from envs.api import Task, TaskDistribution, TaskVectorEnv, sample_balanced
from envs.metaworld import benchmarks
from envs.metaworld.reference import ReferenceVectorEnv
from envs.metaworld.spaces import action_space, observation_space
from envs.scene import Scene

REWARD_VERSIONS = ("v1", "v2")
"""Names of metaworld's `reward_function_version`."""


class MetaWorld(TaskDistribution):
    """One split of a Meta-World benchmark.

    Args:
        name: what follows ``metaworld/``: ``ml1-FAMILY``, ``ml10``, ``ml25``, ``ml45``, ``mt1-FAMILY``, ``mt10``,
            ``mt25``, ``mt50`` or a custom list of families.
        split: ``"train"`` or ``"test"``, which are the same tasks in the MT benchmarks.
        goal_seed: seeds metaworld's own goal drawing (50 goals per family and split).
        horizon: env steps per episode, 500 in every published protocol.
        reward_version: ``"v2"`` (default) or ``"v1"``.
        goal_visible: show the goal in the observation, or let meta-learning find it; None: as the benchmark has it,
            visible in MT alone. The observations of ``mt10``, ``mt25`` and ``mt50`` also tell the family, by a
            one-hot code at their end.
        engine: ``"native"`` (bit-exact and about twenty times faster), ``"reference"`` (Meta-World's own objects) or
            ``"auto"``: native where it has all families of the split and the reward version.
        num_threads: threads of the native engine; default one per available core. Results do not depend on it.
    """

    deterministic = True
    has_expert = True

    def __init__(
        self,
        name: str,
        split: str = "train",
        *,
        goal_seed: int = 1,
        horizon: int = 500,
        reward_version: str = "v2",
        goal_visible: bool | None = None,
        engine: str = "auto",
        num_threads: int | None = None,
    ) -> None:
        if reward_version not in REWARD_VERSIONS:
            raise ValueError(f"reward_version must be 'v1' or 'v2', got {reward_version!r}")
        if not 1 <= horizon <= 500:
            raise ValueError(f"horizon must be between 1 and 500 (metaworld's own limit), got {horizon}")
        if engine not in ("auto", "native", "reference"):
            raise ValueError(f"engine must be 'auto', 'native' or 'reference', got {engine!r}")
        self.benchmark = benchmarks.parse(name)
        self.multitask = self.benchmark.multitask
        goal_visible = self.multitask if goal_visible is None else goal_visible
        self.name, self.split = f"metaworld/{name}", split
        self.families = self.benchmark.families(split)
        self.horizon, self.goal_seed = horizon, goal_seed
        self.reward_version, self.goal_visible = reward_version, goal_visible
        self.engine = self._choose(engine)
        self.num_threads = num_threads
        told = len(self.benchmark.told)
        self.observation_space, self.action_space = observation_space(goal_visible, told), action_space()

    def tasks(self) -> list[Task]:
        """All goals of the split, 50 per family."""
        return list(benchmarks.goals(self.benchmark, self.split, self.goal_seed))

    def num_tasks(self) -> int:
        """50 per family, without drawing them."""
        return 50 * len(self.families)

    def sample(self, rng: np.random.Generator, count: int) -> list[Task]:
        """Draw from the 50 goals per family; families equally often."""
        by_family: dict[str, list[Task]] = {family: [] for family in self.families}
        for task in self.tasks():
            by_family[task.family].append(task)
        return sample_balanced(rng, by_family, count)

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """Environments for `num_tasks` tasks at a time."""
        if self.engine == "native":
            return self._make_native(num_tasks, envs_per_task, False)
        return ReferenceVectorEnv(
            num_tasks,
            envs_per_task,
            horizon=self.horizon,
            reward_version=self.reward_version,
            goal_visible=self.goal_visible,
            told=self.benchmark.told,
        )

    def make_varied(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        """Environments on the native engine, with dynamics of their own."""
        return self._make_native(num_tasks, envs_per_task, True)

    def _make_native(self, num_tasks: int, envs_per_task: int, dynamics: bool) -> TaskVectorEnv:
        from envs.metaworld.engine import EngineVectorEnv

        return EngineVectorEnv(
            num_tasks,
            envs_per_task,
            self.horizon,
            goal_visible=self.goal_visible,
            told=self.benchmark.told,
            dynamics=dynamics,
            num_threads=self.num_threads,
        )

    @property
    def no_dynamics(self) -> str:  # type: ignore[override]
        """See `TaskDistribution`."""
        return "" if self.engine == "native" else "only the native engine varies dynamics, with reward version v2"

    def scene(self, task: Task) -> Scene:
        """The arm at its table, with the goal."""
        from envs.metaworld.render import scene

        return scene(task)

    def with_goal(self, task: Task, place: Sequence[float]) -> Task | None:
        """See `TaskDistribution.with_goal`: of the families that draw their goals apart from their objects."""
        from envs.metaworld.render import with_goal

        return with_goal(task, place)

    def _choose(self, engine: str) -> str:
        """The engine to use.

        Raises:
            ValueError: the native one was asked for what it does not have.
        """
        if engine == "reference":
            return engine
        from envs.metaworld.engine import FAMILIES

        missing = [family for family in self.families if family not in FAMILIES]
        if self.reward_version == "v2" and not missing:
            return "native"
        if engine == "native":
            what = f"families {', '.join(missing)}" if missing else f"reward version {self.reward_version}"
            raise ValueError(f"the native engine does not have {what}; use engine='reference'")
        return "reference"

    def fingerprint(self) -> dict[str, Any]:
        """Protocol and versions: goals depend on metaworld's version and the seed."""
        return super().fingerprint() | {
            "families": list(self.families),
            "goal_seed": self.goal_seed,
            "reward_version": self.reward_version,
            "goal_visible": self.goal_visible,
            **({"multitask": True} if self.multitask else {}),
            "engine": self.engine,
            "metaworld": metadata.version("metaworld"),
            "mujoco": metadata.version("mujoco"),
        }
