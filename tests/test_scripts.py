"""What the scripts of learning runs count, and what they make of runs that are there."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from meta_rl.cli import main
from meta_rl.cli.commands import parse_train
from meta_rl.config import TrainConfig, default_config, replace_paths, to_dict
from meta_rl.evaluation.compare import compare, write_comparison
from meta_rl.evaluation.record import read_evaluation, write_record_file
from meta_rl.evaluation.scores import MODE, SAMPLED, Record, Score, Stage
from meta_rl.maths import trust_region
from meta_rl.runs.folder import began_with
from meta_rl.runs.problem import Environments
from tests.meta_rl.conftest import TINY, TINY_OPTIONS
from tests.meta_rl.untrained import untrained
from tests.test_commands import ROOT, script


@pytest.mark.parametrize(
    ("name", "recipe", "iterations"),
    [
        ("push", "maml-trpo", 360),  # (20,000,000 - 2,000,000) / (10 tasks x 5 episodes x 500 steps x 2 stages)
        ("push", "maml-ppo", 180),  # the same, of 10 x 10
        ("push", "multitask-ppo", 80),  # 2,000,000 / (10 x 5 x 500)
        ("push", "reptile", 40),  # (5 - 2) million / (10 x 5 x 500 x 3), begun with multi-task training
        ("push", "rl2", 333),  # 5,000,000 / (10 trials x 3 episodes x 500)
        ("push", "random", 0),
        ("reach", "maml-trpo", 20),
        ("reach", "maml-ppo", 20),
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
        ("navigation-all", "rl2-sac", 200),  # 800,000 / (10 x 4 x 100)
        ("cheetah-dir-varibad", "varibad", 300),  # 3,840,000 / (32 trials x 2 episodes x 200)
        ("cheetah-dir-varibad", "multitask-ppo", 240),  # 3,840,000 / (4 x 20 x 200)
        ("cheetah-vel", "maml-trpo", 160),  # 6,400,000 / (10 x 20 x 100 x 2)
        ("adapt-hopper", "rma", 75),  # 1,500,000 / (50 trials x 2 episodes x 200 steps)
        ("adapt-hopper", "maml-trpo", 37),  # 1,500,000 / (10 x 10 x 200 x 2)
        ("adapt-hopper", "multitask-trpo", 75),  # 1,500,000 / (10 x 10 x 200)
        ("adapt-hopper", "oracle", 75),
        ("adapt-push", "rma", 200),  # 3,000,000 / (10 trials x 3 episodes x 500)
        ("adapt-push", "maml-trpo", 60),  # 3,000,000 / (10 x 5 x 500 x 2)
        ("adapt-push", "oracle", 120),
        ("cheetah-vel-pearl", "pearl", 250),  # 1,000,000 / (5 tasks x 2 episodes x 200 x 2)
    ],
)
def test_budgets_are_env_steps(name: str, recipe: str, iterations: int) -> None:
    assert script("results").EXPERIMENTS[name].iterations(recipe) == iterations


def test_a_part_of_a_budget_is_one_iteration_at_least() -> None:
    push = script("results").EXPERIMENTS["push"]
    assert [push.iterations(r, 0.01) for r in ("maml-trpo", "rl2", "random")] == [3, 3, 0]
    assert push.iterations("maml-trpo", 1e-6) == 1


@pytest.mark.parametrize("name", ["push", "reach", "ml10", "maml-push", "maml-ppo-push"])
def test_ablations_spend_the_same_budget(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ablations = script("ablations")
    jobs = {row: mine for row, (mine,) in ablations.make_jobs(name, 1_350_000, range(1)).items()}
    configs = {row: parse_train([job.recipe, *job.options]) for row, job in jobs.items()}
    usual = {"maml-push": "multitask-trpo", "maml-ppo-push": "multitask-ppo"}.get(name)
    starts = dict.fromkeys(jobs, usual) | {"from-scratch": None, "start-by-trpo": "multitask-trpo"}
    for row, config in configs.items():
        assert config.start_from == (f"runs/results/push/{starts[row]}_s0" if starts[row] else "")
    # 10 tasks x 5 or 10 episodes x 500 steps, twice; 30 or 10 trials x 3 episodes x 500 steps.
    per_iteration = {"maml-push": 50_000, "maml-ppo-push": 100_000, "ml10": 45_000}.get(name, 15_000)
    plain = next(iter(jobs))
    assert jobs[plain].iterations == 1_350_000 // per_iteration
    assert all(job.iterations >= 6 for job in jobs.values())
    assert all(config != configs[plain] for row, config in configs.items() if row != plain)
    if "maml" not in name:
        assert configs["heads-read-memory-only"].network.head_hidden == ()
        assert configs["long-trials"].episodes_per_task == configs["long-trials"].evaluate.adaptation_steps + 1
        assert configs["defaults"].episodes_per_task == configs["defaults"].evaluate.adaptation_steps + 1


def write_run(
    path: Path,
    iteration: int,
    successes: tuple[float, ...] = (0.0,),
    env_steps: int = 0,
    config: TrainConfig | None = None,
    trained: Sequence[tuple[float, ...]] = (),
) -> None:
    """A run that was judged on one task; sampled actions solve it half as often, and the return is 100 successes.

    Args:
        trained: success of each stage in each iteration of training.
    """

    def stage(steps: int, success: float) -> Stage:
        scores = {"success": Score(success, 0, 1), "return": Score(100 * success, 0, 100)}
        sampled = scores | {"success": Score(success / 2, 0, 1)}
        return Stage(steps, {MODE: scores, SAMPLED: sampled}, {MODE: 100 * success, SAMPLED: 100 * success})

    numbers = {"success": np.array([successes])[..., None], "return": 100 * np.array([successes])[..., None]}
    stages = [stage(steps, success) for steps, success in enumerate(successes)]
    about = {
        "protocol": {"adaptation_episodes": 1},
        "versions": {},
        "task_distribution": {},
        "families": ["f"],
        "vectors": [[0.0]],
    }
    values = {MODE: numbers, SAMPLED: numbers}
    record = Record(path.name, iteration, env_steps, "test", tasks=1, stages=stages, values=values, **about)
    write_record_file(record, path / "evaluation.json")
    config = config or default_config("rl2", "navigation")
    (path / "config.json").write_text(json.dumps(to_dict(config)))
    rows = [
        {"iteration": i + 1, "env_steps": 100 * (i + 1), "update/loss": 0.5}
        | {
            f"{name}/stage_{k}": x / 3 if name == "return" else x
            for name in ("return", "success")
            for k, x in enumerate(row)
        }
        for i, row in enumerate(trained)
    ]
    if rows:
        (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_an_ablation_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = script("jobs").Job("rl2", ["--clock-steps", "500"], 20, 0, Path("clock_s0"), "ablations-push")
    # The last tenth: 1.8 and 1.9.
    write_run(job.path, 20, (0.0, 0.5, 1.0), env_steps=900_000, trained=[(0.0, 0.0, i / 10) for i in range(20)])
    assert script("jobs").finished([job]) == [job]
    found = script("ablations").summarise("push", [job])
    assert found["training_success"] == pytest.approx(1.85)
    line = script("ablations").table({"clock": found})[-1]
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


def test_the_table_joins_the_runs_that_spent_their_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = Path("runs/results/reach")
    write_run(runs / "maml-trpo_s0", 20)
    write_run(runs / "rl2_s0", 10)  # of 22
    write_run(runs / "maml-trpo_s7", 20)  # begun with another --first-seed
    write_run(Path("results/runs/reach/maml-trpo_s4"), 20)  # kept by another machine
    (runs / "reptile_s0").mkdir()
    (runs / "reptile_s0/evaluation.json").write_text(json.dumps({"iteration": 27}))  # of an earlier version
    jobs = script("results").make_jobs(script("results").EXPERIMENTS["reach"], "reach", range(1), 1.0)
    assert len(jobs) == 10  # eight rows, one of them by two more seeds
    found = [job.path.name for job in script("jobs").finished(jobs)]
    assert found == ["maml-trpo_s0", "maml-trpo_s4", "maml-trpo_s7"]
    assert "not evaluated yet, or not at the budget: reptile_s0, rl2_s0" in capsys.readouterr().err
    assert all((job.kept / "config.json").exists() for job in jobs if job.path.name in found)


def test_a_kept_run_compares_as_the_run_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says nothing of where things lay."""
    monkeypatch.chdir(tmp_path)
    start = {"recipe": "dagger", "env": "navigation", "iteration": 3}
    runs = []
    for seed, successes in enumerate(((0.0, 0.5), (0.25, 1.0))):
        config = replace_paths(
            default_config("rl2", "navigation"),
            {"seed": seed, "run_dir": str(tmp_path / "somewhere"), "start_from": str(tmp_path / "else")},
        )
        path = Path(f"runs/results/t/rl2_s{seed}")
        write_run(path, 2, successes, 200, config, [(1 / 3, 0.5), (2 / 3, 1.0)])
        (path / "environment.json").write_text(json.dumps({"start": start, "threads": 4}))
        (path / "timing.jsonl").write_text(
            '{"iteration": 1, "time/iteration": 40.0}\n{"iteration": 2, "time/iteration": 50.0}\n'
        )
        job = script("jobs").Job("rl2", [], 2, seed, path, "t")
        job.keep()
        runs.append((path, job.kept))
    expected, found = compare([path for path, _ in runs]), compare([kept for _, kept in runs])
    assert list(found.groups) == list(expected.groups) == ["rl2"]
    mine, theirs = (made.groups["rl2"] for made in (found, expected))
    assert (mine.stages, mine.seeds, mine.train_env_steps) == (theirs.stages, theirs.seeds, theirs.train_env_steps)
    assert mine.training_curves == [[[100, 0.11111, 0.16667, 0.33333, 0.5], [200, 0.22222, 0.33333, 0.66667, 1.0]]] * 2
    assert theirs.training_curves[0][0] == [100, 1 / 9, 1 / 6, 1 / 3, 0.5]
    for _, kept in runs:
        assert began_with(kept) == start
        assert script("kept").minutes_of(kept) == 1.5
        assert not any(str(tmp_path).encode() in path.read_bytes() for path in kept.iterdir())


