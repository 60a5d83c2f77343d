"""Demonstrations: played by an expert, written, and learned from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import envs
from meta_rl import load
from meta_rl.cli import main
from meta_rl.config import TrainConfig, default_config, replace_paths
from meta_rl.core.interface import Interface
from meta_rl.errors import ConfigError
from meta_rl.evaluation.recording import Recording
from meta_rl.handover.export import export
from meta_rl.runs.log import read_rows
from meta_rl.runs.problem import open_problem
from meta_rl.sources.demonstrations import Demonstrations, draw, read_demonstrations
from meta_rl.training.train import train
from tests.meta_rl.training.test_train import assert_same_run, quiet

INTERFACE = Interface.of(envs.make("navigation"), 100)
OPTIONS = ["--episodes", "2", "--tasks", "3", "--seed", "5"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The expert of navigation, whose hand trembles: three tasks, two episodes each."""
    path = tmp_path_factory.mktemp("shown") / "some.npz"
    assert main(["demonstrate", "navigation", "--out", str(path), *OPTIONS, "--noise", "0.05"]) == 0
    return path


def test_what_the_expert_would_have_done_stands_beside_what_was_done(file: Path) -> None:
    recording = Recording.load(file)
    assert recording.reward.shape[:3] == (3, 1, 2)
    assert recording.label is not None
    for i, task in enumerate(recording.tasks):
        for episode in range(2):
            valid = recording.valid[i, 0, episode]
            seen = recording.observation[i, 0, episode, :-1][valid]
            label = recording.label[i, 0, episode][valid]
            np.testing.assert_allclose(label, np.clip(task.array - seen, -0.1, 0.1), atol=1e-6)
            trembled = recording.action[i, 0, episode][valid] - label
            assert 0.01 < np.abs(trembled).mean() < 0.1
            assert np.abs(recording.action[i, 0, episode]).max() <= np.float32(0.1)
    assert not np.array_equal(recording.action[:, :, 0], recording.action[:, :, 1])
    assert recording.about["task_distribution"] == envs.make("navigation").fingerprint()
    assert recording.select([1]).label is not None


def test_the_same_seed_plays_the_same_and_without_noise_the_expert_itself(file: Path, tmp_path: Path) -> None:
    again, plain = tmp_path / "again.npz", tmp_path / "plain.npz"
    assert main(["demonstrate", "navigation", "--out", str(again), *OPTIONS, "--noise", "0.05"]) == 0
    for name in ("observation", "action", "label"):
        np.testing.assert_array_equal(getattr(Recording.load(again), name), getattr(Recording.load(file), name))
    assert main(["demonstrate", "bandit/k3-n4", "--out", str(plain), "--tasks", "4", "--split", "test"]) == 0
    bandit = Recording.load(plain)
    np.testing.assert_array_equal(bandit.action, bandit.label)
    assert bandit.action[:, 0, 0, 0].tolist() == [int(np.argmax(task.vector)) for task in bandit.tasks]


def test_reading_a_file(file: Path) -> None:
    shown, recording = read_demonstrations(str(file), INTERFACE), Recording.load(file)
    assert list(shown.episodes) == recording.tasks
    facts = shown.describe()
    assert (facts["tasks"], facts["episodes"], facts["env_steps"]) == (3, 6, int(recording.valid.sum()))
    assert facts["return"] == pytest.approx(recording.returns.mean())
    one = shown.episodes[recording.tasks[1]][1]
    length = int(recording.lengths[1, 0, 1])
    np.testing.assert_array_equal(one.observation, recording.observation[1, 0, 1, : length + 1])
    np.testing.assert_array_equal(one.label, recording.label[1, 0, 1, :length])  # type: ignore[index]


