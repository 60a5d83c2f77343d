"""Navigation that goes wrong on command, once or always, across restarts.

A fault is due once for every file ``armed-N`` in its folder (whoever deletes the file has it), and always where there
is a file ``always``.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import TaskVectorEnv
from envs.navigation import Navigation, NavigationVectorEnv


def fault(kind: str) -> None:
    """What goes wrong."""
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "exit":
        os._exit(7)
    elif kind == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif kind == "hang":
        time.sleep(1000)
    elif kind == "memory":
        free = 2**26
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + free, resource.RLIM_INFINITY))
        np.ones(2 * free, np.uint8)
    elif kind.startswith("raise"):
        raise RuntimeError("the motor is on fire")


class Faulty(Navigation):
    """Navigation of 10 steps in which ``kind`` happens while files in `folder` say so.

    Args:
        kind: of `fault`; after a colon, where: ``step`` (default), ``reset`` or ``make``; ``nan`` is a reward.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        super().__init__("train", horizon=10)
        self.name = "faulty"
        self.kind, _, where = kind.partition(":")
        self.where, self.folder = where or "step", folder

    def make(self, num_tasks: int, envs_per_task: int) -> TaskVectorEnv:
        if self.where == "make":
            self.strike()
        return FaultyVectorEnv(num_tasks, envs_per_task, self)

    def strike(self) -> bool:
        """Let the fault happen if it is due; whether it was."""
        due = (self.folder / "always").exists()
        for file in [] if due else sorted(self.folder.glob("armed-*")):
            try:
                file.unlink()
            except FileNotFoundError:  # another worker was first
                continue
            due = True
            break
        if due:
            fault(self.kind)
        return due


class FaultyVectorEnv(NavigationVectorEnv):
    def __init__(self, num_tasks: int, envs_per_task: int, distribution: Faulty) -> None:
        super().__init__(num_tasks, envs_per_task, distribution)
        self._distribution = distribution

    def _reset(self, seeds: list[int], mask: NDArray[np.bool_]) -> Any:
        if self._distribution.where == "reset":
            self._distribution.strike()
        return super()._reset(seeds, mask)

    def _step(self, action: NDArray[Any], active: NDArray[np.bool_]) -> Any:
        observation, reward, terminated, success = super()._step(action, active)
        if self._distribution.where == "step" and self._elapsed[0, 0] == 3 and self._distribution.strike():
            reward = reward * np.nan
        return observation, reward, terminated, success
