"""What the repository says about itself: its files for contributors, hosts and citations agree with what runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def test_the_hooks_before_a_commit_are_what_make_lint_runs() -> None:
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (repo,) = read(".pre-commit-config.yaml")["repos"]
    assert repo["repo"] == "local"
    hooks = [hook["entry"].replace(".venv/bin", "$(BIN)") for hook in repo["hooks"]]
    assert hooks == [line.strip() for line in recipe.splitlines()]
    assert not any(hook["pass_filenames"] for hook in repo["hooks"])


def test_the_workflow_runs_what_every_change_must_pass() -> None:
    (job,) = read(".github/workflows/ci.yml")["jobs"].values()
    assert job["timeout-minutes"] == 90
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    (python,) = (step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", ""))
    assert PROJECT["requires-python"].startswith(f">={python},")


@pytest.mark.parametrize("name", ["bug_report", "feature_request"])
def test_templates_of_issues_have_a_name(name: str) -> None:
    _, head, body = (ROOT / f".github/ISSUE_TEMPLATE/{name}.md").read_text().split("---\n", 2)
    assert {"name", "about"} <= set(yaml.safe_load(head))
    assert body.strip()


def test_the_citation_is_of_this_version_and_names_nobody() -> None:
    citation = read("CITATION.cff")
    required = {"cff-version", "message", "title", "authors"}
    assert required <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert citation["authors"] == PROJECT["authors"] == [{"name": "The meta-rl developers"}]


def test_the_changelog_has_known_groups_and_no_commits() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE)[0] == "Unreleased"
    known = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= known
    assert not re.findall(r"\b(?=\w*\d)(?=\w*[a-f])[0-9a-f]{7,40}\b", text)


def test_the_options_that_the_changelog_names_exist(capsys: pytest.CaptureFixture[str]) -> None:
    from meta_rl.cli import main

    said = ""
    for command in (["train", "maml-trpo"], ["train", "rl2"], ["evaluate"], ["export"]):
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        said += capsys.readouterr().out
    named = set(re.findall(r"`(--[a-z-]+)", (ROOT / "CHANGELOG.md").read_text()))
    assert len(named) > 5
    assert {option for option in named if not re.search(rf"{option}\b", said)} == set()
