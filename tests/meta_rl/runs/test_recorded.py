"""What a run recorded of its tasks and its data is compared when it goes on and when it is judged; data may move."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import envs
import meta_rl
from envs import navigation, registry
from meta_rl.cli import main
from meta_rl.config import TrainConfig, default_config, replace_paths
from meta_rl.errors import ConfigError
from meta_rl.evaluation.recording import record
from meta_rl.evaluation.report import evaluate_run
from meta_rl.handover.export import export
from meta_rl.training.train import train
from tests.meta_rl.fewshot_data import write_png

FEWSHOT = {"iterations": 1, "meta_batch_size": 2, "device": "cpu", "network.hidden": (4,), "evaluate.test_tasks": 2,
           "evaluate.adaptation_steps": 1, "algorithm.task_map": "vmap"}  # fmt: skip


def say(line: str) -> None:
    pass


def write_ratings(path: Path, shift: int = 0, items: str = "abcdef") -> None:
    lines = [f"{u},{item},{1 + (u + k + shift) % 5},{k}" for u in range(20) for k, item in enumerate(items)]
    path.write_text("\n".join(lines))


def write_images(folder: Path, classes: int = 3, base: int = 0) -> None:
    for split in ("train", "test"):
        for number in range(classes):
            for k in range(6):
                write_png(folder / split / f"{number}" / f"{k}.png", np.full((8, 8, 3), base + 9 * k + number))


def write_characters(folder: Path, base: int = 0) -> None:
    for part in ("images_background", "images_evaluation"):
        for number in range(3):
            for k in range(3):
                write_png(folder / part / "A" / f"{number}" / f"000{k}.png", np.full((28, 28), base + 9 * k + number))


Change = Callable[[Path], None]
DATA: dict[str, tuple[str, Change, Change, str, dict[str, Any]]] = {
    "other ratings": ("ratings-3shot", write_ratings, lambda p: write_ratings(p, 1), "sha256 is ", {}),
    "one item more": (
        *("ratings-3shot", write_ratings, lambda p: write_ratings(p, 0, "abcdefg"), "items is 7, was 6"),
        {},
    ),
    "another item": (
        *("ratings-3shot", write_ratings, lambda p: write_ratings(p, 0, "abcdeg"), "item 5 is g, was f"),
        {},
    ),
    "other images": (
        *("images-2way-1shot", write_images, lambda p: write_images(p, base=1), "sha256 is "),
        {"fewshot.query_shots": 2, "fewshot.test_query_shots": 2},
    ),
    "one class more": (
        *("images-2way-1shot", write_images, lambda p: write_images(p, 4), "classes is 4, was 3"),
        {"fewshot.query_shots": 2, "fewshot.test_query_shots": 2},
    ),
    "other characters": (
        *("omniglot-background-2way-1shot", write_characters, lambda p: write_characters(p, 1), "sha256 is "),
        {"fewshot.query_shots": 2, "fewshot.test_query_shots": 2},
    ),
}


def few_shot(env: str, run: Path, data: Path, **changes: Any) -> TrainConfig:
    paths = {"run_dir": str(run), "fewshot.data": str(data)}
    return replace_paths(default_config("maml", env), FEWSHOT | paths | changes)


@pytest.mark.parametrize("kind", DATA)
def test_altered_data_is_refused(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    env, write, alter, words, changes = DATA[kind]
    data = tmp_path / "data"
    write(data)
    config = few_shot(env, tmp_path / "run", data, **changes)
    run = train(config, say)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    evaluate_run(run, config.evaluate, say, "train")
    folder = export(run, tmp_path / "out")
    alter(data)
    for again in (config, replace_paths(config, {"iterations": 2})):
        with pytest.raises(ConfigError, match=f"--data: .*data is not what the run learned from: .*{words}") as caught:
            train(again, say)
        assert "\n" not in str(caught.value)
    assert all(path.read_bytes() == content for path, content in before.items())
    splits = ("train", "test") if env.startswith("ratings") else ("train",)  # images of a split are that split's own
    for split in splits:
        for mine, more in ((run, []), (folder, ["--data", str(data)])):
            capsys.readouterr()
            assert main(["evaluate", str(mine), "--split", split, *more]) == 2
            said = capsys.readouterr().err
            assert "is not what the run learned from" in said
            assert words in said
            assert said.count("\n") == 1
    shutil.rmtree(data) if data.is_dir() else data.unlink()
    write(data)
    train(replace_paths(config, {"iterations": 2}), say)


def test_images_of_another_size_are_refused_in_tests_too(tmp_path: Path) -> None:
    write_images(tmp_path / "data")
    changes = {"fewshot.query_shots": 2, "fewshot.test_query_shots": 2}
    config = few_shot("images-2way-1shot", tmp_path / "run", tmp_path / "data", **changes)
    run = train(config, say)
    for path in (tmp_path / "data/test").rglob("*.png"):
        write_png(path, np.zeros((12, 8, 3)))
    with pytest.raises(ConfigError, match=r"observations are Box\(3, 12, 8\), were Box\(3, 8, 8\)"):
        evaluate_run(run, config.evaluate, say)


# -- environments ----------------------------------------------------------------------------------------------------


class Square(navigation.Navigation):
    """Navigation whose options a test can change behind the name's back."""

    options: dict[str, Any] = {}  # noqa: RUF012
    size = 2

    def __init__(self, split: str = "train") -> None:
        super().__init__(split, **{"horizon": 10} | self.options)
        self.observation_space = gym.spaces.Box(-1, 1, (self.size,), np.float32)

    def fingerprint(self) -> dict[str, Any]:
        return super().fingerprint() | {"gymnasium": self.options.get("extent", 0), "engine": len(self.options)}


