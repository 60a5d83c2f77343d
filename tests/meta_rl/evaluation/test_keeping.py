"""Recordings beside an evaluation: the same numbers, the same pictures to within rounding, and nothing stale."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import meta_rl
from meta_rl.cli import main
from meta_rl.evaluation import keeping, playing
from meta_rl.evaluation.keeping import JUDGED, TRAINING, keep_recording, kept_recording, recording_path
from meta_rl.evaluation.playing import play
from meta_rl.evaluation.record import evaluated, read_evaluation
from meta_rl.evaluation.recording import ARRAYS, Recording, record
from tests.meta_rl.conftest import KINDS


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained, evaluated and shown."""
    run = tmp_path_factory.mktemp("keeping") / "run"
    assert main([*KINDS["acting"], "--iterations", "2", "--run-dir", str(run)]) == 0
    return run


@pytest.fixture
def run(judged: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(judged, tmp_path / "run"))


@pytest.fixture(scope="module")
def fresh(judged: Path) -> Recording:
    """Its test tasks, played again."""
    return record(meta_rl.load(judged))


def refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("was played again")


def test_training_keeps_what_its_evaluation_played(run: Path, fresh: Recording) -> None:
    found = kept_recording(run, JUDGED)
    assert found is not None
    for name in ARRAYS:
        got, expected = getattr(found, name), getattr(fresh, name)
        assert got.dtype == expected.dtype
        assert np.array_equal(got, expected.astype(np.float32) if name == "state" else expected), name
    assert found.tasks == fresh.tasks
    expected = read_evaluation(run).values["mode actions"]["return"]
    assert np.array_equal(found.returns, expected[found.positions])
    some = kept_recording(run, JUDGED, [2, 0])
    assert some is not None
    assert np.array_equal(some.reward, fresh.reward[[2, 0]])
    assert kept_recording(run, JUDGED, [0, 99]) is None
    assert kept_recording(run, TRAINING) is not None


def test_a_page_plays_nothing_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (before,) = evaluated([run])
    for path in (recording_path(run, JUDGED), recording_path(run, TRAINING)):
        path.unlink()
    played = play(before, say=lambda line: None).played  # by hand; keeps them
    monkeypatch.setattr(playing, "record", refuse)
    said: list[str] = []
    again = play(before, say=said.append).played
    assert said == []
    assert again.keys() == played.keys() == {"test", "training"}
    for name, (recording, _) in played.items():
        assert np.array_equal(again[name].recording.reward, recording.reward)
        assert np.allclose(again[name].recording.state, recording.state, rtol=1e-6)
    assert main(["report", str(run)]) == 0


def test_evaluate_keeps_its_episodes_too(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(run / "episodes")
    assert main(["evaluate", str(run), "--evaluation-episodes", "2", "--test-tasks", "3"]) == 0
    found = kept_recording(run, JUDGED)
    assert found is not None
    assert found.positions == [0, 1, 2]
    assert kept_recording(run, TRAINING) is None


def test_an_earlier_checkpoint_keeps_none(run: Path) -> None:
    shutil.rmtree(run / "episodes")
    assert main(["evaluate", str(run), "--iteration", "1"]) == 0
    assert not (run / "episodes").exists()


def test_what_belongs_to_another_evaluation_is_not_used(run: Path) -> None:
    path = run / "evaluation.json"
    text = path.read_text()
    path.write_text(text.replace('"iteration": 2', '"iteration": 1'))
    assert kept_recording(run, JUDGED) is None
    path.write_text(text)
    assert kept_recording(run, JUDGED) is not None


def test_a_damaged_one_counts_as_absent(run: Path) -> None:
    path = recording_path(run, JUDGED)
    data = path.read_bytes()
    for damaged in (b"", data[: len(data) // 2], data[:900] + b"\0" * 400 + data[1300:]):
        path.write_bytes(damaged)
        assert kept_recording(run, JUDGED) is None
    assert main(["report", str(run)]) == 0  # played again, and kept again
    assert kept_recording(run, JUDGED) is not None


def test_a_folder_that_cannot_be_written_costs_a_line(run: Path, fresh: Recording) -> None:
    shutil.rmtree(run / "episodes")
    (run / "episodes").write_text("in the way")
    said: list[str] = []
    keep_recording(fresh, run, JUDGED, said.append)
    assert said == [f"{recording_path(run, JUDGED)}: the episodes are not kept: File exists"]
    assert kept_recording(run, JUDGED) is None


@pytest.mark.parametrize("kept", [2, 7, 40, 101])
def test_moments_that_are_left_out_lie_between_their_neighbours(
    kept: int, run: Path, fresh: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    length = fresh.state.shape[-2]
    assert length == 101
    monkeypatch.setattr(keeping, "LARGEST", kept * 4 * fresh.state.size // length + 1)
    line = np.linspace(0, 1, length)[:, None] * np.array([1.0, -3.0])  # a straight line is what it was
    moved = replace(fresh, state=np.broadcast_to(line, fresh.state.shape).copy())
    keep_recording(moved, run, JUDGED, lambda said: None)
    assert Recording.load(recording_path(run, JUDGED)).state.shape[-2] == kept
    found = kept_recording(run, JUDGED)
    assert found is not None
    assert np.allclose(found.state, moved.state, atol=1e-6)
    keep_recording(fresh, run, JUDGED, lambda said: None)
    found = kept_recording(run, JUDGED)
    assert found is not None
    moments = keeping._moments(length, kept)
    assert np.array_equal(found.state[..., moments, :], fresh.state[..., moments, :].astype(np.float32))


def test_a_task_without_a_state_has_none_again(run: Path, fresh: Recording) -> None:
    keep_recording(replace(fresh, state=fresh.state[..., :0]), run, JUDGED, lambda said: None)
    found = kept_recording(run, JUDGED)
    assert found is not None
    assert found.state.shape == (*fresh.state.shape[:-1], 0)
