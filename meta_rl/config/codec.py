"""Configs as JSON, and the values that their fields take."""

from __future__ import annotations

import dataclasses
import json
import numbers
import os
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

import envs
from meta_rl.config.base import check_choice
from meta_rl.config.recipes.table import RECIPES
from meta_rl.config.train import TrainConfig, replace_paths
from meta_rl.errors import ConfigError

# Fields that may differ between a run and its resumption, because they do not change its numbers.
RESUMABLE_CHANGES = {
    "iterations",
    "device",
    "workers",
    "worker_cores",
    "ray_address",
    "worker_timeout",
    "on_worker_failure",
    "run_dir",
    "checkpoint_every",
    "keep_checkpoints",
    "report_every",
    "evaluate",
    "logger",
    "fewshot.data",  # the data itself may not: see `meta_rl.runs.recorded`
}
PLACES = ("run_dir", "start_from", "fewshot.data")
"""Fields that say where something lies on this machine: a path will do, and ``~`` is the home folder."""
MINARI = "minari:"
"""Begins the names of data sets of Minari, where a file would do too."""
GONE = {"network.mean_bound": 0.0, "algorithm.target_kl": 0.0}
"""Settings of earlier versions, and the value at which a run goes on without them: that of nearly all."""
_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}

_C = TypeVar("_C")


def to_dict(config: Any) -> dict[str, Any]:
    """A config as JSON-able nested dicts."""
    return json.loads(json.dumps(dataclasses.asdict(config)))  # type: ignore[no-any-return]


def from_dict(cls: type[_C], values: Mapping[str, Any], path: str = "") -> _C:
    """The inverse of `to_dict`; takes what is meant as well (see `with_plain_values`), and nothing else.

    Raises:
        ConfigError: an unknown field or a value of the wrong type.
    """
    hints = typing.get_type_hints(cls)
    if cls is TrainConfig:  # which of the algorithms' configs it holds is the recipe's business
        recipe = _convert(str, values.get("recipe", TrainConfig.recipe), "recipe")
        check_choice("recipe", recipe, RECIPES)
        hints["algorithm"] = expected = type(RECIPES[recipe].algorithm)
        found = values.get("algorithm")
        if dataclasses.is_dataclass(found) and type(found) is not expected:
            raise ConfigError(f"recipe: {recipe} takes a {expected.__name__}, got a {type(found).__name__}")
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        if name in hints:
            arguments[name] = _convert(hints[name], value, path + name)
        elif path + name not in GONE:
            close = envs.closest(name, hints)
            raise ConfigError(f"config: unknown field {path + name!r}; closest: {path}{close}")
        elif value != GONE[path + name]:
            raise ConfigError(f"config: {path + name} is no setting any more; valid: {GONE[path + name]}, or none")
    return cls(**arguments)


def with_plain_values(config: _C) -> _C:
    """The config with the values that JSON gives: a number of NumPy becomes one of Python, a whole float an integer
    where one is asked for, a list a tuple, a path a text, ``~`` the home folder.

    Raises:
        ConfigError: a value is not of its field's type, in one line that names the field.
    """
    return from_dict(type(config), _fields(config))


