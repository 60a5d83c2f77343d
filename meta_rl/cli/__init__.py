"""The command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from meta_rl.cli.usage import answered


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (0 fine, 1 failed, 2 bad input, 130 stopped by Ctrl-C, 143 by SIGTERM). Help
    and version need none of what commands import."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if (code := answered(argv)) is not None:
        return code
    from meta_rl.cli.commands import run_command

    return run_command(argv[0], argv[1:])
