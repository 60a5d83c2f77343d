"""Meta-World's own scripted policies as experts, one for each of its 50 families.

They read the goal, so it is filled in where observations hide it: the numbers that Meta-World itself would show. Those
are not always the last of a task's vector (a drawer's goal follows from where the drawer stands).
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.api import Float, Task
from envs.metaworld.snapshots import shown_goal
from envs.metaworld.spaces import action_space

_PLAIN = 39
"""Numbers of an observation before the code of the family, which scripted policies do not know."""
_WARNINGS = threading.Lock()
"""Held while warnings are off, which is so for all threads."""


@functools.cache
def _policy(family: str) -> Any:
    """The scripted policy of `family`; it remembers nothing."""
    from metaworld.policies import ENV_POLICY_MAP  # a second

    return ENV_POLICY_MAP[family]()


def actions(tasks: Sequence[Task], observation: Float, goal_visible: bool) -> NDArray[np.float32]:
    """What the scripted policies do at `observation` ``[task, env, ..., obs]``, float32 ``[task, env, ..., 4]``, cut
    off at the bounds of the action space.

    Args:
        tasks: plain ones, without dynamics of their own.
        goal_visible: the observations show the goal.
    """
    seen = np.array(observation[..., :_PLAIN], np.float64)
    chosen = np.empty((*seen.shape[:-1], *action_space().shape), np.float32)
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # policies warn of actions out of bounds, most of which are
        for row, task in enumerate(tasks):
            policy = _policy(task.family)
            if not goal_visible:
                seen[row, ..., -3:] = shown_goal(task)
            for place in np.ndindex(seen.shape[1:-1]):
                chosen[row][place] = policy.get_action(seen[row][place])
    return np.clip(chosen, action_space().low, action_space().high)
