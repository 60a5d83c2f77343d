"""Faults injected for real: whatever happens to a worker, the meta-batch is the one that nothing happened to."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import envs
from envs import NonFiniteError, TaskDistribution
from meta_rl.algorithms.base import MetaLearner, make_learner
from meta_rl.config import default_config, replace_paths
from meta_rl.core.state import GROUPS, TrainState
from meta_rl.core.weights import Weights
from meta_rl.errors import ConfigError, RunError
from meta_rl.sources import supervisor
from meta_rl.sources.base import Plan, Source
from meta_rl.sources.collect import Shard
from meta_rl.sources.in_process import InProcess
from meta_rl.sources.processes import Processes
from meta_rl.sources.supervisor import WorkerWarning
from meta_rl.sources.worker import core_shares, exit_in_words
from meta_rl.training.train import train_iteration
from tests.meta_rl.sources.faulty import Faulty

PLAN = Plan(5, 2, seed=3, shards=4)


def learner_of(
    recipe: str, distribution: TaskDistribution, normalised: bool = False, **network: Any
) -> tuple[MetaLearner, Weights]:
    changes = {"network.normalise_observations": normalised}
    changes |= {f"network.{name}": value for name, value in network.items()}
    config = replace_paths(default_config(recipe, "navigation"), {"iterations": 2, **changes})
    learner = make_learner(config, distribution)
    return learner, learner.init().weights


def assert_same(a: Shard, b: Shard) -> None:
    one, two = (torch.utils._pytree.tree_flatten(shard.batch) for shard in (a, b))
    assert one[1] == two[1]
    assert all(torch.equal(x, y) for x, y in zip(one[0], two[0], strict=True))
    assert [type(moments) for moments in a.measured] == [type(moments) for moments in b.measured]
    measured = [torch.utils._pytree.tree_leaves(shard.measured) for shard in (a, b)]
    assert all(torch.equal(x, y) for x, y in zip(*measured, strict=True))
    np.testing.assert_array_equal(a.returns, b.returns)
    np.testing.assert_array_equal(a.solved, b.solved)
    assert a.env_steps == b.env_steps
    assert a.discarded == b.discarded


def gone(pid: int, within: float) -> bool:
    """Whether the process ends (or is a zombie) in time."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "DELAYS", (0.0, 0.05))


class Case:
    """A source whose environments go wrong as `kind` says, and what it should give."""

    def __init__(self, folder: Path, kind: str, workers: int = 2, normalised: bool = False, **options: Any) -> None:
        self.folder = folder
        healthy = Faulty("none", folder / "nowhere")
        self.learner, self.weights = learner_of("rl2", healthy, normalised)
        self.expected = [InProcess(healthy, self.learner, PLAN).sample(self.weights, i) for i in range(2)]
        self.source = Processes(Faulty(kind, folder), self.learner, PLAN, workers, **options)

    def arm(self, times: int = 1) -> None:
        for i in range(times):
            (self.folder / f"armed-{i}").touch()

    def check(self, iteration: int = 0) -> None:
        assert_same(self.source.sample(self.weights, iteration), self.expected[iteration])


@pytest.fixture
def case(tmp_path: Path, quick: None) -> Iterator[Any]:
    made: list[Case] = []

    def make(kind: str, **options: Any) -> Case:
        made.append(Case(tmp_path, kind, **options))
        return made[-1]

    yield make
    for each in made:
        each.source.close()


class Given(NamedTuple):
    """A source of one meta-batch that has been sampled already."""

    shard: Shard
    restarts: int = 0

    def sample(self, weights: Weights, iteration: int) -> Shard:
        return self.shard

    def close(self) -> None:
        """Nothing."""


class Training:
    """Two iterations of `recipe`, sampled in this process; others must do the same."""

    def __init__(self, recipe: str, normalised: bool = False, **network: Any) -> None:
        self.distribution = envs.make("navigation", horizon=20)
        self.learner, _ = learner_of(recipe, self.distribution, normalised, **network)
        config = self.learner.config  # type: ignore[attr-defined]
        self.plan = PLAN._replace(taught_for=config.taught_for, told_for=config.told_for)
        self.shards, self.state = self.run(InProcess(self.distribution, self.learner, self.plan))

    def run(self, source: Source) -> tuple[list[Any], TrainState]:
        state, shards = self.learner.init(), []
        for iteration in range(2):
            shards.append(source.sample(state.weights, iteration))
            train_iteration(state, Given(shards[-1]), self.learner, torch.device("cpu"))
        source.close()
        return shards, state

    def check(self, source: Source) -> None:
        shards, state = self.run(source)
        for a, b in zip(shards, self.shards, strict=True):
            assert_same(a, b)
        for group in GROUPS:
            mine, theirs = getattr(state, group), getattr(self.state, group)
            assert mine.keys() == theirs.keys()
            assert all(torch.equal(mine[name], theirs[name]) for name in mine)
        assert source.restarts == 0


