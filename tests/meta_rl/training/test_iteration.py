"""Any kept checkpoint: loaded, evaluated, shown and handed over as what it is; the run's own files stay as they are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import meta_rl
from meta_rl.agents.agent import Agent
from meta_rl.cli import main
from meta_rl.config import default_config, to_dict
from meta_rl.errors import ConfigError, RunError
from meta_rl.evaluation.recording import Recording
from meta_rl.handover.export import export
from meta_rl.runs.durable import CheckpointError
from tests.meta_rl.cli.test_cli import environment
from tests.meta_rl.conftest import KINDS

COMMANDS = ("evaluate", "export", "record", "render", "view")


def files(folder: Path) -> dict[Path, bytes]:
    """Contents of all files below `folder`."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def same(one: Agent, two: Agent) -> bool:
    """Whether all tensors are equal bit for bit, and the counters too."""
    if (one.iteration, one.env_steps) != (two.iteration, two.env_steps):
        return False
    for mine, other in zip(one.weights, two.weights, strict=True):
        assert list(mine) == list(other)
        if not all(torch.equal(mine[name], other[name]) for name in mine):
            return False
    return True


# -- meta_rl.load ------------------------------------------------------------------------------------------------------


def test_the_agent_of_an_iteration_is_that_of_the_run_stopped_there(kept: Path, stopped: Path) -> None:
    assert same(meta_rl.load(kept, iteration=2), meta_rl.load(stopped))
    assert same(meta_rl.load(kept, iteration=4), meta_rl.load(kept))
    assert not same(meta_rl.load(kept, iteration=3), meta_rl.load(kept))


@pytest.mark.parametrize("iteration", [0, 1, 5, -1])
def test_an_iteration_that_is_not_kept(kept: Path, iteration: int) -> None:
    with pytest.raises(ConfigError) as raised:
        meta_rl.load(kept, iteration)
    assert str(raised.value) == f"--iteration: {kept} keeps no iteration {iteration}; valid: 2, 3, 4"


def test_of_many_iterations_the_first_and_the_last_are_named(kept: Path) -> None:
    for number in range(100, 200):
        (kept / "checkpoints" / f"{number:08d}").mkdir()
    with pytest.raises(ConfigError, match=r"valid: 2, 3, 4, 100, .*, 106, \.\.\., 190, .*, 199$"):
        meta_rl.load(kept, 7)


def test_a_damaged_checkpoint_is_never_replaced_by_another(kept: Path) -> None:
    (kept / "checkpoints" / "00000003" / "state.safetensors").write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CheckpointError, match=r"00000003/state\.safetensors: 0 bytes"):
            meta_rl.load(kept, iteration=3)
        assert meta_rl.load(kept, iteration=4).iteration == 4
    shutil.copytree(kept / "checkpoints" / "00000004", kept / "checkpoints" / "00000005")
    with pytest.raises(CheckpointError, match="00000005: holds iteration 4"):
        meta_rl.load(kept, iteration=5)


def test_a_run_without_a_checkpoint(kept: Path) -> None:
    shutil.rmtree(kept / "checkpoints")
    with pytest.raises(ConfigError, match="holds no checkpoint yet"):
        meta_rl.load(kept, iteration=4)


def test_an_exported_agent_has_but_its_own_iteration(kept: Path, stopped: Path, tmp_path: Path) -> None:
    folder = export(kept, tmp_path / "agent", iteration=2)
    assert same(meta_rl.load(folder, iteration=2), meta_rl.load(stopped))
    with pytest.raises(ConfigError, match=r"agent keeps no iteration 4; valid: 2$"):
        meta_rl.load(folder, iteration=4)
    (folder / "agent.json").write_text("[]")
    with pytest.raises(RunError, match=r"agent: unreadable"):
        meta_rl.load(folder, iteration=2)


# -- the commands ------------------------------------------------------------------------------------------------------


