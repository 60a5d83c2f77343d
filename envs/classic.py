"""CartPole, Pendulum and Acrobot with randomised physics, through the generic Gymnasium path (`envs.vector`).

A task is the physical constants themselves. Ranges: the "random" ones of Packer et al. 2018, "Assessing generalization
in deep reinforcement learning" (github.com/sunblaze-ucb/rl-generalization). Environments and rewards: Gymnasium's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.api import Task
from envs.scene import Scene
from envs.vector import GymDistribution


@dataclass(frozen=True)
class Row:
    """One environment and its constants.

    Attributes:
        gym_id: Gymnasium's environment.
        horizon: its own time limit, in env steps.
        constants: name of a constant -> (lowest, highest, attributes of the environment that get it times a factor).
        derive: brings up to date what the environment has computed from its constants.
    """

    gym_id: str
    horizon: int
    constants: dict[str, tuple[float, float, dict[str, float]]]
    derive: Callable[[Any], None] = lambda env: None


def _derive_cartpole(env: Any) -> None:
    env.total_mass = env.masspole + env.masscart
    env.polemass_length = env.masspole * env.length


_LENGTHS = {"LINK_LENGTH_1": 1.0, "LINK_LENGTH_2": 1.0, "LINK_COM_POS_1": 0.5, "LINK_COM_POS_2": 0.5}

TABLE: dict[str, Row] = {
    "cartpole": Row(
        "CartPole-v1",
        500,
        {
            "force (N)": (5.0, 15.0, {"force_mag": 1.0}),
            "half length of the pole (m)": (0.25, 0.75, {"length": 1.0}),
            "mass of the pole (kg)": (0.05, 0.5, {"masspole": 1.0}),
        },
        _derive_cartpole,
    ),
    "pendulum": Row(
        "Pendulum-v1", 200, {"length (m)": (0.75, 1.25, {"l": 1.0}), "mass (kg)": (0.75, 1.25, {"m": 1.0})}
    ),
    "acrobot": Row(
        "Acrobot-v1",
        500,
        {
            "length of both links (m)": (0.75, 1.25, _LENGTHS),
            "mass of both links (kg)": (0.75, 1.25, {"LINK_MASS_1": 1.0, "LINK_MASS_2": 1.0}),
            "their moment of inertia (kg m^2)": (0.75, 1.25, {"LINK_MOI": 1.0}),
        },
    ),
}
"""Name -> environment and the ranges of its constants."""


class SettableEnv(gym.Wrapper[Any, Any, Any, Any]):
    """Gymnasium's environment of a row, with the one method that `envs.vector` asks for."""

    def __init__(self, row: Row) -> None:
        super().__init__(gym.make(row.gym_id).unwrapped)
        self.row = row

    def set_task(self, vector: NDArray[np.float64]) -> None:
        """Give the environment its constants, ``[len(row.constants)]``; they hold until the next call.

        Raises:
            ValueError: another number of constants, or one that is not above 0.
        """
        if len(vector) != len(self.row.constants) or not (np.isfinite(vector) & (vector > 0)).all():
            raise ValueError(
                f"{self.row.gym_id} needs {', '.join(self.row.constants)}, all above 0; got {vector.tolist()}"
            )
        env: Any = self.unwrapped
        for value, (_, _, attributes) in zip(vector, self.row.constants.values(), strict=True):
            for name, factor in attributes.items():
                setattr(env, name, factor * float(value))
        self.row.derive(env)


class Classic(GymDistribution):
    """One of the three, with constants drawn uniformly from their ranges.

    Args:
        name: ``"cartpole"``, ``"pendulum"`` or ``"acrobot"``.
        split: ``"train"`` or ``"test"``; the constants are continuous, so test tasks are unseen with probability 1.
        horizon: env steps per episode; default Gymnasium's time limit.
    """

    def __init__(self, name: str, split: str = "train", *, horizon: int | None = None) -> None:
        if name not in TABLE:
            raise ValueError(f"unknown classic environment {name!r}; valid: {', '.join(TABLE)}")
        self.row = TABLE[name]
        super().__init__(
            f"classic/{name}",
            lambda: SettableEnv(self.row),
            self._draw,
            self.row.horizon if horizon is None else horizon,
            split=split,
            success_key=None,
        )

    def _draw(self, rng: np.random.Generator) -> Sequence[float]:
        return [rng.uniform(low, high) for low, high, _ in self.row.constants.values()]

    def scene(self, task: Task) -> Scene:
        """The poles and links as lines."""
        from envs.plots import CLASSIC

        constants = zip(self.row.constants, task.vector, strict=True)
        goal = ", ".join(f"{name} {value:.2f}" for name, value in constants)
        return CLASSIC[self.row.gym_id](goal)

    def fingerprint(self) -> dict[str, Any]:
        """Adds the ranges and Gymnasium's version."""
        ranges = {name: [low, high] for name, (low, high, _) in self.row.constants.items()}
        return super().fingerprint() | {"ranges": ranges, "gymnasium": metadata.version("gymnasium")}