@pytest.mark.parametrize(
    "case", ["maml-trpo", "reptile", "rl2", "rl2 transformer", "rl2-sac", "varibad", "dagger", "rma"]
)
def test_one_two_and_four_workers_train_to_the_same_bits_as_one_process(case: str) -> None:
    recipe, _, cell = case.partition(" ")
    training = Training(recipe, normalised=recipe != "reptile", cell=cell or "lstm")
    assert any(not torch.equal(p, training.learner.init().params[name]) for name, p in training.state.params.items())
    for workers in (1, 2, 4):
        training.check(Processes(training.distribution, training.learner, training.plan, workers))


@pytest.mark.parametrize(
    ("env", "options"),
    [
        ("bandit/k5-n10", {}),
        ("tabular", {}),
        ("classic/cartpole", {"horizon": 20}),
        ("cheetah-dir@maml2017", {"horizon": 20}),
        ("metaworld/ml10", {"horizon": 20}),
    ],
)
def test_every_kind_of_task_distribution_in_workers_gives_the_same(env: str, options: dict[str, Any]) -> None:
    distribution, plan = envs.make(env, **options), Plan(10, 1, 0, 2)
    learner, weights = learner_of("rl2", distribution)
    source = Processes(distribution, learner, plan, 2)
    assert_same(source.sample(weights, 0), InProcess(distribution, learner, plan).sample(weights, 0))
    source.close()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("kill", r"step 3, env seed \d+, after action \[.*\]: killed by signal 9"),
        ("exit", r"shard 0 .*navigation.*: exit code 7"),
        ("segv", r"killed by signal 11 \(SIGSEGV\)"),
        ("raise", r"RuntimeError: the motor is on fire"),
        ("memory", r"MemoryError: Unable to allocate"),
        ("kill:reset", r"before its first step: killed by signal 9"),
        ("raise:make", r"RuntimeError: the motor is on fire"),
    ],
)
def test_a_fault_that_happens_once_changes_nothing(case: Any, kind: str, said: str) -> None:
    it = case(kind, workers=1)
    it.arm()
    with pytest.warns(WorkerWarning, match=said):
        it.check(0)
    it.check(1)
    assert it.source.restarts == 1


def test_a_kill_changes_no_statistics_either(case: Any) -> None:
    it = case("kill", normalised=True)
    assert [float(moments.seen) for moments in it.expected[0].measured] == [20.0] * 5  # two episodes of ten steps each
    it.arm()
    with pytest.warns(WorkerWarning):
        it.check(0)
    it.check(1)


def test_a_worker_that_hangs_is_found_and_replaced(case: Any) -> None:
    it = case("hang", timeout=3.0)
    it.arm()
    started = time.monotonic()
    with pytest.warns(WorkerWarning, match="step 3.*no progress for 3 s"):
        it.check()
    assert time.monotonic() - started < 60
    assert it.source.restarts == 1


def test_all_workers_killed_at_once_and_between_requests(case: Any) -> None:
    it = case("none")
    it.check(0)
    for pid in it.source.pids():
        os.kill(pid, signal.SIGKILL)
    with pytest.warns(WorkerWarning, match="before it began with iteration 1"):
        it.check(1)
    assert it.source.restarts == 2


def test_the_fork_server_may_be_killed_too(case: Any) -> None:
    it = case("none")
    it.check(0)
    server = int(Path(f"/proc/{it.source.pids()[0]}/stat").read_text().rpartition(")")[2].split()[1])
    assert server != os.getpid()
    os.kill(server, signal.SIGKILL)
    assert all(gone(pid, 5) for pid in it.source.pids())  # they do not outlive it
    with pytest.warns(WorkerWarning):
        it.check(1)
    assert it.source.restarts >= 2


def test_a_kill_in_every_iteration_is_a_restart_each(case: Any) -> None:
    it = case("kill")
    for iteration in range(20):
        it.arm()
        with pytest.warns(WorkerWarning):
            it.check(iteration % 2)
    assert it.source.restarts == 20


