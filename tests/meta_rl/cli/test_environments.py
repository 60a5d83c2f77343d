"""``meta-rl envs`` and ``meta-rl envs check``."""

from __future__ import annotations

from pathlib import Path

import pytest

import envs
from envs import registry
from meta_rl.cli import main

MODULE = """
import gymnasium
import numpy as np
import envs
from envs.vector import GymDistribution
from envs.navigation import Navigation

good = Navigation(horizon=20)

class Good(Navigation):
    def __init__(self):
        super().__init__(horizon=20)

class Broken(Good):
    def sample(self, rng, count):
        return super().sample(np.random.default_rng(), count)

class Raising(Good):
    def make(self, num_tasks, envs_per_task):
        raise ZeroDivisionError("by nothing")

class Spring(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-10, 10, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))
    def set_task(self, vector):
        self.goal = vector[0]
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.random(2, np.float32), {}
    def step(self, action):
        return self.np_random.random(2, np.float32), float(self.goal), False, False, {"success": False}

class Lost(Spring):
    def set_task(self, vector):
        self.goal = vector["goal"]

class OldStep(Spring):
    def step(self, action):
        return *super().step(action)[:3], {}

class Matrix(Spring):
    action_space = gymnasium.spaces.Box(-1, 1, (2, 3))

class IsSuccess(Spring):
    def step(self, action):
        return *super().step(action)[:4], {"is_success": False}

def tasks(cls):
    return lambda: GymDistribution("mine", cls, lambda rng: rng.random(1), 5)

spring, lost, old_step, matrix, is_success = map(tasks, (Spring, Lost, OldStep, Matrix, IsSuccess))

def explode():
    raise KeyError("no")

number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user's module in the working directory; its name is new for each test, as modules are cached."""
    name = f"mine_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "TABLE", dict(registry.TABLE))
    return name


def test_the_list_names_spaces_horizon_and_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envs"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "observation", "action", "horizon", "tasks", "train/test"]
    assert [line.split()[0] for line in lines] == envs.list_names()
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert rows["cheetah-vel@pearl"].split() == ["17", "6", "in", "[-1,", "1]", "200", "100/30"]
    assert rows["cheetah-vel@promp"].split()[-1] == "continuum/continuum"
    assert rows["metaworld/ml10"].split()[-1] == "500/250"
    assert rows["classic/cartpole"].split()[1:3] == ["2", "choices"]


def test_parts_of_names_may_have_capitals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envs", "METAWORLD", "Ml10"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("metaworld/ml10 ")


def test_speed_is_measured_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envs", "bandit/k5-n10", "--speed"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.endswith("env-steps/s")
    assert all(int(line.split()[-1].replace(",", "")) > 0 for line in lines)


def test_check_passes_listed_and_own_distributions(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("bandit/k5-n10", f"{module}:good", f"{module}:Good", f"{module}:spring"):
        assert main(["envs", "check", name]) == 0
        assert capsys.readouterr().out == f"{name}: keeps the contract\n"
    assert main(["envs", "check", "tabular", "--split", "test"]) == 0


@pytest.mark.parametrize(
    ("what", "code", "message"),
    [
        ("Broken", 1, "sample gave other tasks for the same rng: it must draw from nothing but rng"),
        ("Raising", 1, "raised ZeroDivisionError in make ("),
        ("lost", 1, ", set_task(array of 1): IndexError: only integers"),
        ("lost", 1, ".py:35)"),  # its own line, not that of the caller
        ("old_step", 1, "step 0: returned 4 values; gymnasium's step returns 5: observation, reward, "),
        ("matrix", 2, "mine: action_space must be flat, (n,), got a Box of shape (2, 3)"),
        ("is_success", 1, "keys seen: 'is_success'"),
        ("explode", 2, "raised KeyError: 'no'"),
        ("god", 2, "has no 'god'; closest: good"),
        ("number", 2, "is a int; valid: an envs.TaskDistribution"),
    ],
)
def test_check_says_in_one_line_what_is_wrong(
    what: str, code: int, message: str, module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["envs", "check", f"{module}:{what}"]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check"], "name one task distribution"),
        (["check", "a", "b"], "name one task distribution"),
        (["check", "navigatoin"], "closest: navigation"),
        (["check", "navigation", "--seed"], "unknown option '--seed'; closest: --split"),
        (["check", "no_such_module:x"], "cannot import 'no_such_module': ModuleNotFoundError"),
        (["check", "navigation", "--split", "dev"], "unknown split 'dev'"),
        (["nothing-like-it"], "no task distribution contains nothing-like-it"),
        (["--fast"], "unknown option '--fast'; closest: --speed"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envs", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