def test_the_evaluation_of_the_last_iteration_is_that_of_the_run(kept: Path, finished: tuple[Path, Path]) -> None:
    before = files(kept)
    assert main(["evaluate", str(kept), "--iteration", "4"]) == 0
    assert before.items() <= files(kept).items()
    written = kept / "evaluations" / "00000004.json"
    assert written.read_bytes() == (kept / "evaluation.json").read_bytes()
    headline = (kept / "report.md").read_text().replace(str(finished[0]), str(kept))
    assert written.with_suffix(".md").read_text() == headline


def test_the_evaluation_of_an_iteration_is_that_of_the_run_stopped_there(
    kept: Path, stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(kept)
    assert main(["evaluate", str(kept), "--iteration", "2"]) == 0
    said = capsys.readouterr().out
    assert "evaluating iteration 2 on" in said
    assert "\n2 iterations" in said
    assert said.endswith(f"report: {kept / 'evaluations' / '00000002.md'}\n")
    mine, its = (json.loads(p.read_text()) for p in (kept / "evaluations/00000002.json", stopped / "evaluation.json"))
    assert mine | {"run": "stopped"} == its
    assert before.items() <= files(kept).items()


def test_the_evaluation_of_an_iteration_is_not_that_of_the_run(
    kept: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(kept), "--iteration", "2"]) == 0
    command = [*KINDS[kind], "--iterations", "4", "--run-dir", str(kept)]
    (headline := kept / "evaluation.json").unlink()
    assert main(command) == 0
    assert "was evaluated before" not in capsys.readouterr().out
    assert json.loads(headline.read_text())["iteration"] == 4
    assert main(["evaluate", str(kept), "--iteration", "3"]) == 0
    capsys.readouterr()
    before = files(kept)
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "was evaluated before" in said
    assert "\n4 iterations" in said
    assert files(kept) == before


def test_an_exported_iteration_has_its_own_results(kept: Path, stopped: Path) -> None:
    folder = kept / "export-00000002"
    assert main(["export", str(kept), "--iteration", "2"]) == 0
    card = (folder / "README.md").read_text()
    assert "Trained for 2 iterations" in card
    assert "Not evaluated." in card  # only the last checkpoint was
    assert not (folder / "evaluation.json").exists()
    assert same(meta_rl.load(folder), meta_rl.load(stopped))
    assert main(["evaluate", str(kept), "--iteration", "2"]) == 0
    assert main(["export", str(kept), "--iteration", "2"]) == 0
    card = (folder / "README.md").read_text()
    assert "\n2 iterations" in card
    assert "model-index" in card
    assert (folder / "evaluation.json").read_bytes() == (kept / "evaluations" / "00000002.json").read_bytes()
    assert main(["export", str(kept)]) == 0
    assert "\n4 iterations" in (kept / "export" / "README.md").read_text()


def test_an_older_headline_is_no_result_of_the_newest_checkpoint(kept: Path, tmp_path: Path) -> None:
    result = json.loads((kept / "evaluation.json").read_text())
    (kept / "evaluation.json").write_text(json.dumps(result | {"iteration": 3}))
    assert "Not evaluated." in (export(kept, tmp_path / "agent") / "README.md").read_text()