def _fields(config: Any) -> dict[str, Any]:
    """The fields of a config that are given to its class."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.init}


def _convert(kind: Any, value: Any, path: str) -> Any:
    """The value of a field of type `kind`."""
    if dataclasses.is_dataclass(kind):
        return _convert_part(kind, value, path)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union) and type(None) in arguments:
        return None if value is None else _convert(arguments[arguments[0] is type(None)], value, path)
    if isinstance(value, np.ndarray):
        value = value.tolist()  # a number, if it has no dimensions
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise ConfigError(f"config: {path} must be one of {', '.join(arguments)}, got {_shown(value)}")
        return str(value)
    if origin is tuple and isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(_convert(arguments[0], item, path) for item in value)
    found = _plain(kind, value) if kind in _WORDS else value
    if kind is str and path in PLACES:
        found = _place(value)
    if isinstance(kind, types.GenericAlias) or type(found) is not kind:
        wanted = f"a list, each {_WORDS.get(arguments[0], 'a name')}" if origin is tuple else _WORDS.get(kind, kind)
        raise ConfigError(f"config: {path} must be {wanted}, got {_shown(value)}")
    return found


def _convert_part(kind: Any, value: Any, path: str) -> Any:
    """A config inside a config: of the very class, or as JSON has it."""
    if type(value) is kind:
        value = _fields(value)
    elif dataclasses.is_dataclass(value) or isinstance(value, type):
        name = value.__name__ if isinstance(value, type) else type(value).__name__
        raise ConfigError(f"config: {path} must be a {kind.__name__}, got a {name}")
    if not isinstance(value, Mapping):
        raise ConfigError(f"config: {path} must be an object, got {_shown(value)}")
    return from_dict(kind, value, f"{path}.")


def _plain(kind: type, value: Any) -> Any:
    """The same value as Python's own type `kind`; `value` itself if it is none."""
    try:
        if isinstance(value, bool | np.bool_):
            return bool(value) if kind is bool else value
        if kind is str and isinstance(value, str):
            return str(value)
        if isinstance(value, numbers.Integral) and kind is int:
            return int(value)
        if isinstance(value, numbers.Real) and (kind is float or (kind is int and float(value).is_integer())):
            return kind(float(value))
    except OverflowError:  # a number beyond those of floats
        pass
    return value


def _place(value: Any) -> Any:
    """A path as text, with the home folder for ``~``."""
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    return os.path.expanduser(str(text)) if isinstance(text, str) else value


def _shown(value: Any) -> str:
    """A value on one line, cut where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:60]}..."


def load_config(path: Path) -> TrainConfig:
    """Read a dumped config.

    Raises:
        ConfigError: the file is missing, not JSON, or holds a bad field.
    """
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"--config: cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # not JSON, or not even text
        raise ConfigError(f"--config: {path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"--config: {path} must hold a JSON object, as a run's config.json does")
    return from_dict(TrainConfig, values)


def fixed_fields(config: TrainConfig) -> dict[str, Any]:
    """The fields that may not differ when a run is resumed, as JSON has them, by their dotted names in order."""

    return dotted(to_dict(config), RESUMABLE_CHANGES)


def dotted(values: Mapping[str, Any], left: Collection[str] = (), prefix: str = "") -> dict[str, Any]:
    """The values in nested dictionaries by their dotted names in order, without those named in `left`."""
    found: dict[str, Any] = {}
    for name, value in sorted(values.items()):
        if prefix + name in left:
            continue
        if isinstance(value, dict):
            found |= dotted(value, left, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def settings(config: TrainConfig) -> dict[str, Any]:
    """What runs that differ in their seeds alone have in common: `fixed_fields` but for the seed, for `PLACES`, which
    say where something lies, and for the length of an annealing that changes nothing."""
    algorithm, annealing = config.algorithm, config.algorithm.annealing
    length = f"algorithm.{annealing.length}" if annealing and not algorithm.anneals else ""
    return {name: value for name, value in fixed_fields(config).items() if name not in ("seed", length, *PLACES)}


def data_places(config: TrainConfig) -> dict[str, str]:
    """Paths of the data of a run on this machine, by the dotted name of the field. Data sets of Minari have none."""
    places = {"fewshot.data": config.fewshot.data, "algorithm.demonstrations": config.algorithm.shown}
    return {name: path for name, path in places.items() if path and not path.startswith(MINARI)}


def without_places(config: TrainConfig) -> TrainConfig:
    """The config as others may see it: where things lie on this machine is left out."""
    return replace_paths(config, dict.fromkeys((*PLACES, *data_places(config)), ""))


def changed_fields(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Dotted names of fields that differ and may not differ when a run is resumed, as ``name: old -> new``."""
    a, b = fixed_fields(old), fixed_fields(new)
    return [f"{name}: {a.get(name)} -> {b.get(name)}" for name in sorted(a | b) if a.get(name) != b.get(name)]
