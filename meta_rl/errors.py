"""What is said in one line: errors that the command line answers without a traceback, and progress."""

from collections.abc import Callable

Say = Callable[[str], None]
"""Takes a line for the user, as `print` does."""
Advance = Callable[[int], None]
"""Takes how many more units of the work are done."""


class ConfigError(ValueError):
    """A setting is invalid; the message names the option and what would be valid. Exit code 2."""


class RunError(RuntimeError):
    """A run cannot start or go on; what was saved before is intact. Exit code 1."""


class Stopped(KeyboardInterrupt):
    """A signal ended the run after a checkpoint was written. Exit code 128 + `signal`."""

    def __init__(self, signal: int) -> None:
        super().__init__(f"stopped by signal {signal}")
        self.signal = signal
