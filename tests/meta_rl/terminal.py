"""Python in a terminal of its own, as somebody sits before it: through a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.cells import cell_len

ESCAPES = re.compile(r"\x1b\][^\x1b\x07]*(?:\x1b\\|\x07)|\x1b\[[0-9;?]*[A-Za-z]")
"""Links, colours and moves of the cursor."""
ROOT = Path(__file__).parent.parent.parent


def resize(columns: int) -> None:
    """Make the terminal of this process so many columns wide."""
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def in_terminal(code: str, folder: Path, until: Callable[[str], bool] = lambda text: False) -> tuple[int, str]:
    """Run `code` in a terminal; its exit code, and all that was written to the terminal.

    Args:
        until: press Ctrl-C, once, when this says so of what was written so far.
    """
    master, slave = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    written, pressed = b"", False
    try:
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # nobody writes any more
                break
            if not part:
                break
            written += part
            if not pressed and until(written.decode(errors="replace")):
                pressed = True
                os.write(master, b"\x03")
        return process.wait(timeout=60), written.decode()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(master)


def lines_of(written: str) -> list[str]:
    """Every line that was written, also those written over later, without colours."""
    return [line.rstrip() for line in re.split(r"[\r\n]+", ESCAPES.sub("", written))]


def longest(lines: Sequence[str]) -> int:
    """Columns that the longest takes."""
    return max(map(cell_len, lines))


def screen(written: str) -> list[str]:
    """What a tall screen shows in the end: lines move up and down and are erased, as rich does."""
    rows, row = [""], 0
    for part in re.findall(r"\x1b\][^\x1b\x07]*(?:\x1b\\|\x07)|\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if part == "\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif re.fullmatch(r"\x1b\[\d*A", part):
            row -= int(part[2:-1] or 1)
        elif part == "\x1b[2K":
            rows[row] = ""
        elif part[0] not in "\x1b\r":
            rows[row] += part
    return [text.rstrip() for text in rows]
