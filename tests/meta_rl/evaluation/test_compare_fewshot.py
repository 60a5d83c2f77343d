"""Few-shot runs side by side, and Lake's one-shot runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meta_rl.agents.agent import load
from meta_rl.cli.commands import main
from meta_rl.errors import ConfigError
from meta_rl.evaluation.compare_fewshot import compare
from meta_rl.studies import one_shot
from meta_rl.studies.one_shot import one_shot_error
from tests.meta_rl.fewshot_data import needs_omniglot

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
    with pytest.raises(ConfigError, match=r"s2 was scored after other adaptation steps than \S*s0"):
        compare([runs[0], other])


def test_a_run_joins_an_earlier_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As if all had been compared at once; what is in both is taken from the runs."""
    runs = {recipe: run(tmp_path, recipe, recipe, "sinusoid-5shot") for recipe in ("maml", "fomaml", "pretrained")}
    whole, part, out = (tmp_path / name for name in ("whole", "part", "out"))
    assert main(["compare", *map(str, runs.values()), "--out", str(whole)]) == 0
    assert main(["compare", str(runs["maml"]), str(runs["pretrained"]), "--out", str(part)]) == 0
    table = str(part.with_suffix(".json"))
    assert main(["compare", str(runs["fomaml"]), str(runs["pretrained"]), table, "--out", str(out)]) == 0
    expected, before, found = (json.loads(path.with_suffix(".json").read_text()) for path in (whole, part, out))
    origin = {key: found["groups"]["maml"].pop(key) for key in ("command", "versions")}
    assert origin == {key: before[key] for key in origin}
    assert found["groups"] == expected["groups"]
    assert list(found["groups"]) == ["fomaml", "maml", "pretrained"]
    capsys.readouterr()
    other = run(tmp_path, "other", "maml", "sinusoid-10shot")
    policy = run(tmp_path, "policy", "random", "navigation", "--episodes-per-task", "1", "--adaptation-episodes", "1")
    broken = tmp_path / "broken.json"
    broken.write_text('{"groups": 3}')
    for arguments, said in [
        ([str(other), table], "were evaluated on different episodes"),
        ([str(other), str(broken)], "broken.json is not a table of few-shot runs"),
        ([str(other), str(tmp_path / "none.json")], "none.json is not a table of few-shot runs"),
        ([str(policy), table], "only tables of few-shot runs can be added to"),
        ([table], "name a run directory"),
    ]:
        assert main(["compare", *arguments]) == 2
        assert said in capsys.readouterr().err.splitlines()[-1]


def test_other_episodes_do_not_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [run(tmp_path, env, "maml", env) for env in ("sinusoid-5shot", "sinusoid-10shot")]
    with pytest.raises(ConfigError, match="evaluated on different episodes"):
        compare(runs)
    options = ["--episodes-per-task", "1", "--adaptation-episodes", "1"]
    policy = run(tmp_path, "policy", "maml-vpg", "navigation", *options)
    assert main(["compare", str(runs[0]), str(policy)]) == 2
    assert "few-shot runs and runs in environments do not compare" in capsys.readouterr().err


@needs_omniglot
def test_one_shot_runs_and_the_leak_that_is_refused(tmp_path: Path) -> None:
    sound = load(run(tmp_path, "small", "prototypical", "omniglot-small1-20way-1shot"))
    found = one_shot_error(sound)
    assert 0 < found["error"]["inductive"]["mean"] <= 100
    assert found["published"]["humans"] == 4.5
    rows = one_shot.table([found, found | {"recipe": "other", "env": "omniglot-background-20way-1shot"}]).splitlines()
    mean, interval = (found["error"]["inductive"][key] for key in ("mean", "interval"))
    assert f"| prototypical |  | {mean:.1f} +- {interval:.1f} |  |" in rows
    assert f"| other | {mean:.1f} +- {interval:.1f} |  |  |" in rows
    assert "| published: BPL (strokes) | 3.3 | 4.3 | 4.0 |" in rows
    assert "| published: deep convnet | 13.5 | 24.0 | 22.3 |" in rows
    leaking = load(run(tmp_path, "random", "prototypical", "omniglot-20way-1shot"))
    with pytest.raises(ConfigError, match="trains on characters of the one-shot runs"):
        one_shot_error(leaking)
    narrow = load(run(tmp_path, "narrow", "fomaml", "omniglot-small1-5way-1shot"))
    with pytest.raises(ConfigError, match="trained with 5 outputs, the runs have 20 classes"):
        one_shot_error(narrow)
