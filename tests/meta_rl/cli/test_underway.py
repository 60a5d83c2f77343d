"""A page of a run that is training, or was stopped: what is there, and nothing of the run is touched."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from meta_rl.algorithms.base import make_learner
from meta_rl.cli import main, showing
from meta_rl.config import RECIPES, TrainConfig, default_config, load_config, make_distribution, replace_paths
from meta_rl.errors import RunError
from meta_rl.runs import durable
from meta_rl.training.train import train
from tests.meta_rl.conftest import KINDS
from tests.meta_rl.training.test_train import assert_same_run


def words(page: Path) -> str:
    """What is read on a page, without scripts and marks."""
    text = re.sub(r"<(script|style)\b.*?</\1>", "", page.read_text(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def ages(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def begun(kept: Path) -> Path:
    """A run of four iterations that was never judged."""
    for name in ("evaluation.json", "report.html", "report.md"):
        (kept / name).unlink()
    shutil.rmtree(kept / "episodes", ignore_errors=True)
    return kept


def test_a_run_in_progress_is_shown_as_far_as_it_is(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with durable.lock(begun):
        before = ages(begun)
        assert main(["report", str(begun), "--out", str(tmp_path / "page.html")]) == 0
        assert ages(begun) == before
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{begun}: iteration 4 of 4, in progress; not evaluated yet, so the page shows its training",
        f"report: {tmp_path / 'page.html'}",
    ]
    shown, config = words(tmp_path / "page.html"), load_config(begun / "config.json")
    assert "Iteration 4 of 4, in progress." in shown
    assert "No held-out evaluation yet" in shown
    assert "Training: " in shown
    assert f"All {shown.split('All ')[1].split()[0]} settings" in shown
    assert f"meta-rl evaluate {begun}" in shown
    assert config.env in shown
    assert "Replay" not in shown


def test_a_run_that_was_stopped_is_shown_too(begun: Path) -> None:
    assert main(["report", str(begun)]) == 0
    assert "No held-out evaluation yet" not in words(begun / "report.html")  # it has finished: it was judged first
    (begun / "evaluation.json").unlink()
    config = (begun / "config.json").read_text()
    (begun / "config.json").write_text(config.replace('"iterations": 4', '"iterations": 9'))
    assert main(["report", str(begun)]) == 0
    assert "Iteration 4 of 9, stopped. No held-out evaluation yet" in words(begun / "report.html")
    assert not (begun / "evaluation.json").exists()


def test_a_run_that_has_not_finished_an_iteration_has_a_page(
    begun: Path, tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    (begun / "metrics.jsonl").write_text("")
    shutil.rmtree(begun / "checkpoints")
    assert main(["report", str(begun)]) == 0
    assert "Iteration 0 of 4, stopped." in words(begun / "report.html")


def test_a_run_that_goes_on_shows_its_last_evaluation(
    kept: Path, kind: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = replace_paths(load_config(kept / "config.json"), {"iterations": 5, "run_dir": str(kept)})
    train(config, say=lambda line: None)
    with durable.lock(kept):
        assert main(["report", str(kept), "--out", str(tmp_path / "page.html")]) == 0
    shown = words(tmp_path / "page.html")
    assert "Iteration 5 of 5, in progress; judged after iteration 4." in shown
    assert "Numbers" in shown
    assert ("Replay" in shown) == (kind == "acting")  # of the episodes that were kept
    assert "playing" not in capsys.readouterr().out


def test_several_runs_are_shown_whether_judged_or_not(begun: Path, finished: tuple[Path, Path], tmp_path: Path) -> None:
    with durable.lock(begun):
        assert main(["report", str(finished[1]), str(begun), "--out", str(tmp_path / "both.html")]) == 0
    shown = words(tmp_path / "both.html")
    assert "in progress" in shown
    assert "Numbers" in shown
    assert "All runs together" not in shown


def test_pages_while_training_change_no_bit(tiny: Callable[..., TrainConfig]) -> None:
    plain = train(tiny("plain", iterations=4), lambda line: None)
    seen: list[str] = []

    def page(folder: Path) -> None:
        showing.page_underway(folder)
        seen.append(words(folder / "report.html"))

    with_pages = train(tiny("pages", iterations=4, report_every=2), lambda line: None, page=page)
    assert_same_run(plain, with_pages)
    assert [re.findall(r"Iteration \d+ of 4, in progress\.", text) for text in seen] == [
        [f"Iteration {n} of 4, in progress."] for n in (2, 4)
    ]
    # and it is no part of what the run is
    again = replace_paths(tiny("pages", iterations=5), {"report_every": 1})
    assert train(again, lambda line: None) == with_pages


@pytest.mark.parametrize("name", KINDS)
def test_the_command_writes_them(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise RunError("enough")

    monkeypatch.setattr(showing, "evaluate_with_page", stop)
    options = [*KINDS[name], "--iterations", "3", "--run-dir", str(tmp_path / "run"), "--report-every", "3"]
    assert main(options) == 1
    assert "Iteration 3 of 3, in progress." in words(tmp_path / "run" / "report.html")


def test_a_page_that_fails_stops_nothing(tiny: Callable[..., TrainConfig]) -> None:
    def fail(folder: Path) -> None:
        raise OSError("No space\nleft")

    said: list[str] = []
    run = train(tiny(iterations=2, report_every=1), said.append, page=fail)
    assert said.count("--report-every: no page this time: No space left") == 2
    assert (run / "checkpoints" / "00000002").exists()


@pytest.mark.parametrize("recipe", [name for name, row in RECIPES.items() if row.learns == "rl"])
def test_who_remembers_is_known_without_the_learner(recipe: str) -> None:
    config = replace_paths(default_config(recipe, "navigation"), {"network.hidden": (4,), "device": "cpu"})
    learner = make_learner(config, make_distribution(config))
    assert config.algorithm.remembers == (not learner.episodes_at_once)
