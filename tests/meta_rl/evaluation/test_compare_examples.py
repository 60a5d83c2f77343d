"""Few-shot runs side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meta_rl.cli import main
from meta_rl.errors import ConfigError
from meta_rl.evaluation.compare import compare, comparison_table, join_earlier
from meta_rl.evaluation.forms import read_scores
from meta_rl.evaluation.kinds.base import Comparison
from meta_rl.evaluation.kinds.table import KINDS
from meta_rl.evaluation.scores import INDUCTIVE

TABLES = sorted((Path(__file__).parents[3] / "results").glob("fewshot_*shot.json"))
TABLES = [path for path in TABLES if "one-shot" not in path.name]
TINY = ["--device", "cpu", "--iterations", "1", "--meta-batch-size", "2", "--hidden", "4", "--test-tasks", "4"]


def run(tmp_path: Path, name: str, recipe: str, env: str, *options: str) -> Path:
    path = tmp_path / name
    assert main(["train", recipe, "--env", env, *TINY, *options, "--run-dir", str(path)]) == 0
    return path


def test_seeds_are_averaged_on_shared_episodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [run(tmp_path, f"s{seed}", "maml", "sinusoid-5shot", "--seed", str(seed)) for seed in (0, 1)]
    out = tmp_path / "results/found"
    capsys.readouterr()
    assert main(["compare", *map(str, runs), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "| maml | 2 | 1, " in said
    assert "0.67 / 0.38 / 0.35" in said
    assert "oracle" in said
    assert ", sd " in said
    assert "every query is answered alone" in said  # a perceptron has no batch statistics: one column
    assert "transductive" not in said
    summary: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    means = []
    for path in runs:
        stages = json.loads((path / "evaluation.json").read_text())["stages"]
        means.append(stages[-1]["inductive"]["mse"]["mean"])
    found = summary["groups"]["maml"]["stages"][-1]["inductive"]["mse"]
    assert found["by_seed"] == pytest.approx(means)
    assert found["mean"] == pytest.approx(sum(means) / 2)
    assert found["seed_sd"] == pytest.approx(abs(means[0] - means[1]) / 2**0.5)
    assert out.with_suffix(".md").exists()
    assert main(["compare", str(runs[0])]) == 0
    assert ", sd " not in capsys.readouterr().out
    about = json.loads((runs[0] / "environment.json").read_text())
    assert about["device"] == summary["groups"]["maml"]["device"] == "cpu"
    (runs[0] / "environment.json").write_text(json.dumps(about | {"device": "cuda"}))  # it went on here
    assert main(["compare", str(runs[0])]) == 0
    assert " (cuda) | " in capsys.readouterr().out
    other = run(tmp_path, "s2", "maml", "sinusoid-5shot", "--seed", "2", "--shown-steps", "1", "4")
    with pytest.raises(ConfigError, match="s2 and s0 were evaluated on different tasks, or by different protocols"):
        compare([runs[0], other])


def test_a_run_joins_an_earlier_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As if all had been compared at once; what is in both is taken from the runs."""
    runs = {recipe: run(tmp_path, recipe, recipe, "sinusoid-5shot") for recipe in ("maml", "fomaml", "pretrained")}
    whole, part, out = (tmp_path / name for name in ("whole", "part", "out"))
    assert main(["compare", *map(str, runs.values()), "--out", str(whole)]) == 0
    assert main(["compare", str(runs["maml"]), str(runs["pretrained"]), "--out", str(part)]) == 0
    earlier = str(part.with_suffix(".json"))
    assert main(["compare", str(runs["fomaml"]), str(runs["pretrained"]), earlier, "--out", str(out)]) == 0
    expected, before, found = (json.loads(path.with_suffix(".json").read_text()) for path in (whole, part, out))
    origin = {key: found["groups"]["maml"].pop(key) for key in ("command", "versions")}
    assert origin == {key: before[key] for key in origin}
    assert found["groups"] == expected["groups"]
    assert list(found["groups"]) == ["maml", "fomaml", "pretrained"]  # what is only in the earlier one comes first
    capsys.readouterr()
    other = run(tmp_path, "other", "maml", "sinusoid-10shot")
    policy = run(tmp_path, "policy", "random", "navigation", "--episodes-per-task", "1", "--adaptation-episodes", "1")
    broken = tmp_path / "broken.json"
    broken.write_text('{"groups": 3}')
    for arguments, said in [
        ([str(other), earlier], "were evaluated on different episodes"),
        ([str(other), str(broken)], "broken.json is not a table that meta-rl compare wrote"),
        ([str(other), str(tmp_path / "none.json")], "none.json is not a table that meta-rl compare wrote"),
        ([str(policy), earlier], "few-shot runs and runs in environments do not compare"),
        ([earlier], "name a run directory"),
    ]:
        assert main(["compare", *arguments]) == 2
        assert said in capsys.readouterr().err.splitlines()[-1]


def test_other_episodes_do_not_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [run(tmp_path, env, "maml", env) for env in ("sinusoid-5shot", "sinusoid-10shot")]
    with pytest.raises(ConfigError, match="sinusoid-10shot and sinusoid-5shot were evaluated on different tasks"):
        compare(runs)
    options = ["--episodes-per-task", "1", "--adaptation-episodes", "1"]
    policy = run(tmp_path, "policy", "maml-vpg", "navigation", *options)
    assert main(["compare", str(runs[0]), str(policy)]) == 2
    assert "few-shot runs and runs in environments do not compare" in capsys.readouterr().err


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_published_tables_are_made_again_from_their_numbers(path: Path) -> None:
    """Line by line, but for the command. (Joining puts the groups in order.)"""
    found = json.loads(path.read_text())
    baselines = {label: read_scores(scores) for label, scores in found["baselines"].items()}
    names = list(next(iter(found["groups"].values()))["stages"][0]["inductive"])
    about = {"versions": {}, "groups": {}, "episodes": found["episodes"], "baselines": baselines}
    empty = Comparison(KINDS["examples"], INDUCTIVE, names, found["env"], found["tasks"], **about)
    text, _, _ = path.with_suffix(".md").read_text().partition("\n\nCommand:")
    title, _, _ = text.partition("\n\n")
    kept = text.replace(f"![{title}]({path.stem}.png)\n\n", "")
    assert sorted(comparison_table(join_earlier(empty, path)).splitlines()) == sorted(kept.splitlines())


def test_there_are_such_tables() -> None:
    assert len(TABLES) > 5
