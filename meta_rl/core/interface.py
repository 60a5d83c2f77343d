"""The interface of an agent, what it observes and answers: all that it must know of the tasks to act."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs import NonFiniteError
from meta_rl.core.task_numbers import NumberScale
from meta_rl.errors import ConfigError

Space: TypeAlias = gym.spaces.Space[Any]
INTERFACE = "interface"
"""Key of the interface in ``environment.json`` of a run."""


class InterfaceWarning(UserWarning):
    """An agent observes what it has never learned to read."""


class Spaces(Protocol):
    """The spaces of a task distribution, all that a learner has to know of it."""

    @property
    def observation_space(self) -> Any:
        """Space of observations."""
        ...

    @property
    def action_space(self) -> Any:
        """Space of actions or, in few-shot tasks, of answers."""
        ...


@dataclass(frozen=True)
class Interface:
    """Spaces and length of an episode; as data, so that an agent can be handed over without its environment.

    Attributes:
        horizon: env steps per episode at most; 0 for labelled examples.
        ids: where observations are numbers of items, what their data calls them, in order; empty: nothing else.
        numbers: of the tasks, which the learner was told while it was trained: mean and deviation of each (see
            `meta_rl.core.task_numbers`); empty: it was not. The agent does not observe them.
    """

    observation_space: Space
    action_space: Space
    horizon: int = 0
    ids: tuple[int | str, ...] = ()
    numbers: NumberScale = ()

    @staticmethod
    def of(tasks: Spaces, horizon: int = 0, numbers: NumberScale = ()) -> Interface:
        """The interface of a task distribution, of which a learner is told these `numbers`."""
        ids = tuple(getattr(tasks, "ids", ()))
        return Interface(tasks.observation_space, tasks.action_space, horizon, ids, numbers)

    @property
    def forms(self) -> tuple[str, str]:
        """Forms of observations and actions, in words: what has to agree between an agent and its tasks."""
        return _form(self.observation_space), _form(self.action_space)

    def check(self, env: Spaces) -> None:
        """Refuse an environment, or a task distribution, that the agent does not fit.

        Raises:
            ConfigError: its observations or actions have another form.
        """
        pairs = (("observation", self.observation_space, env.observation_space),
                 ("action", self.action_space, env.action_space))  # fmt: skip
        for what, mine, its in pairs:
            if _form(mine) != _form(its):
                raise ConfigError(f"env: the {what} space is {_form(its)}, the agent was trained with {_form(mine)}")

    def read(self, observation: Any, *leading: int) -> NDArray[np.float32]:
        """`observation` ``[*leading, *obs]`` as the agent reads it.

        Raises:
            ConfigError: it is of another shape, or no numbers.
            NonFiniteError: a number in it is NaN or infinite, or is as float32.
        """
        wanted = (*leading, *(self.observation_space.shape or ()))
        try:
            array = np.asarray(observation)
            if array.dtype.kind not in "fiub" or array.shape != wanted:
                raise ValueError(f"{array.dtype} numbers of shape {array.shape}")
        except ValueError as error:  # numpy says so of ragged lists
            raise ConfigError(f"observation: must be numbers of shape {wanted}, got {error}") from None
        with np.errstate(over="ignore"):
            read = array.astype(np.float32)
        if not np.isfinite(read).all():
            where = np.argwhere(~np.isfinite(read))[0].tolist()
            given = array[tuple(where)]
            raise NonFiniteError(f"observation: the number at {where} is {given}; it must be finite in float32")
        return read

    def warn_of_news(self, observation: NDArray[Any]) -> bool:
        """Warn if a number in `observation` ``[..., *obs]`` moves that could not move in training, as its bounds were
        equal: goals that were hidden, for example. Return whether it did."""
        if self._still is None:
            return False
        still, low = self._still
        seen = observation[..., still].reshape(-1, len(low))  # [n, still]
        moved = np.argwhere(seen != low)
        if not len(moved):
            return False
        row, column = moved[0]
        warnings.warn(
            f"observation: the number at {np.argwhere(still)[column].tolist()} is {seen[row, column]:g}, but was "
            f"always {low[column]:g} in training, so the agent has not learned to read it",
            InterfaceWarning,
            stacklevel=3,
        )
        return True

    @functools.cached_property
    def _still(self) -> tuple[NDArray[np.bool_], NDArray[np.float32]] | None:
        """Which numbers of an observation ``[*obs]`` could not move in training, and what they were ``[still]``; None:
        all could."""
        space = self.observation_space
        if not isinstance(space, gym.spaces.Box):
            return None
        still = np.asarray(space.low == space.high)
        return (still, space.low[still].astype(np.float32)) if still.any() else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        spaces = {name: _space_to_dict(getattr(self, name)) for name in ("observation_space", "action_space")}
        told = {"numbers": [list(pair) for pair in self.numbers]} if self.numbers else {}
        return {**spaces, "horizon": self.horizon, **({"ids": list(self.ids)} if self.ids else {}), **told}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Interface:
        """The inverse of `to_dict`."""
        observation_space, action_space = (
            _space_from_dict(values[f"{name}_space"]) for name in ("observation", "action")
        )
        numbers = tuple((float(mean), float(std)) for mean, std in values.get("numbers", ()))
        ids = tuple(values.get("ids", ()))
        return Interface(observation_space, action_space, values["horizon"], ids, numbers)


def to_env(space: Space, action: Any) -> Any:
    """Actions as an environment of the action space `space` takes them: a ``Discrete(n, start=k)`` counts from k.

    Args:
        action: of policies, which count discrete actions from 0; an array or tensor.
    """
    start = int(space.start) if isinstance(space, gym.spaces.Discrete) else 0
    return action + start if start else action


def from_env(space: Space, action: Any) -> Any:
    """The inverse of `to_env`: actions of an environment as policies answer them."""
    start = int(space.start) if isinstance(space, gym.spaces.Discrete) else 0
    return action - start if start else action


def _form(space: Space) -> str:
    """Form of a space, in words, which has to agree. Bounds need not: the agent never looks at them."""
    named = isinstance(space, gym.spaces.Discrete) or space.shape is None  # a Dict or Tuple has no shape
    return repr(space) if named else f"{type(space).__name__}{space.shape}"


def _space_to_dict(space: Space) -> dict[str, Any]:
    if isinstance(space, gym.spaces.Discrete):
        return {"discrete": int(space.n), "start": int(space.start)}
    assert isinstance(space, gym.spaces.Box), f"no agent has a space like {space}"
    bounds = {name: _bound_to_list(getattr(space, name)) for name in ("low", "high")}
    return {"box": list(space.shape), "dtype": str(space.dtype), **bounds}


def _bound_to_list(bound: NDArray[Any]) -> list[str]:
    """Elements of a bound, or one if all are equal; as text, because JSON has no infinite numbers."""
    return [repr(float(x)) for x in (bound.flat[:1] if (bound == bound.flat[0]).all() else bound.flat)]


def _space_from_dict(values: dict[str, Any]) -> Space:
    if "discrete" in values:
        return gym.spaces.Discrete(values["discrete"], start=values["start"])
    dtype: Any = np.dtype(values["dtype"])
    shape = tuple(values["box"])
    low, high = (np.resize(np.array([float(x) for x in values[name]], dtype), shape) for name in ("low", "high"))
    return gym.spaces.Box(low, high, shape, dtype)
