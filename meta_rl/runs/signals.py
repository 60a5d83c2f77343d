"""Ctrl-C, SIGTERM and a terminal that goes away: the first one ends a run in order, the second at once."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any

from meta_rl.errors import Stopped

ENDS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that end a run in order; Windows has no SIGHUP."""
BROKEN_PIPE = int(getattr(signal, "SIGPIPE", 13))
"""Number of the signal for a reader that has gone away, also where there is no such signal."""
PROMISE = 20.0
"""Seconds within which a run ends after the first signal, as its message says."""
ENDING = 8.0
"""Seconds of the promise kept for what follows: the last checkpoint is written and fsynced, and workers end."""
GRACE = PROMISE - ENDING
"""Seconds an iteration may still take after the first signal; then it is abandoned, to be done again."""
_MESSAGE = f"stopping after this iteration, within {PROMISE:.0f} s; once more to stop at once"


class Stop:
    """Context in which the first SIGINT, SIGTERM or SIGHUP sets `requested`; the second ends the process on the spot. A
    SIGHUP that is ignored already (nohup) stays so.

    Inside `abandonable`, `Stopped` is raised `grace` seconds after the first. Has no effect outside the main thread,
    where Python allows no signal handlers.

    Args:
        show: is asked to show what the first signal does, as a live bar can; if it says False, standard error tells it.
    """

    def __init__(self, grace: float = GRACE, show: Callable[[str], bool] = lambda sentence: False) -> None:
        self._show = show
        self.requested: int | None = None
        """The first signal."""
        self._before: dict[signal.Signals, Any] = {}
        self._abandonable = False
        self._expired = False
        self._timer = threading.Timer(grace, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in ENDS:
                if number.name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def abandonable(self) -> Iterator[None]:
        """Work that may be broken off anywhere.

        Raises:
            Stopped: it took too long after a signal.
        """
        self._abandonable = True
        try:
            yield
        finally:
            self._abandonable = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._expired and self.requested is not None:
            self._expired = False
            if self._abandonable:
                raise Stopped(self.requested)
        elif self.requested is None:
            self.requested = number
            self._timer.start()
            if not self._show(_MESSAGE):
                with suppress(OSError):  # the terminal is gone
                    echoed = "\n" if os.isatty(2) else ""  # a terminal shows ^C, on the same line
                    os.write(2, f"{echoed}{_MESSAGE}\n".encode())
        else:
            if sys.stderr.isatty():
                os.write(2, b"\x1b[?25h\n")  # the progress bar hides the cursor
            os._exit(128 + number)

    def _expire(self) -> None:
        self._expired = True
        _thread.interrupt_main(signal.SIGINT)  # `_handle` runs in the main thread, which alone can raise there
