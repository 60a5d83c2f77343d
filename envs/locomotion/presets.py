"""What a task of each family is, paper by paper: one table, and the ways to draw and to reward.

Names are ``FAMILY@PRESET``. All rows run on Gymnasium's v5 robots, whatever the paper ran on: the model, the start
noise, the observation (v5's own, contact forces included; plus the place in the world where the row says so) and the
velocity (change of place over an env step, divided by its duration) are v5's. From the paper are the targets, the
horizon, the terms of the reward with their weights, the height at which a robot counts as fallen, and the numbers of
tasks and episodes. Where that leaves a difference, the row's note says so. In all rows:

* actions are clipped to the action space before anything reads them (rllab's and ProMP's ``normalize`` do so too; v5
  leaves an excessive action to MuJoCo's own clipping but charges for all of it);
* the alive bonus is paid for a step that ends healthy, as in v5 (the papers' code paid it for the fall too).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.locomotion.robots import PARAMETER_SIZES, ROBOTS, Robot

Double = NDArray[np.float64]


# -- targets: (rng, range, robot's name) -> the vector of one task -----------------------------------------------------


def _sign(rng: np.random.Generator, extent: tuple[float, ...], robot: str) -> Double:
    """Backward or forward along x; as many numbers as the robot has dimensions to walk in."""
    direction = np.zeros(ROBOTS[robot].root)
    direction[0] = rng.choice([-1.0, 1.0])
    return direction


def _circle(rng: np.random.Generator, extent: tuple[float, ...], robot: str) -> Double:
    """A direction in the plane, as a unit vector."""
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def _uniform(rng: np.random.Generator, extent: tuple[float, ...], robot: str) -> Double:
    """One number between two."""
    return rng.uniform(extent[0], extent[1], 1)


def _disc(rng: np.random.Generator, extent: tuple[float, ...], robot: str) -> Double:
    """A point in a disc of a radius (m), uniform over its area."""
    angle, radius = rng.uniform(0, 2 * np.pi), extent[0] * np.sqrt(rng.random())
    return np.array([radius * np.cos(angle), radius * np.sin(angle)])


def _scales(rng: np.random.Generator, extent: tuple[float, ...], robot: str) -> Double:
    """Factors on `robots.PARAMETERS`: base ** U(-limit, limit), the base 1.5, for damping 1.3 (rand_param_envs)."""
    bases = np.repeat([1.5, 1.5, 1.3, 1.5], PARAMETER_SIZES[robot])
    return np.asarray(bases ** rng.uniform(-extent[0], extent[0], bases.size))


TARGETS: dict[str, Callable[[np.random.Generator, tuple[float, ...], str], Double]] = {
    "sign": _sign,
    "circle": _circle,
    "uniform": _uniform,
    "disc": _disc,
    "scales": _scales,
}


# -- progress: (velocity [env, root], place [env, root], target [env, task_dim]) -> what is rewarded, [env] ------------


def _along(velocity: Double, place: Double, target: Double) -> Double:
    return np.asarray((velocity * target).sum(1))


def _at_speed(velocity: Double, place: Double, target: Double) -> Double:
    return np.asarray(-np.abs(velocity[:, 0] - target[:, 0]))


def _near(velocity: Double, place: Double, target: Double) -> Double:
    return np.asarray(-np.abs(place - target).sum(1))


def _forward(velocity: Double, place: Double, target: Double) -> Double:
    return np.asarray(velocity[:, 0])


PROGRESS: dict[str, Callable[[Double, Double, Double], Double]] = {
    "along": _along,
    "at-speed": _at_speed,
    "near": _near,
    "forward": _forward,
}


@dataclass(frozen=True)
class Family:
    """Settings that the presets of a family share.

    Attributes:
        robot: a key of `robots.ROBOTS`.
        progress: what is rewarded, a key of `PROGRESS`: "along" a direction (m/s), "at-speed" minus the distance from a
            speed (m/s), "near" minus the city-block distance from a place (m), "forward" the speed along x (m/s).
        weight: of the progress.
        place: whether the observation shows the robot's place in the world.
    """

    robot: str
    progress: str
    weight: float = 1.0
    place: bool = False


FAMILIES: dict[str, Family] = {
    "cheetah-dir": Family("half-cheetah", "along"),
    "cheetah-vel": Family("half-cheetah", "at-speed"),
    "ant-dir": Family("ant", "along"),
    "ant-vel": Family("ant", "at-speed"),
    "ant-goal": Family("ant", "near", place=True),  # as in the papers: otherwise the reward has a hidden cause
    "humanoid-dir": Family("humanoid", "along", weight=1.25),  # all sources; older code writes 0.25 / timestep
    "walker-params": Family("walker2d", "forward"),
    "hopper-params": Family("hopper", "forward"),
}


@dataclass(frozen=True)
class Preset:
    """A row of the table. The reward of a step is

        weight * progress + alive * healthy - ctrl * sum(action^2) - contact * sum(force^2)

    with v5's clipped contact forces and bounded contact cost (see `robots.Robot`).

    Attributes:
        name: ``FAMILY@PRESET``.
        targets: how a task's vector is drawn, a key of `TARGETS`.
        extent: range of the targets: m/s (uniform), m (disc), powers (scales).
        horizon: env steps per episode.
        ctrl: weight of the control cost.
        contact: weight of the contact cost.
        alive: bonus per healthy step.
        height: the episode terminates when the robot is not healthy, and so not between these heights (m); None: never.
        tasks: how many train and test tasks are drawn once and for all; (0, 0): drawn anew each time.
        batch: tasks per meta-batch and episodes per task in the source (0: it depends on the method).
        source: paper, and its code.
        note: what else differs from the source.
    """

    name: str
    targets: str
    extent: tuple[float, ...]
    horizon: int
    ctrl: float
    contact: float
    alive: float
    height: tuple[float, float] | None
    tasks: tuple[int, int]
    batch: tuple[int, int]
    source: str
    note: str = ""

    @property
    def family(self) -> str:
        """The name before the @, which tasks carry."""
        return self.name.partition("@")[0]

    @property
    def shared(self) -> Family:
        """The settings that the row shares with the others of its family."""
        return FAMILIES[self.family]

    @property
    def body(self) -> Robot:
        """The robot."""
        return ROBOTS[self.shared.robot]

    @functools.cached_property
    def task_dim(self) -> int:
        """Numbers in a task's vector."""
        return self.draw(np.random.default_rng(0)).size

    def draw(self, rng: np.random.Generator) -> Double:
        """The vector of one task, float64 ``[task_dim]``."""
        return TARGETS[self.targets](rng, self.extent, self.shared.robot)

    def to_dict(self) -> dict[str, Any]:
        """All that makes a result, JSON-able: every column except the prose. (No upper bound of a height is None.)"""
        row = dataclasses.asdict(self.shared) | dataclasses.asdict(self)
        row["height"] = self.height and [None if np.isinf(z) else z for z in self.height]
        return {key: value for key, value in row.items() if key not in ("source", "note")}


