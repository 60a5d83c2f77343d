"""What commands say, in one place: lines, documents with tables, bars and paths.

On a terminal documents are drawn and bars move; in pipes, files and Python callbacks there are plain lines and
Markdown, and no bars.
"""

from __future__ import annotations

import errno
import textwrap
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeVar

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.style import Style
from rich.table import Table as Grid
from rich.text import Text

from meta_rl.errors import Say

_T = TypeVar("_T")
RECENT = 50
"""Units of work that the time left is told from."""
BETWEEN = 2
"""Spaces between the columns of a table."""


class Part(NamedTuple):
    """A paragraph or a table of a document.

    Attributes:
        text: the paragraph.
        cells: rows of equal length, the first of which is the head; then there is no text.
        role: ``heading`` of the document, ``bold``, or a ``command``, which is never broken into lines.
    """

    text: str = ""
    cells: Sequence[Sequence[str]] = ()
    role: str = ""


class _Console(Console):
    """A console that raises BrokenPipeError if nobody reads any more, instead of ending the process."""

    def on_broken_pipe(self) -> None:
        """See `Console`."""
        self.quiet = True
        raise BrokenPipeError


def _console() -> Console:
    return _Console(highlight=False, markup=False, emoji=False)


@dataclass(eq=False)
class Display:
    """A `meta_rl.errors.Say` that can do more than lines.

    Attributes:
        say: gets the lines; None: the console.
        console: standard output.
        bars: whether bars are shown, if the console is a terminal.
        lasting: goes on when nobody reads any more, and remembers it in `unread`; else BrokenPipeError is raised.
    """

    say: Say | None = None
    console: Console = field(default_factory=_console)
    bars: bool = True
    lasting: bool = False
    unread: bool = field(default=False, init=False)

    @classmethod
    def of(cls, say: Say) -> Display:
        """The display that `say` is, or one around it: `print` stands for the console, others get lines alone."""
        if isinstance(say, Display):
            return say
        return cls() if say is print else cls(say, bars=False)

    @property
    def live(self) -> bool:
        """Whether the console can redraw what it shows."""
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def __call__(self, line: str) -> None:
        """Say a line."""
        if self.say is None:
            self.line(line)
        else:
            with self.heard():
                self.say(line)

    def line(self, line: str) -> None:
        """Print a line on the console, whoever gets the others. A terminal has it in lines of whole words."""
        text = fold(line, self.console.width) if self.live else line
        self._print(text, soft_wrap=True)

    def document(self, parts: Sequence[Part], text: str) -> None:
        """Draw `parts` on a terminal; say `text`, the same in Markdown, elsewhere."""
        if self.say is not None or not self.live:
            self(text)
            return
        for i, part in enumerate(parts):
            if i:
                self._print()
            if part.cells:
                self._print(drawn(part.cells, self.console.width))
            elif part.role == "command":
                self._print(part.text.replace("`", ""), soft_wrap=True)
            else:
                self._print(Text(fold(part.text, self.console.width), "bold" if part.role else ""), soft_wrap=True)

    def place(self, label: str, path: Path) -> None:
        """Say where something lies; on a terminal its path is a link."""
        if self.say is not None or not self.live:
            self(f"{label}: {path}")
        else:
            link = Style(link=path.resolve().as_uri())
            self._print(Text.assemble(f"{label}: ", (str(path), link)), soft_wrap=True)

    def bar(self, what: str, total: int | None = None) -> Bar:
        """A bar for work of `total` units (None: nobody knows how many), which is gone when the work is done."""
        return Bar(self.console, what, total, shown=self.bars and self.live, transient=True)

    def _print(self, what: RenderableType = "", soft_wrap: bool = False) -> None:
        with self.heard():
            self.console.print(what, soft_wrap=soft_wrap)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """What is printed inside may find that nobody reads it: a pipe is closed, or a terminal is gone."""
        try:
            yield
        except OSError as error:
            if not self.lasting or error.errno not in (None, errno.EPIPE, errno.EIO):
                raise
            self.console.quiet, self.unread = True, True


