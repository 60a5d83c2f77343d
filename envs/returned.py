"""What a `gymnasium.Env` returned, read exactly: the shapes and types that it declares, or a sentence.

Numpy would broadcast, cut and cast nearly anything into place, and training would go on with wrong numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.names import closest

STEP = "observation, reward, terminated, truncated, info"


class ReturnedError(ValueError):
    """Not what gymnasium's `reset` or `step` return; the message goes on from "reset: " or "step 3: "."""


class Reader:
    """Reads what one kind of environment returns.

    Args:
        space: of its observations.
        success_key: name of the info field that says whether the goal is met; empty: there is none.
    """

    def __init__(self, space: gym.spaces.Box, success_key: str) -> None:
        self._shape, self._dtype = space.shape, np.dtype(space.dtype)
        self._key, self._success = success_key, f"info[{success_key!r}]"
        self.forget()

    def forget(self) -> None:
        """Begin anew to look for the success key."""
        self._heard, self._keys = not self._key, dict[str, None]()

    @property
    def missing_success(self) -> str:
        """See `envs.TaskVectorEnv.missing_success`."""
        if self._heard:
            return ""
        unknown = f"success is unknown: {self._success} was never given"
        if not self._keys:
            return f"{unknown}, info was empty; success_key=None says that there is no goal"
        likely = [key for key in self._keys if self._key in key] or list(self._keys)
        seen = ", ".join(map(repr, self._keys))
        return f"{unknown}; keys seen: {seen} (success_key={closest(self._key, likely)!r}? or None: there is no goal)"

    def reset(self, returned: Any) -> NDArray[Any]:
        """The observation ``[*obs]`` that `reset` returned. Its info is not read.

        Raises:
            ReturnedError: not such a pair.
        """
        if not isinstance(returned, (tuple, list)):
            raise ReturnedError(f"returned {_kind(returned)}, not (observation, info): the API of gym before 0.26")
        if len(returned) != 2:
            raise ReturnedError(f"returned {len(returned)} values; gymnasium's reset returns 2: observation, info")
        observation, info = returned
        if not isinstance(info, Mapping) and info is not None:
            raise ReturnedError(f"info is {_kind(info)}; gymnasium's reset returns (observation, info), info a dict")
        return self.observation(observation)

    def step(self, returned: Any) -> tuple[NDArray[Any], float, bool, bool, bool]:
        """Observation ``[*obs]``, reward, terminated, truncated and success that `step` returned.

        Raises:
            ReturnedError: not five such values.
        """
        if not isinstance(returned, (tuple, list)):
            raise ReturnedError(f"returned {_kind(returned)}; gymnasium's step returns 5 values: {STEP}")
        if len(returned) != 5:
            raise ReturnedError(f"returned {len(returned)} values; gymnasium's step returns 5: {STEP}")
        observation, reward, terminated, truncated, info = returned
        if not isinstance(info, Mapping):
            raise ReturnedError(f"info is {_kind(info)}; gymnasium's step returns a dict")
        if not self._heard:
            self._heard = self._key in info
            self._keys.update(dict.fromkeys(map(str, info)))
        return (
            self.observation(observation),
            float(reward) if isinstance(reward, float) else _number(reward),
            _flag("terminated", terminated),
            _flag("truncated", truncated),
            _flag(self._success, info.get(self._key, False)),
        )

    def observation(self, value: Any) -> NDArray[Any]:
        """`value` as an array of the shape that the space declares, and of a type that its own can hold.

        Floats may be rounded to a smaller type, as everybody does; what is too large becomes infinite, which the caller
        of `TaskVectorEnv.step` handles. No other number may change.

        Raises:
            ReturnedError: another shape, no numbers, or numbers that the declared type cannot hold.
        """
        if (
            type(value) is np.ndarray
            and value.shape == self._shape
            and (value.dtype == self._dtype or value.dtype.kind == self._dtype.kind == "f")
        ):
            return value  # the usual case: all that it costs
        try:
            given = np.asarray(value)
        except ValueError:
            raise ReturnedError(f"the observation is a ragged {type(value).__name__}, not {self._declared}") from None
        if given.dtype.kind not in "biuf":
            raise ReturnedError(f"the observation is {_kind(value)}, which holds no numbers, not {self._declared}")
        if given.shape != self._shape:
            raise ReturnedError(f"the observation has shape {given.shape}, its space says {self._declared}")
        if given.dtype.kind != "f" or self._dtype.kind != "f":
            self._require_exact(given)
        return given

    @property
    def _declared(self) -> str:
        return f"{self._dtype} {self._shape}"

    def _require_exact(self, given: NDArray[Any]) -> None:
        """Refuse numbers that another type would change."""
        with np.errstate(over="ignore", invalid="ignore"):
            cast = given.astype(self._dtype)
            changed = (cast.astype(given.dtype) != given) | ((cast < 0) != (given < 0))  # -1 as uint64 comes back
        if changed.any():
            number = given[changed].flat[0]
            raise ReturnedError(f"the observation holds {number} ({given.dtype}), which {self._dtype} cannot hold")


def _plain(name: str, value: Any) -> Any:
    """A number from an array of one, or of a numpy type; what is no array comes back as it is."""
    if not hasattr(value, "item"):
        return value
    try:
        return value.item()
    except (ValueError, RuntimeError, TypeError):
        raise ReturnedError(f"{name} has shape {tuple(np.shape(value))}; valid: one number") from None


def _number(value: Any) -> float:
    """A reward."""
    plain = _plain("the reward", value)
    try:
        if isinstance(plain, (str, bytes)):
            raise TypeError
        return float(plain)
    except (TypeError, ValueError, OverflowError):
        raise ReturnedError(f"the reward is {_kind(value)}; valid: one number") from None


def _flag(name: str, value: Any) -> bool:
    """A flag: true or false, or a number that is 1 or 0."""
    if value is True or value is False:
        return value
    plain = _plain(name, value)
    if isinstance(plain, (bool, int, float)) and plain in (0, 1):
        return bool(plain)
    raise ReturnedError(f"{name} is {_kind(value)}; valid: booleans, 0 and 1")


def _kind(value: Any) -> str:
    """A value in a few words, in one line."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    words = " ".join(repr(value).split())
    return f"{words if len(words) <= 60 else words[:57] + '...'} ({type(value).__name__})"