MAML = "Finn et al. 2017, github.com/cbfinn/maml_rl"
PROMP = "Rothfuss et al. 2019, github.com/jonasrothfuss/ProMP"
PEARL = "Rakelly et al. 2019, github.com/katerakelly/oyster"
VARI = "Zintgraf et al. 2020, github.com/lmzintgraf/varibad; randomised dynamics: github.com/dennisl88/rand_param_envs"
V5 = "Gymnasium's own v5 reward weights, heights and horizon, with the targets that most papers use"

_COM = "the paper's velocity is that of the torso's subtree's centre of mass, whose place its observation shows too"
_ZERO = "contact forces are v5's; the paper's depend on its MuJoCo (2.0 gives zeros, github.com/openai/gym/issues/1541)"
_NONE = "the paper's observation has no contact forces"
_SIGN = _NONE + "; its code reads the sign as an angle of 1 rad, its text says forward and backward"
_UNIT = _ZERO + "; the paper's actions are scaled to [-1, 1]"
_SKIP = "the paper's walker takes 5 physics steps per env step, v5's takes 4"

_FIX0 = (0, 0)
_META, _TWO, _ANY = (40, 20), (0, 2), (0, 0)
_ANT, _FLAT, _MAN = (0.2, 1.0), (0.0, 1.0), (1.0, 2.0)  # ProMP's ant may lie down
_WALK, _HOP = (0.8, 2.0), (0.7, np.inf)
_U2, _U3, _R3, _L3 = (0.0, 2.0), (0.0, 3.0), (3.0,), (3.0,)

