"""Folders and files that cannot be used are refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from meta_rl.errors import ConfigError, RunError
from meta_rl.runs.folder import about_run, check_file


def test_a_file_that_could_not_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken.npz").mkdir()
    check_file(tmp_path / "new.npz", "--out")
    for path, said in {
        tmp_path / "taken.npz": f"--out: {tmp_path}/taken.npz is a folder; name a file",
        tmp_path / "no" / "new.npz": f"--out: there is no folder {tmp_path}/no",
    }.items():
        with pytest.raises(ConfigError, match=f"^{said}$"):
            check_file(path, "--out")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigError, match=f"^--out: cannot write to {tmp_path}: permission denied$"):
        check_file(tmp_path / "new.npz", "--out")


@pytest.mark.parametrize("text", ['{"a', "[]", "3"])
def test_a_damaged_record_of_a_run_is_named(text: str, tmp_path: Path) -> None:
    assert about_run(tmp_path) == {}
    (tmp_path / "environment.json").write_text(text)
    with pytest.raises(RunError, match=rf"^{tmp_path}/environment.json: unreadable \("):
        about_run(tmp_path)
