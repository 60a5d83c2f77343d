"""An exported agent is the agent of its run, and stands for itself."""

from __future__ import annotations

import base64
import http.server
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import envs
from meta_rl import load
from meta_rl.agents import bundle
from meta_rl.cli import main
from meta_rl.cli.showing import evaluate_with_page
from meta_rl.config import EvaluateConfig, TrainConfig, default_config, replace_paths
from meta_rl.errors import ConfigError
from meta_rl.evaluation.episodes import evaluate
from meta_rl.evaluation.report import evaluate_run
from meta_rl.evaluation.scores import INDUCTIVE, MODE
from meta_rl.handover.export import export
from meta_rl.runs.durable import CheckpointError
from meta_rl.runs.folder import holds_run
from meta_rl.runs.recorded import read_about
from meta_rl.training.train import train
from tests.meta_rl.conftest import TINY

ROOT = Path(__file__).parents[3]
needs_hub = pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None, reason="the extra hub is not installed"
)


@pytest.fixture
def run(tiny: Callable[..., TrainConfig]) -> Path:
    return train(tiny(iterations=2))


def test_the_exported_agent_is_that_of_the_run(run: Path, tmp_path: Path) -> None:
    folder = export(run, tmp_path / "out")
    assert {p.name for p in folder.iterdir()} == {"model.safetensors", "config.json", "agent.json", "README.md"}
    mine, original = load(folder), load(run)
    assert list(mine.weights.params) == list(original.weights.params)
    assert all(torch.equal(mine.weights.params[name], original.weights.params[name]) for name in mine.weights.params)
    assert (mine.iteration, mine.interface) == (2, original.interface)
    assert mine.config == replace_paths(original.config, {"run_dir": ""})
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in folder.iterdir())
    assert bundle.read_bundle(folder).env_steps > 0


def test_an_exported_agent_is_evaluated_and_shown_as_its_run_is(run: Path, tmp_path: Path) -> None:
    folder = export(run, tmp_path / "out")
    config = load(run).config
    mine, original = (evaluate_with_page(path, config.evaluate, lambda _: None)[0] for path in (folder, run))
    assert mine.stages == original.stages
    assert mine.train_env_steps == original.train_env_steps > 0
    page = (folder / "results" / "report.html").read_text()
    assert f"{mine.train_env_steps:,} env steps of training" in page
    assert "data-replay" in page


def test_nothing_is_left_of_the_agent_that_lay_there(run: Path, tmp_path: Path) -> None:
    evaluate_run(run, load(run).config.evaluate, lambda _: None)
    (replay := tmp_path / "x.mp4").write_bytes(b"film")
    folder = export(run, tmp_path / "out", replay)
    assert {"replay.mp4", "evaluation.json"} <= {p.name for p in folder.iterdir()}
    (run / "evaluation.json").unlink()
    export(run, folder)
    assert {p.name for p in folder.iterdir()} == {"model.safetensors", "config.json", "agent.json", "README.md"}


def test_an_exported_agent_is_not_trained_on(run: Path, tmp_path: Path) -> None:
    folder = export(run, tmp_path / "out")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(ConfigError, match=r"--run-dir: .* is an exported agent"):
        train(replace_paths(load(run).config, {"run_dir": str(folder)}))
    with pytest.raises(ConfigError, match=r"--run-dir: .* is an exported agent"):  # whatever else differs
        holds_run(replace_paths(load(run).config, {"run_dir": str(folder), "seed": 7}))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_needs_no_environment(run: Path, tmp_path: Path) -> None:
    """A task distribution that only the exporting side knows."""
    folder = export(run, tmp_path / "out")
    config = json.loads((folder / "config.json").read_bytes())
    config["env"] = "somewhere-else"
    (folder / "config.json").write_text(json.dumps(config))
    manifest = json.loads((folder / "agent.json").read_bytes())
    del manifest["files"]["config.json"]
    (folder / "agent.json").write_text(json.dumps(manifest))
    assert load(folder).player().act([0.0, 0.0]).shape == (2,)


