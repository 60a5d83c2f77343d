"""What a terminal of 80, 100 and 140 columns shows of training, evaluation, comparison, page and Ctrl-C."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from meta_rl.runs.log import read_rows
from tests.meta_rl.conftest import TINY_OPTIONS
from tests.meta_rl.terminal import ESCAPES, in_terminal, lines_of, longest, screen

WIDTHS = (80, 100, 140)
STAGES = 6
"""Episodes of a trial: as many stages as RL2 shows."""
OPTIONS = TINY_OPTIONS[2:]
RL2 = ["train", "rl2", *OPTIONS, "--episodes-per-task", str(STAGES)]
CODE = f"""
import json, sys
from pathlib import Path
import meta_rl
from meta_rl.cli import main
from meta_rl.cli.commands import parse_train
from tests.meta_rl.terminal import resize

for width in {WIDTHS}:
    resize(width)
    print(f"=== {{width}}", flush=True)
    meta_rl.evaluate(meta_rl.train(parse_train([*{RL2}[1:], "--iterations", "3", "--run-dir", f"r{{width}}"])))
resize(80)
print("=== page", flush=True)
page = ["train", *{OPTIONS}, "--env", "bandit/k5-n10", "--iterations", "1", "--run-dir", "page"]
assert main(page) == 0
print("=== again", flush=True)
assert main(page) == 0
for width in {WIDTHS}:
    resize(width)
    print(f"=== compare {{width}}", flush=True)
    assert main(["compare", "r80", "r100"]) == 0
resize(80)
print("=== stop", flush=True)
sys.exit(main([*{RL2}, "--iterations", "6000", "--run-dir", "stopped"]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it all runs."""
    return tmp_path_factory.mktemp("terminal")


@pytest.fixture(scope="module")
def shown(folder: Path) -> dict[str, str]:
    """What was written to the terminal, by part of `CODE`."""
    code, written = in_terminal(CODE, folder, until=lambda text: " 2/6000 " in text)
    assert code == 130, written
    _, *parts = re.split(r"=== ([\w ]+)\r\n", written)
    return dict(zip(parts[::2], parts[1::2], strict=True))


BAR = re.compile(r"[━╸╺]{20} (\d+)/(\d+) \d+:\d\d:\d\d (left|so far)")


@pytest.mark.parametrize("width", WIDTHS)
def test_bar_count_and_time_stay_whole(shown: dict[str, str], width: int) -> None:
    training = shown[str(width)].split("evaluating")[0]
    lines = lines_of(training)
    assert longest(lines) <= width
    bars = [line for line in lines if re.search("[━╸╺]", line)]
    found = [BAR.fullmatch(bar) for bar in bars]
    assert all(found), bars
    assert {match[1] for match in found if match} == {"0", "1", "2", "3"}
    assert [line for line in screen(training) if BAR.fullmatch(line)] == ["━" * 20 + " 3/3 0:00:00 left"]


@pytest.mark.parametrize("width", WIDTHS)
def test_numbers_stand_below_the_bar_from_the_first_stage_to_the_last(
    shown: dict[str, str], width: int, folder: Path
) -> None:
    lines = screen(shown[str(width)])
    bar = next(i for i, line in enumerate(lines) if BAR.fullmatch(line))
    row = read_rows(folder / f"r{width}" / "metrics.jsonl")[-1]
    returns, successes = ([row[f"{name}/stage_{stage}"] for stage in (0, STAGES - 1)] for name in ("return", "success"))
    assert lines[bar + 1].rsplit(", ")[0] == (
        f"return {returns[0]:.1f} -> {returns[1]:.1f} | success {successes[0]:.2f} -> {successes[1]:.2f} | "
        f"{row['env_steps']:,.0f} env steps"
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_a_header_says_what_is_trained_and_that_it_may_be_stopped(shown: dict[str, str], width: int) -> None:
    assert screen(shown[str(width)])[:3] == [
        "rl2 on navigation, seed 0: 3 iterations of 3 tasks",
        f"run folder r{width}, device cpu",
        "Ctrl-C is safe: a checkpoint is written, and the same command goes on from it",
    ]


@pytest.mark.parametrize("part", [*map(str, WIDTHS), *(f"compare {width}" for width in WIDTHS)])
def test_a_table_has_whole_words_and_no_markdown(shown: dict[str, str], part: str) -> None:
    lines = screen(shown[part])
    title = "navigation, 4 test tasks" if "compare" in part else "rl2 on navigation, seed 0"
    table = "\n".join(lines[lines.index(title) :])
    assert longest(table.splitlines()) <= int(part.split()[-1])
    assert "|" not in table
    assert "---" not in table
    words = {word.rstrip(":") for word in table.split()}
    assert {"adaptation", "steps", "success,", "return,", "sampled", "interval)"} <= words


def test_the_result_is_bold_and_the_page_is_a_link(shown: dict[str, str], folder: Path) -> None:
    written = shown["page"]
    assert re.search(r"\x1b\[1mBefore adaptation -> after: return", written)
    link = (folder / "page" / "report.html").as_uri()
    assert re.search(r"report: \x1b\]8;[^;]*;" + re.escape(link) + r"\x1b\\page/report\.html\x1b\]8;;\x1b\\", written)


def test_evaluation_and_page_have_a_bar_that_leaves_nothing_behind(shown: dict[str, str]) -> None:
    for what, units in (("evaluating", 8), ("playing", 6), ("packing replays", 7)):
        seen = re.findall(what + r" [━╸╺]{20} (\d+)/(\d+) \d:\d\d:\d\d", ESCAPES.sub("", shown["page"]))
        assert {total for _, total in seen} == {str(units)}
        assert seen[-1] == (str(units), str(units))
    left = [line for line in screen(shown["page"]) if re.search("[━╸╺]", line)]
    assert left == ["━" * 20 + " 1/1 0:00:00 left"]  # of training


def test_a_run_that_was_evaluated_before_is_shown_alike(shown: dict[str, str]) -> None:
    def report(part: str) -> str:
        text = "\n".join(screen(shown[part]))
        return text[text.index("maml-trpo on bandit/k5-n10, seed 0\n") : text.index("NEW_FOLDER")]

    assert report("again") == report("page")


def test_a_comparison_ends_in_the_command_that_makes_it(shown: dict[str, str]) -> None:
    for width in WIDTHS:
        assert [line for line in screen(shown[f"compare {width}"]) if line][-1] == "Command: meta-rl compare r80 r100"


def test_ctrl_c_is_answered_on_a_line_of_its_own(shown: dict[str, str], folder: Path) -> None:
    lines = [line for line in screen(shown["stop"]) if line]
    assert lines[-2:] == [
        "stopping after this iteration, within 20 s; once more to stop at once",
        "meta-rl train: stopped; the same command goes on from the last checkpoint",
    ]
    bar = BAR.fullmatch(lines[3])
    assert bar
    newest = max((folder / "stopped" / "checkpoints").glob("0*"))
    assert int(newest.name) == int(bar[1])
