"""``meta-rl render`` from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import envs
from envs import NoDisplayError, gl
from meta_rl.agents.agent import load
from meta_rl.cli import main
from meta_rl.cli.showing import render_name
from meta_rl.config import TrainConfig
from meta_rl.evaluation.playing import opened
from meta_rl.evaluation.recording import record
from meta_rl.evaluation.report import evaluate_run
from meta_rl.evaluation.scores import MODE
from meta_rl.handover.export import export
from meta_rl.training.train import train
from meta_rl.visualise.options import RenderConfig

av = pytest.importorskip("av")


@pytest.fixture
def run(tiny: Callable[..., TrainConfig]) -> Path:
    return train(tiny(iterations=1), say=lambda _: None)


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_video_of_metaworld_families(reach: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        gl.backend()
    except NoDisplayError as error:
        pytest.skip(str(error))
    out = tmp_path / "x.mp4"
    assert main(["render", str(reach), "--out", str(out), "--every", "50", "--width", "160"]) == 0
    said = capsys.readouterr().out
    assert "reach-v3, task " in said
    assert "drawer-open-v3, task " in said
    pictures = decode(out)
    # One episode of practice, what it led to, 500 steps, the end.
    assert len(pictures) == 4 + 8 + 11 + 20
    assert min(picture.mean() for picture in pictures) > 40
    assert (np.abs(pictures[0].astype(int) - pictures[-1]).max(-1) > 60).sum() > 50


def test_the_default_file_is_in_the_run(run: Path) -> None:
    assert main(["render", str(run), "--every", "50", "--width", "64"]) == 0
    assert len(decode(run / "adaptation.mp4")) > 3 + 20


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (RenderConfig(), "adaptation.mp4"),
        (RenderConfig(steps=5), "adaptation-steps5.mp4"),
        (RenderConfig(split="train", iteration=3), "adaptation-00000003-train.mp4"),
        (RenderConfig(tasks=(3, 1), steps=2), "adaptation-steps2-tasks3-1.mp4"),
        (RenderConfig(families=("reach-v3",)), "adaptation-reach-v3.mp4"),
    ],
)
def test_the_name_tells_what_is_shown(options: RenderConfig, name: str) -> None:
    assert render_name(options) == name


@pytest.mark.parametrize(("suffix", "kind"), [(".mp4", "mp4"), (".webm", "webm"), (".gif", "gif")])
def test_the_suffix_decides(run: Path, tmp_path: Path, suffix: str, kind: str) -> None:
    out = tmp_path / f"short{suffix}"
    assert main(["render", str(run), "--tasks", "1", "--every", "50", "--width", "64", "--out", str(out)]) == 0
    with av.open(str(out)) as container:
        assert kind in container.format.name.split(",")
    pictures = decode(out)
    assert len(pictures) > 8  # a GIF joins those that are alike
    assert (np.abs(pictures[0].astype(int) - pictures[-1]).max(-1) > 60).any()


def test_the_task_of_the_page_is_the_one_shown(run: Path) -> None:
    """`typical`, once the run is evaluated; before that the first one."""
    agent, distribution = load(run), envs.make("navigation", "test")
    assert opened(run, agent, "test", distribution) == [0]
    record_of_run = evaluate_run(run, say=lambda _: None)
    rise = np.diff(record_of_run.values[MODE]["return"].mean(-1)[:, [0, -1]])[:, 0]
    (position,) = opened(run, agent, "test", distribution)
    assert position == np.argsort(rise, kind="stable")[1]  # of four
    assert [position] == record(agent).typical(1)
    assert opened(run, agent, "train", distribution) == [0]


def test_an_exported_agent_keeps_its_video_beside_it(run: Path, tmp_path: Path) -> None:
    folder = export(run, tmp_path / "agent")
    assert main(["render", str(folder), "--tasks", "1", "--every", "50"]) == 0
    assert [path.name for path in (folder / "results").iterdir()] == ["adaptation-tasks1.mp4"]


def test_as_many_steps_as_asked_for(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent = load(run)
    protocol = replace(agent.config.evaluate, adaptation_steps=2)
    returns = record(agent, protocol, "test", [1]).returns[0, :, 0]
    assert main(["render", str(run), "--tasks", "1", "--steps", "2", "--every", "50"]) == 0
    assert f"task 1: return {returns[0]:.2f} -> {returns[2]:.2f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "-1"], "--steps: must be at least 0"),
        (["--tasks", "4"], "--tasks: 4 asked for; valid: 0 to 3"),
        (["--families", "reach-v3"], "--families: no task of 'reach-v3' here; valid: navigation"),
        (["--out", "/nowhere/x.mp4"], "--out: there is no folder /nowhere"),
        (["--out", "x.avi"], "--out: 'x.avi' has none of the suffixes of a video; valid: .mp4, .webm, .gif"),
        (["--out", "video"], "--out: 'video' has none of the suffixes of a video; valid: .mp4, .webm, .gif"),
        (["--evry", "2"], "unknown option '--evry'; closest: --every"),
        (["--every", "0"], "--every: must be at least 1"),
        (["--width", "3"], "--width: must be at least 32"),
    ],
)
def test_bad_options_are_refused(
    run: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", str(run), *options]) == 2
    assert capsys.readouterr().err == f"meta-rl render: {message}\n"
    assert not (run / "adaptation.mp4").exists()


def test_a_few_shot_run_has_no_episodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "sinusoid"
    assert main(["train", "maml", "--env", "sinusoid-5shot", "--iterations", "0", "--run-dir", str(folder)]) == 0
    capsys.readouterr()
    assert main(["render", str(folder)]) == 2
    assert "which has no episodes to show" in capsys.readouterr().err


def test_without_opengl_one_line_says_so(reach: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "DISPLAY"} | {"MUJOCO_GL": "glfw"}
    command = [sys.executable, "-m", "meta_rl.cli", "render", str(reach)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("meta-rl render: no OpenGL to draw MuJoCo scenes with (tried glfw); apt-get install")
    assert done.stderr.count("\n") == 1
    assert not (reach / "adaptation.mp4").exists()


def test_without_pyav_one_line_says_so(run: Path) -> None:
    code = (
        f"import sys; sys.modules['av'] = None; from meta_rl.cli import main; sys.exit(main(['render', {str(run)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "meta-rl render: video: PyAV is not installed; pip install 'meta-rl[video]'\n"