def test_a_kept_run_is_checked_by_its_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The agent of the run directory, then that of the zoo; and an evaluation that no agent gives."""
    monkeypatch.chdir(tmp_path)
    results = script("results")
    path = Path("runs/results/t/maml-trpo_s0")
    assert main([*TINY_OPTIONS, "--run-dir", str(path)]) == 0
    job = script("jobs").Job("maml-trpo", [], read_evaluation(path).iteration, 0, path, "t")
    assert results.check_rows([job]) == 1  # nothing is kept
    job.keep()
    capsys.readouterr()
    assert results.check_rows([job]) == 0
    first = capsys.readouterr().out
    assert re.fullmatch(r"maml-trpo_s0: success 0, now 0; return (-\S+), now \1: equal, task by task\n", first)
    script("zoo").main([str(path)])
    shutil.rmtree(path)
    capsys.readouterr()
    assert results.check_rows([job]) == 0
    assert capsys.readouterr().out == first
    shutil.rmtree("zoo")
    assert results.check_rows([job]) == 0  # nothing to say it is wrong
    assert "its agent is neither in runs/results/t/maml-trpo_s0 nor in zoo/" in capsys.readouterr().out


def test_an_agent_that_does_less_than_recorded_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("runs/results/t/maml-trpo_s0")
    assert main([*TINY_OPTIONS, "--run-dir", str(path)]) == 0
    record = read_evaluation(path)
    values = {way: {name: x + 100 for name, x in found.items()} for way, found in record.values.items()}
    stages = [
        dataclasses.replace(
            stage,
            scores={way: {n: Score(s.mean + 100, s.low + 100, s.high + 100) for n, s in found.items()}
                    for way, found in stage.scores.items()},
        )
        for stage in record.stages
    ]  # fmt: skip
    write_record_file(dataclasses.replace(record, values=values, stages=stages), path / "evaluation.json")
    job = script("jobs").Job("maml-trpo", [], record.iteration, 0, path, "t")
    job.keep()
    capsys.readouterr()
    assert script("results").check_rows([job]) == 1
    assert capsys.readouterr().out.endswith("NOT what was recorded\n")


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


def test_cosines_of_gradients_are_those_of_all_pairs() -> None:
    rows = torch.randn(5, 30, generator=torch.Generator().manual_seed(0)) + 1
    found, error = script("adaptation").cosines(rows)
    pairs = [float(torch.cosine_similarity(rows[i], rows[j], dim=0)) for i in range(5) for j in range(i)]
    assert found == pytest.approx(np.mean(pairs), abs=1e-6)
    same, none = script("adaptation").cosines(rows[:1].expand(4, -1))
    assert (same, none) == (pytest.approx(1), pytest.approx(0, abs=1e-6))
    noise = torch.randn(40, 3000, generator=torch.Generator().manual_seed(1))
    found, error = script("adaptation").cosines(noise)
    assert abs(found) < 4 * error < 0.01


def test_meta_gradients_are_those_that_training_follows() -> None:
    """The first of them is the gradient of the loss of the next iteration's meta-batch: finite differences along it."""
    agent = untrained("maml-trpo", "navigation", TINY)
    found = script("adaptation").gradients(agent, 2)
    with closing(Environments(agent.config).source()) as source:
        batch = source.sample(agent.weights, agent.iteration).batch

    def loss(step: float) -> float:
        direction = trust_region.unravel(found[0], agent.weights.params)
        along = {name: p + step * direction[name] for name, p in agent.weights.params.items()}
        return sum(float(part(along)[0]) for part in agent.learner.surrogates(along, batch)[0])

    slope = (loss(1e-2) - loss(-1e-2)) / 2e-2  # the policies are float32
    assert slope == pytest.approx(float(found[0].square().sum()), rel=1e-3)


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