def test_an_exported_agent_is_evaluated_by_its_iteration_too(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(export(kept, tmp_path / "agent", iteration=2))
    assert main(["evaluate", folder, "--iteration", "2"]) == 0
    assert (tmp_path / "agent" / "results" / "evaluations" / "00000002.json").exists()
    capsys.readouterr()
    assert main(["evaluate", folder, "--iteration", "4"]) == 2
    assert capsys.readouterr().err == f"meta-rl evaluate: --iteration: {folder} keeps no iteration 4; valid: 2\n"
    export(kept, tmp_path / "agent")  # another agent takes its place
    assert not (tmp_path / "agent" / "results").exists()


@pytest.mark.parametrize("kind", ["acting"], indirect=True)
def test_recordings_and_videos_are_of_the_iteration_that_their_names_tell(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(kept)
    assert main(["evaluate", str(kept), "--iteration", "2"]) == 0
    assert main(["record", str(kept), "--iteration", "2"]) == 0
    assert "iteration 2: 8 episodes of 4 tasks" in capsys.readouterr().out
    played = Recording.load(kept / "trajectories-00000002.npz")
    assert played.about["iteration"] == 2
    judged = json.loads((kept / "evaluations" / "00000002.json").read_text())["per_task"]
    np.testing.assert_array_equal(played.returns, [task["returns"] for task in judged])
    pytest.importorskip("av")
    assert main(["render", str(kept), "--iteration", "2", "--tasks", "3", "--every", "50"]) == 0
    first, last = played.returns[3, :, 0]
    said = capsys.readouterr().out
    assert "playing iteration 2 on navigation" in said
    assert f"task 3: return {first:.2f} -> {last:.2f}" in said
    assert (kept / "adaptation-00000002-tasks3.mp4").exists()
    assert main(["render", str(kept), "--iteration", "2", "--every", "50"]) == 0
    assert (kept / "adaptation-00000002.mp4").exists()
    assert main(["export", str(kept), "--iteration", "2"]) == 0
    assert "![before and after adaptation](replay.mp4)" in (kept / "export-00000002" / "README.md").read_text()
    assert before.items() <= files(kept).items()


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a run looks like from outside: a config, and folders named as checkpoints."""
    monkeypatch.chdir(tmp_path)
    for number in (20, 30, 100):
        (tmp_path / "r" / "checkpoints" / f"{number:08d}").mkdir(parents=True)
    (tmp_path / "r" / "config.json").write_text(json.dumps(to_dict(default_config("maml-trpo", "navigation"))))
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_iterations_are_refused_in_one_line(command: str, begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    every = ", all" * (command == "evaluate")
    for words, expected in {
        "--iteration 7": "r keeps no iteration 7; valid: 20, 30, 100",
        "--iteration=7": "r keeps no iteration 7; valid: 20, 30, 100",
        "--iteration newest": f"'newest' is no iteration; valid: 20, 30, 100{every}",
        "--iteration -1": f"'-1' is no iteration; valid: 20, 30, 100{every}",
        "--iteration 2.0": f"'2.0' is no iteration; valid: 20, 30, 100{every}",
        "--iteration": "needs a value",
    }.items():
        before = files(begun)
        assert main([command, "r", *words.split()]) == 2
        assert capsys.readouterr().err == f"meta-rl {command}: --iteration: {expected}\n"
        assert files(begun) == before
    shutil.rmtree(begun / "r" / "checkpoints")
    for number in ("20", *(["all"] if every else [])):
        assert main([command, "r", "--iteration", number]) == 2
        assert capsys.readouterr().err == f"meta-rl {command}: RUN: r holds no checkpoint yet\n"


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "evaluate"])
def test_all_is_for_evaluations(command: str, begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "r", "--iteration", "all"]) == 2
    assert "'all' is no iteration; valid: 20, 30, 100\n" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_refusals_come_before_torch(command: str, begun: Path) -> None:
    code = f"""
import sys
from meta_rl.cli import main
assert main([{command!r}, "r", "--iteration", "7"]) == 2
print(*sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment(), cwd=begun
    )
    assert "keeps no iteration 7" in done.stderr
    assert not set(done.stdout.split()) & {"torch", "metaworld", "mujoco"}


def test_a_damaged_checkpoint_is_one_line(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("evaluate", "export", "record"):
        assert main([command, "r", "--iteration", "30"]) == 1
        line = capsys.readouterr().err
        assert line.startswith(f"meta-rl {command}: r/checkpoints/00000030: unreadable")
        assert line.count("\n") == 1
    assert sorted(p.name for p in (begun / "r").iterdir()) == ["checkpoints", "config.json"]
