"""Scripts from which no process can start are refused in one line; so are systems and processes that cannot."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meta_rl.errors import ConfigError
from meta_rl.runs.problem import open_problem
from meta_rl.sources import fork_server
from meta_rl.training.train import train
from tests.meta_rl.conftest import TINY

ROOT = Path(__file__).parents[3]
SMALL = TINY | {"iterations": 1, "run_dir": "run"}
SCRIPT = f"""
import meta_rl
from meta_rl.config import replace_paths
from meta_rl.runs.problem import open_problem
config = replace_paths(meta_rl.default_config("maml-trpo", "navigation"), {SMALL!r})
"""
USES = {
    "--workers": "meta_rl.train(replace_paths(config, {'shards': 3, 'workers': 3}))",
    "--learners": "meta_rl.train(replace_paths(config, {'learners': 3}))",
}


def lines(folder: Path, script: str, *, by_name: bool = True) -> list[str]:
    """What a failing script says on standard error."""
    (folder / "mine.py").write_text(SCRIPT + script)
    command = [sys.executable, *(["mine.py"] if by_name else ["-"])]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with open(folder / "mine.py") as file:
        done = subprocess.run(
            command, cwd=folder, stdin=file, capture_output=True, text=True, env=environment, timeout=200, check=False
        )
    assert done.returncode == 1
    return done.stderr.splitlines()


@pytest.mark.parametrize("option", USES)
def test_a_script_that_would_train_again_in_every_process_is_told_in_one_line(tmp_path: Path, option: str) -> None:
    said = lines(tmp_path, USES[option])
    assert sum("Error" in line and not line.startswith(" ") for line in said) == 1  # one, and nothing of the processes
    assert sum(line.startswith("Traceback") for line in said) == 1
    valid = {"--workers": 0, "--learners": 1}[option]
    assert said[-1].removeprefix("meta_rl.errors.ConfigError: ") == (
        f"{option}: every process that mine.py starts imports it anew and would train again; "
        f'put what it does under `if __name__ == "__main__":`; valid without that: {valid}'
    )


def test_a_script_from_standard_input_is_told_before_it_begins(tmp_path: Path) -> None:
    said = lines(tmp_path, USES["--workers"], by_name=False)
    assert sum(line.startswith("Traceback") for line in said) == 1
    assert said[-1].removeprefix("meta_rl.errors.ConfigError: ") == (
        "--workers: other processes cannot import the running script (<stdin> is not a file); "
        'write it into a file, with what it does under `if __name__ == "__main__":`; valid here: 0'
    )
    assert not (tmp_path / "run").exists()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The running script, as if it had been started by its path."""
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__spec__", None)
    monkeypatch.setattr(main, "__file__", __file__, raising=False)
    return main


@pytest.mark.parametrize("name", ["<stdin>", "removed.py", "folder/<string>"])
def test_scripts_that_are_no_files_are_refused(script: Any, name: str) -> None:
    script.__file__ = name
    for option, valid in (("--workers", 0), ("--learners", 1)):
        with pytest.raises(ConfigError, match=rf"^{option}: .*{Path(name).name} is not a file.*; valid here: {valid}$"):
            fork_server.require_processes(option, valid)


def test_scripts_notebooks_and_consoles_are_taken(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fork_server.require_processes("--workers", 0)
    script.__file__ = "/nowhere/ipython"  # Python's multiprocessing leaves it out
    fork_server.require_processes("--workers", 0)
    monkeypatch.delattr(script, "__file__")
    fork_server.require_processes("--workers", 0)


@pytest.mark.parametrize("option", ["workers", "learners"])
def test_what_cannot_start_processes_is_refused_before_a_folder_is_made(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    config = tiny("run", shards=3, **{option: 3})
    with monkeypatch.context() as patch:
        patch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])  # as on Windows
        with pytest.raises(ConfigError, match=rf"^--{option}: takes Linux or macOS; valid on this system"):
            train(config)
    with monkeypatch.context() as patch:
        patch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
        with pytest.raises(ConfigError, match=rf"^--{option}: this process is a worker itself"):
            train(config)
    assert not config.path.exists()


def test_only_our_processes_that_import_the_script_end_in_it(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another library's, and one of ours that is at work, go on."""

    def ended(code: int) -> None:
        raise SystemExit(code)

    process = multiprocessing.current_process()
    monkeypatch.setattr(os, "_exit", ended)
    monkeypatch.setattr(process, "_inheriting", True, raising=False)
    fork_server.leave_if_imported_again()
    monkeypatch.setattr(process, "name", fork_server.NAME)
    for again in (lambda: train(tiny("run")), lambda: open_problem(tiny("run", shards=2, workers=2)).source()):
        with pytest.raises(SystemExit) as exit:
            again()
        assert exit.value.code == fork_server.TRAINED_AGAIN
    monkeypatch.delattr(process, "_inheriting")
    fork_server.leave_if_imported_again()
