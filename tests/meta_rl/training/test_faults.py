"""Whole runs that lose workers, are told to stop, or are killed: the end is the same, bit for bit."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from envs.navigation import NavigationVectorEnv
from meta_rl.algorithms.maml import Maml
from meta_rl.cli import main
from meta_rl.config import TrainConfig, default_config, replace_paths
from meta_rl.core.types import Params
from meta_rl.errors import RunError, Stopped
from meta_rl.runs import checkpoint, signals
from meta_rl.runs.log import read_rows
from meta_rl.runs.signals import Stop
from meta_rl.sources.collect import Shard
from meta_rl.sources.in_process import InProcess
from meta_rl.training.train import train
from tests.meta_rl.conftest import TINY, TINY_OPTIONS
from tests.meta_rl.sources.test_processes import gone
from tests.meta_rl.training.test_train import assert_same_run, quiet

Tiny = Callable[..., TrainConfig]
ITERATIONS = 8
ROOT = Path(__file__).parents[3]


def children(pid: int) -> list[int]:
    """Living processes below `pid`, at any depth."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            parents[int(entry.name)] = int(parent)
    below, found = [pid], []
    while below:
        below = [child for child, parent in parents.items() if parent in below]
        found += below
    return found


def workers_of(pid: int) -> list[int]:
    """The processes that the fork server has started."""
    direct = [child for child, parent in ((c, parent_of(c)) for c in children(pid)) if parent == pid]
    return [child for child in children(pid) if child not in direct]


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def all_gone(pids: list[int], within: float) -> bool:
    until = time.monotonic() + within
    return all(gone(pid, max(until - time.monotonic(), 0.01)) for pid in pids)


