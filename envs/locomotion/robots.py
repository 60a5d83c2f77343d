"""The robots of Gymnasium's MuJoCo environments, version 5: models, observations, start states, health. As data.

Source of every number: ``gymnasium/envs/mujoco/*_v5.py`` of Gymnasium 1.x (the tests compare with it, bit for bit).
Nothing here imports mujoco: the numbers that a space needs are written down, and checked when the model is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Double = NDArray[np.float64]
Features = Mapping[str, Double]
"""Arrays of mjData by name, each float64 ``[env, size]``."""


@dataclass(frozen=True)
class Robot:
    """One of Gymnasium's v5 robots.

    Attributes:
        xml: file in ``gymnasium/envs/mujoco/assets``.
        gym_id: the environment it comes from.
        frame_skip: physics steps per env step.
        num_qpos: numbers in qpos, positions and angles in the model's units (m, rad).
        num_qvel: numbers in qvel (m/s, rad/s).
        num_actions: motors.
        max_action: an action lies in ``[-max_action, max_action]``.
        num_extras: numbers in an observation after qpos and qvel.
        reset_noise: scale of the noise on the start state.
        normal_velocity_noise: noise on qvel is normal rather than uniform.
        root: how many of the first numbers in qpos are the place in the world (1: x; 2: x and y).
        velocity_limit: qvel is clipped to this in the observation.
        extras: what an observation holds after qpos and qvel, as (array, first number, clipped to).
        force_limit: contact forces are clipped to this (N, N m) in the contact cost.
        max_contact_cost: upper bound of the contact cost.
        position: (features, body masses ``[body]``) -> place in the world ``[env, root]``, as the reward sees it.
        position_feature: the array that `position` reads.
        is_healthy: (features, (lowest, highest) height) -> bool ``[env]``.
    """

    xml: str
    gym_id: str
    frame_skip: int
    num_qpos: int
    num_qvel: int
    num_actions: int
    reset_noise: float
    position: Callable[[Features, Double], Double]
    position_feature: str
    is_healthy: Callable[[Features, tuple[float, float]], NDArray[np.bool_]]
    max_action: float = 1.0
    normal_velocity_noise: bool = False
    root: int = 1
    velocity_limit: float = np.inf
    extras: tuple[tuple[str, int, float], ...] = ()
    num_extras: int = 0
    force_limit: float = np.inf
    max_contact_cost: float = np.inf

    @property
    def features(self) -> list[str]:
        """Names of the arrays that the engine must give."""
        return list(dict.fromkeys(["qpos", "qvel", self.position_feature, *(name for name, _, _ in self.extras)]))

    def observation_size(self, show_position: bool) -> int:
        """Numbers in an observation, with or without the robot's place in the world."""
        return self.num_qpos + self.num_qvel + self.num_extras - (0 if show_position else self.root)

    def observe(self, features: Features, show_position: bool) -> Double:
        """Observations float64 ``[env, observation_size]``."""
        position = features["qpos"][:, 0 if show_position else self.root :]
        velocity = features["qvel"].clip(-self.velocity_limit, self.velocity_limit)
        extras = [features[name][:, first:].clip(-limit, limit) for name, first, limit in self.extras]
        return np.concatenate([position, velocity, *extras], axis=1)

    def contact_cost(self, features: Features, weight: float) -> Double:
        """Weighted sum of squared contact forces ``[env]``, bounded as in v5."""
        forces = features["cfrc_ext"].clip(-self.force_limit, self.force_limit)
        return np.asarray(np.minimum(weight * np.square(forces).sum(1), self.max_contact_cost))

    def draw_start(self, rng: np.random.Generator, qpos: Double, qvel: Double) -> tuple[Double, Double]:
        """A noisy start state around `qpos` and `qvel`; the same draws in the same order as v5's ``reset_model``."""
        noise = self.reset_noise
        start = qpos + rng.uniform(-noise, noise, self.num_qpos)
        if self.normal_velocity_noise:
            return start, qvel + noise * rng.standard_normal(self.num_qvel)
        return start, qvel + rng.uniform(-noise, noise, self.num_qvel)


def _x(features: Features, mass: Double) -> Double:
    return features["qpos"][:, :1]


def _torso(features: Features, mass: Double) -> Double:
    """The frame of body 1. (As in v5 it lags behind qpos: `mj_step` ends with the integration.)"""
    return features["xpos"][:, 3:5]


