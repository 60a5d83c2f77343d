"""Processes of this machine that do a learner's work, started by a fork server: whether that can be done, and whether
it went wrong because of the script that runs.

A new process imports the running script anew, as Python's multiprocessing does, so that what the script defines exists
there too. A script that trains while it is imported would do so again in every such process.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing import spawn
from pathlib import Path
from typing import Any

from meta_rl.errors import ConfigError

NAME = "meta-rl process"
"""Name of every such process."""
TRAINED_AGAIN = 97
"""Exit code of one in which the script trains again."""
GUARD = 'if __name__ == "__main__":'


def require_processes(option: str, valid: int) -> None:
    """Refuse to start processes where none can work.

    Args:
        option: that asks for them.
        valid: its value without them.
    Raises:
        ConfigError: the system has no fork server; the running script is not in a file, from which they could import
            it; or this process may not have children.
    """
    leave_if_imported_again()
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise ConfigError(f"{option}: takes Linux or macOS; valid on this system ({sys.platform}): {valid}")
    if multiprocessing.current_process().daemon:
        raise ConfigError(f"{option}: this process is a worker itself and may start no other; valid here: {valid}")
    path = spawn.get_preparation_data(NAME).get("init_main_from_path")
    if path is not None and not os.path.exists(path) and Path(path).stem != "ipython":
        raise ConfigError(
            f"{option}: other processes cannot import the running script ({Path(path).name} is not a file); write it "
            f"into a file, with what it does under `{GUARD}`; valid here: {valid}"
        )


def make(target: Callable[..., None], arguments: tuple[Any, ...]) -> Any:
    """A process, not started yet, that calls `target` and dies with this one."""
    return multiprocessing.get_context("forkserver").Process(target=target, args=arguments, name=NAME, daemon=True)


def leave_if_imported_again() -> None:
    """End this process if it is one of ours and still imports the script; `check_exit` says why to who started it."""
    process = multiprocessing.current_process()
    if process.name == NAME and getattr(process, "_inheriting", False):
        os._exit(TRAINED_AGAIN)


def check_exit(code: int | None, option: str, valid: int) -> None:
    """Say in one line why a process ended, if the script is to blame; trying again would not help.

    Raises:
        ConfigError: the script trains while it is imported.
    """
    if code == TRAINED_AGAIN:
        script = Path(getattr(sys.modules["__main__"], "__file__", None) or "the script").name
        raise ConfigError(
            f"{option}: every process that {script} starts imports it anew and would train again; put what it does "
            f"under `{GUARD}`; valid without that: {valid}"
        )
