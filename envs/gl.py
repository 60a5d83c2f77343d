"""OpenGL without a screen: egl (a GPU, or Mesa in software), else osmesa. ``MUJOCO_GL`` picks one, as MuJoCo has it.

Which one works is tried in another process: a library that fails to load leaves PyOpenGL unusable for the next one.

A context is current in one thread at a time, and whatever else draws in that thread may put its own in its place. So
one thread of the process has the context and does nothing but draw, for all other threads (`drawing`).
"""

from __future__ import annotations

import atexit
import functools
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from envs.scene import NoDisplayError

_T = TypeVar("_T")

BACKENDS = ("egl", "osmesa")
INSTALL = "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0 libgl1 (or libosmesa6)"
_TRY = """
import mujoco
from mujoco.{0} import GLContext
context = GLContext(16, 16)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), 100)
context.free()
"""


@functools.cache
def backend() -> str:
    """The name of what draws here.

    Raises:
        NoDisplayError: nothing does.
    """
    wanted = os.environ.get("MUJOCO_GL", "").strip().lower()
    tried = (wanted,) if wanted else BACKENDS
    for name in tried:
        command = [sys.executable, "-c", _TRY.format(name)]
        if subprocess.run(command, capture_output=True, check=False, env=os.environ | {"MUJOCO_GL": name}).returncode:
            continue
        return name
    raise NoDisplayError(f"no OpenGL to draw MuJoCo scenes with (tried {', '.join(tried)}); {INSTALL}")


def drawing(function: Callable[[], _T]) -> _T:
    """``function()`` in the thread that has the context, of this process.

    Raises:
        NoDisplayError: there is no OpenGL; or this process was forked from one that had drawn.
    """
    process = os.getpid()
    if _threads and process not in _threads:  # it would wait for ever
        raise NoDisplayError("no OpenGL in a process forked from one that has drawn; start it by spawn or forkserver")

    def in_context() -> _T:
        _make_current()
        return function()

    return _threads.setdefault(process, ThreadPoolExecutor(1, "meta-rl-gl")).submit(in_context).result()


_threads: dict[int, ThreadPoolExecutor] = {}
"""The thread that draws, by the process that it is of."""


@functools.cache
def _make_current() -> None:
    """Make a context, once, and make it current in this thread."""
    context: Any = importlib.import_module(f"mujoco.{backend()}").GLContext(64, 64)  # what is drawn has its own buffers
    context.make_current()
    atexit.register(context.free)
