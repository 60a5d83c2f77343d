"""Annealing lasts as long as the run, unless told otherwise; what goes on keeps the length that it began with."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_rl.algorithms.base import make_learner
from meta_rl.cli import main
from meta_rl.cli.commands import parse_train
from meta_rl.config import TrainConfig, annealing_note, default_config, load_config, replace_paths, settled, to_dict
from meta_rl.errors import ConfigError
from meta_rl.maths.schedules import linear
from meta_rl.runs.checkpoint import load_checkpoint
from meta_rl.runs.folder import holds_run
from meta_rl.runs.problem import open_problem
from meta_rl.training.train import train
from tests.meta_rl.conftest import TINY, TINY_OPTIONS
from tests.meta_rl.training.test_train import quiet

SMALL = {"meta_batch_size": 2, "network.hidden": (4,), "checkpoint_every": 1, "keep_checkpoints": 0, "device": "cpu"}


def reptile(folder: Path, iterations: int, **changes: Any) -> TrainConfig:
    """Step size 0.3, annealed to 0."""
    config = replace_paths(default_config("reptile-supervised", "sinusoid-10shot"), SMALL)
    return replace_paths(config, {"iterations": iterations, "run_dir": str(folder), **changes})


def distances(run: Path) -> list[float]:
    """How far the parameters moved in each iteration."""
    states = [load_checkpoint(path).params for path in sorted((run / "checkpoints").iterdir())]
    return [sum(float((b[n] - a[n]).norm()) for n in a) for a, b in pairwise(states)]


def recorded(run: Path) -> Any:
    return load_config(run / "config.json").algorithm


def test_a_run_learns_until_its_end(tmp_path: Path) -> None:
    """The published run has another length, and is no reason to stop half way."""
    run = train(reptile(tmp_path / "run", 6), quiet)
    assert recorded(run).meta_lr_iterations == 6
    assert all(distance > 0 for distance in distances(run))
    told = train(reptile(tmp_path / "told", 6, **{"algorithm.meta_lr_iterations": 3}), quiet)
    moved = distances(told)
    assert len(moved) == 5
    assert [distance > 0 for distance in moved] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("recipe", "env", "changes", "length"),
    [
        ("reptile-supervised", "omniglot-5way-1shot", {"iterations": 20000}, 20000),
        ("reptile-supervised", "sinusoid-10shot", {}, 20000),
        ("rl2", "bandit/k5-n10", {"iterations": 900}, 900),
        ("rl2", "bandit/k5-n100", {}, 1000),
        ("rl2-gru", "tabular", {"iterations": 600}, 600),
        ("reptile", "navigation", {"algorithm.final_meta_lr": 0.5}, 100),
        ("maml-ppo", "navigation", {"algorithm.final_meta_lr": 0.1}, 100),
        ("maml-ppo", "navigation", {}, None),
        ("rl2", "navigation", {"algorithm.final_learning_rate": 0.1}, 200),
        ("rl2", "navigation", {"algorithm.final_learning_rate": 0.1, "algorithm.learning_rate_iterations": 7}, 7),
        ("rl2", "bandit/k5-n10", {"algorithm.learning_rate_iterations": 0}, 0),
        ("rl2", "navigation", {}, None),
        ("reptile", "navigation", {}, None),
        ("rl2", "bandit/k5-n10", {"iterations": 0}, None),
    ],
)
def test_how_long(recipe: str, env: str, changes: dict[str, Any], length: int | None) -> None:
    algorithm = settled(replace_paths(default_config(recipe, env), changes)).algorithm
    assert algorithm.annealing is not None
    assert getattr(algorithm, algorithm.annealing.length) == length


def test_the_learner_has_it_too() -> None:
    """Half way of 900 iterations: of rate and entropy bonus (1 + 0.1) / 2."""
    config = replace_paths(default_config("rl2", "bandit/k5-n10"), {"iterations": 900, "network.hidden": (4,)})
    learner: Any = make_learner(config, open_problem(config).interface)
    assert learner.learning_rate(450) == pytest.approx(3e-3 * 0.55)
    assert learner.entropy_coef(450) == pytest.approx(1e-2 * 0.55)
    assert learner.learning_rate(900) == pytest.approx(3e-4)


@pytest.mark.parametrize(
    ("changes", "length"),
    [
        ({"iterations": 900}, 450),  # half of them are the teacher's
        ({"iterations": 900, "algorithm.teacher_iterations": 600}, 600),
        ({"iterations": 900, "algorithm.learning_rate_iterations": 200}, 200),
    ],
)
def test_what_is_annealed_is_at_its_end_when_the_teacher_has_learned(changes: dict[str, Any], length: int) -> None:
    """Of rate and entropy bonus a tenth is left at the end of the annealing, (1 + 0.1) / 2 half way."""
    config = replace_paths(default_config("rma", "bandit/k5-n10"), {"network.hidden": (4,), **changes})
    config = replace_paths(config, {"algorithm.final_gae_bias": 0.0})
    learner: Any = make_learner(config, open_problem(config).interface)
    assert learner.ppo.learning_rate(length // 2) == pytest.approx(3e-3 * 0.55)
    assert learner.ppo.learning_rate(length) == learner.ppo.learning_rate(length + 1) == pytest.approx(3e-4)
    assert learner.ppo.entropy_coef(length) == pytest.approx(1e-3)
    assert learner.ppo.gae_lambda(length) == pytest.approx(1.0)
    assert config.algorithm.gae_lambda == 0.3  # type: ignore[attr-defined]


@given(st.floats(1e-9, 1e3), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_factor_of_one_changes_no_bit(start: float, iteration: int, length: int) -> None:
    assert linear(start, 1.0, iteration, length) == linear(start, 0.3, iteration, None) == start


def test_a_run_that_goes_on_keeps_the_length_it_began_with_and_says_so(tmp_path: Path) -> None:
    folder, said = tmp_path / "run", []
    train(reptile(folder, 2), said.append)
    assert not any("annealing" in line for line in said)
    train(reptile(folder, 4), said.append)
    assert recorded(folder).meta_lr_iterations == 2
    (line,) = [line for line in said if "annealing" in line]
    ends = "from iteration 2 on all is as at its end (--final-meta-lr 0)"
    assert line == f"annealing takes 2 iterations (--meta-lr-iterations), this run 4: {ends}"
    assert distances(folder)[-1] == 0
    with pytest.raises(ConfigError, match=r"algorithm\.meta_lr_iterations: 2 -> 4"):
        holds_run(reptile(folder, 4, **{"algorithm.meta_lr_iterations": 4}))


def test_a_run_of_an_earlier_version_keeps_its_number(tmp_path: Path) -> None:
    """It recorded a length where annealing had none, and the length of the published run."""
    folder = tmp_path / "run"
    train(reptile(folder, 2, **{"algorithm.meta_lr_iterations": 20000}), quiet)
    assert holds_run(reptile(folder, 4))
    train(reptile(folder, 4), quiet)
    assert recorded(folder).meta_lr_iterations == 20000
    plain = replace_paths(
        default_config("reptile", "navigation"), {**TINY, "iterations": 0, "run_dir": str(tmp_path / "p")}
    )
    train(replace_paths(plain, {"algorithm.meta_lr_iterations": 0}), quiet)
    assert holds_run(replace_paths(plain, {"iterations": 3}))


def test_a_run_without_iterations_begins_later(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(reptile(folder, 0), quiet)
    train(reptile(folder, 3), quiet)
    assert recorded(folder).meta_lr_iterations == 3
    assert all(distance > 0 for distance in distances(folder))


def test_a_shorter_run_than_its_annealing_says_so() -> None:
    config = parse_train(["rl2", "--env", "bandit/k5-n10", "--iterations", "9", "--learning-rate-iterations", "30"])
    assert (
        annealing_note(config) == "annealing takes 30 iterations (--learning-rate-iterations), of which this run has 9"
    )
    for changes in ({"algorithm.learning_rate_iterations": 9}, {"algorithm.learning_rate_iterations": None}):
        assert annealing_note(settled(replace_paths(config, changes))) == ""


def test_fewer_iterations_than_are_done_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the run is as it was: its config, its checkpoints."""
    run = tmp_path / "run"
    command = [*TINY_OPTIONS, "--run-dir", str(run), "--iterations"]
    assert main([*command, "3"]) == 0
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for fewer in ("2", "0"):
        capsys.readouterr()
        assert main([*command, fewer]) == 2
        (said,) = capsys.readouterr().err.splitlines()
        valid = "valid: 3 or more, or another --run-dir"
        assert said == f"meta-rl train: --iterations: {run} has 3 iterations already, got {fewer}; {valid}"
    config = load_config(run / "config.json")
    with pytest.raises(ConfigError, match="has 3 iterations already, got 1"):
        train(replace_paths(config, {"iterations": 1}), quiet)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main([*command, "3"]) == 0
    assert json.loads((run / "config.json").read_text()) == to_dict(config)
