"""What a run chooses of its environment: recorded, kept when it is resumed, used wherever its tasks are made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import envs
from meta_rl.agents.agent import load
from meta_rl.agents.opening import open_distribution
from meta_rl.cli import main
from meta_rl.cli.commands import parse_train
from meta_rl.config import (
    RECIPES,
    EnvOptions,
    TrainConfig,
    changed_fields,
    default_config,
    from_dict,
    load_config,
    make_distribution,
    to_dict,
    validate,
)
from meta_rl.evaluation.recording import training_tasks

CHOSEN = {"goal_visible": True, "reward_version": "v1", "horizon": 6, "goal_seed": 4, "task_visible": True}
OPTIONS = [part for name, value in CHOSEN.items() for part in (f"--{name.replace('_', '-')}", str(value))]
TINY = ["--meta-batch-size", "1", "--episodes-per-task", "2", "--hidden", "4", "--test-tasks", "2"]
TINY += ["--adaptation-episodes", "1", "--adaptation-steps", "1", "--judge-sampled", "False"]
ENV = "metaworld/ml1-reach-v3"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all of them chosen, of one iteration, evaluated."""
    folder = tmp_path_factory.mktemp("chosen") / "run"
    assert main(["train", "--env", ENV, *OPTIONS, *TINY, "--iterations", "1", "--run-dir", str(folder)]) == 0
    return folder


def test_every_option_of_metaworld_is_one_of_a_run() -> None:
    assert set(envs.options(ENV)) == set(CHOSEN) == set(to_dict(EnvOptions()))
    assert envs.options("navigation") == ("task_visible",)


def test_they_are_in_the_config_and_in_what_identifies_the_tasks(run: Path) -> None:
    assert load_config(run / "config.json").env_options == EnvOptions(**CHOSEN)  # type: ignore[arg-type]
    found = json.loads((run / "evaluation.json").read_text())["task_distribution"]
    assert {name: found[name] for name in CHOSEN} == CHOSEN
    assert found["engine"] == "reference"  # which alone has the rewards of v1


def test_they_hold_wherever_the_tasks_of_a_run_are_made_again(run: Path) -> None:
    agent = load(run)
    for split in ("train", "test"):
        drawn = open_distribution(agent, split)
        assert {name: drawn.fingerprint()[name] for name in CHOSEN} == CHOSEN
        assert drawn.tasks() == envs.make(ENV, split, goal_seed=4).tasks()
    assert training_tasks(agent)[0] in (envs.make(ENV, goal_seed=4).tasks() or [])
    before = json.loads((run / "evaluation.json").read_text())
    assert main(["evaluate", str(run)]) == 0
    after = json.loads((run / "evaluation.json").read_text())
    assert {**before, "time": 0} == {**after, "time": 0}


def test_a_resumed_run_keeps_them(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = ["train", "--env", ENV, *TINY, "--iterations", "2", "--run-dir", str(run)]
    for name, other in {
        "goal-visible": "False",
        "reward-version": "v2",
        "horizon": "7",
        "goal-seed": "5",
        "task-visible": "False",
    }.items():
        index = OPTIONS.index(f"--{name}") + 1
        assert main([*again, *OPTIONS[:index], other, *OPTIONS[index + 1 :]]) == 2
        line = capsys.readouterr().err
        assert f"env_options.{name.replace('-', '_')}" in line, line
    assert main([*again, *OPTIONS]) == 0
    rows = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["env_steps"] for row in rows] == [24, 48]  # 2 episodes of 6 steps in 2 stages
    assert json.loads((run / "evaluation.json").read_text())["task_distribution"]["goal_seed"] == 4


def test_runs_from_before_there_were_options_have_the_old_values() -> None:
    values = to_dict(default_config("maml-trpo", ENV))
    del values["env_options"]
    old = from_dict(TrainConfig, values)
    assert old == default_config("maml-trpo", ENV)
    assert changed_fields(old, default_config("maml-trpo", ENV)) == []
    found = make_distribution(old).fingerprint()
    assert found == envs.make(ENV).fingerprint()
    defaults = {"goal_visible": False, "reward_version": "v2", "horizon": 500, "goal_seed": 1}
    assert {name: found[name] for name in defaults} == defaults


@pytest.mark.parametrize("env", ["metaworld/mt10", "metaworld/mt25", "metaworld/mt50", "metaworld/mt1-push-v3"])
@pytest.mark.parametrize("recipe", [name for name, row in RECIPES.items() if row.learns == "rl"])
def test_every_recipe_has_sound_defaults_on_the_multitask_benchmarks(recipe: str, env: str) -> None:
    config = validate(default_config(recipe, env))
    assert config.meta_batch_size % len(envs.families(env)) == 0
    assert (config.evaluate.adaptation_steps == 0) == recipe.startswith("multitask-")
    assert make_distribution(config).fingerprint()["goal_visible"] is True
    assert validate(parse_train([recipe, "--env", env, "--goal-visible", "False"])).env_options.goal_visible is False


@pytest.mark.parametrize("recipe", ["multitask-ppo", "maml-trpo", "rl2"])
def test_a_policy_learns_ten_families_at_once_and_is_judged_by_family(recipe: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--env", "metaworld/mt10", "--horizon", "5", "--goal-seed", "4", *TINY, "--meta-batch-size", "10"]
    options += ["--test-tasks", "10", "--adaptation-steps", str(int(not recipe.startswith("multitask")))]
    assert main(["train", recipe, *options, "--iterations", "1", "--run-dir", str(run)]) == 0
    record = json.loads((run / "evaluation.json").read_text())
    assert record["task_distribution"]["multitask"] is True
    report = (run / "report.md").read_text()
    assert "Test tasks are the training tasks" in report
    table = [line for line in report.splitlines() if line.startswith("| ") and "-v3" in line]
    assert [line.split()[1] for line in table] == list(envs.families("metaworld/mt10"))
    if recipe.startswith("multitask"):
        assert "Without adaptation: success" in report
        assert "nothing is adapted" in report
    assert "Test tasks, which are training tasks too" in (run / "report.html").read_text()
