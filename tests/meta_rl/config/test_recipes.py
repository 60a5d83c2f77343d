"""A recipe's name stands for its own settings, on the command line and in Python."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

import envs
from meta_rl.cli import main
from meta_rl.cli.commands import parse_train
from meta_rl.config import (
    RECIPES,
    AlgorithmConfig,
    check_protocol,
    default_config,
    from_dict,
    register_recipe,
    replace_paths,
    to_dict,
    validate,
)
from meta_rl.config.base import Recipe
from meta_rl.config.train import TrainConfig
from meta_rl.errors import ConfigError

TASKS = {"rl": "navigation", "examples": "sinusoid-5shot", "classes": "omniglot-5way-1shot"}


def tasks(recipe: str) -> str:
    return TASKS[RECIPES[recipe].learns]


def twins() -> list[tuple[str, str]]:
    """Every two recipes that share a learner and its settings."""
    kinds = [(name, (row.learner, type(row.algorithm))) for name, row in RECIPES.items()]
    return [(a, b) for (a, one), (b, other) in itertools.permutations(kinds, 2) if one == other]


@pytest.mark.parametrize(("mine", "name"), twins())
def test_settings_of_one_recipe_are_refused_under_the_name_of_another(mine: str, name: str) -> None:
    config = dataclasses.replace(default_config(mine, tasks(mine)), recipe=name)
    with pytest.raises(ConfigError, match=rf"or it is not {name}; a recipe of these settings: .*{mine}") as refused:
        validate(config)
    assert "\n" not in str(refused.value)


def test_there_are_such_pairs() -> None:
    assert len(twins()) == 9 * 8 + 4 * 3 + 3 * 2


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_default_is_its_own_recipe(recipe: str) -> None:
    names = [name for name in envs.list_names() if "/" not in name or name.startswith(("metaworld/ml1", "bandit"))]
    learns = RECIPES[recipe].learns
    for env in names if learns == "rl" else [tasks(recipe)]:
        config = dataclasses.replace(default_config(recipe, env), meta_batch_size=900)
        assert validate(config).recipe == recipe


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("maml-trpo", {"algorithm.inner_loss": "score", "algorithm.inner_lr": 0.5, "algorithm.inner_steps": 3}),
        ("maml-ppo", {"algorithm.first_order": True}),
        ("promp", {"algorithm.inner_kl_coef": 0.1}),
        ("metasgd-trpo", {"algorithm.first_order": True}),
        ("rl2", {"network.hidden": (9,)}),
    ],
)
def test_other_settings_are_free(recipe: str, changes: dict[str, Any]) -> None:
    config = replace_paths(default_config(recipe, tasks(recipe)), changes)
    assert validate(config) == config


@pytest.mark.parametrize(
    ("mine", "name"),
    [("maml-trpo", "promp"), ("rl2", "rl2-gru"), ("maml-trpo", "multitask-ppo"), ("reptile", "maml-trpo")],
)
def test_a_file_of_one_recipe_is_refused_beside_another(
    mine: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(to_dict(default_config(mine, "navigation"))))
    assert main(["train", name, "--config", str(file), "--run-dir", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"meta-rl train: recipe: {file} holds the settings of {mine}, not of {name}; leave out one")
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()
    assert parse_train([mine, "--config", str(file), "--seed", "3"]).seed == 3
    assert parse_train(["--config", str(file)]).recipe == mine


def test_a_run_that_was_trained_under_another_name_is_still_evaluated() -> None:
    """Earlier versions let it train: what it holds is read and judged."""
    config = dataclasses.replace(default_config("maml-trpo", "navigation"), recipe="promp")
    assert check_protocol(from_dict(TrainConfig, to_dict(config))) == config


@dataclasses.dataclass(frozen=True)
class MineConfig(AlgorithmConfig):
    """Settings of somebody's learner."""

    steps: int = 3


def test_a_recipe_of_ones_own_says_what_defines_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine", "mine-long"):
        monkeypatch.delitem(RECIPES, name, raising=False)
    learner = "mymodule:Mine"
    register_recipe("mine", Recipe(learner, MineConfig(), "few steps", defined_by={"algorithm.steps": 3}))
    register_recipe("mine-long", Recipe(learner, MineConfig(30), "any steps"))
    try:
        config = default_config("mine", "navigation")
        assert validate(config) == config
        with pytest.raises(ConfigError, match=r"--steps: must be 3, got 4, or it is not mine; .*: mine-long"):
            validate(replace_paths(config, {"algorithm.steps": 4}))
    finally:
        for name in ("mine", "mine-long"):
            del RECIPES[name]