@pytest.mark.parametrize("env", ["sinusoid-5shot", "synthetic-ratings-5shot"])
def test_a_few_shot_learner_too(env: str, tmp_path: Path) -> None:
    changes = {"iterations": 1, "meta_batch_size": 2, "network.hidden": (4,), "run_dir": str(tmp_path / "r")}
    run = train(replace_paths(default_config("maml", env), changes))
    config = load(run).config
    protocol = replace_paths(config.evaluate, {"test_tasks": 2, "adaptation_steps": 1})
    result = evaluate_run(run, protocol, say=lambda _: None)
    agent = load(export(run, tmp_path / "out"))
    assert agent.interface == load(run).interface
    assert all(torch.equal(agent.weights.params[name], p) for name, p in load(run).weights.params.items())
    with pytest.raises(ConfigError, match="labelled examples"):
        agent.player()
    name, score = next(iter(result.stages[-1].scores[INDUCTIVE].items()))
    index = json.loads((tmp_path / "out" / "README.md").read_text().partition("model-index: ")[2].partition("\n")[0])
    assert {"type": name, "value": score.mean}.items() <= index[0]["results"][0]["metrics"][0].items()


@pytest.mark.parametrize("cell", ["lstm", "transformer"])
def test_a_recurrent_agent_brings_all_that_it_learned_with(cell: str, tmp_path: Path) -> None:
    """The head that expects rewards, and what the memory reads beside the defaults."""
    changes = {"iterations": 1, "meta_batch_size": 4, "episodes_per_task": 2, "network.hidden": (8,),
               "algorithm.reward_coef": 0.5, "algorithm.epochs": 1, "network.recall_observation": True,
               "network.memory_steps": 5, "network.cell": cell, "network.attention_window": 9,
               "run_dir": str(tmp_path / "r")}  # fmt: skip
    run = train(replace_paths(default_config("rl2", "navigation"), changes))
    agent, original = load(export(run, tmp_path / "out")), load(run)
    assert any("reward" in name for name in agent.weights.params)
    assert list(agent.weights.params) == list(original.weights.params)
    assert all(torch.equal(agent.weights.params[name], p) for name, p in original.weights.params.items())
    protocol = replace_paths(original.config.evaluate, {"test_tasks": 2, "adaptation_steps": 1})
    mine, its = (evaluate_run(path, protocol, say=lambda _: None) for path in (tmp_path / "out", run))
    assert mine.stages == its.stages


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_damage_is_noticed(run: Path, tmp_path: Path, name: str) -> None:
    folder = export(run, tmp_path / "out")
    data = bytearray((folder / name).read_bytes())
    data[-3] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises((CheckpointError, ConfigError), match=name):
        load(folder)


def test_another_schema_and_rubbish_are_refused(run: Path, tmp_path: Path) -> None:
    folder = export(run, tmp_path / "out")
    manifest = json.loads((folder / "agent.json").read_bytes())
    (folder / "agent.json").write_text(json.dumps(manifest | {"schema": 9}))
    with pytest.raises(CheckpointError, match=f"schema 9, this version reads schema {bundle.AGENT_SCHEMA}"):
        load(folder)
    (folder / "agent.json").write_text("[]")
    with pytest.raises(CheckpointError, match="unreadable"):
        load(folder)


def test_the_card_says_how_to_load_and_how_good(run: Path, tmp_path: Path) -> None:
    config = load(run).config
    result = evaluate_run(run, config.evaluate, say=lambda _: None)
    replay = tmp_path / "some.mp4"
    replay.write_bytes(b"a video")
    folder = export(run, tmp_path / "out", replay, "user/name")
    text = (folder / "README.md").read_text()
    assert 'snapshot_download("user/name")' in text
    assert "meta_rl.load(folder)" in text
    assert (folder / "replay.mp4").read_bytes() == b"a video"
    assert str(tmp_path) not in text  # nothing of this machine
    assert f"{result.stages[1].scores[MODE]['return'].mean:.2f}" in text
    hub = pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
    card = hub.ModelCard.load(folder / "README.md")
    assert card.data.library_name == "meta-rl"
    found = {r.metric_type: r.metric_value for r in card.data.eval_results}
    assert found == {name: score.mean for name, score in result.stages[1].scores[MODE].items()}


