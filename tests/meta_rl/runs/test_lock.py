"""A run is held by one process at a time, with and without what only Unix has."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from meta_rl.errors import ConfigError
from meta_rl.runs import durable, lock, signals


def windows() -> types.ModuleType:
    """``msvcrt`` as far as it is used, over the locks that there are."""

    def locking(descriptor: int, mode: int, count: int) -> None:
        assert (mode, count) == (2, 1)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    module: Any = types.ModuleType("msvcrt")
    module.LK_NBLCK, module.locking = 2, locking
    return module  # type: ignore[no-any-return]


@pytest.mark.parametrize("system", ["unix", "windows"])
def test_one_holds_and_the_next_is_refused_until_it_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    if system == "windows":
        monkeypatch.setattr(lock, "fcntl", None)
        monkeypatch.setitem(sys.modules, "msvcrt", windows())
    held = durable.lock(tmp_path)
    with pytest.raises(ConfigError, match=rf"^--run-dir: {tmp_path} is in use by another run; choose another folder$"):
        durable.lock(tmp_path)
    held.close()
    durable.lock(tmp_path).close()


def test_a_folder_is_left_alone_where_it_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "O_DIRECTORY")
    monkeypatch.setattr(durable.os, "open", None)
    durable.fsync_folder(tmp_path)
    durable.replace_durably(tmp_path / "file", b"text")
    assert (tmp_path / "file").read_bytes() == b"text"


def test_signals_are_those_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [number.name for number in signals.ENDS] == ["SIGINT", "SIGTERM", "SIGHUP"]
    assert signals.BROKEN_PIPE == signal.SIGPIPE
    monkeypatch.setattr(signals, "ENDS", [signal.SIGINT, signal.SIGTERM])  # as on Windows
    monkeypatch.delattr(signal, "SIGHUP")
    before = signal.getsignal(signal.SIGTERM)
    with signals.Stop():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_pages_and_the_package_name_the_same_systems() -> None:
    root = Path(__file__).parents[3]
    about = (root / "pyproject.toml").read_text()
    assert '"Operating System :: POSIX :: Linux"' in about
    assert '"Operating System :: MacOS"' in about
    assert "Windows ::" not in about
    install = (root / "README.md").read_text().partition("## Install")[2].partition("##")[0]
    assert all(system in install for system in ("Linux", "macOS", "Windows"))
    assert "on Windows, install it inside WSL" in (root / "CMakeLists.txt").read_text()