def test_two_rows_may_be_of_one_recipe() -> None:
    results = script("results")
    jobs = results.make_jobs(results.EXPERIMENTS["adapt-push"], "adapt-push", range(1), 1.0)
    made = {job.path.name: (job.recipe, parse_train([job.recipe, *job.options])) for job in jobs}
    assert [recipe for recipe, _ in made.values()].count("multitask-trpo") == 2
    plain, oracle = (made[f"{row}_s0"][1] for row in ("multitask-trpo", "oracle"))
    assert (plain.env_options.task_visible, oracle.env_options.task_visible) == (None, True)
    assert replace_paths(oracle, {"env_options.task_visible": None}) == plain
    assert made["untrained_s0"][0] == "rma"


def test_the_share_of_the_gap_is_between_randomisation_and_oracle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Randomisation earns 20 and the oracle 60, both before they adapt. A learner of 30, then 55 closes a quarter, then
    35 of 40."""
    monkeypatch.chdir(tmp_path)
    config = replace_paths(default_config("multitask-ppo", "navigation"), {"iterations": 3})
    rows = {
        "hidden": (config, (0.2, 0.5)),
        "seen": (replace_paths(config, {"env_options.task_visible": True}), (0.6, 0.1)),
        "rl2": (replace_paths(default_config("rl2", "navigation"), {"iterations": 3}), (0.3, 0.55)),
    }
    for name, (made, successes) in rows.items():
        write_run(tmp_path / name, 3, successes)
        (tmp_path / name / "config.json").write_text(json.dumps(to_dict(made)))
    (tmp_path / "results").mkdir()
    compared = compare([tmp_path / name for name in rows])
    write_comparison(compared, tmp_path / "results" / "made", "meta-rl compare")
    table = script("dynamics_table")
    record = table.shares(compared)
    assert (record["score"], record["randomisation"], record["oracle"]) == ("return", 20, 60)
    closed = {label: [share for _, share in stages] for label, stages in record["rows"].items()}
    assert closed["rl2"] == pytest.approx([0.25, 0.875])
    assert closed["multitask-ppo task_visible=None"][0] == 0
    assert closed["multitask-ppo task_visible=True"][0] == 1
    table.main(["made"])
    said = capsys.readouterr().out
    assert "| rl2 | 30.0 (25 % of the gap) | 55.0 (88 % of the gap) |" in said
    assert "| multitask-ppo task_visible=True | 60.0 (100 % of the gap) |  |" in said
    assert (tmp_path / "results" / "made_gap.md").read_text() == said.rstrip("\n") + "\n"
    assert json.loads((tmp_path / "results" / "made_gap.json").read_text())["oracle"] == 60
    write_comparison(compare([tmp_path / "rl2"]), tmp_path / "results" / "alone", "meta-rl compare")
    with pytest.raises(SystemExit):
        table.main(["alone"])
    assert "no recipe stands in it twice" in capsys.readouterr().err


def test_the_map_of_families_has_what_was_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Returns are 100 times the success here, and the expert of push earns 200."""
    monkeypatch.chdir(tmp_path)
    families = script("families")
    jobs = families.make_jobs(2_000_000)
    assert len(jobs) == 100
    assert {job.iterations for job in jobs.values()} == {40, 133}  # of 50,000 and of 15,000 env steps
    write_run(jobs["push-v3", "rl2"].path, 133, (0.25, 0.5), 1_995_000)
    write_run(jobs["push-v3", "maml-trpo"].path, 40, (0.0, 1.0), 2_000_000)
    write_run(jobs["reach-v3", "rl2"].path, 133, (1.0, 0.75), 1_995_000)
    write_run(jobs["door-open-v3", "rl2"].path, 20, (1.0, 1.0), 300_000)  # not at its end
    experts = {family: {"return": 200.0} for family in families.FAMILIES}
    Path("results").mkdir()
    (Path("results") / "experts.json").write_text(json.dumps({"families": experts}))
    with pytest.raises(SystemExit) as stop:
        families.main(["--table"])
    assert stop.value.code == 0
    assert "not at the budget: rl2_door-open-v3_s0" in capsys.readouterr().err
    text = Path("results/families.md").read_text()
    assert "| push-v3 | 0% -> 100% | 50% | 25% -> 50% | 25% |" in text
    assert "| reach-v3 |  |  | 100% -> 75% | 38% |" in text
    assert "door-open" not in text
    assert Path("results/families.png").stat().st_size > 5000
    assert (Path("results/runs/families") / "rl2_reach-v3_s0" / "config.json").exists()
