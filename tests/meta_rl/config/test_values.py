"""Config values from Python: what is meant is converted, the rest refused before a folder is made."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meta_rl
from meta_rl.cli.commands import parse_train
from meta_rl.config import (
    EvaluateConfig,
    TrainConfig,
    default_config,
    from_dict,
    replace_paths,
    to_dict,
    validate,
    with_plain_values,
)
from meta_rl.config.codec import GONE
from meta_rl.errors import ConfigError
from meta_rl.evaluation.report import evaluate_run
from meta_rl.training.train import train
from tests.meta_rl.training.test_train import quiet

DEFAULT = default_config("maml-trpo", "navigation")
MEANT = [
    ("run_dir", Path("runs") / "f", "runs/f"),
    ("start_from", Path("runs/a"), "runs/a"),
    ("fewshot.data", Path("data/u.data"), "data/u.data"),
    ("iterations", 1.0, 1),
    ("iterations", np.int64(7), 7),
    ("iterations", np.float32(7.0), 7),
    ("iterations", Fraction(6, 2), 3),
    ("seed", np.array(3), 3),
    ("algorithm.inner_lr", np.float64(0.25), 0.25),
    ("algorithm.inner_lr", 1, 1.0),
    ("algorithm.inner_lr", np.int32(1), 1.0),
    ("algorithm.first_order", np.bool_(False), False),
    ("network.hidden", [8, 9], (8, 9)),
    ("network.hidden", np.array([8, 9]), (8, 9)),
    ("network.hidden", [8.0, np.int64(9)], (8, 9)),
    ("network.hidden", range(3, 5), (3, 4)),
    ("logger", ["wandb"], ("wandb",)),
    ("env", np.str_("navigation"), "navigation"),
    ("network.activation", np.str_("relu"), "relu"),
    ("network", {"hidden": [3]}, replace(DEFAULT.network, hidden=(3,), activation="tanh", init_std=1.0)),
]
REFUSED = [
    ("iterations", 1.5, "iterations must be a whole number, got 1.5"),
    ("iterations", True, "iterations must be a whole number, got True"),
    ("iterations", "5", "iterations must be a whole number, got '5'"),
    ("iterations", float("nan"), "iterations must be a whole number, got nan"),
    ("iterations", None, "iterations must be a whole number, got None"),
    ("iterations", np.arange(20).reshape(4, 5), "iterations must be a whole number, got"),
    ("algorithm.inner_lr", "fast", "algorithm.inner_lr must be a number, got 'fast'"),
    ("algorithm.inner_lr", 10**400, "algorithm.inner_lr must be a number, got 1000"),
    ("algorithm.first_order", 0, "algorithm.first_order must be True or False, got 0"),
    ("network.hidden", 64, "network.hidden must be a list, each a whole number, got 64"),
    ("network.hidden", [8, "x"], "network.hidden must be a whole number, got 'x'"),
    ("logger", "wandb", "logger must be a list, each a name, got 'wandb'"),
    ("network.activation", ["relu"], "network.activation must be one of tanh, relu, got"),
    ("run_dir", 3, "run_dir must be a text, got 3"),
    ("run_dir", b"x", "run_dir must be a text, got b'x'"),
    ("env", Path("navigation"), "env must be a text, got"),
    ("recipe", ["maml-trpo"], "recipe must be a text, got"),
    ("network", None, "network must be an object, got None"),
    ("evaluate", DEFAULT.network, "evaluate must be a EvaluateConfig, got a NetworkConfig"),
    ("algorithm", default_config("rl2", "navigation").algorithm, "recipe: maml-trpo takes a MamlConfig, got a Rl2"),
    ("evaluate.test_tasks", object, "evaluate.test_tasks must be a whole number"),
]


@pytest.mark.parametrize(("path", "value", "expected"), MEANT, ids=repr)
def test_what_is_meant_is_converted(path: str, value: Any, expected: Any) -> None:
    config = validate(replace_paths(DEFAULT, {path: value}))
    assert config == replace_paths(DEFAULT, {path: expected})
    assert from_dict(TrainConfig, json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize(("path", "value", "said"), REFUSED, ids=lambda value: str(value)[:30])
def test_the_rest_is_refused_before_a_folder_is_made(path: str, value: Any, said: str, tmp_path: Path) -> None:
    config = replace_paths(replace(DEFAULT, run_dir=str(tmp_path / "run")), {path: value})
    with pytest.raises(ConfigError) as refused:
        train(config, quiet)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["run_dir", "start_from", "fewshot.data"])
def test_the_home_folder(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for value in ("~/x", Path("~/x")):
        assert to_dict(validate(replace_paths(DEFAULT, {path: value}))) == to_dict(
            replace_paths(DEFAULT, {path: "/home/me/x"})
        )
    assert parse_train(["--env", "navigation", "--run-dir=~/x"]).path == Path("/home/me/x")


def test_a_run_from_python_is_loaded_and_judged(tiny: Callable[..., TrainConfig], tmp_path: Path) -> None:
    changes = {"iterations": 1.0, "run_dir": tmp_path / "f", "network.hidden": [8], "seed": np.int64(3)}
    run = train(replace_paths(tiny(), changes), quiet)
    agent = meta_rl.load(run)
    assert (agent.config.iterations, agent.config.network.hidden, agent.iteration) == (1, (8,), 1)
    protocol = EvaluateConfig(test_tasks=np.int64(2), adaptation_episodes=2.0)  # type: ignore[arg-type]
    record = evaluate_run(run, protocol, quiet)
    assert record.protocol["test_tasks"] == record.tasks == 2
    with pytest.raises(ConfigError, match=r"evaluate\.test_tasks must be a whole number, got 2\.5"):
        evaluate_run(run, EvaluateConfig(test_tasks=2.5), quiet)  # type: ignore[arg-type]


def paths_of(config: Any, prefix: str = "") -> list[str]:
    found = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        found.append(prefix + field.name)
        if dataclasses.is_dataclass(value):
            found += paths_of(value, f"{prefix}{field.name}.")
    return found


NUMBERS = st.one_of(st.integers(), st.floats(), st.fractions(), st.complex_numbers(), st.decimals())
NUMPY = st.one_of(
    st.integers(-9, 99).map(np.int8),
    st.integers(0, 2**64 - 1).map(np.uint64),
    st.floats(width=32).map(np.float32),
    st.floats().map(np.float64),
    st.booleans().map(np.bool_),
    st.lists(st.integers(0, 99), max_size=4).map(np.array),
    st.text(max_size=4).map(np.str_),
)
OTHERS = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=9),
    st.binary(max_size=4),
    st.just(object()),
    st.just(int),
    st.just(DEFAULT),
)
SCALARS = st.one_of(NUMBERS, NUMPY, OTHERS, st.sampled_from([Path("a"), Path("~/b"), DEFAULT.network]))
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.tuples(SCALARS),
    st.dictionaries(st.text(max_size=5), SCALARS, max_size=2),
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(paths_of(DEFAULT)), VALUES, min_size=1, max_size=2))
def test_any_value_is_converted_or_refused(changes: dict[str, Any]) -> None:
    """The result is plain: JSON gives it back, and converting it again changes nothing. Numbers stay as they are."""
    inner = sorted(changes.items(), key=lambda item: -item[0].count("."))  # a part that is replaced has no fields
    try:
        config = with_plain_values(replace_paths(DEFAULT, dict(inner)))
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1
        return
    text = json.dumps(to_dict(config))
    if "NaN" not in text:
        assert from_dict(TrainConfig, json.loads(text)) == config == with_plain_values(config)
    for path, value in changes.items():
        found: Any = config
        for name in path.split("."):
            found = getattr(found, name)
        if isinstance(value, int | float | np.integer | np.floating) and value == value and not isinstance(value, bool):
            assert type(found) in (int, float)
            if path not in ("algorithm", "network", "evaluate", "fewshot"):
                assert found == value
    try:
        assert validate(config) == config
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("path", sorted(GONE))
def test_a_setting_that_is_gone_may_only_have_had_no_effect(path: str) -> None:
    """Runs and agents of earlier versions have it in their files."""
    config = default_config("rl2", "navigation")
    part, name = path.split(".")
    before = to_dict(config)
    before[part][name] = GONE[path]
    assert from_dict(TrainConfig, before) == config
    before[part][name] = 0.25
    with pytest.raises(ConfigError, match=f"{path} is no setting any more; valid: 0.0, or none"):
        from_dict(TrainConfig, before)
