"""Options of the commands that have none of their own elsewhere."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from meta_rl.errors import ConfigError

COMPLETION = "--tyro-print-completion"
"""Tyro's option that prints a completion script; also the name of the command here."""


@dataclass(frozen=True)
class ReportConfig:
    """Write the page of a run, or of several."""

    runs: Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="RUN...")]] = ()
    """Run directories. One that has finished and was not evaluated yet is evaluated first; one that is training, or was
    stopped, is shown as far as it is."""
    out: str = ""
    """The .html file; default RUN/report.html for one run, report.html for several."""
    env: str = ""
    """module:object: the environment of runs that this machine has not trained in it."""
    data: str = ""
    """Path of the data of few-shot runs, if it has moved and they are not evaluated yet."""


@dataclass(frozen=True)
class CompareConfig:
    """Show evaluated runs in one table, over their seeds; runs with other settings are rows of their own."""

    runs: Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="RUN...")]] = ()
    """Run directories; of few-shot runs also tables (.json) that an earlier comparison wrote."""
    out: str = ""
    """Also write OUT.json, OUT.md, OUT.csv (training curves) and OUT.png."""


@dataclass(frozen=True)
class RunsConfig:
    """List the runs and exported agents in or below folders."""

    folders: Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="FOLDER...")]] = ("runs",)
    """Folders to look in, and below."""
    sort: Literal["name", "changed", "score"] = "name"
    """By name; the last changed first; or by tasks, the best score after adaptation first."""
    json: bool = False
    """Print a list of objects, with scores in full."""


@dataclass(frozen=True)
class EnvsConfig:
    """List the task distributions whose names contain every TEXT. `meta-rl envs check` checks one."""

    texts: Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="TEXT...")]] = ()
    """Parts of a name."""
    speed: bool = False
    """Also step each for half a second, and show env-steps per second."""


@dataclass(frozen=True)
class EnvsCheckConfig:
    """Run the conformance check on one task distribution."""

    names: Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")]] = ()
    """A name that `meta-rl envs` lists, or module:object of your own: a task distribution, or what returns one when
    it is called, with the split if it takes one."""
    split: str = "train"
    """train or test."""
    task_visible: bool = False
    """Check it with the numbers of the task at the end of the observation."""


def leaves(config: Any) -> Iterator[tuple[type, str, Any, Any]]:
    """The class, name, annotation and value of each field that is an option, those of nested configs included.

    Positional fields are no options.
    """
    hints = typing.get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value)
        elif tyro.conf.Positional not in getattr(hints[field.name], "__metadata__", ()):
            yield type(config), field.name, hints[field.name], value


def option_names(config: Any) -> list[str]:
    """Every option of a config, as it is written."""
    return [f"--{name.replace('_', '-')}" for _, name, _, _ in leaves(config)]


def take_option(argv: list[str], option: str, default: str) -> tuple[str, list[str]]:
    """The last value of ``option VALUE`` or ``option=VALUE``, and the arguments without it.

    Raises:
        ConfigError: the value is missing.
    """
    value, others = default, []
    arguments = iter(argv)
    for argument in arguments:
        if argument == option:
            following = next(arguments, None)
            if following is None:
                raise ConfigError(f"{option}: needs a value")
            value = following
        elif argument.startswith(f"{option}="):
            value = argument.partition("=")[2]
        else:
            others.append(argument)
            continue
        if not value:  # as `--config "$FILE"` of a variable that is not set
            raise ConfigError(f"{option}: needs a value")
    return value, others