@contextmanager
def command(
    run: Path, iterations: int = ITERATIONS, workers: int = 2, options: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    """``meta-rl train`` of the tiny run, in 3 shards; killed at the end if it is still there."""
    arguments = [
        sys.executable,
        "-m",
        "meta_rl.cli",
        "train",
        "rl2",
        *TINY_OPTIONS[2:],
        "--iterations",
        str(iterations),
    ]
    arguments += ["--shards", "3", "--workers", str(workers), "--run-dir", str(run), *options]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_row(run: Path, process: subprocess.Popen[str], count: int) -> None:
    while process.poll() is None and len(read_rows(run / "metrics.jsonl")) < count:
        time.sleep(0.005)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing happens to, without workers."""
    return undisturbed(tmp_path_factory.mktemp("whole"), ITERATIONS)


def undisturbed(run: Path, iterations: int) -> Path:
    """What `command` ends with, made in this process."""
    config = replace_paths(default_config("rl2", "navigation"), TINY)
    return train(replace_paths(config, {"iterations": iterations, "shards": 3, "run_dir": str(run)}), quiet)


def test_any_number_of_workers_trains_to_the_same_bits_and_may_change_on_resume(tiny: Tiny) -> None:
    whole = train(tiny("whole", shards=3), quiet)
    assert_same_run(whole, train(tiny("two", shards=3, workers=3), quiet))
    train(tiny("changing", shards=3, workers=0, iterations=2), quiet)
    assert_same_run(whole, train(tiny("changing", shards=3, workers=1), quiet))


def test_killed_workers_and_a_killed_learner_change_nothing(whole: Path, tmp_path: Path) -> None:
    run, rng = tmp_path / "killed", random.Random(0)
    with command(run) as process:
        wait_for_row(run, process, 2)
        for _ in range(2):
            victims = workers_of(process.pid)
            assert victims
            os.kill(rng.choice(victims), signal.SIGKILL)
            time.sleep(rng.uniform(0, 0.2))
        below = children(process.pid)
        assert below
        process.kill()
        process.wait()
        assert all_gone(below, 5)
    with command(run) as process:
        said, complaints = process.communicate()
    assert process.returncode == 0, complaints
    assert f"resuming {run} after iteration" in said
    assert_same_run(whole, run)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_in_order_and_the_same_command_goes_on(
    whole: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("the tests run under nohup, and so does what they start")
    run = tmp_path / "stopped"
    with command(run) as process:
        wait_for_row(run, process, 3)
        below = children(process.pid)
        process.send_signal(number)
        started = time.monotonic()
        _, complaints = process.communicate()
        assert time.monotonic() - started < 20
        assert process.returncode == code, complaints
    assert "Traceback" not in complaints
    assert complaints.splitlines()[-1] == ("meta-rl train: stopped; the same command goes on from the last checkpoint")
    assert all_gone(below, 5)
    state = checkpoint.load_newest(run / "checkpoints")
    assert state is not None
    assert state.iteration == len(read_rows(run / "metrics.jsonl"))  # everything finished is kept
    if number == signal.SIGTERM:
        return
    with command(run, workers=0) as process:
        assert f"\nresuming {run} after iteration {state.iteration} of" in process.communicate()[0]
    assert_same_run(whole, run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("where", "finished"),
    [("InProcess.sample", 3), ("Maml.meta_update", 3), ("checkpoint.write_durably", 2)],
)
def test_a_signal_in_any_part_of_an_iteration(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, where: str, finished: int
) -> None:
    """In the third iteration's rollouts and update, or while the second's checkpoint is written."""
    homes: dict[str, Any] = {"InProcess": InProcess, "Maml": Maml, "checkpoint": checkpoint}
    home, name = homes[where.partition(".")[0]], where.partition(".")[2]
    original, run = getattr(home, name), tiny("cut").path

    def interrupted(*arguments: Any) -> Any:
        if not sent and len(read_rows(run / "metrics.jsonl")) == 2:
            sent.append(number)
            os.kill(os.getpid(), number)
        return original(*arguments)

    sent: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(home, name, interrupted)
        with pytest.raises(Stopped) as caught:
            train(tiny("cut"), quiet)
    assert sent == [number]
    assert caught.value.signal == number
    state = checkpoint.load_newest(run / "checkpoints")
    assert state is not None
    assert state.iteration == finished
    assert_same_run(train(tiny("whole"), quiet), train(tiny("cut"), quiet))


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    with command(tmp_path / "run", iterations=10_000) as process:
        wait_for_row(tmp_path / "run", process, 1)
        below = children(process.pid)
        for pid in workers_of(process.pid):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(1)  # by now the learner waits for them, and its iteration cannot end
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "goes on from the last checkpoint" not in complaints  # as it would say after an orderly end
        assert all_gone(below, 20)


def test_an_iteration_that_takes_too_long_is_abandoned(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state that is saved is the one before it, and it is done again."""
    whole = train(tiny("whole", shards=3), quiet)
    sample = InProcess.sample

    def endless(self: InProcess, params: object, iteration: int) -> object:
        shard = sample(self, params, iteration)  # type: ignore[arg-type]
        if iteration == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            while True:
                time.sleep(0.01)
        return shard

    with monkeypatch.context() as patch:
        patch.setattr(InProcess, "sample", endless)
        patch.setattr("meta_rl.training.train.Stop", lambda show: Stop(0.2, show))
        with pytest.raises(Stopped) as caught:
            train(tiny("cut", shards=3), quiet)
    assert caught.value.signal == signal.SIGTERM
    state = checkpoint.load_newest(Path(tiny("cut").run_dir) / "checkpoints")
    assert state is not None
    assert state.iteration == 2
    assert_same_run(whole, train(tiny("cut", shards=3), quiet))


def poisoned(monkeypatch: pytest.MonkeyPatch, iterations: set[int]) -> None:
    """Make one task's advantages NaN in these iterations, and with them the meta-gradient."""
    sample = InProcess.sample

    def poison(self: InProcess, params: Params, iteration: int) -> Shard:
        shard = sample(self, params, iteration)
        if iteration in iterations:
            shard.batch.query.advantage[1] = math.nan
        return shard

    monkeypatch.setattr(InProcess, "sample", poison)


def test_an_update_with_a_nan_is_skipped(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(monkeypatch, {1, 2})
    run = train(tiny(keep_checkpoints=9), quiet)
    states = [checkpoint.load_checkpoint(run / "checkpoints" / f"{i:08d}") for i in (1, 2, 3, 4)]
    assert states[0].params.keys() == states[2].params.keys()
    for name, p in states[0].params.items():
        assert torch.equal(p, states[1].params[name])
        assert torch.equal(p, states[2].params[name])
    assert not torch.equal(states[2].params["mean.0.weight"], states[3].params["mean.0.weight"])
    skipped = [row["guard/non_finite_gradient"] for row in read_rows(run / "metrics.jsonl")]
    assert skipped == [0, 1, 1, 0]


def test_three_updates_with_a_nan_stop_the_run(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(monkeypatch, {1, 2, 3})
    config = tiny(iterations=9)
    with pytest.raises(RunError, match=r"not finite in 3 iterations in a row, the last of them 4; .*gradient\.json"):
        train(config, quiet)
    dumped = json.loads((config.path / "non_finite_gradient.json").read_text())
    assert dumped["metrics"]["guard/non_finite_gradient"] == "1.0"
    assert float(dumped["largest_parameters"]["mean.0.weight"]) > 0
    state = checkpoint.load_newest(config.path / "checkpoints")
    assert state is not None
    assert state.iteration == 3
    assert all(bool(p.isfinite().all()) for p in state.params.values())


def sickly(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """One navigation env in the whole batch has a NaN in step 3, in the first `times` rollouts."""
    step, left = NavigationVectorEnv._step, [times]

    def sick(self: NavigationVectorEnv, action: Any, active: Any) -> Any:
        observation, reward, terminated, success = step(self, action, active)
        if self._elapsed[0, 0] == 3 and left[0]:
            left[0] -= 1
            reward[0, 0] = math.nan
        return observation, reward, terminated, success

    monkeypatch.setattr(NavigationVectorEnv, "_step", sick)


@pytest.mark.parametrize("recipe", ["maml-trpo", "reptile", "rl2"])
def test_an_episode_with_a_nan_is_left_out_and_counted(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sickly(monkeypatch, 1)
    changes = {**TINY, "iterations": 2, "episodes_per_task": 8, "run_dir": str(tmp_path / "run")}
    run = train(replace_paths(default_config(recipe, "navigation"), changes), quiet)
    rows = read_rows(run / "metrics.jsonl")
    assert [row["guard/discarded_episodes"] for row in rows] == [1, 0]
    assert [row["guard/non_finite_gradient"] for row in rows] == [0, 0]
    assert all(math.isfinite(value) for row in rows for value in row.values())


@pytest.mark.parametrize(
    ("episodes", "said"),
    [
        (
            2,
            "2 of 12 episodes were of no use, the first: non-finite observation or reward from the environment, task {",
        ),
        (1, "every episode of a task had a non-finite observation or reward from the environment, task {"),
    ],
)
def test_too_many_nans_stop_the_run_in_one_line(
    episodes: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sickly(monkeypatch, 10_000)
    options = ["--episodes-per-task", str(episodes), "--run-dir", str(tmp_path / "run")]
    assert main([*TINY_OPTIONS, *options]) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"meta-rl train: {said}")
    assert line.count("\n") == 1


def test_handlers_are_given_back() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with Stop() as stop:
        assert signal.getsignal(signal.SIGINT) not in before
        assert stop.requested is None
    assert [signal.getsignal(number) for number in numbers] == before
    assert 0 < signals.GRACE < signals.PROMISE == 20  # docs/faults.md


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--workers", "4", "--shards", "3"], "4 workers need at least as many shards, there are 3; closest: 3"),
        (["--workers", "2"], "--workers: 2 workers need at least as many shards, there is 1; closest: 1"),
        (["--workers", "-1"], "--workers: must be at least 0, got -1"),
        (["--worker-timeout", "0"], "--worker-timeout: must be above 0, got 0.0"),
        (["--on-worker-failure", "ignore"], "--on-worker-failure"),
    ],
)  # fmt: skip
def test_bad_options_are_refused_in_one_line(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY_OPTIONS, *options]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert said in line


@contextmanager
def make_train(run: Path, iterations: int) -> Iterator[subprocess.Popen[str]]:
    """``make train`` in a process group of its own, as a shell starts it."""
    options = ["--iterations", str(iterations), "--shards", "3", "--workers", "2", "--run-dir", str(run)]
    arguments = ["RECIPE=rl2", "ENV=navigation", f"TRAIN_OPTIONS={' '.join([*TINY_OPTIONS[4:], *options])}"]
    venv = sys.prefix  # which is not to be installed again
    command = ["make", "-o", f"{venv}/.installed", "train", f"VENV={venv}", *arguments]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, process_group=0, **pipes) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_make_train_stopped_by_ctrl_c_goes_on_and_says_so(tmp_path: Path) -> None:
    """Ctrl-C in a terminal goes to all processes of the group, whatever they are at."""
    iterations = 80  # more than a run gets done before the signal, also where this process waits for its turn
    run, rng = tmp_path / "run", random.Random(2)
    for rows in (0, 1, 4):
        before = len(read_rows(run / "metrics.jsonl"))
        with make_train(run, iterations) as process:
            wait_for_row(run, process, before + rows)  # its own: while make starts it, a signal may reach make alone
            time.sleep(rng.uniform(0, 0.2 if rows else 3.0))
            below = children(process.pid)
            os.killpg(process.pid, signal.SIGINT)
            _, complaints = process.communicate(timeout=90)
            assert process.returncode != 0
            assert all_gone(below, 5)
    assert "meta-rl train: stopped; the same command goes on from the last checkpoint" in complaints.splitlines()
    finished = len(read_rows(run / "metrics.jsonl"))
    with make_train(run, iterations) as process:
        said, complaints = process.communicate()
    assert process.returncode == 0, complaints
    assert f"resuming {run} after iteration {finished} of {iterations}" in said.splitlines()
    assert_same_run(undisturbed(tmp_path / "whole", iterations), run)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_twenty_kills_of_the_learner_and_twenty_of_workers_on_ml1(tmp_path: Path) -> None:
    """Half of them while the learner samples and learns, half at any time from its start on."""
    run, whole, rng = tmp_path / "killed", tmp_path / "whole", random.Random(1)
    options, seconds = ["--env", "metaworld/ml1-reach-v3"], 0.0
    worker_kills = learner_kills = 0
    while min(worker_kills, learner_kills) < 20:
        with command(run, 10_000, options=options) as process:
            if learner_kills % 2:
                time.sleep(rng.uniform(0, 1.2 * seconds))
            else:
                started = time.monotonic()
                wait_for_row(run, process, len(read_rows(run / "metrics.jsonl")) + 1)
                seconds = time.monotonic() - started
                for _ in range(2):
                    time.sleep(rng.uniform(0, 0.5))
                    os.kill(rng.choice(workers_of(process.pid)), signal.SIGKILL)
                    worker_kills += 1
                time.sleep(rng.uniform(0, 1))
            workers, below = workers_of(process.pid), children(process.pid)
            process.kill()
            learner_kills += process.wait() == -signal.SIGKILL
            assert all_gone(workers, 5)
            assert all_gone(below, 600)  # a fork server may have to finish its imports, on a machine that is busy
    iterations = len(read_rows(run / "metrics.jsonl")) + 5
    for folder in (run, whole):
        with command(folder, iterations, options=options) as process:
            _, complaints = process.communicate()
        assert process.returncode == 0, complaints
    assert_same_run(whole, run)
