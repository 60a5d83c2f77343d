"""Every command explains itself, and what is read only in part ends without a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import meta_rl
from meta_rl.cli import main
from meta_rl.cli.commands import COMMANDS
from tests.meta_rl.conftest import TINY_OPTIONS

COMMAND = [sys.executable, "-m", "meta_rl.cli"]


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", [*COMMANDS, "envs check"])
def test_every_command_has_a_help(command: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    needs_a_run = command in ("evaluate", "render", "record", "adapt", "export", "view")
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), flag])
    assert stop.value.code == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith(f"usage: meta-rl {command}{' RUN' * needs_a_run} [-h]")


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"meta-rl {meta_rl.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("envs --sped", "meta-rl envs: unknown option '--sped'; closest: --speed\n"),
        ("envs check --splt test", "meta-rl envs: unknown option '--splt'; closest: --split\n"),
        ("report a --oot x", "meta-rl report: unknown option '--oot'; closest: --out\n"),
    ],
)
def test_unknown_options_name_the_closest(arguments: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments.split()) == 2
    assert capsys.readouterr() == ("", line)


def read_a_line(arguments: list[str], folder: Path) -> tuple[str, int, str]:
    """The first line of what a command says, and how it ends when nobody reads on: its exit code and errors."""
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        process.stdout.close()
        return line, process.wait(timeout=120), process.stderr.read()


def test_a_list_that_is_read_in_part_ends_quietly(tmp_path: Path) -> None:
    line, code, errors = read_a_line(["envs"], tmp_path)
    assert line.startswith("name ")
    assert (code, errors) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("arguments", ["--help", "envs --help", "envs tabular", "envs check"])
def test_what_nobody_reads_from_the_start_ends_quietly(arguments: str, tmp_path: Path) -> None:
    """What is said fits into a buffer, which Python empties at its end."""
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(
        [*COMMAND, *arguments.split()], cwd=tmp_path, stdout=writes, stderr=subprocess.PIPE, text=True
    )
    os.close(writes)
    if arguments == "envs check":  # says nothing there
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    else:
        assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_a_training_that_nobody_reads_keeps_its_checkpoint(tmp_path: Path) -> None:
    line, code, errors = read_a_line([*TINY_OPTIONS, "--iterations", "500", "--run-dir", "r"], tmp_path)
    assert line == "maml-trpo on navigation, seed 0: 500 iterations of 3 tasks\n"
    assert code == 128 + signal.SIGPIPE
    assert errors == "meta-rl train: stopped; the same command goes on from the last checkpoint\n"
    newest = max((tmp_path / "r" / "checkpoints").glob("0*"))
    rows = (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()
    assert int(newest.name) == len(rows) > 0