@pytest.mark.parametrize("kind", ["raise", "exit", "raise:make"])
def test_what_fails_always_stops_the_run_and_says_what_it_was(case: Any, kind: str) -> None:
    it = case(kind, workers=1)
    (it.folder / "always").touch()
    with pytest.warns(WorkerWarning), pytest.raises(RunError) as caught:
        it.check()
    line, *trace = str(caught.value).splitlines()
    assert line.startswith(
        "a worker failed 3 times in a row, in iteration 0, shard 0 (tasks 0 to 1, the first of them {"
    )
    if kind == "exit":
        assert line.endswith("]: exit code 7")
        assert not trace
    else:
        assert line.endswith("RuntimeError: the motor is on fire")
        assert any("faulty.py" in text for text in trace)
    assert it.source.pids() == []
    assert it.source.restarts == 2
    (it.folder / "always").unlink()
    it.check()  # and it can be used again


def test_on_worker_failure_raise(case: Any) -> None:
    it = case("exit", tries=1)
    it.arm()
    with pytest.raises(RunError, match=r"a worker failed once, .*exit code 7"):
        it.check()


def test_a_nan_from_the_environment_is_not_tried_again(case: Any) -> None:
    it = case("nan")
    (it.folder / "always").touch()
    with pytest.raises(NonFiniteError, match=r"^10 of 10 episodes were of no use, the first: non-finite .*navigation"):
        it.check()
    assert it.source.restarts == 0


def test_a_nan_in_the_parameters_blames_the_policy(case: Any) -> None:
    it = case("none")
    with pytest.raises(NonFiniteError, match="the policy produced it"):
        it.source.sample(Weights({name: p * np.nan for name, p in it.weights.params.items()}), 0)


def test_nothing_is_left_behind(case: Any) -> None:
    """Processes and file descriptors; memory has no name that could stay behind."""
    it = case("kill")
    it.check()  # the fork server stays for the next source
    it.source.close()
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        source = Processes(Faulty("kill", it.folder), it.learner, PLAN, 2)
        it.arm()
        with pytest.warns(WorkerWarning):
            source.sample(it.weights, 0)
        pids = source.pids()
        source.close()
        source.close()
        assert all(gone(pid, 5) for pid in pids)
    gc.collect()
    assert abs(len(os.listdir("/proc/self/fd")) - before) <= 2
    assert not [name for name in os.listdir("/dev/shm") if "meta-rl" in name or name.startswith("psm_")]


LEARNER = """
import sys
from pathlib import Path
from meta_rl.sources.processes import Processes
from tests.meta_rl.sources.faulty import Faulty
from tests.meta_rl.sources.test_processes import PLAN, learner_of

if __name__ == "__main__":
    distribution = Faulty("hang", Path(sys.argv[1]))
    learner, weights = learner_of("rl2", distribution)
    source = Processes(distribution, learner, PLAN, 2)
    source.sample(weights, 0)
    print(*source.pids(), flush=True)
    (Path(sys.argv[1]) / "always").touch()
    source.sample(weights, 1)
"""


def test_workers_die_with_the_learner_even_in_the_middle_of_a_step(tmp_path: Path) -> None:
    script = tmp_path / "learner.py"
    script.write_text(LEARNER)
    root = Path(__file__).parents[3]
    command = [sys.executable, str(script), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root) as learner:
        assert learner.stdout is not None
        pids = [int(pid) for pid in learner.stdout.readline().split()]
        assert len(pids) == 2
        time.sleep(0.3)
        assert not any(gone(pid, 0.05) for pid in pids)
        learner.kill()
        assert all(gone(pid, 5) for pid in pids)


def test_what_cannot_be_sent_is_refused_in_one_line() -> None:
    distribution = envs.make("navigation")
    learner, _ = learner_of("maml-trpo", distribution)
    distribution.lock = threading.Lock()  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"^--workers: navigation cannot be sent to other processes .*; valid: 0$"):
        Processes(distribution, learner, PLAN, 1)


def test_cores_are_shared_out() -> None:
    cores = os.sched_getaffinity(0)
    assert core_shares(1) == [sorted(cores)]
    assert [len(share) for share in core_shares(3, each=1)] == [1, 1, 1]
    assert core_shares(1, each=len(cores) + 1) == [sorted(cores)]
    shares = core_shares(2 * len(cores))
    assert all(len(share) == 1 for share in shares)
    assert {core for share in shares for core in share} == cores


def test_exits_are_told_in_words() -> None:
    assert exit_in_words(7) == "exit code 7"
    assert exit_in_words(-15) == "killed by signal 15 (SIGTERM)"
