"""Workers on a Ray cluster of two machines (both this one): the same bits, whatever is killed or taken away."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import envs
from meta_rl.core.types import map_tensors
from meta_rl.errors import ConfigError, RunError
from meta_rl.runs.log import read_rows
from meta_rl.sources.base import Plan
from meta_rl.sources.in_process import InProcess
from meta_rl.sources.supervisor import WorkerWarning
from tests.meta_rl.sources.faulty import Faulty
from tests.meta_rl.sources.test_processes import PLAN, Training, assert_same, learner_of
from tests.meta_rl.training.test_faults import command, undisturbed, wait_for_row
from tests.meta_rl.training.test_train import assert_same_run

ray = pytest.importorskip("ray", reason="needs the extra ray: make test-ray")

from ray.cluster_utils import Cluster  # noqa: E402

from meta_rl.sources.ray import Ray, as_array, from_arrays  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two machines of two cores each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    made.add_node(num_cpus=2)
    ray.init(made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


def worker_pids() -> list[int]:
    """Processes of workers, on all machines of the cluster."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cmdline").read_bytes().startswith(b"ray::RayWorker"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def no_workers(within: float) -> bool:
    until = time.monotonic() + within
    while worker_pids():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize("recipe", ["maml-trpo", "reptile", "rl2", "rma"])
def test_one_two_and_four_actors_train_to_the_same_bits_as_one_process(cluster: Any, recipe: str) -> None:
    training = Training(recipe, normalised=recipe != "reptile")
    for workers in (1, 2, 4):
        training.check(Ray(training.distribution, training.learner, training.plan, workers, cluster.address))
        assert ray.is_initialized()  # the connection was there before


def test_arrays_for_the_way_and_tensors_again_are_the_same_shard() -> None:
    """What was left out and what was measured too."""
    distribution = envs.make("navigation", horizon=10)
    learner, weights = learner_of("maml-trpo", distribution, normalised=True)
    shard = InProcess(distribution, learner, PLAN).sample(weights, 0)._replace(discarded=("a NaN", "another"))
    there = map_tensors(as_array, shard)
    assert not any(isinstance(leaf, torch.Tensor) for leaf in torch.utils._pytree.tree_leaves(there))
    assert len(shard.measured) == PLAN.meta_batch_size
    assert_same(from_arrays(there), shard)


def test_the_native_engine_in_actors_gives_the_same(cluster: Any) -> None:
    distribution, plan = envs.make("metaworld/ml1-reach-v3", horizon=20), Plan(2, 1, 0, 2)
    learner, weights = learner_of("rl2", distribution)
    source = Ray(distribution, learner, plan, 2, cluster.address)
    assert_same(source.sample(weights, 0), InProcess(distribution, learner, plan).sample(weights, 0))
    source.close()


class Case:
    """A source whose environments go wrong as `kind` says, and what it should give."""

    def __init__(self, cluster: Any, folder: Path, kind: str, **options: Any) -> None:
        healthy = Faulty("none", folder / "nowhere")
        self.learner, self.weights = learner_of("rl2", healthy)
        self.expected = [InProcess(healthy, self.learner, PLAN).sample(self.weights, i) for i in range(3)]
        self.source = Ray(Faulty(kind, folder), self.learner, PLAN, 2, cluster.address, **options)

    def check(self, iteration: int = 0) -> None:
        assert_same(self.source.sample(self.weights, iteration), self.expected[iteration])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("kill", r"ActorDiedError|ActorUnavailableError|WorkerCrashedError"),
        ("raise", "RuntimeError: the motor is on fire"),
        ("hang", "no progress for 15 s"),
    ],
)
def test_a_lost_actor_changes_nothing(cluster: Any, tmp_path: Path, kind: str, said: str) -> None:
    case = Case(cluster, tmp_path, kind, timeout=15.0 if kind == "hang" else 120.0)
    case.check(0)
    (tmp_path / "armed-0").touch()
    with pytest.warns(WorkerWarning, match=said):
        case.check(1)
    assert case.source.restarts == 1
    case.source.close()


def test_actors_that_always_fail_stop_the_run(cluster: Any, tmp_path: Path) -> None:
    case = Case(cluster, tmp_path, "raise")
    (tmp_path / "always").touch()
    with (
        pytest.warns(WorkerWarning),
        pytest.raises(RunError, match="3 times in a row, in iteration 0") as caught,
    ):
        case.check()
    assert "faulty.py" in str(caught.value)
    assert no_workers(30)


def test_a_machine_that_is_taken_away_changes_nothing(cluster: Any, tmp_path: Path) -> None:
    """It ends as the run without workers does; then the learner is killed, and no worker outlives it."""
    whole, run = undisturbed(tmp_path / "whole", 8), tmp_path / "run"
    options = ("--ray-address", cluster.address)
    taken = cluster.add_node(num_cpus=4)  # 4 workers are spread over all machines
    with command(run, workers=3, options=options) as process:
        wait_for_row(run, process, 3)
        assert process.poll() is None
        cluster.remove_node(taken, allow_graceful=False)
        _, complaints = process.communicate()
    assert process.returncode == 0, complaints
    assert "a worker failed" in complaints
    assert_same_run(whole, run)
    with command(tmp_path / "killed", 10_000, workers=2, options=options) as process:
        wait_for_row(tmp_path / "killed", process, 1)
        assert len(worker_pids()) == 2
        process.send_signal(signal.SIGKILL)
    assert no_workers(60)


def test_a_run_waits_for_a_machine_that_is_added(cluster: Any, tmp_path: Path) -> None:
    """Its worker needs three cores, which only the machine that is taken away has, and then the one that is added."""
    whole, run = undisturbed(tmp_path / "whole", 8), tmp_path / "run"
    options = ("--ray-address", cluster.address, "--worker-cores", "3")
    taken = cluster.add_node(num_cpus=3)
    with command(run, workers=1, options=options) as process:
        wait_for_row(run, process, 3)
        cluster.remove_node(taken, allow_graceful=False)
        lost = len(read_rows(run / "metrics.jsonl"))
        time.sleep(3)
        assert process.poll() is None
        assert len(read_rows(run / "metrics.jsonl")) <= lost + 1 < 8  # nowhere to go on
        added = cluster.add_node(num_cpus=3)
        _, complaints = process.communicate(timeout=60)
    cluster.remove_node(added)
    assert process.returncode == 0, complaints
    assert "a worker failed" in complaints
    assert_same_run(whole, run)


def test_a_cluster_that_is_too_small_is_refused(cluster: Any) -> None:
    distribution = envs.make("navigation")
    learner, _ = learner_of("rl2", distribution)
    with pytest.raises(ConfigError, match=r"^--workers: 3 workers of 2 cores each .* the 4 cores .*; closest: 2$"):
        Ray(distribution, learner, PLAN, 3, cluster.address, cores=2)


@pytest.mark.parametrize(
    ("address", "said"), [("127.0.0.1:1", "Connection refused"), ("here", "HOST:PORT, auto or local")]
)
def test_no_cluster_is_one_line(tmp_path: Path, address: str, said: str) -> None:
    with command(tmp_path / "run", options=("--ray-address", address)) as process:
        _, complaints = process.communicate(timeout=60)
    assert process.returncode == 2
    assert complaints.count("\n") == 1
    assert f"--ray-address: no Ray cluster at {address} (" in complaints
    assert said in complaints
    assert not (tmp_path / "run").exists()
