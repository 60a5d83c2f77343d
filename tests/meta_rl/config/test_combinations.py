"""Settings that have no meaning together are refused in one line before any work, for every recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from meta_rl.cli import main
from meta_rl.config import replace_paths, validate
from meta_rl.config.combinations import IMPOSSIBLE, check_combinations
from meta_rl.config.recipes.table import RECIPES
from meta_rl.config.train import default_config
from meta_rl.errors import ConfigError

TASKS = {"rl": "navigation", "examples": "sinusoid-5shot", "classes": "omniglot-5way-1shot"}
REFUSED = [
    ("metasgd-trpo", "--inner-steps 0", ["--learn-inner-lr", "--inner-steps 0", "at least 1"]),
    ("multitask-trpo", "--learn-inner-lr True", ["--learn-inner-lr", "--inner-steps 0", "valid: False"]),
    ("multitask-ppo", "--learn-inner-lr True", ["--learn-inner-lr", "--inner-steps 0", "valid: False"]),
    ("metasgd", "--inner-steps 0", ["--learn-inner-lr", "--inner-steps 0", "at least 1"]),
    ("pretrained", "--learn-inner-lr True", ["--learn-inner-lr", "--inner-steps 0", "valid: False"]),
    ("meta-lstm", "--inner-steps 0", ["--inner-steps: 0", "valid: 1 or more"]),
    ("reptile-supervised", "--inner-steps 0", ["--inner-steps: 0", "valid: 1 or more"]),
    ("rl2", "--act-on-rewards True", ["--act-on-rewards", "--reward-coef"]),
    ("rl2-gru", "--reward-everywhere True", ["--reward-everywhere", "--reward-coef"]),
]


@pytest.mark.parametrize(("recipe", "options", "words"), REFUSED, ids=lambda value: str(value))
def test_they_are_refused(
    recipe: str, options: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", recipe, "--env", TASKS[RECIPES[recipe].learns], *options.split()]
    assert main([*command, "--run-dir", str(tmp_path / "run")]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert all(word in said for word in words)
    assert not (tmp_path / "run").exists()


def test_in_python_too() -> None:
    config = replace_paths(default_config("metasgd", "sinusoid-5shot"), {"algorithm.inner_steps": 0})
    with pytest.raises(ConfigError, match="--learn-inner-lr: True with --inner-steps 0 has no meaning"):
        validate(config)


def test_every_row_is_refused_for_some_recipe() -> None:
    for row in IMPOSSIBLE:
        recipes = [name for name, recipe in RECIPES.items() if isinstance(recipe.algorithm, row.algorithms)]
        assert recipes
        for recipe in recipes:
            config = default_config(recipe, TASKS[RECIPES[recipe].learns])
            check_combinations(config)
            with pytest.raises(ConfigError, match="has no meaning"):
                check_combinations(replace_paths(config, {f"algorithm.{name}": v for name, v in row.values.items()}))
