"""Types of numbers in configs, each with the values that are valid."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple


class Bound(NamedTuple):
    """Condition on the value of a config's field; part of its annotation (see `meta_rl.config.checks`)."""

    fits: Callable[[Any], bool]
    problem: str
    """The condition in words, for the message about a value that does not fit."""


NOT_NEGATIVE = Bound(lambda x: x >= 0, "must be at least 0")
AT_LEAST_ONE = Bound(lambda x: x >= 1, "must be at least 1")
ABOVE_ZERO = Bound(lambda x: x > 0, "must be above 0")

ZERO = Bound(lambda x: x == 0, "must be 0")


def other_than(value: str) -> Bound:
    """Condition that a choice is not `value`, which another recipe stands for."""
    return Bound(lambda x: x != value, f"must be another than {value}")


NonNegativeInt = Annotated[int, NOT_NEGATIVE]
NonNegativeFloat = Annotated[float, NOT_NEGATIVE]
PositiveInt = Annotated[int, AT_LEAST_ONE]
PositiveFloat = Annotated[float, ABOVE_ZERO]
FiniteSpread = Annotated[float, Bound(lambda x: 0 <= x < math.inf, "must be at least 0 and finite")]
AtLeastTwo = Annotated[int, Bound(lambda x: x >= 2, "must be at least 2")]
GivenCount = Annotated[int | None, Bound(lambda x: x is None or x >= 1, AT_LEAST_ONE.problem)]
GivenTime = Annotated[float | None, Bound(lambda x: x is None or x > 0, ABOVE_ZERO.problem)]
Fraction = Annotated[float, Bound(lambda x: 0 <= x <= 1, "must be between 0 and 1")]
Layers = Annotated[
    tuple[int, ...], Bound(lambda x: all(units >= 1 for units in x), "every layer needs at least 1 unit")
]
SomeLayers = Annotated[
    tuple[int, ...],
    Bound(lambda x: len(x) > 0 and all(units >= 1 for units in x), "needs at least one layer of at least 1 unit"),
]
Steps = Annotated[tuple[int, ...], Bound(lambda x: all(steps >= 0 for steps in x), "must be 0 or more")]
Length = Annotated[int | None, Bound(lambda x: x is None or x >= 0, "must be at least 0, or None for all of the run")]
BurnIn = Annotated[
    int | None, Bound(lambda x: x is None or x >= 0, "must be at least 0, or None for all of the trial so far")
]
Horizon = Annotated[
    int | None,
    Bound(lambda x: x is None or 1 <= x <= 500, "must be 1 to 500 (Meta-World's own limit) or None"),
]
GoalSeed = Annotated[
    int | None,
    Bound(lambda x: x is None or 0 <= x <= 2**32 - 2, f"must be between 0 and {2**32 - 2}, numpy's own limit, or None"),
]
MemorySteps = Annotated[int, Bound(lambda x: x == 0 or x >= 3, "must be 0 or at least 3")]
