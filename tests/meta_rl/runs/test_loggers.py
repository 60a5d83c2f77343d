"""What the loggers write is read back with their own readers, after a run that lost work and was resumed."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from meta_rl.cli import main
from meta_rl.config import load_config, to_dict
from meta_rl.evaluation.record import read_evaluation
from meta_rl.evaluation.report import evaluate_run
from meta_rl.runs import loggers
from meta_rl.runs.log import read_rows
from tests.meta_rl.conftest import TINY_OPTIONS

ROOT = Path(__file__).parents[3]
Logged = list[tuple[int, str, float]]
"""(iteration, name, value) in the order of writing."""


def tensorboard(run: Path) -> Logged:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return [(e.step, name, e.value) for name in events.Tags()["scalars"] for e in events.Scalars(name)]


def wandb(run: Path) -> Logged:
    found: Logged = []
    identities, configs = set(), []
    for file in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        for record in wandb_records(file):
            if record.WhichOneof("record_type") == "run":
                identities.add(record.run.run_id)
                configs.append({item.key: json.loads(item.value_json) for item in record.run.config.update})
                assert (record.run.project, record.run.display_name) == ("meta-rl", run.name)
            if record.WhichOneof("record_type") == "history":
                row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                found += [(row["_step"], name, value) for name, value in row.items() if "/" in name]
    assert identities == {loggers.identity(run)}  # one run, in two parts
    assert [config["env"] for config in configs] == ["navigation"] * 2
    return found


def wandb_records(path: Path) -> Iterator[Any]:
    """The protocol buffers in W&B's transaction log, which is framed as LevelDB's."""
    from wandb.proto import wandb_internal_pb2

    data, place, parts = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def trackio(run: Path) -> Logged:
    code = (
        "import json, sys; from trackio.sqlite_storage import SQLiteStorage as s; "
        "print(json.dumps(s.get_logs('meta-rl', sys.argv[1])))"
    )
    name = f"{run.name}-{loggers.identity(run)}"
    environment = {**os.environ, **settings(run)}
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])
    return [(row["step"], key, value) for row in rows for key, value in row.items() if "/" in key]


READERS: dict[str, Callable[[Path], Logged]] = {"tensorboard": tensorboard, "wandb": wandb, "trackio": trackio}


def settings(run: Path) -> dict[str, str]:
    """No network, nothing outside of the test's folder."""
    return {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "TRACKIO_DIR": str(run.parent / "trackio")}


TRAIN = """
import shutil, sys
from dataclasses import replace
from pathlib import Path
from meta_rl.cli.commands import parse_train
from meta_rl.training.train import train
config = parse_train(sys.argv[1:])
train(replace(config, iterations=3))
shutil.rmtree(Path(config.run_dir, "checkpoints", "00000003"))  # as if killed: the third iteration is done again
train(replace(config, iterations=4))
"""


