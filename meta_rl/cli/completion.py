"""``meta-rl --tyro-print-completion SHELL``: a script that completes commands, recipes, options and their values.

tyro writes the script, from one parser of all commands. In it recipes are subcommands of ``train``, because each has
options of its own. Nothing is parsed with it: `meta_rl.cli.commands` reads a command line.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import textwrap
from collections.abc import Mapping
from dataclasses import field, make_dataclass
from functools import cache, reduce
from itertools import pairwise
from operator import or_
from typing import Annotated, Any, Literal

import tyro

import envs
from meta_rl.cli.options import COMPLETION, CompareConfig, EnvsCheckConfig, EnvsConfig, ReportConfig, RunsConfig, leaves
from meta_rl.config import RECIPES, EvaluateConfig, check_choice, default_config
from meta_rl.config.fewshot import TASK_KINDS, example_name
from meta_rl.errors import ConfigError

SHELLS = ("bash", "zsh", "fish")
OFFERED_SPLITS = ("test", "train")
SUMMARIES = {name: recipe.summary for name, recipe in RECIPES.items()}
_AT_THE_END = {
    "bash": """
# Where tyro has nothing to offer, bash completes paths: a run may stand there.
_meta_rl_or_path() { _tyro_meta_rl "$@"; [[ -n "${COMPREPLY[*]}" ]] || COMPREPLY=(); }
complete -o default -F _meta_rl_or_path meta-rl
"""
}


def completion_command(argv: list[str]) -> int:
    """``meta-rl --tyro-print-completion``."""
    if len(argv) != 1:
        raise ConfigError(f"SHELL: name one, as in: meta-rl {COMPLETION} bash (all: {', '.join(SHELLS)})")
    check_choice("SHELL", argv[0], dict.fromkeys(SHELLS))
    print(script(argv[0]))
    return 0


def script(shell: str) -> str:
    """The completion script for one of `SHELLS`."""
    said = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(said):
        tyro.cli(
            _one_of(command_types()),
            prog="meta-rl",
            args=[COMPLETION, shell],
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagConversionOff),
        )
    return said.getvalue() + _AT_THE_END.get(shell, "")


def command_types() -> dict[str, Any]:
    """Command -> type with its options as fields, or a table of what may follow it."""
    from meta_rl.handover.options import AdaptConfig, DemonstrateConfig, ExportConfig, RecordConfig
    from meta_rl.visualise.options import RenderConfig, ViewConfig

    return {
        "train": {recipe: _train(recipe) for recipe in RECIPES},
        "evaluate": _options(EvaluateConfig(), split=OFFERED_SPLITS, iteration=(), env=(), data=()),
        "compare": _options(CompareConfig()),
        "render": _options(RenderConfig(), env=()),
        "record": _options(RecordConfig(), env=()),
        "demonstrate": dict.fromkeys(envs.list_names(), _options(DemonstrateConfig())),
        "adapt": _options(AdaptConfig(), env=()),
        "export": _options(ExportConfig(), env=()),
        "report": _options(ReportConfig()),
        "view": _options(ViewConfig(), env=()),
        "runs": _options(RunsConfig()),
        "envs": {
            "check": _options(EnvsCheckConfig(), split=OFFERED_SPLITS),
            **dict.fromkeys(_parts(), _options(EnvsConfig())),
        },
    }


def _train(recipe: str) -> type:
    """Options of a recipe; ``--env`` has the tasks that it learns from."""
    few_shot = {example_name(kind): classes for kind, classes in TASK_KINDS.items()}
    tasks = {
        "rl": tuple(envs.list_names()),
        "examples": tuple(few_shot),
        "classes": tuple(name for name, classes in few_shot.items() if classes),
    }[RECIPES[recipe].learns]
    return _options(default_config(recipe, tasks[0]), env=tasks, config=())


def _parts() -> list[str]:
    """Parts of names that ``meta-rl envs`` finds distributions by: what stands before ``/`` or ``@``."""
    return list(dict.fromkeys(name.partition("/")[0].partition("@")[0] for name in envs.list_names()))


def _options(config: Any, /, **others: tuple[str, ...]) -> type:
    """A type with the options of `config` as fields.

    Args:
        others: option -> its valid values, empty for any; of options whose type does not say, and of those that are
            read before tyro sees the rest.
    """
    rows: dict[str, tuple[Any, Any, str]] = {}
    for owner, name, kind, value in leaves(config):
        rows[name] = (kind, value, explanations(owner).get(name, ""))
    for name, valid in others.items():
        text = rows[name][2] if name in rows else ""
        rows[name] = (Literal[valid], valid[0], text) if valid else (str, "", text)
    return make_dataclass(
        "Options",
        [
            (n, Annotated[kind, tyro.conf.arg(help=text)], field(default=value))
            for n, (kind, value, text) in rows.items()
        ],
    )


@cache
def explanations(kind: type) -> dict[str, str]:
    """Field -> the docstring below it, as one line: line breaks, which tyro keeps, break scripts for bash."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for statement, below in pairwise(tree.body):
        match statement, below:
            case ast.AnnAssign(ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                found[name] = " ".join(text.split())
    return found


def _one_of(table: Mapping[str, Any]) -> Any:
    """The union of subcommands, one for each key; those that have a table go on with one of its keys."""
    types = []
    for name, what in table.items():
        options = what if isinstance(what, type) else make_dataclass("Choice", [("chosen", _one_of(what))])
        types.append(Annotated[options, tyro.conf.subcommand(name, description=SUMMARIES.get(name, name))])
    return reduce(or_, types)
