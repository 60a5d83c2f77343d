"""Configs as JSON."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import envs
from meta_rl.config.base import check_choice
from meta_rl.config.recipes.table import RECIPES
from meta_rl.config.train import TrainConfig
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
    "evaluate",
    "logger",
    "fewshot.data",  # the data itself may not: see `meta_rl.runs.recorded`
}

_C = TypeVar("_C")


def to_dict(config: Any) -> dict[str, Any]:
    """A config as JSON-able nested dicts."""
    return json.loads(json.dumps(dataclasses.asdict(config)))  # type: ignore[no-any-return]


def from_dict(cls: type[_C], values: Mapping[str, Any], path: str = "") -> _C:
    """The inverse of `to_dict`, strict.

    Raises:
        ConfigError: an unknown field or a value of the wrong type.
    """
    hints = typing.get_type_hints(cls)
    if cls is TrainConfig:  # which of the algorithms' configs it holds is the recipe's business
        recipe = values.get("recipe", TrainConfig.recipe)
        check_choice("recipe", recipe, RECIPES)
        hints["algorithm"] = type(RECIPES[recipe].algorithm)
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            close = envs.closest(name, hints)
            raise ConfigError(f"config: unknown field {path + name!r}; closest: {path}{close}")
        arguments[name] = _convert(hints[name], value, path + name)
    return cls(**arguments)


def _convert(kind: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigError(f"config: {path} must be an object, got {value!r}")
        return from_dict(kind, value, f"{path}.")  # type: ignore[arg-type]
    origin = typing.get_origin(kind)
    if origin is Literal:
        if value not in typing.get_args(kind):
            raise ConfigError(f"config: {path} must be one of {', '.join(typing.get_args(kind))}, got {value!r}")
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(typing.get_args(kind)[0], item, path) for item in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, types.GenericAlias) or type(value) is not kind:
        raise ConfigError(f"config: {path} must be {kind}, got {value!r}")
    return value


def load_config(path: Path) -> TrainConfig:
    """Read a dumped config.

    Raises:
        ConfigError: the file is missing, not JSON, or holds a bad field.
    """
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"--config: cannot read {path}: {error.strerror}") from None
    except ValueError as error:  # not JSON, or not even text
        raise ConfigError(f"--config: {path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"--config: {path} must hold a JSON object, as a run's config.json does")
    return from_dict(TrainConfig, values)


def changed_fields(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Dotted names of fields that differ and may not differ when a run is resumed, as ``name: old -> new``."""

    def walk(a: Mapping[str, Any], b: Mapping[str, Any], prefix: str) -> list[str]:
        found: list[str] = []
        for name in sorted(a.keys() | b.keys()):
            if prefix + name in RESUMABLE_CHANGES or a.get(name) == b.get(name):
                continue
            if isinstance(a.get(name), dict) and isinstance(b.get(name), dict):
                found += walk(a[name], b[name], f"{prefix}{name}.")
            else:
                found.append(f"{prefix}{name}: {a.get(name)} -> {b.get(name)}")
        return found

    return walk(to_dict(old), to_dict(new), "")