def test_minari_holds_the_same(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("minari", reason="the extra minari is not installed")
    pytest.importorskip("h5py", reason="the extra minari is not installed")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    name, out = "mine/expert-v0", str(tmp_path / "again.npz")
    assert main(["demonstrate", "navigation", "--out", out, *OPTIONS, "--noise", "0.05", "--minari", name]) == 0
    shown = read_demonstrations(f"minari:{name}", INTERFACE)
    expected = read_demonstrations(str(file), INTERFACE)
    assert shown.describe() == expected.describe()


def test_an_agents_recording_will_do(tiny: Callable[..., TrainConfig], tmp_path: Path) -> None:
    run = train(tiny(iterations=1), quiet)
    assert main(["record", str(run), "--out", str(tmp_path / "agent.npz")]) == 0
    shown = read_demonstrations(str(tmp_path / "agent.npz"), INTERFACE)
    assert shown.describe()["episodes"] == 8  # of both stages
    assert all((one.label == one.action).all() for played in shown.episodes.values() for one in played)


def cloning(tiny: Callable[..., TrainConfig], file: Path, name: str = "run", **changes: object) -> TrainConfig:
    given = replace_paths(default_config("bc", "navigation"), {"network.hidden": (8,)})
    algorithm = replace_paths(given.algorithm, {"demonstrations": str(file), "learning_rate_iterations": 3})
    return tiny(name, recipe="bc", algorithm=algorithm, network=given.network, **{"iterations": 3, **changes})


def test_trials_are_drawn_from_the_file(tiny: Callable[..., TrainConfig], file: Path) -> None:
    problem = open_problem(cloning(tiny, file, meta_batch_size=5, episodes_per_task=2))
    source, weights = problem.source(), problem.learner.init().weights
    shard = source.sample(weights, 0)
    shown = read_demonstrations(str(file), INTERFACE)
    assert isinstance(shown, Demonstrations)
    assert shard.env_steps == 0
    assert shard.returns.shape == (5, 2, 1)
    known = {round(float(one.reward.sum()), 4): task for task, played in shown.episodes.items() for one in played}
    drawn = [[known[round(float(x), 4)] for x in row[:, 0]] for row in shard.returns]
    assert all(first == second for first, second in drawn)  # both episodes of a trial are of one task
    assert {row[0] for row in drawn[:3]} == set(shown.episodes)  # all tasks before one comes again
    np.testing.assert_array_equal(source.sample(weights, 0).returns, shard.returns)
    assert not np.array_equal(source.sample(weights, 1).returns, shard.returns)


@pytest.mark.parametrize(("count", "wanted"), [(3, 7), (3, 2), (1, 4)])
def test_draws_are_even(count: int, wanted: int) -> None:
    times = np.bincount(draw(np.random.default_rng(0), count, wanted), minlength=count)
    assert times.sum() == wanted
    assert times.max() - times.min() <= 1


def test_a_resumed_run_equals_an_uninterrupted_one_and_takes_no_env_steps(
    tiny: Callable[..., TrainConfig], file: Path
) -> None:
    whole = train(cloning(tiny, file, "whole"), quiet)
    for stop in (1, 3):
        parts = train(cloning(tiny, file, "parts", iterations=stop), quiet)
    assert_same_run(whole, parts)
    rows = read_rows(whole / "metrics.jsonl")
    assert [row["env_steps"] for row in rows] == [0, 0, 0]
    facts = json.loads((whole / "environment.json").read_text())["task_distribution"]["demonstrations"]
    assert facts["episodes"] == 6
    assert facts["env_steps"] > 0


def test_a_run_does_not_go_on_from_another_file(tiny: Callable[..., TrainConfig], file: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.npz"
    mine.write_bytes(file.read_bytes())
    train(cloning(tiny, mine, iterations=1), quiet)
    mine.unlink()
    assert main(["demonstrate", "navigation", "--out", str(mine), "--tasks", "3"]) == 0
    with pytest.raises(ConfigError, match=r"--demonstrations: .*mine\.npz is not what the run learned from"):
        train(cloning(tiny, mine), quiet)


def test_cloning_learns_what_was_shown(tiny: Callable[..., TrainConfig], file: Path) -> None:
    changes = {"algorithm.epochs": 20, "algorithm.learning_rate": 1e-2}
    run = train(replace_paths(cloning(tiny, file, iterations=6), changes), quiet)
    rows = read_rows(run / "metrics.jsonl")
    assert rows[-1]["imitation/error"] < 0.75 * rows[0]["imitation/error"]


def test_an_exported_student_says_nothing_of_where_the_file_lay(
    tiny: Callable[..., TrainConfig], file: Path, tmp_path: Path
) -> None:
    folder = export(train(cloning(tiny, file, iterations=1), quiet), tmp_path / "out")
    written = [path for path in folder.iterdir() if str(file.parent).encode() in path.read_bytes()]
    assert written == []
    assert load(folder).config.algorithm.shown == ""


@pytest.mark.parametrize(
    ("env", "made", "said"),
    [
        ("navigation", "", "there is nothing to learn from; valid: a file"),
        ("navigation", "nowhere.npz", "there is no file"),
        ("bandit/k3-n4", "good", "has observations float32 (2,), the environment's are Box(1,)"),
        ("navigation", "damaged", "not a recording"),
        ("navigation", "empty", "has no episodes"),
        ("navigation", "short", "not a recording (arrays of other lengths"),
        ("navigation", "nan", "is damaged: it has numbers that are not finite"),
        ("navigation", "discrete", "has actions int64 (), the environment's are Box(2,)"),
        ("navigation", "minari:none-v0", "minari"),
    ],
)
def test_bad_demonstrations(
    env: str, made: str, said: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, content = tmp_path / "shown.npz", file.read_bytes()
    with np.load(file) as loaded:
        arrays = dict(loaded)
    header = json.loads(str(arrays["header"]))
    if made == "damaged":
        path.write_bytes(content[: len(content) // 2])
    elif made == "nan":
        arrays["observation"][0, 0, 0, 1] = np.nan
    elif made == "empty":
        arrays["valid"][:] = False
    elif made == "short":
        arrays["header"] = np.array(json.dumps(header | {"tasks": header["tasks"][:1]}))
    elif made == "discrete":
        arrays["action"] = arrays["label"] = np.zeros(arrays["action"].shape[:-1], np.int64)
    if made in ("nan", "empty", "short", "discrete", "good"):
        np.savez(path, **arrays)
    where = made if made in ("",) or ":" in made else str(tmp_path / made if ".npz" in made else path)
    run = tmp_path / "run"
    command = ["train", "bc", "--env", env, "--run-dir", str(run), *(["--demonstrations", where] if where else [])]
    assert main(command) == 2
    line = capsys.readouterr().err
    assert line.startswith("meta-rl train: --demonstrations: ")
    assert line.count("\n") == 1
    assert said in line
    assert not run.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("tabular --out FILE", "ENV: tabular has no expert; for example navigation, bandit/k5-n10, metaworld/ml10"),
        ("--out FILE", "ENV: name one environment"),
        ("navigaton --out FILE", "closest: navigation"),
        ("navigation", "--out: name the file to write"),
        ("navigation --out THERE", "exists; valid: a new file"),
        ("navigation --out no/x.npz", "--out: there is no folder no"),
        ("navigation --out FILE --noise -0.1", "--noise: must be at least 0 and finite, got -0.1"),
        ("navigation --out FILE --noise nan", "--noise: must be at least 0 and finite, got nan"),
        ("bandit/k5-n10 --out FILE --noise 0.1", "--noise: bandit/k5-n10 has discrete actions, got 0.1; valid: 0"),
        ("navigation --out FILE --episodes 0", "--episodes: must be at least 1, got 0"),
        ("navigation --out FILE --tasks -1", "--tasks: must be at least 0, got -1"),
        ("navigation --out FILE --split tset", "'train', 'test'"),
    ],
)
def test_bad_options(options: str, said: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = options.replace("FILE", str(tmp_path / "new.npz")).replace("THERE", str(file)).split()
    assert main(["demonstrate", *words]) == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1
    assert not (tmp_path / "new.npz").exists()
