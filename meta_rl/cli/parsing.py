"""Arguments into dataclasses by tyro, whose explanations become one line."""

from __future__ import annotations

import contextlib
import io
import re
from typing import TypeVar

import tyro

import envs
from meta_rl.cli.options import option_names
from meta_rl.config import RECIPES, TrainConfig
from meta_rl.errors import ConfigError

_C = TypeVar("_C")


def parse_options(
    cls: type[_C], default: _C, argv: list[str], program: str, about: str | None = None, flags: bool = False
) -> _C:
    """Parse `argv` into `cls` with tyro; its explanations become one line.

    Args:
        flags: switches are given by name alone, without True or False.
    Raises:
        ConfigError: an unknown option (with the closest valid one) or a bad value.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            config, unknown = tyro.cli(
                cls,
                default=default,
                args=argv,
                prog=program,
                description=about,
                return_unknown_args=True,
                config=(
                    tyro.conf.OmitArgPrefixes,
                    tyro.conf.AvoidSubcommands,
                    *(() if flags else (tyro.conf.FlagConversionOff,)),
                ),
            )
    except SystemExit as stop:
        if stop.code in (0, None):  # --help
            print(said.getvalue(), end="")
            raise
        raise ConfigError(with_closest(one_line(said.getvalue()))) from None
    if unknown:
        options = option_names(default)
        name = "--" + unknown[0].replace("_", "-").lstrip("-").rpartition(".")[2]  # --algorithm.inner-lr, say
        owners = [recipe for recipe, row in RECIPES.items() if name in option_names(row.algorithm)]
        if isinstance(default, TrainConfig) and owners and name not in options:
            raise ConfigError(f"{name}: not an option of {default.recipe}; of {', '.join(owners)}")
        raise ConfigError(f"unknown option {unknown[0]!r}; closest: {envs.closest(name, options)}")
    return config


def one_line(text: str) -> str:
    """The message inside a boxed, many-line explanation, as one line of words."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    sections = [" ".join(part.split()) for part in re.split(r"[─-╿]+|-{5,}", plain)]
    # The title comes first, the message next, then the help text of the option.
    filled = [section for section in sections if section]
    return filled[min(1, len(filled) - 1)] if filled else "bad options"


def with_closest(line: str) -> str:
    """tyro's message about a value that is none of its option's choices, with the closest one; other messages alone."""
    found = re.fullmatch(r"invalid choice '(.*)' for argument .* Expected one of \((.*)\)\.", line)
    if not found:
        return line
    close = envs.closest(found[1], re.findall(r"'([^']*)'", found[2]))
    return f"{line[:-1]}; closest: {close}"
