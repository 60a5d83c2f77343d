"""Few-shot tasks of one's own go everywhere that those of the table go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import meta_rl
from meta_rl.cli import main
from meta_rl.config import default_config, validate
from meta_rl.config.fewshot import TASK_KINDS, FewShotName, parse_name
from meta_rl.errors import ConfigError
from meta_rl.fewshot import tasks as fewshot
from meta_rl.fewshot.images import ImageTasks
from meta_rl.fewshot.sinusoid import Sinusoids
from tests.meta_rl.fewshot_data import labelled

SMALL = ["--device", "cpu", "--iterations", "2", "--meta-batch-size", "2", "--test-tasks", "3", "--hidden", "4"]


@pytest.fixture
def register() -> Iterator[Callable[..., None]]:
    known = dict(TASK_KINDS)
    yield meta_rl.register_tasks
    for name in TASK_KINDS.keys() - known.keys():
        del TASK_KINDS[name], fewshot._OPEN[name]


class Lines(Sinusoids):
    """y = a x."""

    def sample(self, rng: np.random.Generator, tasks: int, ways: int, shots: int, query: int) -> Any:
        batch = super().sample(rng, tasks, ways, shots, query)
        slope = torch.from_numpy(rng.uniform(-1, 1, (tasks, 1)).astype(np.float32))
        (support,), queries = batch.support, batch.query
        return batch._replace(
            support=(support._replace(target=slope * support.observation[..., 0]),),
            query=queries._replace(target=slope * queries.observation[..., 0]),
        )

    def baselines(self, batch: Any) -> dict[str, torch.Tensor]:
        return {}

    def fingerprint(self) -> dict[str, Any]:
        return {"source": "lines"}


def classes(split: str, name: FewShotName, data: str) -> Any:
    return ImageTasks(labelled(drawers=12, size=8), name.ways, 1)


@pytest.mark.parametrize(
    ("maker", "recipe", "env"),
    [
        (lambda split, name, data: Lines(), "maml", "my-lines-5shot"),
        (lambda split, name, data: Lines(), "reptile-supervised", "my-lines-2shot"),
        (classes, "prototypical", "my-lines-3way-1shot"),
        (classes, "maml", "my-lines-3way-2shot"),
    ],
)
def test_tasks_of_ones_own(
    maker: Any, recipe: str, env: str, register: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register("my-lines", maker)
    more = ["--query-shots", "5", "--test-query-shots", "5", "--adaptation-steps", "1"]
    assert main(["train", recipe, "--env", env, *SMALL, *more, "--run-dir", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run/evaluation.json").read_text())["tasks"] == 3
    assert main(["evaluate", str(tmp_path / "run"), "--split", "validation"]) == 0
    assert main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
    assert main(["compare", str(tmp_path / "run")]) == 0
    assert meta_rl.load(tmp_path / "out").predictor() is not None


def test_what_the_maker_is_given(register: Callable[..., None]) -> None:
    given: list[Any] = []
    register("mine", lambda *arguments: (given.append(arguments), Lines())[1])
    from meta_rl.config import replace_paths

    fewshot.open_tasks(replace_paths(default_config("maml", "mine-7shot"), {"fewshot.data": "x"}), "validation")
    assert given == [("validation", FewShotName("mine", 0, 7), "x")]
    assert parse_name("mine-5way-2shot") == FewShotName("mine", 5, 2)
    for bad in ("mine", "mine-5way", "mine-0shot", "mine-1way-1shot"):
        with pytest.raises(ConfigError, match=r"^--env: .*mine-10shot"):
            parse_name(bad)
    validate(default_config("matching", "mine-5way-2shot"))
    with pytest.raises(ConfigError, match="from N-way few-shot tasks"):
        validate(default_config("matching", "mine-2shot"))


@pytest.mark.parametrize("name", ["omniglot", "navigation", "cheetah", "metaworld", "classic", "", "5", "a/b", "a b"])
def test_names_that_are_taken_or_none(name: str, register: Callable[..., None]) -> None:
    with pytest.raises(ValueError, match=r"is already the name|is no name"):
        register(name, lambda *_: Lines())


def test_tasks_that_lack_something_are_refused(register: Callable[..., None]) -> None:
    register("mine", lambda *_: object())
    with pytest.raises(ConfigError, match=r"--env: the tasks of mine-5shot lack observation_space, .*fingerprint; see"):
        fewshot.open_tasks(default_config("maml", "mine-5shot"), "train")
