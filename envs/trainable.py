"""What training asks of an environment beyond the contract of `envs.api`, for `envs.checks`: that it uses its task,
lives with the actions that policies send, and says what success is. Each answer is a sentence, or empty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.api import Task, TaskVectorEnv
from envs.vector import CLIP, EnvError

if TYPE_CHECKING:
    from envs.checks import _Case

PAIRS = 8
"""Pairs of tasks that are played alike, whole episodes, before they count as one; and tasks played to see a success."""
BEYOND = 1.0
"""How far outside their bounds actions are tried, in widths of the range."""
STEPS = 6
"""Steps with such actions; a few, since a policy of some training may send one at any time."""


def unheard_tasks(case: _Case) -> str:
    """Whether different tasks ever give different episodes, played with equal seeds and actions."""
    actions = case.draw_actions(case.distribution.horizon)
    actions[:, 1] = actions[:, 0]
    pairs = _different(case)
    for pair in pairs:
        if any(_unlike(moment) for moment in _moments(case.env, pair, [case.seed, case.seed], actions)):
            return ""
    if not pairs:  # one task only
        return ""
    asks = "no set_task, and reset reads no options['task']; or a set_task that changes nothing that is seen"
    count = "two tasks" if len(pairs) == 1 else f"{len(pairs)} pairs of tasks"
    return f"{count} gave the same episodes: the environment does not use its task ({asks})"


def _different(case: _Case) -> list[list[Task]]:
    """Some pairs of different tasks."""
    drawn = case.distribution.sample(np.random.default_rng(case.seed), 4 * PAIRS)
    tasks = list(dict.fromkeys(drawn))
    return [[tasks[0], other] for other in tasks[1 : PAIRS + 1]]


def _moments(
    env: TaskVectorEnv, tasks: Sequence[Task], seeds: Sequence[int], actions: NDArray[Any]
) -> Iterator[tuple[NDArray[Any], ...]]:
    """What `reset` gave, then what every step with `actions` gave."""
    env.set_tasks(tasks)
    yield (env.reset(seeds),)
    for action in actions:
        yield tuple(env.step(action))


def _unlike(moment: Sequence[NDArray[Any]]) -> bool:
    """Whether the environments of two tasks differ in any array."""
    return any(not np.array_equal(array[0], array[1]) for array in moment)


def narrow_bounds(case: _Case) -> str:
    """Whether actions outside the bounds break the environment: policies do not know the bounds."""
    space = case.distribution.action_space
    if not isinstance(space, gym.spaces.Box):
        return ""
    with np.errstate(over="ignore"):
        width = space.high - space.low
        ends = [end for end in (space.high + BEYOND * width, space.low - BEYOND * width) if np.isfinite(end).any()]
    for end in ends:
        action = np.where(np.isfinite(end), end, 0).astype(space.dtype)
        actions = np.broadcast_to(action, (STEPS, *case.env.shape, *space.shape)).copy()
        try:
            finite = all(np.isfinite(x).all() for m in _moments(case.env, case.tasks, case.seeds, actions) for x in m)
        except EnvError as error:
            return str(error)  # which has the action, and says what helps
        except Exception as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())
            return f"an action outside its bounds, {action.tolist()}, raised {said}: {CLIP}"
        if not finite:
            return f"an action outside its bounds, {action.tolist()}, gave NaN or infinity: {CLIP}"
    return ""


def unknown_success(case: _Case) -> str:
    """Whether the environments ever say if the goal is met, where the distribution has such goals."""
    if not case.distribution.has_success:
        return ""
    actions = case.draw_actions(case.distribution.horizon)
    rng = np.random.default_rng(case.seed)
    for trial in range(PAIRS):
        seeds = [seed + trial for seed in case.seeds]
        tasks = case.distribution.sample(rng, case.env.num_tasks)
        for _ in _moments(case.env, tasks, seeds, actions):
            if not case.env.missing_success:
                return ""
    return case.env.missing_success


DEMANDS = (unheard_tasks, narrow_bounds, unknown_success)
