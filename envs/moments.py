"""A moment of running environments as data: to go back to it, to branch from it, to go on elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from envs.threads import one_thread_at_a_time

if TYPE_CHECKING:
    from envs.api import Bool, Float, Task, TaskVectorEnv


@dataclass(frozen=True)
class Moment:
    """All that environments ``[task, env]`` need to go on as they would have; see `envs.TaskVectorEnv.get_state`.

    Attributes:
        kind: the class of the environments. Others do not take it.
        tasks: the task of each row.
        arrays: name -> array ``[task, env, ...]``; what they hold is the environments' own business.
    """

    kind: str
    tasks: tuple[Task, ...]
    arrays: Mapping[str, NDArray[Any]]

    @property
    def shape(self) -> tuple[int, int]:
        """``(num_tasks, envs_per_task)``."""
        return self.arrays["elapsed"].shape[0], self.arrays["elapsed"].shape[1]

    def pick(self, tasks: Sequence[int], envs: Sequence[int]) -> Moment:
        """The moment of these rows and columns, in this order, each as often as it is named.

        ``pick([0], [2] * 64)`` is 64 times environment [0, 2]: what a planner begins its branches with.

        Raises:
            ValueError: there is no such row or column, or none is named.
        """
        for what, picked, count in (("task", tasks, self.shape[0]), ("env", envs, self.shape[1])):
            if not len(picked) or min(picked) < 0 or max(picked) >= count:
                raise ValueError(f"pick: {what} must be one of 0 to {count - 1}, got {list(picked)}")
        places = np.ix_(tasks, envs)
        return Moment(
            self.kind, tuple(self.tasks[row] for row in tasks), {k: a[places] for k, a in self.arrays.items()}
        )


class Resumable:
    """The part of a `TaskVectorEnv` that lets episodes go on from their middle.

    Subclasses name what their episodes live in, in `_held`, or implement `_hold` and `_resume`; `_twin` lets them be
    copied. Those that do neither refuse.
    """

    _held: ClassVar[tuple[str, ...]] = ()
    """Names of the arrays ``[task, env, ...]`` that an episode lives in."""

    @one_thread_at_a_time
    def get_state(self: Any) -> Moment:
        """The moment as data, for `set_state`: episodes go on from it with the same bits, however often.

        Raises:
            RuntimeError: there has been no reset yet.
            NotImplementedError: environments of this kind cannot say what they hold.
        """
        self._check_open()
        if not self._was_reset:
            raise RuntimeError("call reset before get_state: no episode has begun")
        ours = {"elapsed": self._elapsed, "terminated": self._terminated, "observation": self._observation}
        arrays = self._hold() | {name: array.copy() for name, array in ours.items()}
        return Moment(type(self).__name__, tuple(self.tasks), arrays)

    @one_thread_at_a_time
    def set_state(self: Any, moment: Moment, mask: Bool | None = None) -> Float:
        """Go on from `moment`, with its tasks; return its observations ``[task, env, *obs]`` (of all environments).

        Args:
            moment: from `get_state` of environments of this kind, or picked from one to this shape.
            mask: bool ``[task, env]``; only these environments go there, and the tasks must be those held now. Default:
                all.
        Raises:
            ValueError: it is of another kind, shape or task.
            NotImplementedError: environments of this kind cannot go on from the middle of an episode.
        """
        self._check_open()
        mask = None if mask is None else np.asarray(mask)
        _check_moment(self, moment, mask)
        if mask is None:
            mask = np.ones(self.shape, dtype=bool)
            self._set_tasks(list(moment.tasks))
            self.tasks = list(moment.tasks)
        held = dict(moment.arrays)
        for name in ("elapsed", "terminated", "observation"):
            array, own = held.pop(name), getattr(self, f"_{name}").copy()
            own[mask] = array[mask]
            setattr(self, f"_{name}", own)
        self._resume(held, mask)
        self._was_reset = True
        return np.array(self._observation)

    def copy(self: Any) -> TaskVectorEnv:
        """Environments of their own at the same moment: with the same actions they go the same way, bit for bit.

        Raises:
            NotImplementedError: environments of this kind cannot be copied.
        """
        self._check_open()
        twin: TaskVectorEnv = self._twin()
        try:
            if self._was_reset:
                twin.set_state(self.get_state())
            elif self.tasks:
                twin.set_tasks(self.tasks)
        except BaseException:
            twin.close()
            raise
        return twin

    def __copy__(self) -> TaskVectorEnv:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> TaskVectorEnv:
        return self.copy()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} is not pickled: it holds simulations and threads; pickle its TaskDistribution, "
            "whose make gives another one, and what get_state gives"
        )

    # -- hooks -------------------------------------------------------------------------------------------------

    def _hold(self) -> dict[str, NDArray[Any]]:
        """What the episodes live in, besides what every `TaskVectorEnv` holds: new arrays ``[task, env, ...]``."""
        if not self._held:
            raise NotImplementedError(f"a {type(self).__name__} cannot say what it holds in the middle of an episode")
        return {name: getattr(self, name).copy() for name in self._held}

    def _resume(self, held: dict[str, NDArray[Any]], mask: Bool) -> None:
        """Take back what `_hold` gave, for the environments in `mask`; their tasks are set."""
        for name, array in held.items():
            own = getattr(self, name).copy()  # the one that is there may have been handed out
            own[mask] = array[mask]
            setattr(self, name, own)

    def _twin(self) -> TaskVectorEnv:
        """Environments made with the same arguments."""
        raise NotImplementedError(f"a {type(self).__name__} cannot be copied; make another one")


def _check_moment(env: Any, moment: Moment, mask: Bool | None) -> None:
    """Refuse a moment that `env` cannot go on from."""
    kind, shape = type(env).__name__, env._observation.shape
    if not isinstance(moment, Moment):
        raise ValueError(f"set_state: needs what get_state gives, got {type(moment).__name__}")
    if moment.kind != kind:
        raise ValueError(f"set_state: a {kind} cannot go on from the moment of a {moment.kind}")
    if moment.shape != env.shape:
        raise ValueError(
            f"set_state: the moment has {moment.shape} environments, expected {env.shape}; pick makes it fit"
        )
    if moment.arrays["observation"].shape != shape:
        given = moment.arrays["observation"].shape
        raise ValueError(f"set_state: the moment's observations are {given}, expected {shape}")
    if mask is None:
        return
    if mask.shape != env.shape or mask.dtype != np.bool_:
        raise ValueError(f"set_state: mask must be bool {env.shape}, got {mask.dtype} {mask.shape}")
    if not env._was_reset or list(moment.tasks) != env.tasks:
        raise ValueError("set_state: with a mask, the moment's tasks must be those that the environments hold now")
