"""Libraries that not every installation has."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from meta_rl.errors import ConfigError


def check_installed(wanted_for: str, called: str, extra: str, *modules: str) -> None:
    """Refuse what would fail after some work, without importing anything.

    Args:
        wanted_for: begins the message; `called` and `extra`: as for `require`.
        modules: import names of what is needed; default the name that people know.
    Raises:
        ConfigError: one of them is not installed.
    """
    if any(importlib.util.find_spec(module) is None for module in modules or (called,)):
        raise ConfigError(f"{wanted_for} needs {called}; install it with: pip install 'meta-rl[{extra}]'")


def require(module: str, called: str, extra: str, wanted_for: str) -> Any:
    """An optional library.

    Args:
        module: its import name; `called`: the name that people know.
        extra: of this project's package, which installs it.
        wanted_for: begins the message.
    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ConfigError(f"{wanted_for}: {called} is not installed; pip install 'meta-rl[{extra}]'") from None
