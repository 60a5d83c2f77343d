"""Bad input: exit code 2, one line that names the option and what would be valid, nothing imported, nothing written."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import envs
from meta_rl.cli import main
from meta_rl.cli.commands import COMMANDS, parse_train
from meta_rl.cli.options import option_names
from meta_rl.config import (
    RECIPES,
    EvaluateConfig,
    TrainConfig,
    changed_fields,
    default_config,
    from_dict,
    load_config,
    to_dict,
    validate,
)
from meta_rl.errors import ConfigError
from meta_rl.training.train import train
from tests.meta_rl.conftest import TINY_OPTIONS

# arguments -> what the line must hold: the option, and the closest or the range of valid values
BAD = {
    "tarin": ["command", "closest: train"],
    "train maml-tpro": ["recipe", "closest: maml-trpo"],
    "train reptil": ["recipe", "unknown 'reptil'"],
    "train maml-trpo surplus": ["'surplus'"],
    "train --env navigatoin": ["--env", "closest: navigation"],
    "train --env metaworld/ml11": ["--env", "closest: metaworld/ml10"],
    "train --env metaworld/ml1-raech-v3": ["--env", "closest: metaworld/ml1-reach-v3"],
    "train --env metaworld/ml1-push": ["--env", "closest: metaworld/ml1-push-v3"],
    "train --env metaworld/reach-v3,psuh-v3": ["--env", "'psuh-v3'", "closest: push-v3"],
    "train --env metaworld/reach-v3:reach-v3": ["--env", "share a family"],
    "train --env metaworld/reach-v3,reach-v3": ["--env", "named twice"],
    "train --env=nowhere": ["--env", "closest:"],
    "train --env": ["--env", "needs a value"],
    "train --iner-lr 0.2": ["--iner-lr", "closest: --inner-lr"],
    "train --meta-batchsize 20": ["--meta-batchsize", "closest: --meta-batch-size"],
    "train --iterations": ["--iterations", "Missing value"],
    "train --iterations many": ["--iterations", "'many'"],
    "train --iterations 1.5": ["--iterations", "'1.5'"],
    "train --iterations -1": ["--iterations", "at least 0"],
    "train --seed -3": ["--seed", "at least 0"],
    "train --meta-batch-size 0": ["--meta-batch-size", "at least 1"],
    "train --episodes-per-task 0": ["--episodes-per-task", "at least 1"],
    "train --checkpoint-every 0": ["--checkpoint-every", "at least 1"],
    "train --keep-checkpoints -1": ["--keep-checkpoints", "at least 0"],
    "train --inner-lr -0.1": ["--inner-lr", "above 0"],
    "train --inner-lr nan": ["--inner-lr", "above 0"],
    "train --inner-lr abc": ["--inner-lr", "'abc'"],
    "train --inner-steps -1": ["--inner-steps", "at least 0"],
    "train rl2 --memory-steps 2": ["--memory-steps", "0 or at least 3"],
    "train rl2 --clock-steps -1": ["--clock-steps", "at least 0"],
    "train rl2 --attention-window 0": ["--attention-window", "at least 1"],
    "train rl2 --attention-layers 0": ["--attention-layers", "at least 1"],
    "train dagger --env navigation --cell transformer --attention-heads 5": [
        "--attention-heads",
        "64 units",
        "1, 2, 4",
    ],
    "train rl2 --head-hidden 16 0": ["--head-hidden", "at least 1"],
    "train rl2 --critic-hidden 0": ["--critic-hidden", "at least 1"],
    "train varibad --latent-size 0": ["--latent-size", "at least 1"],
    "train varibad --belief-gradient both": ["--belief-gradient", "'elbo', 'policy'"],
    "train varibad --belief-learning-rate 0": ["--belief-learning-rate", "above 0"],
    "train varibad --belief-epochs 0": ["--belief-epochs", "at least 1"],
    "train varibad --belief-minibatches 0": ["--belief-minibatches", "at least 1"],
    "train varibad --elbo-steps 0": ["--elbo-steps", "at least 1"],
    "train varibad --decoded-steps 0": ["--decoded-steps", "at least 1"],
    "train varibad --kl-weight -0.1": ["--kl-weight", "at least 0"],
    "train varibad --prior next": ["--prior", "'previous', 'unit'"],
    "train varibad --reward-std 0": ["--reward-std", "above 0"],
    "train varibad --state-std -1": ["--state-std", "above 0"],
    "train varibad --decode-states perhaps": ["--decode-states", "'perhaps'"],
    "train varibad --decoder-hidden 64 0": ["--decoder-hidden", "at least one layer of at least 1 unit"],
    "train varibad --decoder-hidden": ["--decoder-hidden", "at least one layer of at least 1 unit"],
    "train varibad --reward-coef 1": ["--reward-coef", "not an option of varibad; of rl2, rl2-gru"],
    "train rl2 --kl-weight 1": ["--kl-weight", "not an option of rl2; of varibad"],
    "train reptile --inner-epochs 0": ["--inner-epochs", "at least 1"],
    "train reptile --inner-minibatches 0": ["--inner-minibatches", "at least 1"],
    "train reptile --inner-optimizer adagrad": ["--inner-optimizer", "'sgd', 'adam'"],
    "train --normalise-observations perhaps": ["--normalise-observations", "'perhaps'"],
    "train maml --env sinusoid-5shot --normalise-observations True": ["--normalise-observations", "few-shot", "False"],
    "train --start-from nowhere": ["--start-from", "nowhere", "not a run directory"],
    "train --start-from .": ["--start-from", "not a run directory"],
    "train --reward-coef 1": ["--reward-coef", "not an option of maml-trpo; of rl2, rl2-gru"],
    "train rl2 --reward-coef -1": ["--reward-coef", "at least 0"],
    "train rl2 --env navigation --reward-coef 1 --act-on-rewards True": ["--act-on-rewards", "discrete"],
    "train rl2 --env bandit/k5-n10 --act-on-rewards True": ["--act-on-rewards", "--reward-coef above 0"],
    "train rl2 --env bandit/k5-n10 --reward-everywhere True": ["--reward-everywhere", "--reward-coef above 0"],
    "train rl2 --env navigation --learn-from-means True": ["--learn-from-means", "navigation", "valid here: False"],
    "train rl2 --env bandit/k5-n10 --success-bonus 1": ["--success-bonus", "bandit/k5-n10", "valid here: 0"],
    "train rl2 --env navigation --success-bonus -1": ["--success-bonus", "at least 0"],
    "train --discount 1.5": ["--discount", "between 0 and 1"],
    "train --gae-lambda -0.5": ["--gae-lambda", "between 0 and 1"],
    "train --backtrack-ratio 2": ["--backtrack-ratio", "between 0 and 1"],
    "train --max-kl 0": ["--max-kl", "above 0"],
    "train --cg-iters 0": ["--cg-iters", "at least 1"],
    "train --curvature-stride 0": ["--curvature-stride", "at least 1"],
    "train --hidden 64 0": ["--hidden", "at least 1"],
    "train --activation gelu": ["--activation", "'tanh', 'relu'"],
    "train --init-std 0": ["--init-std", "above 0"],
    "train --device gpu": ["--device", "'auto', 'cpu', 'cuda'"],
    "train --first-order maybe": ["--first-order", "'maybe'"],
    "train --adaptation-episodes 0": ["--adaptation-episodes", "at least 1"],
    "train --adaptation-steps -1": ["--adaptation-steps", "at least 0"],
    "train --tasks-at-once 0": ["--tasks-at-once", "at least 1"],
    "train maml --env sinusoid-5shot --shown-steps -1": ["--shown-steps", "0 or more"],
    "train --shown-steps 1": ["--shown-steps", "few-shot", "valid: none"],
    "train --stock-goals 51": ["--stock-goals", "50 goals"],
    "train --env navigation --stock-goals 5": ["--stock-goals", "valid: 0"],
    "train --env metaworld/ml10 --meta-batch-size 15": ["--meta-batch-size", "closest: 10 or 20"],
    "train --env metaworld/ml45 --meta-batch-size 20": ["--meta-batch-size", "closest: 45"],
    "train --horizon 0": ["--horizon", "1 to 500"],
    "train --horizon 501": ["--horizon", "1 to 500"],
    "train --horizon long": ["--horizon", "'long'"],
    "train --goal-seed -1": ["--goal-seed", "between 0 and"],
    "train --reward-version v3": ["--reward-version", "'v1'", "'v2'"],
    "train --goal-visible perhaps": ["--goal-visible", "'perhaps'"],
    "train --env navigation --goal-visible True": ["--goal-visible", "navigation has no such option"],
    "train --env bandit/k5-n10 --horizon 5": ["--horizon", "bandit/k5-n10 has no such option"],
    "train maml --env sinusoid-5shot --goal-seed 2": ["--goal-seed", "sinusoid-5shot has no such option"],
    "train --env cheetah-vel@promp --reward-version v1": ["--reward-version", "for Meta-World's tasks"],
    "train --stock-goals 5 --goal-visible True": ["--stock-goals", "hides the goal"],
    "train --stock-goals 5 --task-visible True": ["--stock-goals", "does not show the task"],
    "train --env metaworld/ml10 --task-visible True": ["--task-visible", "3 numbers in", "equally many"],
    "train --env metaworld/reach-v3:door-open-v3 --task-visible True": ["--task-visible", "45 numbers", "42 in tests"],
    "train maml --env sinusoid-5shot --task-visible True": ["--task-visible", "for environments"],
    "envs check metaworld/ml10 --task-visible": ["--task-visible", "equally many"],
    "train --env metaworld/mt10 --stock-goals 5": ["--stock-goals", "ML benchmarks", "valid: 0"],
    "train --env metaworld/mt25 --meta-batch-size 20": ["--meta-batch-size", "closest: 25"],
    "train --env metaworld/mt11": ["--env", "closest: metaworld/mt10"],
    "train --config missing.json": ["--config", "missing.json"],
    "train --config broken.json": ["--config", "not JSON"],
    "train --config unknown.json": ["'sed'", "closest: seed"],
    "train --config wrong.json": ["seed", "a whole number"],
    "train --config list.json": ["--config", "list.json"],
    "train --config bytes.json": ["--config", "bytes.json"],
    "train --config .": ["--config", "directory"],
    "train --config nan.json": ["--inner-lr", "above 0"],
    "train --algorithm.inner-lr 1": ["--algorithm.inner-lr", "closest: --inner-lr"],
    "evaluate": ["RUN"],
    "evaluate nowhere": ["RUN", "nowhere"],
    "train --logger tensorbord": ["--logger", "tensorboard"],
    "export": ["RUN"],
    "export nowhere": ["RUN", "nowhere"],
    "record": ["RUN"],
    "record nowhere": ["RUN", "nowhere"],
    "compare": ["RUN"],
    "compare nowhere": ["RUN", "nowhere"],
}


# arguments -> the name that is meant: commands, recipes, options, environments, choices
CAPITALS = {
    "TRAIN": "train",
    "Envs": "envs",
    "train MAML": "maml",
    "train MAML-TRPO": "maml-trpo",
    "train RL2_GRU": "rl2-gru",
    "train --Iterations 3": "--iterations",
    "train --Inner_LR 3": "--inner-lr",
    "train rl2 --REWARD-COEF 1": "--reward-coef",
    "train --env NAVIGATION": "navigation",
    "train --env Bandit/K5-N10": "bandit/k5-n10",
    "train --env metaworld/ML10": "metaworld/ml10",
    "train --env metaworld/reach-v3,Push-V3": "push-v3",
    "train maml --env OMNIGLOT-5way-1shot": "omniglot-5way-1shot",
    "train maml --env Synthetic-Ratings-10Shot": "synthetic-ratings-10shot",
    "train --device CPU": "cpu",
    "train --logger WandB": "wandb",
    "train --cell GRU": "gru",
    "train --first-order TRUE": "True",
    "train --config capitals.json": "seed",
    "envs check Tabular": "tabular",
    "envs check json:JSONdecoder": "JSONDecoder",
    "--tyro-print-completion Bash": "bash",
}


@pytest.mark.parametrize("arguments", CAPITALS)
def test_the_closest_has_the_same_letters(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "capitals.json").write_text('{"SEED": 3}')
    assert main(arguments.split()) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert re.search(rf"closest: {CAPITALS[arguments]}( \(all: .*\))?\n$", line), line


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text('{"env": ')
    (tmp_path / "unknown.json").write_text('{"sed": 3}')
    (tmp_path / "wrong.json").write_text('{"seed": "3"}')
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "nan.json").write_text('{"algorithm": {"inner_lr": NaN}}')
    return tmp_path


@pytest.mark.parametrize("arguments", BAD)
def test_bad_input_is_one_line(arguments: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.iterdir())
    assert main(arguments.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"meta-rl {arguments.split()[0]}: ")
    for part in BAD[arguments]:
        assert part in said.err
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("option", ["--inner-lr", "--max-kl", "--cg-damping", "--init-std", "--min-std"])
def test_numbers_must_be_finite(option: str) -> None:
    """Through `parse_train`, because an accepted infinity would start to train."""
    with pytest.raises(ConfigError, match=f"^{option}: "):
        parse_train(["--env", "navigation", option, "inf"])


def test_the_last_of_a_repeated_option_counts_for_its_defaults_too() -> None:
    config = parse_train(["--env", "metaworld/ml10", "--env", "navigation"])
    assert config == default_config("maml-trpo", "navigation")


def test_the_recipe_may_stand_after_the_options() -> None:
    expected = default_config("multitask-trpo", "navigation")
    assert parse_train(["multitask-trpo", "--env", "navigation"]) == expected
    assert parse_train(["--env", "navigation", "multitask-trpo"]) == expected


def test_a_bad_option_of_a_sound_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "r").mkdir()
    (folder / "r" / "config.json").write_text(json.dumps(to_dict(default_config("maml-trpo", "navigation"))))
    for options, parts in {
        "--split tset": ["'tset'", "train, test"],
        "--split": ["--split", "needs a value"],
        "--adaptation-step 2": ["--adaptation-step'", "closest: --adaptation-steps"],
        "--test-tasks -2": ["--test-tasks", "at least 0"],
        "--stock-goals 3": ["--stock-goals", "valid: 0"],
        "--iterations 3": ["'--iterations'", "closest: --"],
    }.items():
        assert main(["evaluate", "r", *options.split()]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert all(part in line for part in parts), line
    assert [p.name for p in (folder / "r").iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    "arguments",
    [
        "train --env navigatoin",
        "train --iner-lr 1",
        "train --inner-lr x",
        "train --start-from nowhere",
        "evaluate nowhere",
        "train --help",
    ],
)
def test_refusals_need_neither_torch_nor_metaworld(arguments: str, tmp_path: Path) -> None:
    code = f"""
