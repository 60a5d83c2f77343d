"""The list of runs: what is in it, and what is left out with its reason."""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from meta_rl.cli import main
from meta_rl.evaluation.listing import HEADS, find_runs, in_order, outcome
from meta_rl.evaluation.record import read_evaluation
from meta_rl.runs import durable
from tests.meta_rl.terminal import ESCAPES, in_terminal, longest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def several(finished: tuple[Path, Path], tmp_path: Path) -> Path:
    """Runs 2 and 10 at two depths; one that was never judged; an agent; things that are no runs."""
    for name in ("seeds/s10", "seeds/s2", "fresh"):
        shutil.copytree(finished[0], tmp_path / name)
    (tmp_path / "fresh" / "evaluation.json").unlink()
    shutil.copytree(ROOT / "zoo" / "rl2_reach", tmp_path / "agents" / "reach")
    for name, text in {
        "foreign/config.json": '{"model": "bert"}',
        "broken/config.json": "{",
        "lost/metrics.jsonl": '{"iteration": 1, "env_steps": 5}\n',
        "old/config.json": (finished[0] / "config.json").read_text(),
        "old/evaluation.json": "{}",
        "notes/todo.txt": "nothing",
        ".hidden/config.json": "{",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def listed(arguments: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(folder)
    assert main(["runs", *arguments.split()]) == 0
    return capsys.readouterr().out


def test_the_list_in_a_pipe_is_a_table_in_markdown(
    several: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in several.rglob("*")}
    lines = listed(".", several, capsys, monkeypatch).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]
    assert rows[0] == HEADS
    assert [row[0] for row in rows[2:]] == ["agents/reach", "fresh", "old", "seeds/s2", "seeds/s10"]
    by_name = {row[0]: dict(zip(HEADS, row, strict=True)) for row in rows[2:]}
    record = read_evaluation(several / "seeds/s2")
    name = record.names[0]
    ends = [record.stages[k].scores[record.headline][name].mean for k in (0, -1)]
    says = by_name["seeds/s2"]["score"]
    assert says.startswith(f"{name} ")
    numbers = says.removeprefix(f"{name} ").split(" -> ")
    scale = 100 if "%" in says else 1
    assert [float(number.strip("%")) / scale for number in numbers] == pytest.approx(ends, abs=0.006)
    assert (by_name["fresh"]["score"], by_name["old"]["score"]) == ("", "")
    assert by_name["seeds/s2"]["progress"] == "4 of 4"
    assert by_name["old"]["progress"] == "0 of 4, stopped"
    assert by_name["agents/reach"]["progress"] == "66, exported"
    assert by_name["agents/reach"]["tasks"] == "metaworld/ml1-reach-v3"
    assert datetime.fromisoformat(by_name["fresh"]["last changed"])
    assert before == {path: path.stat().st_mtime_ns for path in several.rglob("*")}


def test_what_is_no_run_is_named_once(
    several: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(several)
    assert main(["runs", ".", "seeds", "lost"]) == 0
    said = capsys.readouterr()
    assert said.out.count("seeds/s2 ") == 1
    parts = {
        "broken": "not a run: --config: broken/config.json is not JSON",
        "foreign": "not a run: config: unknown field 'model'; closest: ",
        "lost": "no config.json beside its metrics.jsonl",
        "old/evaluation.json": "of an earlier version",
    }
    lines = said.err.splitlines()
    assert len(lines) == len(parts)
    for line, (path, reason) in zip(lines, parts.items(), strict=True):
        assert line.startswith(f"meta-rl runs: {path} is left out: {reason}")


def test_damaged_files_are_named(kept: Path) -> None:
    (kept / "metrics.jsonl").write_text("nonsense\n")
    assert [problem.reason.partition(" (")[0] for problem in find_runs([kept])[1]] == ["damaged"]
    (kept / "metrics.jsonl").unlink()
    (kept / "evaluation.json").write_text('{"train_env_steps": 1}')
    runs, problems = find_runs([kept])
    assert [run.record for run in runs] == [None]
    assert problems[0].path == kept / "evaluation.json"


def test_objects_have_the_scores_in_full(
    several: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with durable.lock(several / "fresh"):
        found = json.loads(listed("seeds/s2 fresh --json", several, capsys, monkeypatch))
    fresh, judged = found
    record = read_evaluation(several / "seeds/s2")
    scores = [record.stages[k].scores[record.headline][record.names[0]].mean for k in (0, -1)]
    assert [judged["evaluation"][key] for key in ("before", "after")] == scores
    assert (judged["recipe"], judged["seed"], judged["state"]) == (json.loads(
        (several / "fresh" / "config.json").read_text())["recipe"], 0, "finished")  # fmt: skip
    assert (fresh["evaluation"], fresh["state"], fresh["iteration"]) == (None, "in progress", 4)
    assert datetime.fromisoformat(fresh["changed"]).tzinfo


def test_other_orders(several: Path) -> None:
    os.utime(several / "fresh" / "metrics.jsonl", (4e9, 4e9))
    runs, _ = find_runs([several])
    assert in_order(runs, "changed")[0].folder == several / "fresh"
    ranked = in_order(runs, "score")
    assert [run.folder.name for run in ranked if run.config.env == runs[-1].config.env][-2:] == ["fresh", "old"]


def test_an_evaluation_of_an_earlier_iteration_says_so(kept: Path) -> None:
    path = kept / "evaluation.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"iteration": 3, "split": "train"}))
    ((run,), _) = find_runs([kept])
    assert outcome(run).endswith(" (train tasks) (after iteration 3)")


@pytest.mark.parametrize("width", [80, 160])
def test_a_terminal_shows_whole_words(several: Path, width: int) -> None:
    program = f"from tests.meta_rl.terminal import resize; resize({width}); from meta_rl.cli import main; "
    code, written = in_terminal(f"{program} main(['runs', 'seeds'])", several)
    lines = [line.rstrip() for line in ESCAPES.sub("", written).splitlines()]
    assert code == 0
    assert "|" not in written
    assert longest(lines) <= width
    assert all(any(word in line for line in lines) for word in ("seeds/s2", "seeds/s10", "4 of 4"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "FOLDER: there is no folder runs; name one that holds runs, as in: meta-rl runs zoo"),
        ("nowhere", "FOLDER: there is no folder nowhere; name one that holds runs, as in: meta-rl runs zoo"),
        ("--srot name", "unknown option '--srot'; closest: --sort"),
    ],
)
def test_bad_input_is_one_line(
    arguments: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["runs", *arguments.split()]) == 2
    assert capsys.readouterr() == ("", f"meta-rl runs: {message}\n")


def test_an_empty_folder_has_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert listed(".", tmp_path, capsys, monkeypatch) == "no run in or below .\n"
    assert listed(". --json", tmp_path, capsys, monkeypatch) == "[]\n"