# fmt: off
TABLE: tuple[Preset, ...] = tuple(Preset(*row) for row in (  # type: ignore[arg-type]
    # name                    targets   extent hor.   ctrl  contact alive height  fixed tasks  batch source note
    ("cheetah-dir@maml2017",  "sign",    (),   200,  0.05,  0.0,   0.0,  None,   _FIX0,      _META, MAML,  _COM),
    ("cheetah-dir@promp",     "sign",    (),   100,  0.05,  0.0,   0.0,  None,   _FIX0,      _META, PROMP, ""),
    ("cheetah-dir@pearl",     "sign",    (),   200,  0.05,  0.0,   0.0,  None,   _FIX0,      _TWO,  PEARL, ""),
    ("cheetah-dir@varibad",   "sign",    (),   200,  0.05,  0.0,   0.0,  None,   _FIX0,      _TWO,  VARI,  ""),
    ("cheetah-dir@v5",        "sign",    (),   1000, 0.1,   0.0,   0.0,  None,   _FIX0,      _ANY,  V5,    ""),

    ("cheetah-vel@maml2017",  "uniform", _U2,  200,  0.05,  0.0,   0.0,  None,   _FIX0,      _META, MAML,  _COM),
    ("cheetah-vel@promp",     "uniform", _U3,  100,  0.05,  0.0,   0.0,  None,   _FIX0,      _META, PROMP, ""),
    ("cheetah-vel@pearl",     "uniform", _U3,  200,  0.05,  0.0,   0.0,  None,   (100, 30),  _TWO,  PEARL, ""),
    ("cheetah-vel@varibad",   "uniform", _U3,  200,  0.05,  0.0,   0.0,  None,   _FIX0,      _TWO,  VARI,  ""),
    ("cheetah-vel@v5",        "uniform", _U3,  1000, 0.1,   0.0,   0.0,  None,   _FIX0,      _ANY,  V5,    ""),

    ("ant-dir@maml2017",      "sign",    (),   200,  0.005, 5e-4,  0.05, _ANT,   _FIX0,      _META, MAML,  _COM),
    ("ant-dir@promp",         "sign",    (),   200,  0.5,   5e-4,  1.0,  _FLAT,  _FIX0,      _META, PROMP, _ZERO),
    ("ant-dir@promp2d",       "circle",  (),   200,  0.5,   5e-4,  1.0,  _FLAT,  _FIX0,      _META, PROMP, _ZERO),
    ("ant-dir@pearl",         "sign",    (),   200,  0.5,   5e-4,  1.0,  _ANT,   _FIX0,      _TWO,  PEARL, _NONE),
    ("ant-dir@varibad",       "sign",    (),   200,  0.5,   5e-4,  1.0,  _ANT,   _FIX0,      _TWO,  VARI,  _SIGN),
    ("ant-dir@v5",            "circle",  (),   1000, 0.5,   5e-4,  1.0,  _ANT,   _FIX0,      _ANY,  V5,    ""),

    ("ant-vel@maml2017",      "uniform", _U3,  200,  0.005, 5e-4,  1.05, _ANT,   _FIX0,      _META, MAML,  _COM),
    ("ant-vel@v5",            "uniform", _U3,  1000, 0.5,   5e-4,  1.0,  _ANT,   _FIX0,      _ANY,  V5,    ""),

    ("ant-goal@promp",        "disc",    _R3,  200,  0.1,   5e-4,  0.0,  None,   _FIX0,      _META, PROMP, _ZERO),
    ("ant-goal@pearl",        "disc",    _R3,  200,  0.1,   5e-4,  0.0,  None,   (150, 30),  _TWO,  PEARL, _ZERO),
    ("ant-goal@varibad",      "disc",    _R3,  200,  0.1,   5e-4,  0.0,  None,   _FIX0,      _TWO,  VARI,  _ZERO),
    ("ant-goal@v5",           "disc",    _R3,  1000, 0.5,   5e-4,  1.0,  _ANT,   _FIX0,      _ANY,  V5,    ""),

    ("humanoid-dir@promp",    "sign",    (),   200,  0.1,   5e-7,  5.0,  _MAN,   _FIX0,      _META, PROMP, _ZERO),
    ("humanoid-dir@promp2d",  "circle",  (),   200,  0.1,   5e-7,  5.0,  _MAN,   _FIX0,      _META, PROMP, _ZERO),
    ("humanoid-dir@pearl",    "circle",  (),   200,  0.1,   5e-7,  5.0,  _MAN,   (100, 30),  _TWO,  PEARL, _ZERO),
    ("humanoid-dir@varibad",  "circle",  (),   200,  0.1,   5e-7,  5.0,  _MAN,   _FIX0,      _TWO,  VARI,  _UNIT),
    ("humanoid-dir@v5",       "circle",  (),   1000, 0.1,   5e-7,  5.0,  _MAN,   _FIX0,      _ANY,  V5,    ""),

    ("walker-params@promp",   "scales",  _L3,  200,  1e-3,  0.0,   1.0,  _WALK,  _FIX0,      _META, PROMP, _SKIP),
    ("walker-params@pearl",   "scales",  _L3,  200,  1e-3,  0.0,   1.0,  _WALK,  (40, 10),   _TWO,  PEARL, _SKIP),
    ("walker-params@varibad", "scales",  _L3,  200,  1e-3,  0.0,   1.0,  _WALK,  _FIX0,      _TWO,  VARI,  _SKIP),
    ("walker-params@v5",      "scales",  _L3,  1000, 1e-3,  0.0,   1.0,  _WALK,  _FIX0,      _ANY,  V5,    ""),

    ("hopper-params@promp",   "scales",  _L3,  200,  1e-3,  0.0,   1.0,  _HOP,   _FIX0,      _META, PROMP, ""),
    ("hopper-params@pearl",   "scales",  _L3,  200,  1e-3,  0.0,   1.0,  _HOP,   (40, 10),   _TWO,  PEARL, ""),
    ("hopper-params@varibad", "scales",  _L3,  200,  1e-3,  0.0,   1.0,  _HOP,   _FIX0,      _TWO,  VARI,  ""),
    ("hopper-params@v5",      "scales",  _L3,  1000, 1e-3,  0.0,   1.0,  _HOP,   _FIX0,      _ANY,  V5,    ""),
))
# fmt: on

PRESETS: dict[str, Preset] = {row.name: row for row in TABLE}
"""Name -> row."""


def spaces(preset: Preset) -> tuple[gym.spaces.Box, gym.spaces.Box]:
    """The observation space and the action space."""
    robot = preset.body
    size = robot.observation_size(preset.shared.place)
    observation = gym.spaces.Box(-np.inf, np.inf, (size,), np.float64)
    return observation, gym.spaces.Box(-robot.max_action, robot.max_action, (robot.num_actions,), np.float32)
