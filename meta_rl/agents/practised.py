"""What adaptation in one environment may use, what it has used, and whether its result is kept."""

from __future__ import annotations

import itertools
import math
import numbers
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl.core.types import Rollout
from meta_rl.errors import ConfigError
from meta_rl.maths.statistics import student_quantile

CONDITIONS = ("not-worse", "better")
"""Values of ``keep_if``."""
CONFIDENCE = 0.95
"""Confidence of each bound of a judgement's interval."""


@dataclass(frozen=True)
class Judgement:
    """Comparison of the policies before and after practice, on episodes with mode actions that nobody learned from.

    Episode k of both begins with the same seed. The gains are the differences of their returns, after minus before.
    `low` and `high` are one-sided bounds of the mean gain, each with 95 % confidence, by Student's t. With
    ``keep_if="not-worse"`` the new policy is kept unless `high` is below 0: unless it is worse beyond doubt. With
    ``keep_if="better"`` it is kept if `low` is above 0.

    Attributes:
        keep_if: the condition.
        before, after: return of each episode of the old and of the new policy.
        gain: mean of the gains.
        env_steps: of these episodes.
        kept: whether the new policy was kept.
    """

    keep_if: str
    before: tuple[float, ...]
    after: tuple[float, ...]
    gain: float
    low: float
    high: float
    env_steps: int
    kept: bool


@dataclass(frozen=True)
class Practised:
    """What one call of `Player.adapt` used, and what came of it.

    Attributes:
        adaptations: number of adaptations.
        episodes, env_steps: practised, without those of the judgement.
        seconds: wall-clock time of practice and learning, without the judgement.
        judgement: of the result, if one was asked for.
    """

    adaptations: int
    episodes: int
    env_steps: int
    seconds: float
    judgement: Judgement | None = None

    @property
    def kept(self) -> bool:
        """Whether the player acts as it has learned; else as before."""
        return self.judgement is None or self.judgement.kept

    def __str__(self) -> str:
        """One sentence."""
        counts = ((self.adaptations, "adaptation"), (self.episodes, "episode"), (self.env_steps, "env step"))
        said = ", ".join([f"{number:,} {noun}{'s' * (number != 1)}" for number, noun in counts])
        said = f"{said}, {self.seconds:.1f} s"
        found = self.judgement
        if found is None:
            return said
        return (
            f"{said}; return {np.mean(found.before):.2f} before and {np.mean(found.after):.2f} after "
            f"({len(found.after)} episodes each, gain from {found.low:.2f} to {found.high:.2f}): "
            f"{'kept' if found.kept else 'the old policy was kept'}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Practised:
        """The inverse of `to_dict`."""
        found = values["judgement"]
        if found is not None:
            found = Judgement(**found | {name: tuple(found[name]) for name in ("before", "after")})
        return Practised(**values | {"judgement": found})


class Budget:
    """Env steps and seconds for whole episodes; infinite unless told. Time runs from the beginning of practice.

    An episode begins if the rest is enough for one as long as it can get (in env steps) or as the longest so far (in
    seconds). The very first one begins in any case.
    """

    def __init__(self, horizon: int, env_steps: float = math.inf, seconds: float = math.inf) -> None:
        self._horizon, self._most_steps, self._most_seconds = horizon, env_steps, seconds
        self._began, self._longest = time.monotonic(), 0.0
        self.episodes = self.env_steps = self.adaptations = 0

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def numbers(self, most: float, share: float) -> Iterator[int]:
        """Numbers of episodes, 0, 1, ..., each when it may begin.

        Args:
            most: number of them at most.
            share: part of the budget that may be used by then.
        """
        for number in itertools.takewhile(lambda k: k < most, itertools.count()):
            if self.episodes and not self._has_room(share):
                return
            began = self.seconds
            yield number
            self._longest = max(self._longest, self.seconds - began)

    def spend(self, recorded: Rollout) -> None:
        """Count one episode."""
        self.episodes += 1
        self.env_steps += recorded.env_steps

    def used(self) -> Practised:
        """What was used so far."""
        return Practised(self.adaptations, self.episodes, self.env_steps, self.seconds)

    def _has_room(self, share: float) -> bool:
        steps = self.env_steps + self._horizon <= share * self._most_steps
        return steps and self.seconds + self._longest <= share * self._most_seconds


def judge(keep_if: str, returns: NDArray[np.float64], env_steps: int) -> Judgement:
    """Decide by the returns of paired episodes, two or more; see `Judgement` for the rule.

    Args:
        returns: ``[2, episode]``, of the old policy and of the new one.
    """
    before, after = returns
    gains = after - before
    mean, error = float(gains.mean()), float(gains.std(ddof=1)) / math.sqrt(len(gains))
    half = student_quantile(CONFIDENCE, len(gains) - 1) * error
    kept = mean + half >= 0 if keep_if == CONDITIONS[0] else mean - half > 0
    told = tuple(before.tolist()), tuple(after.tolist())
    return Judgement(keep_if, *told, mean, mean - half, mean + half, env_steps, bool(kept))


def check_practice(
    least_one: Mapping[str, int | None], seconds: float | None, keep_if: str | None, judge_episodes: int
) -> None:
    """Refuse what `Player.adapt` cannot do.

    Args:
        least_one: arguments that must be whole numbers of at least 1, where they are given.
    Raises:
        ConfigError: naming the argument.
    """
    for name, value in least_one.items():
        if value is not None:
            check_count(name, value)
    if seconds is not None and not (isinstance(seconds, numbers.Real) and 0 < seconds < math.inf):
        raise ConfigError(f"seconds: must be above 0, got {seconds!r}")
    if keep_if is not None and keep_if not in CONDITIONS:
        raise ConfigError(f"keep_if: unknown {keep_if!r}; valid: {', '.join(map(repr, CONDITIONS))}")
    if keep_if is not None:
        check_count("judge_episodes", judge_episodes, 2)


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Refuse what is no whole number, or too small a one.

    Raises:
        ConfigError: naming the argument.
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise ConfigError(f"{name}: must be a whole number, got {value!r}")
    if value < least:
        raise ConfigError(f"{name}: must be at least {least}, got {value}")
