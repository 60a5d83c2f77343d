"""The curve of a run: every kept checkpoint once, by the numbers of its own evaluation."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meta_rl.cli import main
from meta_rl.handover.export import export
from meta_rl.runs.folder import results_dir
from meta_rl.runs.log import read_rows
from tests.meta_rl.training.test_iteration import files


def curve(kept: Path) -> dict[str, Any]:
    """``curve.json``."""
    found: dict[str, Any] = json.loads((results_dir(kept) / "evaluations" / "curve.json").read_text())
    return found


def evaluate(kept: Path, *options: str) -> int:
    return main(["evaluate", str(kept), *options])


def cells(text: str) -> list[list[str]]:
    """The rows of a table in Markdown, its head first."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row for row in rows if set(row) != {"---"}]


def test_every_kept_checkpoint_once(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(kept)
    assert evaluate(kept, "--iteration", "all") == 0
    said = capsys.readouterr().out
    assert before.items() <= files(kept).items()
    found = curve(kept)
    assert [point["iteration"] for point in found["points"]] == [2, 3, 4]
    names = [point["evaluation"] for point in found["points"]]
    assert names == ["evaluations/00000002.json", "evaluations/00000003.json", "evaluation.json"]
    for point, name in zip(found["points"], names, strict=True):
        judged = json.loads((kept / name).read_text())
        assert {key: judged[key] for key in point if key != "evaluation"} | {"evaluation": name} == point
        assert (judged["protocol"], judged["split"]) == (found["protocol"], found["split"])
        assert "per_task" not in point
    assert found["command"] == f"meta-rl evaluate {kept} --iteration all"
    text = (kept / "evaluations" / "curve.md").read_text()
    assert cells(text) == cells(said)
    assert said.count("evaluating iteration") == 2
    # The same again does nothing again, and says the same.
    written = files(kept)
    assert evaluate(kept, "--iteration", "all") == 0
    said = capsys.readouterr().out
    assert "evaluating" not in said
    assert said.count("was evaluated before") == 3
    assert {p: d for p, d in files(kept).items() if p.suffix != ".png"} == {
        p: d for p, d in written.items() if p.suffix != ".png"
    }


@pytest.mark.parametrize("kind", ["acting"], indirect=True)
def test_the_table_has_the_numbers_of_the_evaluations(kept: Path) -> None:
    assert evaluate(kept, "--iteration", "all") == 0
    head, *rows = cells((kept / "evaluations" / "curve.md").read_text())
    assert head[:4] == ["iteration", "env steps", "success, mode actions, before", "success, mode actions, after"]
    assert len(head) == 2 + 2 * 2 * 2
    steps = {row["iteration"]: row["env_steps"] for row in read_rows(kept / "metrics.jsonl")}
    for row, iteration in zip(rows, (2, 3, 4), strict=True):
        cell = dict(zip(head, row, strict=True))
        assert (cell["iteration"], cell["env steps"]) == (str(iteration), f"{steps[iteration]:,.0f}")
        name = f"evaluations/{iteration:08d}.json" if iteration < 4 else "evaluation.json"
        stages = json.loads((kept / name).read_text())["stages"]
        for when, stage in zip(("before", "after"), stages, strict=True):
            low, high = stage["return_interval"]
            assert cell[f"return, mode actions, {when}"] == f"{stage['return']:.2f} ({low:.2f} to {high:.2f})"
            low, high = stage["sampled_success_interval"]
            said = f"{stage['sampled_success']:.1%} ({low:.1%} to {high:.1%})"
            assert cell[f"success, sampled actions, {when}"] == said


@pytest.mark.parametrize("kind", ["predicting"], indirect=True)
def test_the_table_of_a_few_shot_run(kept: Path) -> None:
    assert evaluate(kept, "--iteration", "all") == 0
    head, *rows = cells((kept / "evaluations" / "curve.md").read_text())
    assert head == ["iteration", "mse, inductive, before", "mse, inductive, after"]
    scores = [point["stages"][-1]["inductive"]["mse"] for point in curve(kept)["points"]]
    assert [row[2] for row in rows] == [f"{score['mean']:.3f} +- {score['interval']:.3f}" for score in scores]


def test_the_picture_shows_them(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setattr(pyplot, "close", lambda figure: None)
    assert evaluate(kept, "--iteration", "all") == 0
    axes = pyplot.gcf().axes
    monkeypatch.undo()
    points = curve(kept)["points"]
    acts = "has_success" in points[0]
    assert [axis.get_title() for axis in axes] == (["success", "return"] if acts else ["mse"])
    lines = {line.get_label(): line for line in axes[-1].get_lines()}
    if acts:
        expected = [point["stages"][1]["return"] for point in points]
        line = lines["return, mode actions, after"]
        steps = [row["env_steps"] for row in read_rows(kept / "metrics.jsonl")]
        np.testing.assert_array_equal(line.get_xdata(), steps[1:])
    else:
        expected = [point["stages"][1]["inductive"]["mse"]["mean"] for point in points]
        line = lines["mse, inductive, after"]
        np.testing.assert_array_equal(line.get_xdata(), [2, 3, 4])
    np.testing.assert_array_equal(line.get_ydata(), expected)
    pyplot.close("all")
    assert (kept / "evaluations" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_what_was_judged_otherwise_is_judged_again(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(kept)
    assert evaluate(kept, "--iteration", "all") == 0
    for options in (["--split", "train"], ["--adaptation-steps", "0"]):
        capsys.readouterr()
        assert evaluate(kept, "--iteration", "all", *options) == 0
        assert capsys.readouterr().out.count("evaluating iteration") == 3
        assert {point["evaluation"][:12] for point in curve(kept)["points"]} == {"evaluations/"}
    head = cells((kept / "evaluations" / "curve.md").read_text())[0]
    assert not any(name.endswith("after") for name in head)
    assert before.items() <= files(kept).items()


def test_a_checkpoint_made_again_is_judged_again(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(kept, "--iteration", "all") == 0
    later = (kept / "evaluations" / "00000003.json").stat().st_mtime_ns + 1
    os.utime(kept / "checkpoints" / "00000003", ns=(later, later))
    capsys.readouterr()
    assert evaluate(kept, "--iteration", "all") == 0
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line.startswith("evaluating")] == [
        "evaluating iteration 3, test tasks"
    ]


def test_damaged_checkpoints_are_left_out(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("00000003", "00000004"):
        (kept / "checkpoints" / name / "manifest.json").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as outside pytest
        assert evaluate(kept, "--iteration", "all", "--evaluation-seed", "9") == 0
    assert [("left out of the curve" in line, str(kept) in line) for line in capsys.readouterr().err.splitlines()] == [
        (True, True)
    ] * 2
    assert [point["iteration"] for point in curve(kept)["points"]] == [2]
    assert curve(kept)["damaged"] == [3, 4]
    assert "Left out, because damaged: iteration 3, 4." in (kept / "evaluations" / "curve.md").read_text()
    shutil.rmtree(kept / "evaluations")
    (kept / "checkpoints" / "00000002" / "manifest.json").unlink()
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert evaluate(kept, "--iteration", "all", "--evaluation-seed", "9") == 1
    assert capsys.readouterr().err.endswith(f"meta-rl evaluate: no sound checkpoint in {kept}\n")
    assert not (kept / "evaluations").exists()


def test_an_exported_agent_has_a_curve_of_one_point(kept: Path, tmp_path: Path) -> None:
    folder = export(kept, tmp_path / "agent", iteration=3)
    assert evaluate(folder, "--iteration", "all") == 0
    assert [point["iteration"] for point in curve(folder)["points"]] == [3]
