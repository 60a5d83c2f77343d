"""Distributions of one's own, named ``module:object``.

A module is imported here when its owner names it, and at no other time: no name that stands in a file comes this way by
itself.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import gymnasium as gym

from envs.api import TaskDistribution
from envs.names import UnknownNameError, closest

_WORD = r"[^\W\d]\w*"
_OWN = re.compile(rf"(?P<module>{_WORD}(?:\.{_WORD})*):(?P<object>{_WORD})")
VALID = "an envs.TaskDistribution, or what returns one when it is called, with the split if it takes one"


class Origin(NamedTuple):
    """The place that a distribution of one's own comes from.

    Attributes:
        own: ``module:object``.
        folder: that the module is found in; empty where it has no file.
    """

    own: str
    folder: str


def is_own(name: str) -> bool:
    """Whether `name` is written as ``module:object``; names of Meta-World's splits have a slash besides."""
    return bool(_OWN.fullmatch(name))


def import_own(own: str, folder: str = "") -> Callable[..., TaskDistribution]:
    """Import what ``module:object`` names.

    Args:
        folder: put before all others that modules are looked for in.
    Returns:
        ``maker(split, **options)``. An object that takes no split gives the same distribution for both.
    Raises:
        UnknownNameError: it cannot be imported, or is not there; so does the maker, if it makes no distribution.
    """
    parts = _OWN.fullmatch(own)
    if parts is None:
        raise UnknownNameError(f"{own!r} is not written as module:object")
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
        importlib.invalidate_caches()  # the file may be younger than what Python knows of its folder
    name, attribute = parts["module"], parts["object"]
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise UnknownNameError(f"cannot import {name!r}: {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        raise UnknownNameError(f"{name} has no {attribute!r}; closest: {closest(attribute, dir(module))}")
    found = getattr(module, attribute)

    def maker(split: str, **options: Any) -> TaskDistribution:
        made = found
        if callable(found) and not isinstance(found, TaskDistribution):
            try:
                made = found(*_split_for(found, split, options), **options)
            except (Exception, SystemExit) as error:
                raise UnknownNameError(f"calling {own} raised {type(error).__name__}: {error}") from error
        if isinstance(made, TaskDistribution):
            return made
        advice = "; envs.vector.GymDistribution makes one of an environment" if isinstance(made, gym.Env) else ""
        raise UnknownNameError(f"{own} is a {type(made).__name__}; valid: {VALID}{advice}")

    return maker


def _split_for(found: Callable[..., Any], split: str, options: dict[str, Any]) -> tuple[str, ...]:
    """The positional arguments that tell `found` the split: none if it has no word for it. A parameter called ``split``
    is given by name, among `options`."""
    try:
        parameters = inspect.signature(found).parameters
    except (TypeError, ValueError):  # written in C
        return (split,)
    if "split" in parameters and parameters["split"].kind is not inspect.Parameter.POSITIONAL_ONLY:
        options["split"] = split
        return ()
    first = next(iter(parameters.values()), None)
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return (split,) if first is not None and first.kind in places and first.default is first.empty else ()


def name_of(maker: Callable[..., Any]) -> str:
    """``module:object`` that another process can import `maker` by; empty where there is none, as for a lambda or what
    the running script defines."""
    name, attribute = getattr(maker, "__module__", None), getattr(maker, "__qualname__", "")
    own = f"{name}:{attribute}"
    found = getattr(sys.modules.get(name or ""), attribute, None)
    return own if name != "__main__" and is_own(own) and found is maker else ""


def origin_of(own: str) -> Origin:
    """The origin of `own`, whose module has been imported."""
    return Origin(own, _folder(sys.modules[own.partition(":")[0]]))


def _folder(module: ModuleType) -> str:
    """The folder that a module is found in by its whole name."""
    file = getattr(module, "__file__", None)
    if not file:
        return ""
    return str(Path(os.path.abspath(file)).parents[module.__name__.count(".") + hasattr(module, "__path__")])