def test_the_code_of_the_card_runs(run: Path, tmp_path: Path) -> None:
    folder = export(run, tmp_path / "out")
    code = (folder / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    script = tmp_path / "use.py"
    script.write_text(
        "from tests.meta_rl.agents.test_player import Lone\nimport envs\n"
        "d = envs.make('navigation')\nenv = Lone(d, envs.Task('navigation', (0.3, 0.1)))\n"
        + code.replace("FOLDER", "out")
        + "\nprint(reward)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert -30 < float(done.stdout) < 0


def test_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run)]) == 0
    assert f"meta_rl.load('{run / 'export'}')" in capsys.readouterr().out
    assert main(["export", str(run)]) == 0  # again: over itself
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("mine")
    for arguments, parts in {
        f"--out {tmp_path / 'full'}": ["--out", "not an exported agent"],
        "--replay nothing.mp4": ["--replay", "nothing.mp4"],
        f"--replay {run / 'config.json'}": ["--replay", ".mp4, .html"],
        "--push-hub x": ["'--push-hub'", "closest: --push-to-hub"],
        "another": ["another"],
        "--private": ["--private", "without --push-to-hub nothing leaves this machine"],
    }.items():
        assert main(["export", str(run), *arguments.split()]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert all(part in line for part in parts), line
    assert main(["export", str(tmp_path)]) == 2
    capsys.readouterr()
    for arguments, part in {
        "": "is an exported agent already; --push-to-hub USER/NAME uploads it",
        "--out x --push-to-hub a/b": "--out: ",
        "--replay x.mp4 --push-to-hub a/b": "--replay: ",
    }.items():
        assert main(["export", str(run / "export"), *arguments.split()]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert part in line


def test_an_agent_is_handed_over_for_other_tasks(tmp_path: Path) -> None:
    """It is then judged on these as it would be by hand, and says what it learned from."""
    config = replace_paths(default_config("maml-trpo", "hopper-params@promp"), {**TINY, "iterations": 1})
    run = train(replace_paths(config, {"run_dir": str(tmp_path / "run"), "evaluate.test_tasks": 2}))
    evaluate_run(run, say=lambda _: None)
    out = tmp_path / "heavier"
    heavier = "hopper-params@promp+mass=2"
    assert main(["export", str(run), "--tasks", heavier, "--out", str(out)]) == 0
    assert not (out / "evaluation.json").exists()
    mine, original = load(out), load(run)
    assert (mine.config.env, mine.trained_on, original.trained_on) == (heavier, config.env, config.env)
    found = evaluate_run(out, say=lambda _: None)
    by_hand = evaluate(original.learner, original.weights, envs.make(heavier, "test"), config_of(run, 2))
    assert found.task_distribution["name"] == heavier
    assert found.values[MODE]["return"].tolist() == by_hand.values()[MODE]["return"].tolist()
    assert "learned from other tasks, hopper-params@promp." in (out / "README.md").read_text()
    again = f"`meta-rl train --config {out / 'config.json'} --env {config.env} --run-dir NEW_FOLDER`"
    assert again in (out / "results" / "report.md").read_text()
    moved = export(out, tmp_path / "back", tasks="hopper-params@varibad")  # one that was exported before
    assert (load(moved).config.env, load(moved).trained_on) == ("hopper-params@varibad", config.env)
    started = replace_paths(config, {"run_dir": str(tmp_path / "next"), "start_from": str(moved)})
    assert read_about(train(started))["start"]["env"] == config.env


def config_of(run: Path, tasks: int) -> EvaluateConfig:
    return replace(load(run).config.evaluate, test_tasks=tasks)


def test_other_tasks_have_to_fit(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    few_shot = train(
        replace_paths(default_config("maml", "sinusoid-5shot"), {"iterations": 1, "run_dir": str(tmp_path / "f")})
    )
    for folder, options, said in (
        (
            run,
            f"--tasks hopper-params@promp --out {out}",
            "--tasks: hopper-params@promp does not fit the agent: observations",
        ),
        (run, "--tasks navigation", "--tasks: --out names the folder"),
        (run, f"--tasks nowhere --out {out}", "nowhere"),
        (run, f"--tasks navigation --format onnx --out {out}", "--tasks: for --format agent"),
        (few_shot, f"--tasks navigation --out {out}", "--tasks: for agents that act"),
    ):
        assert main(["export", str(folder), *options.split()]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert said in line
        assert not out.exists()


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the Hub's interface as an upload takes; keeps what it is sent."""

    files: ClassVar[dict[str, bytes]] = {}
    private: ClassVar[bool | None] = None
    """Whether there is such a repository, and a private one."""

    def do_GET(self) -> None:
        self.answer({"id": "user/name", "private": self.private, "tags": [], "siblings": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        address = f"http://{self.headers['Host']}/user/name"
        if self.path.endswith("/preupload/main"):
            named = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
            self.answer({"files": [file | {"shouldIgnore": False} for file in named]})
        elif self.path.endswith("/commit/main"):
            sent = [json.loads(line) for line in body.splitlines()]
            self.files |= {
                item["value"]["path"]: base64.b64decode(item["value"]["content"])
                for item in sent
                if item["key"] == "file"
            }
            self.answer({"commitUrl": f"{address}/commit/abc", "commitOid": "abc"})
        else:
            if Hub.private is None:
                Hub.private = json.loads(body).get("private", False) or json.loads(body).get("visibility") == "private"
            self.answer({"url": address})

    def answer(self, values: dict[str, Any]) -> None:
        data = json.dumps(values).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def hub() -> Iterator[str]:
    """The address of an empty Hub on this machine."""
    Hub.files, Hub.private = {}, None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def push(run: Path, name: str, endpoint: str, token: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own: the client reads its environment when it is imported."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(run.parent / "hf"), "HF_TOKEN": token}
    environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "meta_rl.cli", "export", str(run), "--push-to-hub", name, *options]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@needs_hub
def test_what_reaches_the_hub_is_the_folder(run: Path, hub: str) -> None:
    """The real client and a server on this machine."""
    done = push(run, "user/name", hub, "x")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("/user/name")
    assert contents(run / "export") == Hub.files
    assert "model.safetensors" in Hub.files
    assert Hub.private is False


@needs_hub
def test_an_exported_agent_is_uploaded_later(run: Path, hub: str, tmp_path: Path) -> None:
    """With what its owner wrote on the card, without the results that later commands put there; once more elsewhere."""
    folder = export(run, tmp_path / "out")
    with open(folder / "README.md", "a") as file:
        file.write("\nMy own words.\n")
    evaluate_run(folder, load(run).config.evaluate, lambda _: None)
    assert (folder / "results" / "evaluation.json").exists()
    model = (folder / "model.safetensors").read_bytes()
    for name in ("user/name", "user/other"):
        done = push(folder, name, hub, "x", "--private")
        assert done.returncode == 0, done.stderr
        assert Hub.files == contents(folder)
        assert Hub.private is True
        assert Hub.files["model.safetensors"] == model
        card = Hub.files["README.md"].decode()
        assert card.endswith("\nMy own words.\n")
        assert card.count("snapshot_download(") == card.count(f'snapshot_download("{name}")') == 1
        assert "meta_rl.load(folder)" in card


@needs_hub
@pytest.mark.parametrize("exported", [False, True])
def test_a_public_repository_gets_nothing_private(exported: bool, run: Path, hub: str, tmp_path: Path) -> None:
    Hub.private = False
    done = push(export(run, tmp_path / "out") if exported else run, "user/name", hub, "x", "--private")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "--private: user/name is a public repository, so nothing was uploaded" in done.stderr
    assert Hub.files == {}


@needs_hub
def test_a_damaged_agent_is_not_uploaded(run: Path, hub: str, tmp_path: Path) -> None:
    folder = export(run, tmp_path / "out")
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = push(folder, "user/name", hub, "x")
    assert (done.returncode, Hub.files) == (1, {})
    assert "contents do not match their sha256" in done.stderr


@needs_hub
@pytest.mark.parametrize(
    ("name", "token", "code", "part"),
    [
        ("not a name", "x", 2, "valid: USER/NAME"),
        ("user/name", "", 2, "hf auth login"),
        ("user/name", "x", 1, "was not uploaded"),
    ],
)
def test_the_hub_refuses_in_one_line(run: Path, name: str, token: str, code: int, part: str) -> None:
    """The real client, and an address where nobody listens."""
    done = push(run, name, "http://127.0.0.1:9", token)
    assert done.returncode == code, done.stderr
    assert part in done.stderr
    assert done.stderr.count("\n") == 1
    assert (run / "export").exists() == (code == 1)
