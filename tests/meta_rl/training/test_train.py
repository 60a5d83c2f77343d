"""The same seed gives the same bits, stopped and resumed or not."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from meta_rl.cli import main
from meta_rl.config import TrainConfig
from meta_rl.core.state import GROUPS, TrainState
from meta_rl.errors import ConfigError, Stopped
from meta_rl.runs import checkpoint, durable, folder
from meta_rl.runs.log import read_rows
from meta_rl.runs.signals import BROKEN_PIPE
from meta_rl.training.train import header, train
from tests.meta_rl.conftest import TINY_OPTIONS

Tiny = Callable[..., TrainConfig]


def quiet(_: str) -> None:
    """Say nothing."""


def final(run: Path) -> TrainState:
    state = checkpoint.load_newest(run / "checkpoints")
    assert state is not None
    return state


def assert_same_run(a: Path, b: Path) -> None:
    one, two = final(a), final(b)
    assert (one.iteration, one.env_steps) == (two.iteration, two.env_steps)
    for group in GROUPS:
        first, second = getattr(one, group), getattr(two, group)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert (a / "metrics.jsonl").read_bytes() == (b / "metrics.jsonl").read_bytes()


def test_same_seed_same_bits_and_other_seed_other_bits(tiny: Tiny) -> None:
    first, second = train(tiny("a"), quiet), train(tiny("b"), quiet)
    assert_same_run(first, second)
    other = train(tiny("c", seed=1), quiet)
    assert not torch.equal(final(first).params["mean.0.weight"], final(other).params["mean.0.weight"])
    assert (first / "metrics.jsonl").read_bytes() != (other / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_stop_and_resume_equals_an_uninterrupted_run(tiny: Tiny, stop: int) -> None:
    whole = train(tiny("whole"), quiet)
    train(tiny("parts", iterations=stop), quiet)
    said: list[str] = []
    parts = train(tiny("parts"), said.append)
    assert_same_run(whole, parts)
    assert said == [
        "maml-trpo on navigation, seed 0: 4 iterations of 3 tasks",
        f"run folder {parts}, device cpu",
        "Ctrl-C is safe: a checkpoint is written, and the same command goes on from it",
        f"resuming {parts} after iteration {stop} of 4",
    ]


def test_a_run_that_is_done_has_no_header(tiny: Tiny) -> None:
    run, said = train(tiny(iterations=1), quiet), list[str]()
    train(tiny(iterations=1), said.append)
    assert said == [f"resuming {run} after iteration 1 of 1"]


def test_the_header_names_workers(tiny: Tiny) -> None:
    config = tiny(workers=2)
    assert (
        header(config, config.path, torch.device("cpu"))[1]
        == f"run folder {config.path}, device cpu, 2 worker processes"
    )


@pytest.mark.parametrize("heard", [0, 3])
def test_a_training_goes_on_without_its_reader_until_a_checkpoint(tiny: Tiny, heard: int) -> None:
    """Nobody reads the header, or nobody the line about a resumption behind it."""
    train(tiny(iterations=1), quiet)
    said: list[str] = []

    def say(line: str) -> None:
        if len(said) == heard:
            raise BrokenPipeError
        said.append(line)

    with pytest.raises(Stopped) as stopped:
        train(tiny(), say)
    assert stopped.value.signal == BROKEN_PIPE
    assert max((tiny().path / "checkpoints").iterdir()).name == "00000002"


def test_the_row_of_every_iteration_is_there(tiny: Tiny) -> None:
    rows = read_rows(train(tiny(), quiet) / "metrics.jsonl")
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4]
    assert all(a["env_steps"] < b["env_steps"] for a, b in itertools.pairwise(rows))
    assert all(row["update/kl"] <= 0.01 for row in rows)
    assert {"return/stage_0", "return/stage_1", "success/stage_0", "success/stage_1"} <= rows[0].keys()


def test_work_after_the_checkpoint_is_done_again_and_logged_once(tiny: Tiny) -> None:
    """Checkpoint at 2, rows up to 3 and half of 4: what a kill in iteration 4 leaves behind."""
    whole = train(tiny("whole"), quiet)
    run = train(tiny("cut", iterations=3), quiet)
    newest = max((run / "checkpoints").iterdir())
    assert newest.name == "00000003"
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"iteration": 4, "env_st')
    assert_same_run(whole, train(tiny("cut"), quiet))


def test_a_damaged_newest_checkpoint_is_passed_over(tiny: Tiny) -> None:
    whole = train(tiny("whole"), quiet)
    run = train(tiny("damaged", iterations=3), quiet)
    tensors = run / "checkpoints" / "00000003" / "state.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-5] ^= 4
    tensors.write_bytes(bytes(data))
    said: list[str] = []
    with pytest.warns(checkpoint.CheckpointWarning, match=r"00000003/state\.safetensors.*sha256.*previous"):
        train(tiny("damaged"), said.append)
    assert said[3:] == [f"resuming {run} after iteration 2 of 4"]
    assert_same_run(whole, run)


def test_a_damaged_last_checkpoint_is_made_again(tiny: Tiny) -> None:
    """The iteration of the damaged one is the last: the run must not end on the checkpoint before it."""
    whole = train(tiny("whole"), quiet)
    run = train(tiny("damaged"), quiet)
    (run / "checkpoints" / "00000004" / "state.json").write_bytes(b"")
    with pytest.warns(checkpoint.CheckpointWarning, match=r"00000004/state\.json"):
        train(tiny("damaged"), quiet)
    assert_same_run(whole, run)  # loading warns no more


def test_the_command_says_which_checkpoint_it_passed_over(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*TINY_OPTIONS, "--iterations", "3", "--run-dir"]
    whole, run = Path(tiny("whole").run_dir), Path(tiny("damaged").run_dir)
    assert main([*command, str(whole)]) == main([*command, str(run)]) == 0
    (run / "checkpoints" / "00000003" / "manifest.json").unlink()
    (run / "evaluation.json").unlink()
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as outside pytest
        assert main([*command, str(run)]) == 0
    said = capsys.readouterr()
    assert "00000003" in said.err
    assert "falling back to the previous checkpoint" in said.err
    assert f"resuming {run} after iteration 2 of 3" in said.out
    assert_same_run(whole, run)
    assert evaluated(whole) == evaluated(run)


def evaluated(run: Path) -> object:
    return json.loads((run / "evaluation.json").read_text())["stages"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2])
def test_a_run_killed_while_it_is_set_up_starts_again(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, at: int, after: bool
) -> None:
    """A stop in the middle of (or after) the first and the second file that a new run writes."""
    calls = 0

    def killed(path: Path, data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == at and not after:
            path.with_name(f".tmp-{path.name}").write_bytes(data[:10])
            raise KeyboardInterrupt
        replace(path, data)
        if calls == at:
            raise KeyboardInterrupt

    replace = durable.replace_durably
    with monkeypatch.context() as patch:
        patch.setattr(folder, "replace_durably", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tiny(iterations=1), quiet)
    assert final(train(tiny(iterations=1), quiet)).iteration == 1


def test_a_full_disk_stops_the_command_with_one_line(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tiny(iterations=2), quiet)
    before = final(run)

    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_durably", full)
    # The second run writes config.json first; let that one through.
    monkeypatch.setattr("meta_rl.training.train.write_json", lambda *_: None)
    monkeypatch.setattr("meta_rl.runs.log.replace_durably", lambda *_: None)
    assert main([*TINY_OPTIONS, "--iterations", "3", "--run-dir", str(run)]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "No space left on device" in line
    assert str(run) in line
    assert torch.equal(final(run).params["mean.0.weight"], before.params["mean.0.weight"])


def test_all_checkpoints_damaged_stops_the_command_and_touches_nothing(
    tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tiny(iterations=2), quiet)
    for path in run.rglob("state.safetensors"):
        path.write_bytes(b"")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main([*TINY_OPTIONS, "--iterations", "3", "--run-dir", str(run)]) == 1
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith("meta-rl train: no sound checkpoint in")
    assert "Traceback" not in said
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("where", ["/proc/nowhere/run", "file", "file/run"])
def test_a_directory_that_cannot_be_is_refused(tiny: Tiny, tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ConfigError, match="--run-dir"):
        train(tiny(run_dir=str(tmp_path / where)), quiet)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_changed_config_is_refused_and_nothing_is_overwritten(tiny: Tiny) -> None:
    run = train(tiny(), quiet)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=r"algorithm\.inner_lr: 0\.1 -> 0\.3"):
        train(tiny(**{"algorithm.inner_lr": 0.3}), quiet)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_folder_that_is_no_run_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match="not a run"):
        train(tiny(), quiet)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_a_run_in_use_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny(iterations=1), quiet)
    held = durable.lock(run)
    with pytest.raises(ConfigError, match="in use by another run"):
        train(tiny(), quiet)
    held.close()
    train(tiny(), quiet)


def test_no_pickle_in_a_run_directory(tiny: Tiny) -> None:
    run = train(tiny(), quiet)
    names = {path.name for path in run.rglob("*") if path.is_file()}
    assert names == {
        ".lock",
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "timing.jsonl",
        "state.safetensors",
        "state.json",
        "manifest.json",
    }


def test_sigkill_at_a_random_moment_loses_nothing(tiny: Tiny, tmp_path: Path) -> None:
    """A real SIGKILL of the command line, somewhere in its run, three times; then the same command to the end."""
    iterations = 12
    whole = train(tiny("whole", iterations=iterations), quiet)
    command = [sys.executable, "-m", "meta_rl.cli", *TINY_OPTIONS]
    command += ["--iterations", str(iterations), "--run-dir", str(tmp_path / "killed")]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    rng, kills = random.Random(0), 0
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        started = len(read_rows(tmp_path / "killed" / "metrics.jsonl"))
        while process.poll() is None and len(read_rows(tmp_path / "killed" / "metrics.jsonl")) <= started:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 1
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert f"resuming {tmp_path / 'killed'} after iteration" in done.stdout
    assert_same_run(whole, tmp_path / "killed")
