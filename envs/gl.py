"""OpenGL without a screen: egl (a GPU, or Mesa in software), else osmesa. ``MUJOCO_GL`` picks one, as MuJoCo has it.

Which one works is tried in another process: a library that fails to load leaves PyOpenGL unusable for the next one.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import os
import subprocess
import sys
from typing import Any

from envs.scene import NoDisplayError

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


@functools.cache
def make_current() -> None:
    """Make the context of this process, once, current in this thread.

    Raises:
        NoDisplayError: there is no OpenGL.
    """
    context: Any = importlib.import_module(f"mujoco.{backend()}").GLContext(64, 64)  # what is drawn has its own buffers
    context.make_current()
    atexit.register(context.free)
