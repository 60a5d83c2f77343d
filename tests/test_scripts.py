"""What the scripts of learning runs count, and what they make of runs that are there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from meta_rl.cli.commands import parse_train
from meta_rl.config import default_config, replace_paths
from meta_rl.evaluation.record import write_record_file
from meta_rl.evaluation.scores import MODE, SAMPLED, Record, Score, Stage
from tests.meta_rl.conftest import TINY
from tests.meta_rl.untrained import untrained
from tests.test_commands import ROOT, script


@pytest.mark.parametrize(
    ("name", "recipe", "iterations"),
    [
        ("push", "maml-trpo", 360),  # (20,000,000 - 2,000,000) / (10 tasks x 5 episodes x 500 steps x 2 stages)
        ("push", "multitask-ppo", 80),  # 2,000,000 / (10 x 5 x 500)
        ("push", "reptile", 266),  # 20,000,000 / (10 x 5 x 500 x 3)
        ("push", "rl2", 333),  # 5,000,000 / (10 trials x 3 episodes x 500)
        ("push", "random", 0),
        ("reach", "maml-trpo", 20),
        ("reach", "multitask-trpo", 40),  # as much as maml-trpo: 1,000,000
        ("reach", "reptile", 27),  # 2,030,000 / (10 x 5 x 500 x 3)
        ("door-open", "rl2", 133),
        ("pick-place", "rl2", 666),
        ("dagger-push", "dagger", 60),  # 900,000 / (10 trials x 3 episodes x 500)
        ("dagger-push", "rl2", 66),  # (1,900,000 - 900,000) / (10 x 3 x 500)
        ("dagger-door-open", "dagger", 20),
        ("ml10", "maml-trpo", 100),  # 20,000,000 / (20 x 10 x 500 x 2)
        ("ml10", "rl2", 444),  # 20,000,000 / (30 x 3 x 500)
        ("navigation", "multitask-trpo", 160),  # 6,400,000 / (20 x 20 x 100)
        ("navigation-all", "rl2", 200),  # 3,200,000 / (40 x 4 x 100)
        ("cheetah-dir-varibad", "varibad", 300),  # 3,840,000 / (32 trials x 2 episodes x 200)
        ("cheetah-dir-varibad", "multitask-ppo", 240),  # 3,840,000 / (4 x 20 x 200)
        ("cheetah-vel", "maml-trpo", 160),  # 6,400,000 / (10 x 20 x 100 x 2)
    ],
)
def test_budgets_are_env_steps(name: str, recipe: str, iterations: int) -> None:
    assert script("results").EXPERIMENTS[name].iterations(recipe) == iterations


def test_a_part_of_a_budget_is_one_iteration_at_least() -> None:
    push = script("results").EXPERIMENTS["push"]
    assert [push.iterations(r, 0.01) for r in ("maml-trpo", "rl2", "random")] == [3, 3, 0]
    assert push.iterations("maml-trpo", 1e-6) == 1


@pytest.mark.parametrize("name", ["push", "reach", "ml10", "maml-push"])
def test_ablations_spend_the_same_budget(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ablations = script("ablations")
    jobs = {row: mine for row, (mine,) in ablations.make_jobs(name, 1_350_000, range(1)).items()}
    configs = {row: parse_train([job.recipe, *job.options]) for row, job in jobs.items()}
    # 10 tasks x 5 episodes x 500 steps, twice; 30 or 10 trials x 3 episodes x 500 steps.
    per_iteration = {"maml-push": 50_000, "ml10": 45_000}.get(name, 15_000)
    assert jobs["defaults"].iterations == 1_350_000 // per_iteration
    assert all(job.iterations >= 9 for job in jobs.values())
    assert all(config != configs["defaults"] for row, config in configs.items() if row != "defaults")
    if name != "maml-push":
        assert configs["heads-read-memory-only"].network.head_hidden == ()
        assert configs["long-trials"].episodes_per_task == configs["long-trials"].evaluate.adaptation_steps + 1
        assert configs["defaults"].episodes_per_task == configs["defaults"].evaluate.adaptation_steps + 1


def write_run(path: Path, iteration: int, successes: tuple[float, ...] = (0.0,), env_steps: int = 0) -> None:
    """A run that was judged on one task; sampled actions solve it half as often, and the return is 100 successes."""

    def stage(steps: int, success: float) -> Stage:
        scores = {"success": Score(success, 0, 1), "return": Score(100 * success, 0, 100)}
        sampled = scores | {"success": Score(success / 2, 0, 1)}
        return Stage(steps, {MODE: scores, SAMPLED: sampled}, {MODE: 100 * success, SAMPLED: 100 * success})

    numbers = {"success": np.array([successes])[..., None], "return": 100 * np.array([successes])[..., None]}
    stages = [stage(steps, success) for steps, success in enumerate(successes)]
    about = {"protocol": {}, "versions": {}, "task_distribution": {}, "families": ["f"], "vectors": [[0.0]]}
    values = {MODE: numbers, SAMPLED: numbers}
    record = Record(path.name, iteration, env_steps, "test", tasks=1, stages=stages, values=values, **about)
    write_record_file(record, path / "evaluation.json")


def test_an_ablation_is_a_row(tmp_path: Path) -> None:
    job = script("jobs").Job("rl2", ["--clock-steps", "500"], 20, 0, tmp_path / "clock_s0")
    write_run(job.path, 20, (0.0, 0.5, 1.0), env_steps=900_000)
    metrics = [{"success/stage_0": 0.0, "success/stage_2": i / 10} for i in range(20)]  # the last tenth: 1.8 and 1.9
    (job.path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
    found = script("ablations").summarise([job])
    assert found["training_success"] == pytest.approx(1.85)
    line = script("ablations").table("push", {"clock": found})[-1]
    assert line == "| clock | --clock-steps 500 | 1 | 900,000 | 185% | 0% | 100% | 50% | 100 |"


def test_options_are_refused_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    for options, said in (
        (["push", "--only", "mamml"], "--only: unknown row 'mamml'; valid: maml-trpo, reptile, rl2"),
        (["push", "--budget-scale", "0"], "--budget-scale: must be above 0, got 0"),
        (["push", "--seeds", "0"], "--seeds: must be at least 1, got 0"),
        (["push", "--jobs", "0"], "--jobs: must be at least 1, got 0"),
    ):
        with pytest.raises(SystemExit) as stop:
            script("results").main(options)
        assert stop.value.code == 2
        assert said in capsys.readouterr().err


def test_the_table_joins_the_runs_that_spent_their_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "maml-trpo_s0", 20)
    write_run(tmp_path / "rl2_s0", 10)  # of 22
    write_run(tmp_path / "maml-trpo_s7", 20)  # begun with another --first-seed
    (tmp_path / "reptile_s0").mkdir()
    (tmp_path / "reptile_s0/evaluation.json").write_text(json.dumps({"iteration": 27}))  # of an earlier version
    jobs = script("results").make_jobs(script("results").EXPERIMENTS["reach"], tmp_path, 0, 1, 1.0)
    assert len(jobs) == 8
    assert [job.path.name for job in script("jobs").finished(jobs)] == ["maml-trpo_s0", "maml-trpo_s7"]
    assert "not evaluated yet, or not at the budget: reptile_s0, rl2_s0" in capsys.readouterr().err


def test_the_time_to_a_skill_is_that_of_the_first_judgement_that_shows_it() -> None:
    skill = script("benchmark_skill")
    successes = (0.1, 0.5, 0.4, 0.95)
    curve = [{"env_steps": 1000 * i, "seconds": 90.0 * i, "success": x} for i, x in enumerate(successes, 1)]
    assert skill.cell(curve, 0.5, 9000) == "2,000 steps, 3.0 min"  # 2 x 90 s
    assert skill.cell(curve, 0.9, 9000) == "4,000 steps, 6.0 min"
    assert skill.cell(curve[:3], 0.9, 3000) == "not within 3,000 (best 50%)"
    record = {"budget": 3000, "curves": {"rl2": {"push": curve[:3]}, "reptile": {}}}
    assert skill.table(record)[2:] == [
        "| rl2 | 2,000 steps, 3.0 min | not within 3,000 (best 50%) |",
        "| reptile |  |  |",
    ]


def test_a_skill_is_followed_and_goes_on_where_it_was(tmp_path: Path) -> None:
    skill = script("benchmark_skill")
    config = replace_paths(default_config("maml-trpo", "navigation"), {**TINY, "run_dir": str(tmp_path / "run")})
    two, five = (replace_paths(config, {"iterations": n}) for n in (2, 5))
    curve = skill.follow(two, 2, 3)
    assert [row["iteration"] for row in curve] == [2]
    curve = skill.follow(five, 2, 3)  # more of the same run
    assert [row["iteration"] for row in curve] == [2, 4, 5]
    assert [row["tasks"] for row in curve] == [3, 3, 3]
    assert curve[0]["seconds"] < curve[1]["seconds"] < curve[2]["seconds"]
    assert skill.follow(five, 2, 3) == curve


def test_a_memory_is_told_from_noise() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((100, 2))
    memory = np.concatenate([numbers[:, :1] * 3 + 1, rng.standard_normal((100, 5))], 1)
    first, second = script("adaptation").told(memory, numbers)
    assert first > 0.95  # it is in there, shifted and scaled
    assert second < 0.3


def test_memories_are_looked_at_while_the_trial_goes_on() -> None:
    """The memory after a step is that which the network made when it acted; looking at it disturbs nothing."""
    agent = untrained("rl2", "navigation", {"network.hidden": (4,), "episodes_per_task": 2})
    numbers, seen, success = script("adaptation").memories(agent)
    assert numbers.shape == (100, 2)  # the goals of as many tasks
    assert len(success) == 2
    assert {time for _, time in seen} == {50, 100}
    assert {episode for episode, _ in seen} == {0, 1}
    assert all(memory.shape == (100, 8) for memory in seen.values())  # hidden and cell state of four units
    moved = (seen[0, 50] != seen[0, 100]).any(1)  # [task]; not where the goal was reached and the episode over
    assert moved.mean() > 0.9


def test_step_sizes_are_tried_on_training_tasks() -> None:
    agent = untrained("multitask-trpo", "navigation", TINY)
    head, *rows = script("adaptation").step_table(agent, [0.0, 0.1], [1.0], 2)
    assert head[0] == "inner lr"
    assert [row[:2] for row in rows] == [["0", "1"], ["0.1", "1"]]
    before, after = rows[0][4].split(" -> ")
    assert before == after  # no step was taken
    assert rows[1][4].split(" -> ")[0] == before


@pytest.mark.parametrize(("rows", "high"), [(14, 4), (3, 1)])
def test_the_curves_of_the_rl2_table_are_a_grid(rows: int, high: int, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    kept = json.loads((ROOT / "results" / "rl2_table.json").read_text())
    script("rl2_table").draw(kept[:rows], tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as picture:
        width, height = picture.size
    assert width == pytest.approx(1100, abs=2)
    assert height == pytest.approx(110 * (2.3 * high + 0.5), abs=2)