def _centre_of_mass(features: Features, mass: Double) -> Double:
    places = features["xipos"].reshape(-1, mass.size, 3)
    return np.asarray((mass[:, None] * places).sum(1)[:, :2] / mass.sum())


def _always(features: Features, height: tuple[float, float]) -> NDArray[np.bool_]:
    return np.ones(len(features["qpos"]), bool)


def _above(features: Features, height: tuple[float, float]) -> NDArray[np.bool_]:
    z = features["qpos"][:, 2]
    return (height[0] < z) & (z < height[1])


def _ant(features: Features, height: tuple[float, float]) -> NDArray[np.bool_]:
    z = features["qpos"][:, 2]
    finite = np.isfinite(features["qpos"]).all(1) & np.isfinite(features["qvel"]).all(1)
    return np.asarray(finite & (height[0] <= z) & (z <= height[1]))


def _walker(features: Features, height: tuple[float, float]) -> NDArray[np.bool_]:
    z, angle = features["qpos"][:, 1], features["qpos"][:, 2]
    return (height[0] < z) & (z < height[1]) & (np.abs(angle) < 1.0)


def _hopper(features: Features, height: tuple[float, float]) -> NDArray[np.bool_]:
    z, angle = features["qpos"][:, 1], features["qpos"][:, 2]
    state = np.concatenate([features["qpos"][:, 2:], features["qvel"]], axis=1)
    return np.asarray((np.abs(state) < 100).all(1) & (height[0] < z) & (z < height[1]) & (np.abs(angle) < 0.2))


ROBOTS: dict[str, Robot] = {
    "half-cheetah": Robot(
        xml="half_cheetah.xml", gym_id="HalfCheetah-v5", frame_skip=5, num_qpos=9, num_qvel=9, num_actions=6,
        reset_noise=0.1, normal_velocity_noise=True, position=_x, position_feature="qpos", is_healthy=_always,
    ),
    "ant": Robot(
        xml="ant.xml", gym_id="Ant-v5", frame_skip=5, num_qpos=15, num_qvel=14, num_actions=8,
        reset_noise=0.1, normal_velocity_noise=True, position=_torso, position_feature="xpos", is_healthy=_ant,
        root=2, extras=(("cfrc_ext", 6, 1.0),), num_extras=78, force_limit=1.0,
    ),
    "humanoid": Robot(
        xml="humanoid.xml", gym_id="Humanoid-v5", frame_skip=5, num_qpos=24, num_qvel=23, num_actions=17,
        max_action=0.4, reset_noise=0.01, position=_centre_of_mass, position_feature="xipos", is_healthy=_above, root=2,
        extras=(("cinert", 10, np.inf), ("cvel", 6, np.inf), ("qfrc_actuator", 6, np.inf), ("cfrc_ext", 6, np.inf)),
        num_extras=303, max_contact_cost=10.0,
    ),
    "walker2d": Robot(
        xml="walker2d_v5.xml", gym_id="Walker2d-v5", frame_skip=4, num_qpos=9, num_qvel=9, num_actions=6,
        reset_noise=0.005, position=_x, position_feature="qpos", is_healthy=_walker, velocity_limit=10.0,
    ),
    "hopper": Robot(
        xml="hopper.xml", gym_id="Hopper-v5", frame_skip=4, num_qpos=6, num_qvel=6, num_actions=3,
        reset_noise=0.005, position=_x, position_feature="qpos", is_healthy=_hopper, velocity_limit=10.0,
    ),
}  # fmt: skip
"""Name -> robot."""

PARAMETERS = ("body_mass", "body_inertia", "dof_damping", "geom_friction")
"""The arrays of mjModel that a task with randomised dynamics scales, in the order of its vector."""

PARAMETER_SIZES: dict[str, tuple[int, ...]] = {"walker2d": (8, 24, 9, 24), "hopper": (5, 15, 6, 15)}
"""Numbers in each of `PARAMETERS`, for the robots that have such tasks."""


def model_path(robot: Robot) -> str:
    """Path of the robot's model in the installed Gymnasium."""
    import importlib.util
    from pathlib import Path

    spec: Any = importlib.util.find_spec("gymnasium")
    return str(Path(spec.origin).parent / "envs" / "mujoco" / "assets" / robot.xml)