import sys
from meta_rl.cli import main
try:
    main({arguments.split()!r})
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "tyro" in loaded
    assert not loaded & {"torch", "metaworld", "mujoco", "matplotlib"}


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


def test_cuda_without_a_driver_is_refused_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert main(["train", "--env", "navigation", "--device", "cuda"]) == 2
    assert "--device" in (line := capsys.readouterr().err)
    assert "valid: cpu, auto" in line
    assert not (folder / "runs").exists()


def test_another_config_in_the_same_folder_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY_OPTIONS, "--iterations", "1", "--run-dir", "r"]) == 0
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    capsys.readouterr()
    for change in (["--seed", "1"], ["--inner-lr", "0.3"], ["--hidden", "9"], ["--meta-batch-size", "4"]):
        assert main([*TINY_OPTIONS, "--iterations", "1", "--run-dir", "r", *change]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert "--run-dir: r holds a run with another config" in line
        assert change[0].strip("-").replace("-", "_") in line
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_a_finished_run_is_evaluated_again_only_where_that_says_something_new(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, known = [*TINY_OPTIONS, "--run-dir", "r", "--iterations"], "r was evaluated before"
    assert main([*command, "1"]) == 0
    report = (folder / "r" / "report.md").read_text()
    files = {p: p.read_bytes() for p in (folder / "r").iterdir() if p.is_file()}
    assert known not in capsys.readouterr().out
    assert main([*command, "1"]) == 0
    out = capsys.readouterr().out
    assert known in out
    assert report in out
    assert "evaluating" not in out
    assert {p: p.read_bytes() for p in (folder / "r").iterdir() if p.is_file()} == files
    for other in (["1", "--adaptation-steps", "2"], ["1"], ["2"]):
        assert main([*command, *other]) == 0
        assert known not in capsys.readouterr().out
    assert main(["evaluate", "r", "--split", "train"]) == 0
    assert main([*command, "2"]) == 0
    assert known not in capsys.readouterr().out
    assert json.loads((folder / "r" / "evaluation.json").read_text())["split"] == "test"
    assert main(["evaluate", "r"]) == 0  # no page of that
    assert main([*command, "2"]) == 0
    out = capsys.readouterr().out
    assert known not in out
    assert "report: r/report.html" in out
    (folder / "r" / "report.md").unlink()
    assert main([*command, "2"]) == 0
    assert known not in capsys.readouterr().out
    assert (folder / "r" / "report.md").exists()


def test_train_evaluate_compare(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in ("0", "1"):
        assert main([*TINY_OPTIONS, "--iterations", "1", "--seed", seed, "--run-dir", f"r{seed}"]) == 0
    out = capsys.readouterr().out
    assert "Before adaptation -> after: success" in out
    assert "report: r1/report.html" in out
    assert main(["evaluate", "r0", "--adaptation-steps", "2", "--split", "train"]) == 0
    assert len(json.loads((folder / "r0" / "evaluation.json").read_text())["stages"]) == 3
    assert main(["evaluate", "r0", "--adaptation-steps", "2"]) == 0
    capsys.readouterr()
    assert main(["compare", "r0", "r1"]) == 2
    assert "by different protocols" in capsys.readouterr().err
    assert main(["evaluate", "r0", "--tasks-at-once", "1"]) == 0  # another way to the same numbers
    capsys.readouterr()
    assert main(["compare", "r0", "r1", "--out", "out/both"]) == 0
    assert "| maml-trpo | 2 |" in capsys.readouterr().out
    summary = json.loads((folder / "out" / "both.json").read_text())
    one = [json.loads((folder / f"r{s}" / "evaluation.json").read_text())["stages"][1]["return"] for s in (0, 1)]
    assert summary["groups"]["maml-trpo"]["stages"][1]["return_by_seed"] == pytest.approx(one)
    assert summary["groups"]["maml-trpo"]["stages"][1]["return"] == pytest.approx(sum(one) / 2)
    assert len((folder / "out" / "both.csv").read_text().splitlines()) == 5  # head; two seeds, two stages


def test_learners_that_practise_in_their_own_way_compare(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A gradient step on two episodes, and two episodes remembered one after another."""
    assert main([*TINY_OPTIONS, "--iterations", "1", "--run-dir", "step"]) == 0
    assert main(["evaluate", "step", "--adaptation-episodes", "2", "--adaptation-steps", "1"]) == 0
    assert main([*TINY_OPTIONS, "--iterations", "0", "--run-dir", "remembers"]) == 0
    assert main(["evaluate", "remembers", "--adaptation-episodes", "1", "--adaptation-steps", "2"]) == 0
    capsys.readouterr()
    assert main(["compare", "step", "remembers", "--out", "both"]) == 0
    cells = [row.split(" | ") for row in capsys.readouterr().out.splitlines() if row.startswith("| ")]
    practice = cells[0].index("practice episodes")
    assert [row[practice] for row in cells[2:] if "maml-trpo" in row[0]] == ["0", "2"]
    assert [row[practice] for row in cells[2:] if "untrained" in row[0]] == ["0", "1", "2"]
    groups = json.loads(Path("both.json").read_text())["groups"]
    assert groups["untrained"]["protocol"]["adaptation_steps"] == 2


def forget_sampled(run_dir: Path) -> None:
    """Leave of an evaluation what was written before sampled actions were judged."""
    result = json.loads((run_dir / "evaluation.json").read_text())
    del result["protocol"]["judge_sampled"]
    for part in [*result["stages"], *result["per_task"]]:
        for name in [name for name in part if name.startswith("sampled_")]:
            del part[name]
    (run_dir / "evaluation.json").write_text(json.dumps(result))


def test_sampled_actions_are_compared_where_all_runs_have_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in ("0", "1"):
        assert main([*TINY_OPTIONS, "--iterations", "1", "--seed", seed, "--run-dir", f"r{seed}"]) == 0

    def compared() -> tuple[str, dict[str, float]]:
        capsys.readouterr()
        assert main(["compare", "r0", "r1", "--out", "both"]) == 0
        summary = json.loads((folder / "both.json").read_text())
        return capsys.readouterr().out, summary["groups"]["maml-trpo"]["stages"][1]

    said, both = compared()
    assert "success, sampled actions (95 % interval)" in said
    for name in ("success", "return"):
        runs = [json.loads((folder / f"r{s}" / "evaluation.json").read_text())["stages"][1] for s in (0, 1)]
        assert both[f"sampled_{name}"] == pytest.approx(sum(run[f"sampled_{name}"] for run in runs) / 2)
        assert both[f"sampled_{name}_by_seed"] == pytest.approx([run[f"sampled_{name}"] for run in runs])
    kept = (folder / "r1" / "evaluation.json").read_text()
    # Each of these leaves r1 with the same mode numbers and other sampled ones, or none: an evaluation of before, one
    # without, one by more episodes (navigation is deterministic: its mode has but one).
    forget_sampled(folder / "r1")
    said, mode_alone = compared()
    assert "sampled" not in said
    assert mode_alone == {name: value for name, value in both.items() if not name.startswith("sampled_")}
    assert main(["report", "r1"]) == 0
    assert main(["report", "r0", "r1"]) == 0
    (folder / "r1" / "evaluation.json").write_text(kept)
    for options in (["--judge-sampled", "False"], ["--evaluation-episodes", "4"]):
        assert main(["evaluate", "r1", *options]) == 0
        assert compared()[1] == mode_alone


def test_an_evaluation_of_an_earlier_version_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY_OPTIONS, "--iterations", "0", "--run-dir", "r"]) == 0
    path = folder / "r" / "evaluation.json"
    result = json.loads(path.read_text())
    del result["train_env_steps"]
    path.write_text(json.dumps(result))
    for command in ("compare", "report", "export"):
        capsys.readouterr()
        assert main([command, "r"]) == 2
        said = "RUN: r/evaluation.json is of an earlier version; run: meta-rl evaluate r"
        assert capsys.readouterr().err == f"meta-rl {command}: {said}\n"


def test_what_never_learns_is_not_called_untrained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for recipe in ("maml-trpo", "random"):
        options = [*TINY_OPTIONS[2:], "--iterations", "0", "--run-dir", recipe]
        assert main(["train", recipe, *options]) == 0
    capsys.readouterr()
    assert main(["compare", "maml-trpo", "random"]) == 0
    groups = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if line.startswith("|")][2:]
    assert list(dict.fromkeys(groups)) == ["untrained", "random"]


def test_tasks_without_success_have_returns_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = ["--env", "cheetah-dir@promp", "--iterations", "1", "--evaluation-episodes", "2"]
    assert main([*TINY_OPTIONS, *short, "--run-dir", "r"]) == 0
    assert main(["compare", "r", "--out", "one"]) == 0
    said = capsys.readouterr().out
    assert "Before adaptation -> after: return" in said
    written = [(folder / "r" / "report.md").read_text(), (folder / "one.md").read_text()]
    page = (folder / "r" / "report.html").read_text()
    assert not any("success" in text.lower() for text in (said, *written))
    assert "Adaptation: return" in page
    assert "Adaptation: success" not in page


def test_help_and_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "maml-trpo" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(option in text for option in option_names(TrainConfig()))
    assert main(["envs", "ml1-"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 51


def test_options_reach_their_fields_and_survive_json(tmp_path: Path) -> None:
    options = ["--inner-lr", "0.25", "--hidden", "7", "9", "--test-tasks", "3"]
    config = parse_train(["maml-trpo", "--env", "metaworld/ml10", *options])
    assert config.algorithm.inner_lr == 0.25
    assert config.network.hidden == (7, 9)
    assert config.evaluate.test_tasks == 3
    assert from_dict(TrainConfig, json.loads(json.dumps(to_dict(config)))) == config
    file = tmp_path / "config.json"
    file.write_text(json.dumps(to_dict(config)))
    assert load_config(file) == config
    again = parse_train(["--config", str(file), "--inner-lr", "0.5"])
    assert again.algorithm.inner_lr == 0.5
    assert changed_fields(config, again) == ["algorithm.inner_lr: 0.25 -> 0.5"]


def test_environment_defaults() -> None:
    assert default_config("maml-trpo", "navigation").episodes_per_task == 20
    assert default_config("multitask-trpo", "metaworld/ml10").algorithm.inner_steps == 0
    maml = default_config("maml-trpo", "cheetah-dir@maml2017")
    assert (maml.meta_batch_size, maml.episodes_per_task, maml.network.hidden) == (40, 20, (100, 100))
    promp = default_config("promp", "walker-params@promp")
    assert (promp.algorithm.inner_lr, promp.algorithm.clip_eps, promp.network.hidden) == (0.05, 0.3, (64, 64))
    rl2 = default_config("rl2", "cheetah-vel@promp")
    assert (rl2.meta_batch_size, rl2.episodes_per_task, rl2.network.hidden) == (100, 2, (64,))
    assert default_config("rl2", "ant-dir@varibad").algorithm.discount == 0.97
    with pytest.raises(ConfigError, match="closest: maml-trpo"):
        default_config("maml-tpro", "navigation")


@pytest.mark.parametrize("recipe", [name for name, recipe in RECIPES.items() if recipe.learns == "rl"])
def test_every_recipe_accepts_every_environment(recipe: str) -> None:
    for name in envs.list_names():
        config = default_config(recipe, name)
        validate(dataclasses.replace(config, meta_batch_size=900))  # divides among the families of all benchmarks


def test_what_a_resumed_run_may_change() -> None:
    config = default_config("maml-trpo", "navigation")
    free = {
        "iterations": 7,
        "device": "cuda",
        "run_dir": "x",
        "checkpoint_every": 3,
        "keep_checkpoints": 9,
        "logger": ("wandb",),
    }
    same = dataclasses.replace(config, **free, evaluate=EvaluateConfig(test_tasks=5))
    assert changed_fields(config, same) == []
    assert changed_fields(config, dataclasses.replace(config, seed=1)) == ["seed: 0 -> 1"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"algorithm": {"inner_learning_rate": 1}}, "algorithm.inner_learning_rate"),
        ({"algorithm": 3}, "algorithm must be an object"),
        ({"device": "gpu"}, "device must be one of auto, cpu, cuda"),
        ({"network": {"hidden": "8"}}, "network.hidden"),
        ({"network": {"hidden": [8, "x"]}}, "network.hidden"),
        ({"iterations": True}, "iterations"),
        ({"seed": None}, "seed"),
    ],
)
def test_from_dict_is_strict(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(TrainConfig, values)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "/data/x.npz"), "/data/x.npz: No space left on device"),
        (IsADirectoryError(21, "Is a directory", ".tmp-a", None, "a"), "a: Is a directory"),
        (OSError("the disk is gone"), "the disk is gone"),
        (MemoryError("Unable to allocate\n7 GiB"), "out of memory (Unable to allocate 7 GiB)"),
        (MemoryError(), "out of memory"),
    ],
)
def test_what_the_machine_cannot_do_is_one_line(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(argv: list[str]) -> int:
        raise error

    monkeypatch.setitem(COMMANDS, "compare", broken)
    assert main(["compare"]) == 1
    assert capsys.readouterr().err == f"meta-rl compare: {said}\n"


def test_ctrl_c_promises_no_checkpoint_where_none_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(argv: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "compare", interrupted)
    assert main(["compare"]) == 130
    assert capsys.readouterr().err == "meta-rl compare: stopped\n"


@pytest.mark.parametrize("option", ["--config=", "--config"])
def test_an_option_with_an_empty_value_is_not_taken_for_left_out(option: str) -> None:
    """As a shell writes it where a variable is not set."""
    with pytest.raises(ConfigError, match=r"^--config: needs a value$"):
        parse_train([option, ""] if option == "--config" else [option])


def test_a_folder_whose_name_is_too_long_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "x" * 300
    assert main([*TINY_OPTIONS, "--run-dir", name]) == 2
    assert capsys.readouterr().err == f"meta-rl train: --run-dir: cannot use {name}: File name too long\n"


def test_a_config_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match=r"^--config: .*deep.json is not JSON: maximum recursion"):
        load_config(tmp_path / "deep.json")


def test_ctrl_c_says_how_to_go_on(
    tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("meta_rl.training.train.train", interrupted)
    assert main([*TINY_OPTIONS, "--run-dir", tiny().run_dir]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    monkeypatch.undo()
    assert train(tiny(iterations=1)).exists()