class Pace:
    """Time that work takes, smoothed over the last units. The first one is left out: it has to set everything up."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began = clock, clock()
        self._done: deque[tuple[int, float]] = deque(maxlen=RECENT + 1)  # units done, and when

    def note(self, done: int) -> None:
        """Remember that `done` units are done by now."""
        self._done.append((done, self._clock()))

    def words(self, total: int | None) -> str:
        """The time left of `total` units, or the time taken where nobody can know."""
        if self._done and total is not None:
            (first, began), (last, ended) = self._done[0], self._done[-1]
            if last == total or last > first:
                left = (total - last) * (ended - began) / max(last - first, 1)
                return f"{in_hours(max(0.0, left - (self._clock() - ended)))} left"
        return f"{in_hours(self._clock() - self._began)} so far"


def in_hours(seconds: float) -> str:
    """A time as ``0:01:30``."""
    return str(timedelta(seconds=round(seconds)))


class _Time(ProgressColumn):
    """What a `Pace` says now."""

    def __init__(self, words: Callable[[], str]) -> None:
        super().__init__()
        self._words = words

    def render(self, task: Task) -> Text:
        """See `ProgressColumn`."""
        return Text(self._words(), no_wrap=True)


class _Lines(Progress):
    """A bar with lines below it."""

    below: Callable[[], Sequence[str]] = staticmethod(lambda: ())

    def get_renderables(self) -> Iterable[RenderableType]:
        """See `Progress`."""
        yield from super().get_renderables()
        yield from (Text(line, no_wrap=True, overflow="ellipsis") for line in self.below())


class Bar:
    """Context of a bar, a count and a time in one line, and words about them below. None of it is shown unless `shown`.

    Attributes:
        note: a sentence that stands below everything, as soon as it is set. A signal handler may set it.
    """

    def __init__(
        self, console: Console, what: str, total: int | None, shown: bool, transient: bool = False, done: int = 0
    ) -> None:
        self._console, self._total, self._done = console, total, done
        self._words: Sequence[str] = ()
        self._pace, self.note, self.shown = Pace(), "", shown
        self._progress = _Lines(
            *([TextColumn("{task.description}", markup=False)] if what else []),
            BarColumn(20),
            *([TextColumn("{task.completed:.0f}/{task.total:.0f}")] if total is not None else []),
            _Time(lambda: self._pace.words(total)),
            console=console,
            disable=not shown,
            transient=transient,
        )
        self._progress.below = self._below
        self._task = self._progress.add_task(what, total=total, completed=done)

    def __enter__(self) -> Bar:
        self._pace = Pace()
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, count: int = 1) -> None:
        """`count` units more are done."""
        self.reach(self._done + count)

    def reach(self, done: int, words: Sequence[str] = ()) -> None:
        """`done` units are done in all, and `words` tell of the last."""
        self._done, self._words = done, words
        self._pace.note(done)
        self._progress.update(self._task, completed=done)

    def over(self, items: Iterable[_T]) -> Iterator[_T]:
        """The `items`, each of which is a unit."""
        for item in items:
            yield item
            self.advance()

    def _below(self) -> Sequence[str]:
        lines = in_lines(self._words, self._console.width - 3)  # what a terminal echoes (^C) fits behind them
        return [*lines, *([self.note] if self.note else [])]


def in_lines(words: Sequence[str], width: int) -> list[str]:
    """Lines of `words` with bars between them; a line is broken between two words alone."""
    lines: list[str] = []
    for word in words:
        if lines and cell_len(f"{lines[-1]} | {word}") <= width:
            lines[-1] += f" | {word}"
        else:
            lines.append(word)
    return lines


def fold(text: str, width: int) -> str:
    """`text` in lines of at most `width`, broken between words; a longer word (a path) stays whole."""
    lines = []
    for line in text.split("\n"):
        lines += textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]
    return "\n".join(lines)


def widths(cells: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Widths of the columns of a table that is at most `room` wide, with every word whole; None where that cannot be.
    The widest columns give way first."""
    columns = list(zip(*cells, strict=True))
    least = [max(cell_len(word) for cell in column for word in [*cell.split(), ""]) for column in columns]
    found = [max(cell_len(cell) for cell in column) for column in columns]
    while (too_much := sum(found) + BETWEEN * (len(found) - 1) - room) > 0:
        wide = [k for k in range(len(found)) if found[k] > least[k]]
        if not wide:
            return None
        k = max(wide, key=lambda k: found[k])
        found[k] = max(least[k], found[k] - max(1, too_much // len(wide)))
    return found


def drawn(cells: Sequence[Sequence[str]], room: int) -> RenderableType:
    """A table on a terminal that is `room` wide: columns where all words fit, else a line for each cell."""
    head, *rows = cells
    if columns := widths(cells, room):
        grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, BETWEEN - 1, 0, 0))
        for name, width in zip(head, columns, strict=True):
            grid.add_column(Text(name), width=width)
        for row in rows:
            grid.add_row(*map(Text, row))
        return grid
    text = Text()
    for row in rows:
        text.append("\n" if text else "").append(fold(f"{head[0]} {row[0]}", room), "bold")
        for name, cell in zip(head[1:], row[1:], strict=True):
            if cell:
                text.append("\n" + textwrap.indent(fold(f"{name}: {cell}", room - 2), "  "))
    return text
