"""Dynamics as part of the task: a robot that is heavier, slipperier, weaker, later or noisier than the plain one.

``metaworld/ml1-push-v3+dynamics`` and ``cheetah-vel@promp+mass+delay=0..3`` are the tasks of the name before the plus,
each with dynamics of its own. They stand at the end of the task's vector, one number for each row of `QUANTITIES`; a
policy is not shown them. The model is never compiled again: an environment reads rows of its own.

The noise of a step is a pure function of the episode's seed, the place of the environment among those of its task, and
the number of the step, so it does not depend on threads, workers or batches.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.api import Bool, Task
from envs.names import UnknownNameError, closest

Double = NDArray[np.float64]
Single = NDArray[np.float32]


@dataclass(frozen=True)
class Quantity:
    """A number that tasks differ in.

    Attributes:
        plain: its value in the plain robot.
        limits: the lowest and the highest that is allowed.
        arrays: the arrays of mjModel that it is a factor on; empty: it acts between policy and robot.
        whole: it is a whole number.
    """

    plain: float
    limits: tuple[float, float]
    arrays: tuple[str, ...] = ()
    whole: bool = False

    def draw(self, rng: np.random.Generator, low: float, high: float) -> float:
        """A number between two: factors evenly on a logarithmic scale, the others evenly."""
        if self.whole:
            return float(rng.integers(int(low), int(high) + 1))
        if self.arrays:
            return float(np.exp(rng.uniform(np.log(low), np.log(high))))
        return float(rng.uniform(low, high))


_FACTOR = (0.01, 100.0)
QUANTITIES: dict[str, Quantity] = {
    "mass": Quantity(1.0, _FACTOR, ("body_mass", "body_inertia")),
    "friction": Quantity(1.0, _FACTOR, ("geom_friction",)),
    "damping": Quantity(1.0, _FACTOR, ("dof_damping",)),
    "gain": Quantity(1.0, _FACTOR, ("actuator_gainprm", "actuator_biasprm")),
    "delay": Quantity(0.0, (0.0, 10.0), whole=True),
    "action-noise": Quantity(0.0, (0.0, 1.0)),
    "observation-noise": Quantity(0.0, (0.0, 100.0)),
}
"""What the last numbers of a task's vector are: factors on all masses and inertias, on all frictions, on the damping of
all joints, on the strength of all actuators; the delay of actions in env steps; the standard deviation of the noise on
actions, as a share of half their range, and of that on observations, in their own units."""
ARRAYS = [array for quantity in QUANTITIES.values() for array in quantity.arrays]
"""The arrays of mjModel that tasks change."""

_DOUBLE: tuple[float, float] = (0.5, 2.0)
PRESETS: dict[str, dict[str, tuple[float, float]]] = {
    **{name: {name: _DOUBLE} for name in ("mass", "friction", "damping", "gain")},
    "delay": {"delay": (0, 3)},
    "action-noise": {"action-noise": (0.0, 0.1)},
    "observation-noise": {"observation-noise": (0.0, 0.01)},
    "noise": {"action-noise": (0.0, 0.1), "observation-noise": (0.0, 0.01)},
    "physics": dict.fromkeys(("mass", "friction", "damping", "gain"), _DOUBLE),
    "dynamics": {
        **dict.fromkeys(("mass", "friction", "damping"), _DOUBLE),
        "gain": (0.75, 1.33),
        "delay": (0, 2),
        "action-noise": (0.0, 0.05),
        "observation-noise": (0.0, 0.005),
    },
    "dynamics-hard": {
        **dict.fromkeys(("mass", "friction", "damping"), (0.25, 4.0)),
        "gain": (0.5, 2.0),
        "delay": (0, 4),
        "action-noise": (0.0, 0.1),
        "observation-noise": (0.0, 0.01),
    },
}
"""Name -> quantity -> its range."""
_RANGE = re.compile(r"([a-z-]+)=([-+.\w]+?)(?:\.\.([-+.\w]+))?")


@dataclass(frozen=True)
class Dynamics:
    """Ranges that the dynamics of tasks are drawn from.

    Attributes:
        name: as it is written after the plus.
        ranges: lowest and highest of each of `QUANTITIES`, in their order.
    """

    name: str
    ranges: tuple[tuple[float, float], ...]

    @property
    def noisy(self) -> bool:
        """Whether the same actions may give another episode."""
        return any(high > 0 for name, (_, high) in zip(QUANTITIES, self.ranges, strict=True) if name.endswith("noise"))

    def draw(self, rng: np.random.Generator) -> tuple[float, ...]:
        """The dynamics of one task, a number for each of `QUANTITIES`."""
        pairs = zip(QUANTITIES.values(), self.ranges, strict=True)
        return tuple(quantity.draw(rng, low, high) for quantity, (low, high) in pairs)

    def extend(self, tasks: Sequence[Task], rng: np.random.Generator) -> list[Task]:
        """These tasks, each with dynamics of its own."""
        return [Task(task.family, (*task.vector, *self.draw(rng))) for task in tasks]

    def to_dict(self) -> dict[str, list[float]]:
        """Quantity -> its range, JSON-able."""
        return {name: list(extent) for name, extent in zip(QUANTITIES, self.ranges, strict=True)}


def parse(text: str) -> Dynamics:
    """The dynamics that are written as `text`: presets and ranges, ``mass+delay=0..3``, of which later ones prevail.

    Raises:
        UnknownNameError: no such preset or quantity, or a range that no robot can have.
    """
    ranges: dict[str, tuple[float, float]] = {}
    for term in text.split("+"):
        if term in PRESETS:
            ranges |= PRESETS[term]
        elif written := _RANGE.fullmatch(term):
            ranges |= {written[1]: _extent(term, written[1], written[2], written[3] or written[2])}
        else:
            raise UnknownNameError(
                f"unknown dynamics {term!r}; closest: {closest(term, PRESETS)}; valid: {', '.join(PRESETS)}, or a "
                "range like mass=0.5..2"
            )
    plain = {name: (quantity.plain, quantity.plain) for name, quantity in QUANTITIES.items()}
    return Dynamics(text, tuple((plain | ranges).values()))


def _extent(term: str, name: str, first: str, last: str) -> tuple[float, float]:
    """The range of the quantity `name` as it is written."""
    if name not in QUANTITIES:
        raise UnknownNameError(
            f"dynamics {term!r}: unknown quantity {name!r}; closest: {closest(name, QUANTITIES)}; valid: "
            f"{', '.join(QUANTITIES)}"
        )
    quantity = QUANTITIES[name]
    try:
        low, high = float(first), float(last)
    except ValueError:
        raise UnknownNameError(f"dynamics {term!r}: write a range as {name}=LOW..HIGH") from None
    problem = _problem(quantity, low) or _problem(quantity, high)
    if problem:
        raise UnknownNameError(f"dynamics {term!r}: {name} {problem}")
    if low > high:
        raise UnknownNameError(f"dynamics {term!r}: the range ends below its beginning; write {name}={last}..{first}")
    return low, high


def _problem(quantity: Quantity, value: float) -> str:
    """Why a robot cannot have this value; empty: it can."""
    low, high = quantity.limits
    if not low <= value <= high:
        return f"must be between {low:g} and {high:g}, got {value:g}"
    return f"must be a whole number, got {value:g}" if quantity.whole and value != int(value) else ""


def split(task: Task) -> tuple[Task, tuple[float, ...]]:
    """The plain task, and the dynamics at the end of its vector.

    Raises:
        ValueError: it has none, or some that no robot can have.
    """
    count = len(QUANTITIES)
    if len(task.vector) < count:
        raise ValueError(f"not a task with dynamics, whose last {count} numbers are {', '.join(QUANTITIES)}: {task}")
    numbers = task.vector[-count:]
    for (name, quantity), value in zip(QUANTITIES.items(), numbers, strict=True):
        if problem := _problem(quantity, value):
            raise ValueError(f"{task.family}: {name} {problem}, in task {task.to_json()}")
    return Task(task.family, task.vector[:-count]), numbers


def describe(numbers: Sequence[float]) -> str:
    """Dynamics in words: what differs from the plain robot."""
    words = []
    for (name, quantity), value in zip(QUANTITIES.items(), numbers, strict=True):
        if value != quantity.plain:
            words.append(f"{name} x {value:.2f}" if quantity.arrays else f"{name} {value:.3g}")
    return ", ".join(words) or "plain dynamics"


def factors(numbers: Sequence[float]) -> dict[str, float]:
    """Array of mjModel -> the factor on all of its numbers."""
    pairs = zip(QUANTITIES.values(), numbers, strict=True)
    return {array: value for quantity, value in pairs for array in quantity.arrays}


def scale(values: Double, sizes: Sequence[tuple[str, int]], numbers: Sequence[float]) -> Double:
    """A model's `values`, arrays one after the other, as they are under these dynamics.

    Args:
        sizes: name and length of each array.
    """
    known = factors(numbers)
    return np.asarray(values * np.repeat([known.get(name, 1.0) for name, _ in sizes], [size for _, size in sizes]))


BLOCK = 64
"""Env steps whose noise is drawn at a time."""


def noise(key: NDArray[np.uint64], block: int, width: int) -> Single:
    """Standard normal numbers of one episode, ``[BLOCK, width]``: those of its steps ``BLOCK * block`` and on.

    Args:
        key: of the episode, from `episode_key`.
    """
    bits = np.random.Philox(key=key, counter=np.array([0, 0, block, 0], np.uint64))
    return np.random.Generator(bits).standard_normal((BLOCK, width), np.float32)


def episode_key(seed: int, env: int) -> NDArray[np.uint64]:
    """What the noise of an episode derives from, ``[2]``."""
    return np.asarray(np.random.SeedSequence([seed, env]).generate_state(2, np.uint64), np.uint64)


class Channel:
    """What lies between the policies and the robots ``[task, env]``: delay, and noise of actions and observations.

    An action arrives `delay` env steps after it was sent, before that the robot gets zeros; the noise joins it when it
    arrives. Noisy observations stay in the bounds of their space. Step 0 is the reset.
    """

    def __init__(self, shape: tuple[int, int], observations: gym.spaces.Box, actions: gym.spaces.Box) -> None:
        self._observations, self._motors = observations, actions.shape[0]
        self._half = (actions.high - actions.low) / np.float32(2)
        self._bounded = bool(np.isfinite([observations.low, observations.high]).any())
        self._places = tuple(np.indices(shape))
        longest = int(QUANTITIES["delay"].limits[1])
        self._sent = np.zeros((longest + 1, *shape, *actions.shape), np.float32)
        self._keys = np.zeros((*shape, 2), np.uint64)
        self._block = np.full(shape, -1)  # whose noise is drawn
        # [task, env, step, number]: of actions, then of observations
        self._drawn = np.zeros((*shape, 0, 0), np.float32)
        self.set_tasks([[quantity.plain for quantity in QUANTITIES.values()]] * shape[0])

    def set_tasks(self, numbers: Sequence[Sequence[float]]) -> None:
        """Hold the dynamics of each task from now on."""
        columns = dict(zip(QUANTITIES, np.array(numbers, np.float64).T[..., None], strict=True))  # each [task, 1]
        self._delay = columns["delay"].astype(int)
        self._action_noise = columns["action-noise"][..., None].astype(np.float32)
        self._observation_noise = columns["observation-noise"][..., None].astype(np.float32)
        self._noisy = (self._action_noise + self._observation_noise)[..., 0] > 0
        self._late, self._jerks, self._blurs = (
            bool(x.any()) for x in (self._delay, self._action_noise, self._observation_noise)
        )

    def reset(self, seeds: Sequence[int], mask: Bool) -> None:
        """Episodes begin in the environments in `mask`."""
        for task, env in np.argwhere(mask).tolist():
            self._keys[task, env] = episode_key(seeds[task], env)
        self._block[mask] = -1

    def act(self, action: NDArray[Any], step: NDArray[np.int64]) -> NDArray[Any]:
        """What arrives of `action` ``[task, env, ...]`` at the robots, float32, in the step of number `step`."""
        arrived = action.astype(np.float32)
        if self._late:
            length, sent = len(self._sent), step - self._delay
            self._sent[(step % length, *self._places)] = arrived
            arrived = np.where((sent >= 0)[..., None], self._sent[(sent % length, *self._places)], np.float32(0))
        if self._jerks:
            arrived = arrived + self._action_noise * self._half * self._rows(step)[..., : self._motors]
        return arrived

    def observe(self, observation: NDArray[Any], step: NDArray[np.int64]) -> NDArray[Any]:
        """What the policies see of `observation` ``[task, env, obs]`` after `step` env steps."""
        if not self._blurs:
            return observation
        seen = observation + self._observation_noise * self._rows(step)[..., self._motors :]
        if self._bounded:
            np.clip(seen, self._observations.low, self._observations.high, out=seen)
        return seen if self._observation_noise.all() else np.where(self._observation_noise > 0, seen, observation)

    def hold(self) -> dict[str, NDArray[Any]]:
        """See `envs.moments.Resumable`."""
        return {"keys": self._keys.copy(), "sent": np.moveaxis(self._sent, 0, 2).copy()}

    def resume(self, held: dict[str, NDArray[Any]], mask: Bool) -> None:
        """See `envs.moments.Resumable`."""
        self._keys[mask] = held["keys"][mask]
        self._sent[:, mask] = np.moveaxis(held["sent"], 2, 0)[:, mask]
        self._block[mask] = -1

    def _rows(self, step: NDArray[np.int64]) -> Single:
        """Noise ``[task, env, number]`` of each environment's step."""
        block, row = np.divmod(step, BLOCK)
        if (block != self._block).any():
            width = self._motors + self._observations.shape[0]
            if not self._drawn.size:
                self._drawn = np.zeros((*self._block.shape, BLOCK, width), np.float32)
            for task, env in np.argwhere((block != self._block) & self._noisy).tolist():
                self._drawn[task, env] = noise(self._keys[task, env], int(block[task, env]), width)
            self._block = block
        if (row == row[0, 0]).all():  # usually
            return self._drawn[:, :, row[0, 0]]
        return np.asarray(self._drawn[(*self._places, row)])
