"""Every command that a page, a report, a table, a card or the terminal prints is one that the command line takes."""

from __future__ import annotations

import ast
import html
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from meta_rl.cli import main

ROOT = Path(__file__).parents[3]
OTHERWISE = {
    "acting": ["--adaptation-steps", "2", "--judge-sampled", "False"],
    "predicting": ["--shown-steps", "0", "1", "--evaluation-seed", "3"],
}
"""Another protocol than that of the run."""
WORK = (
    "meta_rl.training.train.train",
    "meta_rl.evaluation.report.evaluate_run",
    "meta_rl.evaluation.curve.evaluate_kept",
    "meta_rl.cli.showing.report_page",
)
"""What commands do once they have read and checked their arguments."""


class Understood(Exception):
    """A command has begun its work."""


def commands(text: str) -> list[str]:
    """The commands in a page, in Markdown, or in what was said."""
    shown = [html.unescape(found) for found in re.findall(r'<div class="command"><pre>(.*?)</pre>', text, re.DOTALL)]
    return shown + re.findall(r"`(meta-rl [^`]*)`", text) + re.findall(r"(?:run|once more): (meta-rl .*)", text)


def words(command: str, folder: Path) -> list[str]:
    """The arguments that a shell gives to the program."""
    program = folder / "meta-rl"
    if not program.exists():
        program.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
        program.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, env={"PATH": path})
    assert not done.stderr
    return done.stdout.split("\0")[:-1]


def test_printed_commands_are_understood(
    kind: str,
    finished: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_film = (None, "", "takes too long here")
    monkeypatch.setattr("meta_rl.visualise.page.watch._film", lambda *_: no_film)
    run, second = (Path(shutil.copytree(found, tmp_path / "it's mine" / found.name)) for found in finished)
    agent, table = tmp_path / "agent", tmp_path / "table"
    capsys.readouterr()
    assert main(["train", "--config", str(run / "config.json"), "--run-dir", str(run)]) == 0  # nothing left to do
    assert main(["compare", str(run), str(second), "--out", str(table)]) == 0
    assert main(["report", str(run), str(second), "--out", str(tmp_path / "both.html")]) == 0
    assert main(["evaluate", str(run), "--iteration", "all", "--test-tasks", "2"]) == 0
    assert main(["evaluate", str(run), *OTHERWISE[kind]]) == 0
    assert main(["report", str(run)]) == 0
    assert main(["export", str(run), "--out", str(agent)]) == 0
    (second / "evaluation.json").unlink()
    assert main(["compare", str(run), str(second)]) == 2
    said = "".join(capsys.readouterr())
    texts: dict[str, Any] = {"terminal": said}
    for path in (run / "report.html", run / "report.md", run / "evaluations" / "curve.md", agent / "README.md",
                 table.with_suffix(".md"), tmp_path / "both.html"):  # fmt: skip
        texts[path.name] = path.read_text()
    found = {name: commands(text) for name, text in texts.items()}
    assert all(found.values()), [name for name, printed in found.items() if not printed]
    assert len(found["report.html"]) == 3
    assert any(command.startswith("meta-rl compare") for command in found["both.html"])

    def begin(*_: Any, **__: Any) -> Any:
        raise Understood

    for work in WORK:
        monkeypatch.setattr(work, begin)
    monkeypatch.chdir(agent)  # the card names the config beside it
    (second / "evaluation.json").write_text((finished[1] / "evaluation.json").read_text())
    shutil.copy(finished[0] / "evaluation.json", run)
    for command in {command for printed in found.values() for command in printed}:
        arguments = words(command, tmp_path)
        if arguments[0] == "compare":
            assert main(arguments) == 0, command
        else:
            with pytest.raises(Understood):
                pytest.fail(f"{command}: {main(arguments)}, {capsys.readouterr().err}")


def unquoted(source: str) -> list[int]:
    """Lines with a text that puts a value behind a command, where it may have to be quoted."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            for part, following in zip(node.values, node.values[1:], strict=False):
                text = part.value if isinstance(part, ast.Constant) else ""
                if re.search(r"meta-rl [a-z]+ $", str(text)) and isinstance(following, ast.FormattedValue):
                    found.append(node.lineno)
    return found


def test_values_in_commands_are_quoted() -> None:
    """`meta_rl.evaluation.words.command_line` does."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in ("meta_rl", "scripts")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in unquoted(path.read_text())
    ]
    assert not found
    assert unquoted('f"run: meta-rl evaluate {run}"') == [1]
    assert unquoted('f"run: {command_line(run)}, meta-rl compare shows all"') == []
