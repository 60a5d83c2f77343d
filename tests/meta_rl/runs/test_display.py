"""Lines, tables, bars and paths, on a terminal and elsewhere."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from meta_rl.evaluation import markdown
from meta_rl.runs.display import Bar, Display, Pace, Part, drawn, fold, in_lines, widths
from tests.meta_rl.terminal import lines_of, longest

PARTS = [
    Part("Numbers", role="heading"),
    Part("a sentence of some length that goes on and on"),
    Part(cells=[["stage", "success (95 % interval)"], ["before [0]", "50.0% (0.0% to 100.0%)"]]),
    Part("Again: `meta-rl train --run-dir A_LONG_NAME`", role="command"),
]
TEXT = """# Numbers

a sentence of some length that goes on and on

| stage | success (95 % interval) |
| --- | --- |
| before [0] | 50.0% (0.0% to 100.0%) |

Again: `meta-rl train --run-dir A_LONG_NAME`"""


def a_console(width: int = 30, terminal: bool = True, file: Any = None) -> Console:
    out = file or io.StringIO()
    return Console(file=out, force_terminal=terminal, width=width, highlight=False, markup=False, _environ={})


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_document_is_markdown_in_a_pipe_and_drawn_on_a_terminal() -> None:
    assert markdown.document(PARTS) == TEXT
    pipe, terminal = a_console(terminal=False), a_console()
    for console in (pipe, terminal):
        Display(console=console).document(PARTS, TEXT)
    assert written(pipe) == TEXT + "\n"
    lines = lines_of(written(terminal))
    assert [line for line in lines if line] == [
        "Numbers",
        "a sentence of some length that",
        "goes on and on",
        "            success (95 %",
        "stage       interval)",
        "─" * 30,
        "before [0]  50.0% (0.0% to",
        "            100.0%)",
        "Again: meta-rl train --run-dir A_LONG_NAME",  # to be copied
    ]


def test_whoever_asks_in_python_gets_markdown_and_no_bars() -> None:
    said: list[str] = []
    display = Display.of(said.append)
    display.console = a_console()
    display.document(PARTS, TEXT)
    display.place("report", Path("r/report.md"))
    with display.bar("working", 2) as bar:
        bar.advance()
    assert said == [TEXT, "report: r/report.md"]
    assert written(display.console) == ""


def test_print_stands_for_the_console_and_a_display_for_itself() -> None:
    display = Display.of(print)
    assert (display.say, display.bars) == (None, True)
    assert Display.of(display) is display


def test_brackets_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Display()("runs/[bold]x[/bold] :smile: " + "y" * 200)
    assert capsys.readouterr().out == "runs/[bold]x[/bold] :smile: " + "y" * 200 + "\n"


@pytest.mark.parametrize(
    ("room", "columns"),
    [
        (100, [10, 23]),  # all in one line
        (34, [10, 22]),  # the widest column gives way first
        (20, [9, 9]),
        (17, [6, 9]),  # no word can give way: "before" and "interval)"
        (16, None),
    ],
)
def test_columns_give_way_until_words_would_break(room: int, columns: list[int] | None) -> None:
    assert widths(PARTS[2].cells, room) == columns


@pytest.mark.parametrize("room", [11, 16, 17, 24, 35, 60])
def test_no_word_of_a_table_breaks_at_any_width(room: int) -> None:
    console = a_console(room)
    console.print(drawn(PARTS[2].cells, room))
    lines = lines_of(written(console))
    assert longest(lines) <= room
    words = [word.rstrip(":") for line in lines for word in line.split()]
    assert {"stage", "before", "[0]", "success", "interval)", "50.0%", "100.0%)"} <= set(words)


def test_lines_break_between_words_and_between_numbers() -> None:
    path = "a/path/that/is/longer/than/that"
    assert fold(f"the report is in {path} now\n\nend", 20) == f"the report is in\n{path}\nnow\n\nend"
    assert in_lines(["return 1", "success 2", "3 env steps"], 20) == ["return 1 | success 2", "3 env steps"]
    assert in_lines([], 20) == []


def test_the_time_left_is_smoothed_and_leaves_out_the_first_unit() -> None:
    times = iter([0.0, 90.0, 90.0, 92.0, 92.0, 96.0, 97.0, 98.0, 98.0])
    pace = Pace(lambda: next(times))
    pace.note(1)  # it took 90 s
    assert pace.words(11) == "0:01:30 so far"
    pace.note(2)  # 2 s
    assert pace.words(11) == "0:00:18 left"
    pace.note(3)  # 4 s, so 3 s on average; one second later
    assert pace.words(11) == "0:00:23 left"
    pace.note(11)
    assert pace.words(11) == "0:00:00 left"


def test_where_nobody_knows_how_much_there_is_the_time_taken_is_shown() -> None:
    times = iter([0.0, 5.0, 7.0])
    pace = Pace(lambda: next(times))
    pace.note(1)
    assert pace.words(None) == "0:00:07 so far"


def test_a_bar_counts_what_is_done() -> None:
    console = a_console(80)
    with Display(console=console).bar("playing", 3) as bar:
        assert list(bar.over("ab")) == ["a", "b"]
        bar.advance()
    assert "playing " + "━" * 20 + " 3/3 0:00:00 left" in lines_of(written(console))


def test_a_note_stands_below_the_words() -> None:
    console = a_console(40)
    with Bar(console, "", 9, shown=True) as bar:
        bar.reach(4, ["one " * 5, "two " * 5])
        bar.note = "stopping"
    assert lines_of(written(console))[-4:-1] == [("one " * 5).strip(), ("two " * 5).strip(), "stopping"]


class Gone(io.StringIO):
    """A file that nobody reads any more."""

    def __init__(self, error: int) -> None:
        super().__init__()
        self._error = error

    def write(self, text: str) -> int:
        """Fail."""
        raise OSError(self._error, "gone")


@pytest.mark.parametrize("error", [errno.EPIPE, errno.EIO], ids=["a closed pipe", "a terminal that is gone"])
def test_a_lasting_display_goes_on_without_its_reader(error: int) -> None:
    def say(line: str) -> None:
        raise OSError(error, line)

    Quiet = type("Quiet", (Console,), {"on_broken_pipe": lambda self: (_ for _ in ()).throw(BrokenPipeError)})
    told = [Display(say), Display(console=Quiet(file=Gone(error), force_terminal=False))]
    for display in told:
        with pytest.raises(OSError, match=r"^(\[Errno|$)"):
            display("a line")
        display.lasting, display.console.quiet = True, False
        assert not display.unread
        display("a line")
        assert display.unread


def test_a_full_disk_is_no_missing_reader() -> None:
    with pytest.raises(OSError, match="gone"):
        Display(console=a_console(file=Gone(errno.ENOSPC)), lasting=True)("a line")
