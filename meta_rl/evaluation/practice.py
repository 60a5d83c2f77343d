"""The episodes that an agent adapts on between two judged stages: of a learner with a memory, those that it remembers.

They are many, so a recording keeps what a scene draws of them at a few moments of each. Recording them changes no
number of an evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import Scene, TaskVectorEnv, Track
from meta_rl.core.types import Rollout

SMALL_STATE = 16
"""Numbers in a state that is small enough to be kept after every env step."""
KEPT_MOMENTS = 30
"""Moments of an episode, about evenly spaced, at which a larger state is kept."""


class Outcomes:
    """What came of episodes ``[task, ..., episode, time]``: what any recording says of them."""

    reward: NDArray[np.float32]
    success: NDArray[np.bool_]
    valid: NDArray[np.bool_]

    @property
    def returns(self) -> NDArray[np.float64]:
        """Undiscounted ``[task, ..., episode]``; the evaluation adds up the same numbers in the same way."""
        return np.asarray(self.reward.sum(-1, dtype=np.float64))

    @property
    def solved(self) -> NDArray[np.bool_]:
        """Success at any step ``[task, ..., episode]``."""
        return np.asarray(self.success.any(-1))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Env steps ``[task, ..., episode]``."""
        return np.asarray(self.valid.sum(-1))


@dataclass(frozen=True)
class Practice(Outcomes):
    """Episodes with sampled actions ``[task, step, episode, ...]``: those of step k lie between stages k and k + 1.

    Attributes:
        moments: env steps after which the state was kept, ``[moment]``.
        state: float32 ``[..., moment, state]``; shorter ones end in zeros.
        action: ``[..., time, *action]``.
        reward: float32 ``[..., time]``, 0 after the end of an episode.
        success: bool ``[..., time]``, the goal is met at this very step.
        valid: bool ``[..., time]``, False after the end of an episode.
    """

    moments: NDArray[np.int64]
    state: NDArray[np.float32]
    action: NDArray[Any]
    reward: NDArray[np.float32]
    success: NDArray[np.bool_]
    valid: NDArray[np.bool_]

    @property
    def episodes(self) -> int:
        """Between two stages."""
        return int(self.reward.shape[2])

    def rows(self, chosen: Sequence[int]) -> Practice:
        """The practice of some tasks, in this order."""
        arrays = {name: getattr(self, name)[list(chosen)] for name in PRACTICE_ARRAYS}
        return Practice(self.moments, **arrays)

    def track(self, task: int, step: int, episode: int) -> Track:
        """One episode for a scene; between two moments it stands still."""
        index = (task, step, episode)
        held = np.searchsorted(self.moments, np.arange(self.reward.shape[-1] + 1), "right") - 1
        state = self.state[index][held].astype(np.float64)
        return Track(state, self.action[index], self.reward[index], int(self.lengths[index]))

    def path(self, scene: Scene, task: int, step: int, episode: int) -> NDArray[np.float32]:
        """The places of an episode as far as it lasted, ``[moment, 2 or 3]`` (see `Scene.path`)."""
        index = (task, step, episode)
        reached = int(np.searchsorted(self.moments, self.lengths[index])) + 1
        return scene.path(self.state[index][:reached].astype(np.float64))


PRACTICE_ARRAYS = tuple(field.name for field in fields(Practice) if field.name != "moments")