def train_twice(run: Path, name: str) -> None:
    environment = {**os.environ, **settings(run), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    options = [*TINY_OPTIONS[1:], "--run-dir", str(run), "--logger", name]
    command = [sys.executable, "-c", TRAIN, *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=run.parent, check=False)
    assert done.returncode == 0, done.stderr


def installed(name: str) -> Any:
    missing = importlib.util.find_spec(loggers.LOGGERS[name].module) is None
    return pytest.param(name, marks=pytest.mark.skipif(missing, reason=f"the extra {name} is not installed"))


@pytest.mark.parametrize("name", [installed(name) for name in loggers.LOGGERS])
def test_a_resumed_run_goes_on_with_its_log(name: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_twice(run, name)
    metrics = {row["iteration"]: row for row in read_rows(run / "metrics.jsonl")}
    seconds = {row["iteration"]: row["time/iteration"] for row in read_rows(run / "timing.jsonl")}
    found = READERS[name](run)
    assert {step for step, *_ in found} == {1, 2, 3, 4}
    logged = {(step, key): value for step, key, value in found}
    for step, row in metrics.items():
        for key in set(row) - {"iteration", "env_steps"}:
            assert logged[step, key] == pytest.approx(row[key], rel=1e-6), (step, key)
        assert logged[step, "time/iteration"] == pytest.approx(seconds[step], rel=1e-6)
    if name == "tensorboard":  # what was lost is gone; the services drop it themselves
        assert len(found) == len(logged)


def tensorboard_result(run: Path) -> tuple[dict[str, Any], dict[str, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    (data,) = events.PluginTagToContent("hparams").values()
    values = HParamsPluginData.FromString(data).session_start_info.hparams
    kinds = ("string_value", "number_value", "bool_value")
    found = {name: getattr(value, kind) for name, value in values.items() for kind in kinds if value.HasField(kind)}
    (text,) = events.Tensors("config/text_summary")[-1:]
    assert json.loads(text.tensor_proto.string_val[0].decode().strip("`").removeprefix("json"))["env"] == found["env"]
    results = [(name, events.Scalars(name)[-1]) for name in events.Tags()["scalars"] if name.startswith("test/")]
    assert {event.step for _, event in results} == {1}
    return found, {name: event.value for name, event in results}


def wandb_result(run: Path) -> tuple[dict[str, Any], dict[str, float]]:
    config: dict[str, Any] = {}
    summary: dict[str, float] = {}
    for file in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        for record in wandb_records(file):
            if record.WhichOneof("record_type") == "run":
                config = dict(loggers._flat({i.key: json.loads(i.value_json) for i in record.run.config.update}))
            if record.WhichOneof("record_type") == "summary":
                items = ((i.key or i.nested_key[0], i.value_json) for i in record.summary.update)
                summary |= {name: json.loads(value) for name, value in items if name.startswith("test/")}
    return config, summary


def trackio_result(run: Path) -> tuple[dict[str, Any], dict[str, float]]:
    return {}, {name: value for step, name, value in trackio(run) if name.startswith("test/") and step == 1}


RESULTS = {"tensorboard": tensorboard_result, "wandb": wandb_result, "trackio": trackio_result}


@pytest.mark.parametrize("name", [installed(name) for name in loggers.LOGGERS])
def test_the_config_and_the_evaluation_are_logged(name: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    environment = {**os.environ, **settings(run), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-m", "meta_rl.cli", *TINY_OPTIONS, "--iterations", "1", "--inner-lr", "0.25"]
    command += ["--run-dir", str(run), "--logger", name]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "did not get" not in done.stdout
    config, found = RESULTS[name](run)
    if config:
        assert (config["env"], config["algorithm.inner_lr"], config["network.hidden"]) == ("navigation", 0.25, "8")
    for steps, stage in enumerate(json.loads((run / "evaluation.json").read_text())["stages"]):
        for score in ("return", "success"):
            assert found[f"test/{score}/stage_{steps}"] == pytest.approx(stage[score], rel=1e-6)
            low, high = (found[f"test/{score}/stage_{steps}/{end}"] for end in ("low", "high"))
            assert [low, high] == pytest.approx(stage[f"{score}_interval"], rel=1e-6)
        assert f"test/return_sampled/stage_{steps}" in found
    if name == "wandb":
        shown = re.findall('src="data:video/mp4;base64,([^"]+)"', (run / "report.html").read_text())
        assert videos(run) == shown
        assert len(shown) == (importlib.util.find_spec("av") is not None)


def videos(run: Path) -> list[str]:
    """The videos that W&B's summary shows, in base64."""
    found = []
    for file in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        for record in wandb_records(file):
            for item in record.summary.update:
                if (value := json.loads(item.value_json)) and (item.key or item.nested_key[0]) == "adaptation":
                    assert value["_type"] == "video-file"
                    found.append(base64.b64encode((file.parent / "files" / value["path"]).read_bytes()).decode())
    return found[-1:]


class Library:
    """As much of a tracker's library as we call."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.options: dict[str, Any] = {}
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.finished = 0

    def init(self, **options: Any) -> Library:
        self.options = options
        return self

    def log(self, values: dict[str, float], step: int) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished += 1


def test_a_library_without_a_summary_gets_the_evaluation_as_a_row(
    monkeypatch: pytest.MonkeyPatch, finished: tuple[Path, Path]
) -> None:
    library = Library("trackio")
    monkeypatch.setattr(loggers, "import_module", lambda name: library)
    config = load_config(finished[1] / "config.json")
    loggers.log_evaluation(["trackio"], finished[1], config, 2, {"test/return/stage_0": 1.5})
    assert library.options["config"] == to_dict(config)
    assert (library.logged, library.finished) == ([(2, {"test/return/stage_0": 1.5})], 1)


class Files(Library):
    """One that keeps files and results, as W&B does."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.summary: dict[str, Any] = {}
        self.artifacts: list[tuple[str, list[str]]] = []

    def Artifact(self, name: str, type: str) -> Any:
        paths: list[str] = []
        return SimpleNamespace(name=name, paths=paths, add_file=paths.append)

    def log_artifact(self, artifact: Any) -> None:
        self.artifacts.append((artifact.name, artifact.paths))

    def Video(self, data: Any, format: str) -> tuple[str, bytes]:
        return format, data.read()


def test_the_page_goes_with_the_evaluation_where_files_are_kept(
    monkeypatch: pytest.MonkeyPatch, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = Files()
    monkeypatch.setattr(loggers, "import_module", lambda name: library)
    config, page = load_config(kept / "config.json"), kept / "report.html"
    scores = {"test/return/stage_0": 1.5}
    loggers.log_evaluation(["wandb"], kept, config, 4, scores, paths=[page], video=b"moves")
    assert library.artifacts == [(f"evaluation-{loggers.identity(kept)}", [str(page)])]
    assert (library.summary, library.finished) == ({**scores, "adaptation": ("mp4", b"moves")}, 1)
    assert capsys.readouterr().out == ""


def test_scores_of_every_kind_have_names(kept: Path) -> None:
    """Those of a policy and of labelled examples."""
    record = read_evaluation(kept)
    scalars = record.scalars()
    assert len(scalars) == 3 * len(record.stages) * len(record.names) * len(record.ways)
    last = record.stages[-1]
    for name in record.names:
        assert scalars[f"test/{name}/stage_{last.steps}"] == last.scores[record.headline][name].mean


def test_an_evaluation_outlives_its_logger(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise OSError("no network,\n today")

    monkeypatch.setitem(loggers.LOGGERS, "wandb", loggers.Adapter(fail, "json"))
    said: list[str] = []
    (kept / "evaluation.json").unlink()
    assert evaluate_run(kept, say=said.append, loggers=["wandb"]).iteration == 4
    assert said[-1] == "--logger: wandb did not get the evaluation: no network, today"
    assert (kept / "evaluation.json").exists()


def test_every_logger_has_a_reader_here() -> None:
    assert READERS.keys() == RESULTS.keys() == loggers.LOGGERS.keys()


def test_what_is_not_installed_is_said_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(loggers.LOGGERS, "wandb", loggers.Adapter(loggers.TensorBoard, "no_such_module"))
    assert main([*TINY_OPTIONS, "--logger", "tensorboard", "wandb"]) == 2
    said = capsys.readouterr()
    assert said.err == (
        "meta-rl train: --logger: wandb needs no_such_module; install it with: pip install 'meta-rl[wandb]'\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="the extra wandb is not installed")
def test_a_logger_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    """W&B online, and nobody is logged in."""
    environment = {**os.environ, "WANDB_SILENT": "true", "WANDB_MODE": "online", "HOME": str(tmp_path)}
    environment.pop("WANDB_API_KEY", None)
    command = [sys.executable, "-m", "meta_rl.cli", *TINY_OPTIONS, "--run-dir", "r", "--logger", "wandb"]
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("meta-rl train: --logger: wandb cannot be opened: ")
    assert not (tmp_path / "r" / "checkpoints").exists()
