"""Two processes that share a meta-update end where one ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.cli import main
from meta_rl.config import TrainConfig, default_config, replace_paths
from meta_rl.core import parallel
from meta_rl.core.state import GROUPS, TrainState
from meta_rl.core.types import map_tensors
from meta_rl.core.weights import joined
from meta_rl.errors import RunError
from meta_rl.sources.base import Plan
from meta_rl.sources.in_process import InProcess
from meta_rl.training.data_parallel import Shared, split
from meta_rl.training.train import train
from tests.meta_rl.conftest import TINY_OPTIONS
from tests.meta_rl.sources.test_processes import gone
from tests.meta_rl.training.test_train import assert_same_run, quiet

NORMALISED = {"network.normalise_observations": True}
CASES = {
    "maml-trpo": {"algorithm.cg_iters": 4, **NORMALISED},
    "maml-ppo": {"algorithm.epochs": 2},
    "maml-ppo minibatches": {"algorithm.epochs": 2, "algorithm.minibatches": 4},  # a task each
    "multitask-ppo minibatches": {"algorithm.epochs": 2, "algorithm.minibatches": 4},
    "maml-vpg": {},
    "promp": {"algorithm.epochs": 2, "algorithm.minibatches": 2},
    "rl2": {"algorithm.epochs": 2, "algorithm.minibatches": 2, "algorithm.chunk": 20, **NORMALISED},
    "rl2 trials alone, returns compressed": {
        "algorithm.epochs": 2,
        "algorithm.minibatches": 2,
        "algorithm.normalise_advantages": "trial",
        "algorithm.compress_returns": True,
    },
    "rl2-gru": {  # a trial each: all but one process have none
        "algorithm.epochs": 2,
        "algorithm.minibatches": 4,
    },
    "rl2 attention": {
        "algorithm.epochs": 2,
        "algorithm.minibatches": 2,
        "algorithm.chunk": 20,
        "network.cell": "transformer",
        "network.attention_window": 30,
    },
    "varibad": {
        "algorithm.epochs": 2,
        "algorithm.minibatches": 2,
        "algorithm.belief_epochs": 2,
        "algorithm.belief_minibatches": 2,
        "algorithm.decode_states": True,
        "algorithm.chunk": 20,
        **NORMALISED,
    },
    "dagger": {"algorithm.epochs": 2, "algorithm.minibatches": 2, "algorithm.chunk": 20, **NORMALISED},
    "rma": {"algorithm.epochs": 2, "algorithm.minibatches": 2, **NORMALISED},
    "rma student": {
        "algorithm.teacher_iterations": 0,
        "algorithm.epochs": 2,
        "algorithm.minibatches": 2,
        "algorithm.chunk": 20,
    },
    "metasgd-trpo": {"algorithm.cg_iters": 4},
    "reptile": {
        "algorithm.meta_optimizer": "adam",
        "algorithm.meta_lr": 1e-3,
        "algorithm.inner_loss": "ppo",
        "algorithm.inner_optimizer": "adam",
        "algorithm.inner_lr": 1e-2,
        "algorithm.inner_epochs": 2,
        "algorithm.inner_minibatches": 2,
        **NORMALISED,
    },
}


def updated(recipe: str, changes: dict[str, Any], size: int) -> tuple[TrainState, dict[str, Any], dict[str, float]]:
    """The state after one meta-update in `size` processes, its parameters as far as they moved, and metrics. In float64
    and with few conjugate gradients, because on so few states each of those makes ten times more of what rounding
    did."""
    config = replace_paths(default_config(recipe, "navigation"), {"network.hidden": (16,), **changes})
    distribution = envs.make("navigation", horizon=20)
    learner = make_learner(config, distribution)
    state, told_for = learner.init(), learner.config.told_for  # type: ignore[attr-defined]
    batch = InProcess(distribution, learner, Plan(4, 3, seed=0, told_for=told_for)).sample(state.weights, 0).batch
    state.params, state.shared, batch = map_tensors(torch.Tensor.double, (state.params, state.shared, batch))
    start = {name: p.clone() for name, p in joined(state.params, state.shared).items()}
    if size == 1:
        metrics = learner.meta_update(state, batch)
    else:
        with closing(Shared(learner, size, torch.device("cpu"))) as shared:
            metrics = shared.meta_update(state, batch)
    return state, {name: p - start[name] for name, p in joined(state.params, state.shared).items()}, metrics


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one(case: str) -> None:
    one, two = (updated(case.split()[0], CASES[case], size) for size in (1, 2))
    assert max(float(p.abs().max()) for p in one[1].values()) > 1e-4  # it did move
    assert one[1].keys() == two[1].keys()
    for name, moved in one[1].items():
        torch.testing.assert_close(two[1][name], moved, rtol=0, atol=1e-6)
    assert one[2].keys() == two[2].keys()
    for name, value in one[2].items():
        assert two[2][name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    for group in GROUPS:
        mine, theirs = getattr(one[0], group), getattr(two[0], group)
        assert [(name, x.dtype, x.shape) for name, x in mine.items()] == [
            (name, x.dtype, x.shape) for name, x in theirs.items()
        ]


def test_each_number_keeps_its_type() -> None:
    """Float32 and float64 in one exchange, as Reptile with Adam has them."""
    config = replace_paths(default_config("reptile", "navigation"), {"algorithm.inner_optimizer": "adam"})
    distribution = envs.make("navigation", horizon=20)
    learner = make_learner(config, distribution)
    state = learner.init()
    batch = InProcess(distribution, learner, Plan(4, 3, seed=0)).sample(state.weights, 0).batch
    before = {name: p.dtype for name, p in joined(state.params, state.shared).items()}
    assert set(before.values()) == {torch.float32, torch.float64}
    with closing(Shared(learner, 2, torch.device("cpu"))) as shared:
        shared.meta_update(state, batch)
    assert {name: p.dtype for name, p in joined(state.params, state.shared).items()} == before


def test_a_part_is_neighbouring_tasks() -> None:
    x = torch.arange(6).reshape(6, 1)
    parts = split((x, (x + 10,)), 3)  # type: ignore[arg-type]
    assert [part[0].flatten().tolist() for part in parts] == [[0, 1], [2, 3], [4, 5]]
    assert parts[2][1][0].flatten().tolist() == [14, 15]


def test_alone_nothing_is_changed() -> None:
    x = torch.ones(3)
    assert parallel.mean(x) is x
    assert parallel.mean_number(0.1) == 0.1


def test_a_run_shares_its_updates_and_goes_on(tiny: Callable[..., TrainConfig]) -> None:
    changes = {"meta_batch_size": 4, "learners": 2, **NORMALISED}
    whole = train(tiny("whole", **changes), quiet)
    train(tiny("parts", iterations=2, **changes), quiet)
    parts = train(tiny("parts", **changes), quiet)
    assert_same_run(whole, parts)


def test_a_lost_process_stops_the_run_and_none_is_left(tiny: Callable[..., TrainConfig]) -> None:
    config = tiny(meta_batch_size=4)
    distribution = envs.make("navigation")
    learner = make_learner(config, distribution)
    batch = InProcess(distribution, learner, Plan(4, 2, seed=0)).sample(learner.init().weights, 0).batch
    with closing(Shared(learner, 2, torch.device("cpu"))) as shared:
        (pid,) = shared.pids
        shared.meta_update(learner.init(), batch)
        os.kill(pid, signal.SIGKILL)
        assert gone(pid, 5)
        with pytest.raises(RunError, match="process 1 of those that share the meta-update is lost"):
            shared.meta_update(learner.init(), batch)
    with closing(Shared(learner, 2, torch.device("cpu"))) as shared:
        (pid,) = shared.pids
    assert gone(pid, 5)
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--learners 2", "--learners: 3 tasks do not divide evenly among 2; closest: 1"),
        ("--learners 0", "--learners: must be at least 1, got 0"),
    ],
)
def test_bad_numbers_are_refused_in_one_line(
    options: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*TINY_OPTIONS, *options.split(), "--run-dir", str(tmp_path / "run")]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert said in line
    assert not (tmp_path / "run").exists()


def test_recipes_that_cannot_share_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "siamese", "--env", "omniglot-5way-1shot", "--learners", "2"]) == 2
    assert "--learners: siamese updates in one process; valid: 1, got 2" in capsys.readouterr().err
