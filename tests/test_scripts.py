"""What the scripts of learning runs count, and what they make of runs that are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_commands import script


@pytest.mark.parametrize(
    ("name", "recipe", "iterations"),
    [
        ("push", "maml-trpo", 400),  # 20,000,000 / (10 tasks x 5 episodes x 500 steps x 2 stages)
        ("push", "multitask-ppo", 200),  # 5,000,000 / (10 x 5 x 500)
        ("push", "reptile", 266),  # 20,000,000 / (10 x 5 x 500 x 3)
        ("push", "rl2", 111),  # 5,000,000 / (30 trials x 3 episodes x 500)
        ("push", "random", 0),
        ("reach", "maml-trpo", 20),
        ("reach", "multitask-trpo", 40),  # as much as maml-trpo: 1,000,000
        ("reach", "reptile", 66),
        ("door-open", "rl2", 44),
        ("pick-place", "rl2", 444),
        ("ml10", "maml-trpo", 100),  # 20,000,000 / (20 x 10 x 500 x 2)
        ("ml10", "rl2", 444),
        ("navigation", "multitask-trpo", 160),  # 6,400,000 / (20 x 20 x 100)
        ("navigation-all", "rl2", 200),  # 3,200,000 / (40 x 4 x 100)
        ("cheetah-vel", "maml-trpo", 160),  # 6,400,000 / (10 x 20 x 100 x 2)
    ],
)
def test_budgets_are_env_steps(name: str, recipe: str, iterations: int) -> None:
    assert script("results").EXPERIMENTS[name].iterations(recipe) == iterations


def test_a_part_of_a_budget_is_one_iteration_at_least() -> None:
    push = script("results").EXPERIMENTS["push"]
    assert [push.iterations(r, 0.01) for r in ("maml-trpo", "rl2", "random")] == [4, 1, 0]
    assert push.iterations("maml-trpo", 1e-6) == 1


def test_options_are_refused_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    for options, said in (
        (["push", "--only", "mamml"], "--only: unknown row 'mamml'; valid: maml-trpo, reptile, rl2"),
        (["push", "--budget-scale", "0"], "--budget-scale: must be above 0, got 0"),
    ):
        with pytest.raises(SystemExit) as stop:
            script("results").main(options)
        assert stop.value.code == 2
        assert said in capsys.readouterr().err


def write_run(path: Path, iteration: int) -> None:
    path.mkdir(parents=True)
    (path / "evaluation.json").write_text(json.dumps({"iteration": iteration}))


def test_the_table_joins_the_runs_that_spent_their_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "maml-trpo_s0", 20)
    write_run(tmp_path / "rl2_s0", 10)  # of 22
    write_run(tmp_path / "maml-trpo_s7", 20)  # begun with another --first-seed
    jobs = script("results").make_jobs(script("results").EXPERIMENTS["reach"], tmp_path, 0, 1, 1.0)
    assert len(jobs) == 8
    assert [job.path.name for job in script("jobs").finished(jobs)] == ["maml-trpo_s0", "maml-trpo_s7"]
    assert "not evaluated yet, or not at the budget: reptile_s0, rl2_s0" in capsys.readouterr().err
