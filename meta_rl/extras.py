"""Libraries that not every installation has."""

from __future__ import annotations

import importlib
from typing import Any

from meta_rl.errors import ConfigError


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
