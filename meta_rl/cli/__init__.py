"""The command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from meta_rl.cli.usage import answered


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (0 fine, 1 failed, 2 bad input, 130 stopped by Ctrl-C, 143 by SIGTERM, 141
    because nobody reads on). Help and version need none of what commands import."""
    try:
        try:
            return _answer(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # else Python would find out at its end that nobody reads, and complain
    except BrokenPipeError:  # `| head` has read enough
        from meta_rl.runs.signals import BROKEN_PIPE

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + BROKEN_PIPE


def _answer(argv: list[str]) -> int:
    if (code := answered(argv)) is not None:
        return code
    from meta_rl.cli.commands import run_command

    return run_command(argv[0], argv[1:])
