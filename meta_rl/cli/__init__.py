"""The command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from meta_rl.cli.usage import answered


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command (see `meta_rl.cli.commands.main`); help and version need none of what commands import."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if (code := answered(argv)) is not None:
        return code
    from meta_rl.cli import commands

    return commands.main(argv)
