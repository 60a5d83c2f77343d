"""Few-shot runs through the command line: the same loop, checkpoints, logs, reports and refusals as for RL."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from meta_rl.agents.agent import load
from meta_rl.cli import main
from meta_rl.config import RECIPES, TrainConfig, default_config, replace_paths
from meta_rl.evaluation.examples import evaluate_fewshot
from meta_rl.evaluation.scores import INDUCTIVE
from meta_rl.fewshot.tasks import open_tasks
from meta_rl.runs import checkpoint
from meta_rl.runs.log import read_rows
from meta_rl.training.train import train
from tests.meta_rl.fewshot_data import OMNIGLOT, needs_omniglot, write_png

SMALL = [
    "--device",
    "cpu",
    "--iterations",
    "2",
    "--meta-batch-size",
    "2",
    "--hidden",
    "4",
    "--test-tasks",
    "3",
    "--adaptation-steps",
    "1",
]
Make = Callable[..., TrainConfig]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def config(recipe: str, env: str, name: str = "run", **changes: Any) -> TrainConfig:
        small = {"device": "cpu", "run_dir": str(tmp_path / name), "checkpoint_every": 100}
        return replace_paths(default_config(recipe, env), small | changes)

    return config


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of six images for training and three for tests, of 12x12."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split, classes in (("train", 4), ("test", 3)):
        for number in range(classes):
            picture = rng.integers(0, 200, (12, 12, 3))
            for k in range(6):
                write_png(root / split / str(number) / f"{k}.png", picture + rng.integers(0, 50, (12, 12, 3)))
    return root


FEWSHOT = [name for name, recipe in RECIPES.items() if recipe.learns != "rl"]


@pytest.mark.parametrize("recipe", FEWSHOT)
def test_every_recipe_trains_and_is_evaluated_on_a_folder(recipe: str, folder: Path, tmp_path: Path) -> None:
    options = ["--env", "images-3way-1shot", "--data", str(folder), "--query-shots", "2", "--test-query-shots", "2"]
    options += ["--train-shots", "2", *SMALL]
    assert main(["train", recipe, *options, "--run-dir", str(tmp_path / "run")]) == 0
    result = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert result["tasks"] == 3
    assert [stage["adaptation_steps"] for stage in result["stages"]] == [0, 1]
    assert 0 <= result["stages"][1]["inductive"]["accuracy"]["mean"] <= 1
    assert "| adaptation steps | accuracy" in (tmp_path / "run/report.md").read_text()
    assert len(read_rows(tmp_path / "run/metrics.jsonl")) == 2


@pytest.mark.parametrize("recipe", [name for name in FEWSHOT if RECIPES[name].learns == "examples"])
@pytest.mark.parametrize("env", ["sinusoid-5shot", "synthetic-ratings-5shot"])
def test_regression(recipe: str, env: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", recipe, "--env", env, *SMALL, "--run-dir", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "loss" in said or recipe == "reptile-supervised"
    assert ("synthetic: these numbers prove that the code works" in said) == env.startswith("synthetic")
    assert main(["evaluate", str(tmp_path / "run"), "--adaptation-steps", "2", "--split", "validation"]) == 0


@pytest.mark.parametrize("recipe", ["maml", "reptile-supervised", "meta-lstm"])
def test_stop_and_resume_equals_an_uninterrupted_run(recipe: str, make: Make) -> None:
    changes: dict[str, Any] = {"meta_batch_size": 2, "network.hidden": (8,)}
    if recipe != "meta-lstm":
        changes["algorithm.task_map"] = "vmap"
    if RECIPES[recipe].algorithm.annealing:  # which otherwise lasts as long as the run begins with
        changes["algorithm.meta_lr_iterations"] = 4
    states = []
    for name, stops in (("whole", [4]), ("parts", [2, 4])):
        for iterations in stops:
            run = train(make(recipe, "sinusoid-5shot", name, iterations=iterations, **changes), lambda _: None)
        state = checkpoint.load_newest(run / "checkpoints")
        assert state is not None
        states.append((state, (run / "metrics.jsonl").read_bytes()))
    (one, rows), (two, again) = states
    assert rows == again
    assert all(torch.equal(p, two.params[name]) for name, p in one.params.items())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["maml", "--env", "omniglot-5way"], "--env: bad few-shot tasks 'omniglot-5way'; write them like"),
        (["maml", "--env", "navigation"], "recipe: maml learns from few-shot tasks"),
        (["siamese", "--env", "sinusoid-5shot"], "from N-way few-shot tasks, which sinusoid-5shot is not"),
        (["maml", "--env", "images-3way-1shot"], "--data: name the folder"),
        (["maml", "--env", "images-3way-1shot", "--data", "/nowhere"], "--data: /nowhere/train is not a folder"),
        (["maml", "--env", "omniglot-5way-1shot", "--data", "/nowhere"], "--data: no images_background of Omniglot"),
        (["maml", "--env", "ratings-5shot", "--data", "/nowhere"], "--data: cannot read /nowhere"),
        (["matching", "--env", "images-5way-1shot", "--data", "FOLDER"], "needs 5 classes, FOLDER/train has 4"),
        (["maml", "--env", "images-3way-5shot", "--data", "FOLDER"], "5 support and 15 query images per class, but"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_written(
    arguments: list[str], words: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [a.replace("FOLDER", str(folder)) for a in arguments]
    assert main(["train", *arguments, "--run-dir", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.strip()
    assert words.replace("FOLDER", str(folder)) in said
    assert said.count("\n") == 0
    assert not (tmp_path / "run").exists()


# -- learning --------------------------------------------------------------------------------------------------------


def curve(config: TrainConfig) -> list[float]:
    """Mean score after each adaptation step that is shown, inductive."""
    agent = load(train(config, lambda _: None))
    learner: Any = agent.learner
    found = evaluate_fewshot(learner, agent.weights, open_tasks(config, "test"), config, config.evaluate)
    return [next(iter(stage.scores[INDUCTIVE].values())).mean for stage in found.stages()]


def test_maml_learns_sinusoids(make: Make) -> None:
    """An untrained network has an MSE of about 3.5 and is not better after 5 steps."""
    changes = {"iterations": 400, "evaluate.test_tasks": 200, "evaluate.adaptation_steps": 5, "algorithm.meta_lr": 3e-3}
    scores = curve(make("maml", "sinusoid-10shot", **changes))
    assert scores[-1] < 2.2
    assert scores[-1] < 0.75 * scores[0]


def test_reptile_learns_sinusoids(make: Make) -> None:
    changes = {"iterations": 600, "evaluate.test_tasks": 200, "algorithm.meta_lr_iterations": 600}
    scores = curve(make("reptile-supervised", "sinusoid-10shot", **changes))
    assert scores[-1] < 2.4
    assert scores[-1] < 0.8 * scores[0]


@needs_omniglot
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("recipe", "iterations", "least"),
    [("maml", 600, 0.75), ("prototypical", 150, 0.88), ("matching", 150, 0.85), ("siamese-koch", 150, 0.8)],
)
def test_omniglot_is_learned(recipe: str, iterations: int, least: float, make: Make) -> None:
    """Minutes on one core; the real numbers come from scripts/fewshot.py."""
    changes = {"iterations": iterations, "evaluate.test_tasks": 100, "fewshot.data": str(OMNIGLOT)}
    assert curve(make(recipe, "omniglot-5way-1shot", **changes))[-1] > least
