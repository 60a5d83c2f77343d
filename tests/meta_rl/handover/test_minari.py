"""Recorded episodes on disk, as arrays and as a Minari data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from meta_rl.cli import main
from meta_rl.config import TrainConfig
from meta_rl.evaluation.recording import Recording
from meta_rl.training.train import train


@pytest.fixture
def run(tiny: Callable[..., TrainConfig]) -> Path:
    return train(tiny(iterations=1))


def test_arrays(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "some.npz"
    assert main(["record", str(run), "--out", str(out), "--tasks", "3", "1", "--adaptation-steps", "2"]) == 0
    assert f"6 episodes of 2 tasks: {out}" in capsys.readouterr().out
    recording = Recording.load(out)
    assert recording.positions == [1, 3]
    assert recording.stages == 3
    with np.load(out, allow_pickle=False) as plain:  # without this library
        assert plain["reward"].sum() == recording.reward.sum()


def test_minari(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    minari = pytest.importorskip("minari", reason="the extra minari is not installed")
    pytest.importorskip("h5py", reason="the extra minari is not installed")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    assert main(["record", str(run), "--minari", "mine/navigation-v0"]) == 0
    assert str(tmp_path / "sets") in capsys.readouterr().out
    recording = Recording.load(run / "trajectories.npz")
    found = minari.load_dataset("mine/navigation-v0")
    assert found.total_episodes == recording.returns.size == 8
    where = list(np.ndindex(recording.reward.shape[:3]))
    for i, episode in zip(where, found.iterate_episodes(), strict=True):
        length = recording.lengths[i]
        assert len(episode.rewards) == length
        assert episode.observations.shape == (length + 1, 2)
        np.testing.assert_array_equal(episode.observations, recording.observation[i][: length + 1])
        np.testing.assert_array_equal(episode.actions, recording.action[i][:length])
        assert episode.rewards.sum() == pytest.approx(recording.returns[i])
        assert episode.terminations[-1] == recording.terminated[i]
        assert (episode.terminations | episode.truncations).tolist() == [False] * (length - 1) + [True]
    options = [data["options"] for data in found.storage.get_episode_metadata(range(8))]
    assert [int(option["stage"]) for option in options] == [i[1] for i in where]
    assert options[2]["vector"].tolist() == list(recording.tasks[1].vector)
    assert options[2]["family"] == "navigation"
    assert main(["record", str(run), "--minari", "mine/navigation-v0"]) == 2
    assert "--minari: mine/navigation-v0 exists" in capsys.readouterr().err
    assert main(["record", str(run), "--minari", "no version"]) == 2
    assert "NAME-v0" in capsys.readouterr().err


def test_bad_options(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(run.iterdir())
    for options, part in {
        "--tasks 9": "--tasks: 9 asked for; valid: 0 to 3",
        "--tasks one": "--tasks",
        "--out nowhere/x.npz": "--out: there is no folder nowhere",
        "--split tset": "'train', 'test'",
        "--adaptation-step 1": "closest: --adaptation-steps",
    }.items():
        assert main(["record", str(run), *options.split()]) == 2
        line = capsys.readouterr().err
        assert part in line
        assert line.count("\n") == 1
    assert sorted(run.iterdir()) == before