@pytest.fixture
def square() -> Iterator[str]:
    envs.register("square", Square)
    yield "square"
    Square.options = {}
    del registry.TABLE["square"]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"horizon": 12}, "horizon is 12, was 10"), ({"extent": 0.25}, r"extent is 0\.25, was 0\.5")],
)
def test_another_distribution_behind_the_name_is_refused(
    square: str, options: dict[str, Any], words: str, tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    config = tiny(env=square, iterations=1)
    run = train(config, say)
    folder = export(run, tmp_path / "out")
    Square.options = options
    message = f"--env: square is not what the run learned from: {words}$"
    for again in (config, replace_paths(config, {"iterations": 2})):
        with pytest.raises(ConfigError, match=message):
            train(again, say)
    for mine in (run, folder):
        with pytest.raises(ConfigError, match=message):
            evaluate_run(mine, config.evaluate, say)
        with pytest.raises(ConfigError, match=message):
            record(meta_rl.load(mine))
    Square.options = {}
    evaluate_run(train(replace_paths(config, {"iterations": 2}), say), config.evaluate, say)


def test_other_spaces_are_refused_where_a_fingerprint_does_not_tell(
    square: str, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(env=square, iterations=1)
    run = train(config, say)
    monkeypatch.setattr(Square, "size", 3)
    with pytest.raises(ConfigError, match=r"observations are Box\(3,\), were Box\(2,\)"):
        evaluate_run(run, config.evaluate, say)
    with pytest.raises(ConfigError, match=r"observations are Box\(3,\), were Box\(2,\)"):
        train(replace_paths(config, {"iterations": 2}), say)


def test_versions_engines_and_what_was_not_recorded_may_change(square: str, tiny: Callable[..., TrainConfig]) -> None:
    config = tiny(env=square, iterations=1)
    run = train(config, say)
    recorded = json.loads((run / "environment.json").read_text())
    assert recorded["task_distribution"]["horizon"] == 10
    recorded["task_distribution"] |= {"gymnasium": "0.1", "engine": "old", "of an earlier version": 3}
    del recorded["task_distribution"]["extent"]
    Square.options = {"extent": 0.25}
    for kept in (recorded, {**recorded, "task_distribution": {}}, {"device": "cpu"}, None):
        (run / "environment.json").unlink()
        if kept is not None:
            (run / "environment.json").write_text(json.dumps(kept))
        config = replace_paths(config, {"iterations": config.iterations + 1})
        train(config, say)
        evaluate_run(run, config.evaluate, say)
        (run / "environment.json").write_text(json.dumps(recorded))


# -- data that has moved ---------------------------------------------------------------------------------------------


def test_data_that_moved_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    write_ratings(Path("r.csv"))
    options = [
        "--iterations",
        "2",
        "--meta-batch-size",
        "2",
        "--hidden",
        "4",
        "--task-map",
        "vmap",
        "--test-tasks",
        "2",
    ]
    command = ["train", "maml", "--env", "ratings-3shot", *options]
    assert main([*command, "--data", "r.csv", "--run-dir", "run"]) == 0
    first = (tmp_path / "work/run/evaluation.json").read_bytes()
    monkeypatch.chdir(tmp_path)
    assert meta_rl.load("work/run").config.fewshot.data == str(tmp_path / "work/r.csv")
    assert main(["evaluate", "work/run"]) == 0
    Path("work/r.csv").rename("elsewhere.csv")
    capsys.readouterr()
    assert main(["evaluate", "work/run"]) == 2
    assert "--data: cannot read" in capsys.readouterr().err
    assert main(["export", "work/run", "--out", "agent"]) == 0
    assert meta_rl.load("agent").predictor().adapt(["a", "b"], [4, 2]).predict(["c"]).shape == (1,)
    Path("work/run/evaluation.json").unlink()
    assert main(["report", "work/run", "--data", "elsewhere.csv"]) == 0
    for folder, found in (("work/run", "evaluation.json"), ("agent", "results/evaluation.json")):
        assert main(["evaluate", folder, "--data", "elsewhere.csv"]) == 0
        one, two = (json.loads(text)["stages"] for text in (first, Path(folder, found).read_bytes()))
        assert one == two
    assert main(["evaluate", "work/run", "--data", "elsewhere.csv", "--iteration", "all"]) == 0
    options[1] = "3"
    assert main([*command[:4], *options, "--data", "elsewhere.csv", "--run-dir", "work/run"]) == 0
    assert meta_rl.load("work/run").config.fewshot.data == str(tmp_path / "elsewhere.csv")


def test_data_moves_only_where_its_digest_was_recorded(tmp_path: Path) -> None:
    write_ratings(tmp_path / "r.csv")
    config = few_shot("ratings-3shot", tmp_path / "run", tmp_path / "r.csv")
    run = train(config, say)
    shutil.copy(tmp_path / "r.csv", tmp_path / "s.csv")
    (run / "environment.json").unlink()
    moved = replace_paths(config, {"iterations": 2, "fewshot.data": str(tmp_path / "s.csv")})
    with pytest.raises(ConfigError, match=r"did not record a sha256 of its data.*valid: .*r.csv$"):
        train(moved, say)
    train(replace_paths(config, {"iterations": 2}), say)
    (tmp_path / "r.csv").unlink()
    (run / "environment.json").unlink(missing_ok=True)
    with pytest.raises(ConfigError, match="cannot read"):
        meta_rl.load(run)
    assert meta_rl.load(run, data=tmp_path / "s.csv").interface.ids == tuple("abcdef")
    assert main(["export", str(run), "--out", str(tmp_path / "out"), "--data", str(tmp_path / "s.csv")]) == 0


@pytest.mark.parametrize("command", ["evaluate", "report", "export"])
def test_runs_in_environments_have_no_data(
    command: str, tiny: Callable[..., TrainConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tiny(iterations=0), say)
    capsys.readouterr()
    assert main([command, str(run), "--data", "x"]) == 2
    assert "--data: for few-shot runs; maml-trpo has learned in an environment" in capsys.readouterr().err


def test_nothing_begins_with_what_was_learned_about_other_items(tmp_path: Path) -> None:
    write_ratings(tmp_path / "r.csv")
    write_ratings(tmp_path / "s.csv", 0, "abcdeg")
    run = train(few_shot("ratings-3shot", tmp_path / "run", tmp_path / "r.csv"), say)
    config = few_shot("ratings-3shot", tmp_path / "next", tmp_path / "s.csv", start_from=str(run))
    with pytest.raises(ConfigError, match=r"--start-from: .* has learned about other items: item 5 is g, was f"):
        train(config, say)
    train(replace_paths(config, {"fewshot.data": str(tmp_path / "r.csv")}), say)