class PracticeRecorder:
    """A `meta_rl.evaluation.episodes.Spectator` of the rollouts that are adapted on.

    Args:
        chosen: only of the tasks at these positions; default of all.
    """

    def __init__(self, chosen: Sequence[int] | None = None) -> None:
        self._chosen = chosen
        self._rollouts: dict[tuple[int, int], dict[str, NDArray[Any]]] = {}  # (position, number) -> [episode, ...]
        self._begun: tuple[Sequence[int], Sequence[int], int] = ((), (), 0)
        self._moments: NDArray[np.int64] | None = None
        self._states: dict[int, list[list[list[NDArray[np.float32]]]]] = {}  # turn -> [moment][row][episode]
        self._passed: dict[int, int] = {}  # turn -> env steps

    def begin(self, positions: Sequence[int], rows: Sequence[int], stage: int) -> None:
        """See `Spectator.begin`; `stage` is the number of the rollout."""
        self._begun = (*chosen_rows(positions, rows, self._chosen), stage)
        self._states, self._passed = {}, {}

    def after_step(self, env: TaskVectorEnv, turn: int = 0) -> None:
        """See `Spectator.after_step`."""
        passed = self._passed[turn] = self._passed.get(turn, -1) + 1
        if not self._begun[1]:
            return
        if self._moments is None:
            self._moments = _moments(env.horizon, env.state(self._begun[1][0], 0).size)
        if passed in self._moments or env.over.all():
            states = [
                [env.state(row, i).astype(np.float32) for i in range(env.envs_per_task)] for row in self._begun[1]
            ]
            self._states.setdefault(turn, []).append(states)

    def end(self, rollout: Rollout) -> None:
        """See `Spectator.end`."""
        positions, rows, number = self._begun
        if self._moments is None:
            return
        # Where all episodes ended early, nothing moved afterwards.
        length = len(self._moments)
        turns = [kept + kept[-1:] * (length - len(kept)) for kept in self._states.values()]
        for i, (position, row) in enumerate(zip(positions, rows, strict=True)):
            states = [[state for kept in turns for state in kept[k][i]] for k in range(length)]
            self._rollouts[position, number] = {
                "state": stack_states(states),
                **{name: getattr(rollout, name)[row] for name in PRACTICE_ARRAYS if name != "state"},
            }

    def practice(self, steps: int) -> Practice | None:
        """All that was kept of `steps` adaptation steps; None where there was none."""
        if not self._rollouts or self._moments is None:
            return None
        positions = sorted({position for position, _ in self._rollouts})
        numbers = sorted({number for _, number in self._rollouts})
        each = len(numbers) // steps
        widen(list(self._rollouts.values()))

        def gather(name: str) -> NDArray[Any]:
            """``[task, step, episode, ...]``: one rollout of all episodes, or one rollout per episode."""
            found = [
                [
                    np.concatenate([self._rollouts[position, n][name] for n in numbers[k * each : (k + 1) * each]])
                    for k in range(steps)
                ]
                for position in positions
            ]
            return np.stack([np.stack(row) for row in found])

        return Practice(self._moments, **{name: gather(name) for name in PRACTICE_ARRAYS})


def chosen_rows(
    positions: Sequence[int], rows: Sequence[int], chosen: Sequence[int] | None
) -> tuple[list[int], list[int]]:
    """Positions of tasks, and their rows, without those that are not `chosen` (None: all are)."""
    kept = [(p, row) for p, row in zip(positions, rows, strict=True) if chosen is None or p in chosen]
    return [p for p, _ in kept], [row for _, row in kept]


def stack_states(states: Sequence[Sequence[NDArray[Any]]]) -> NDArray[Any]:
    """States ``[time][episode]`` as an array ``[episode, time, state]``. One whose length changes is no state of the
    simulation (a log, say, that happens to be called so), and is left out."""
    if len({len(state) for moment in states for state in moment}) > 1:
        return np.zeros((len(states[0]), len(states), 0))
    return np.stack([np.stack(moment) for moment in states], 1)


def widen(episodes: Sequence[dict[str, NDArray[Any]]]) -> None:
    """Fill up the states of all families ``[episode, time, state]`` with zeros, in place, to the longest."""
    size = max(arrays["state"].shape[-1] for arrays in episodes)
    for arrays in episodes:
        state = arrays["state"]
        arrays["state"] = np.pad(state, [(0, 0), (0, 0), (0, size - state.shape[-1])])


def _moments(horizon: int, size: int) -> NDArray[np.int64]:
    """Env steps after which states of `size` numbers are kept."""
    every = 1 if size <= SMALL_STATE else max(1, -(-horizon // (KEPT_MOMENTS - 1)))
    return np.append(np.arange(0, horizon, every), horizon)
