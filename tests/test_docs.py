"""The code on the pages of `docs/` runs as it stands."""

from __future__ import annotations

import ast
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

from meta_rl.cli.commands import main

ROOT = Path(__file__).parent.parent


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)


def unpack(page: str, name: str, folder: Path) -> Path:
    """The first block of the page as the file it says it is, ``name.py``, the others beside it."""
    files = (f"{name}.py", "training.py", f"test_{name}.py")
    for file, block in zip(files, blocks(page, "python"), strict=True):
        (folder / file).write_text(block)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page on algorithms."""
    return unpack("adding-an-algorithm.md", "anil", tmp_path)


@pytest.fixture
def spring(tmp_path: Path) -> Path:
    """The page on task distributions."""
    return unpack("adding-a-task-distribution.md", "spring", tmp_path)


def run(folder: Path, *arguments: str) -> str:
    # One thread: the runs are tiny. The checkout comes second, so that the file of the page is found first.
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_algorithm_of_the_page_trains_and_evaluates(folder: Path) -> None:
    curve = run(folder, "training.py").splitlines()[-1]
    numbers = [float(x) for x in curve.strip("[]").split()]
    assert len(numbers) == 4  # 0 to 3 adaptation steps
    assert all(-300 < x < 0 for x in numbers)
    assert sorted(p.name for p in (folder / "runs/anil/checkpoints").iterdir())[-1] == "00000003"


def test_the_commands_of_the_page_work(folder: Path) -> None:
    (commands,) = blocks("adding-an-algorithm.md", "sh")
    train, help_ = (line.removeprefix("python ").split() for line in commands.splitlines())
    assert "report: " in run(folder, *train)
    assert (folder / "runs/anil-cli/evaluation.json").exists()
    assert "--epochs INT" in run(folder, *help_)


def test_the_test_of_the_page_passes(folder: Path) -> None:
    assert "1 passed" in run(folder, "-m", "pytest", "-p", "no:cacheprovider", "test_anil.py")


def test_the_distribution_of_the_page_keeps_the_contract(spring: Path) -> None:
    (command,) = blocks("adding-a-task-distribution.md", "sh")
    program, *arguments = command.split()
    assert program == "meta-rl"
    assert run(spring, "-m", "meta_rl.cli", *arguments) == "spring:make: keeps the contract\n"


def test_the_distribution_of_the_page_trains_and_evaluates(spring: Path) -> None:
    curve = run(spring, "training.py").splitlines()[-1]
    numbers = [float(x) for x in curve.strip("[]").split()]
    assert len(numbers) == 2  # before and after adaptation
    assert all(-200 < x < 0 for x in numbers)


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--inner-lr", "0", "must be above 0, got 0.0"),
        ("--epochs", "0", "must be at least 1, got 0"),
        ("--discount", "1.5", "must be between 0 and 1, got 1.5"),
    ],
)
def test_settings_of_the_page_have_bounds(folder: Path, option: str, value: str, problem: str) -> None:
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    command = [sys.executable, "anil.py", "train", "anil", "--env", "navigation", option, value]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (2, f"meta-rl train: {option}: {problem}\n")


def test_the_test_of_the_distribution_passes(spring: Path) -> None:
    assert "1 passed" in run(spring, "-m", "pytest", "-p", "no:cacheprovider", "test_spring.py")


def test_the_page_on_seeing_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [line.split() for block in blocks("seeing.md", "sh") for line in block.splitlines()]
    assert {command[1] for command in commands} == {"train", "report", "render", "view"}
    for program, *arguments in commands:
        assert program == "meta-rl"
        if arguments[0] == "view":
            assert "view: http://127.0.0.1:" in started(tmp_path, *arguments, "--port", "0")
        else:
            assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "report: runs/navigation/report.html\n" in said
    assert "video: navigation.mp4\n" in said
    assert (tmp_path / "both.html").stat().st_size > 100_000
    (code,) = blocks("seeing.md", "python")
    (tmp_path / "look.py").write_text(code)
    assert run(tmp_path, "look.py").splitlines()[-1].startswith("goal (")


def started(folder: Path, *arguments: str) -> str:
    """What a command that does not end by itself says first; then it is asked to end."""
    pytest.importorskip("viser")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "meta_rl.cli", *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
        assert process.wait(60) == 0
        return line


def test_the_player_of_the_page_plays(tmp_path: Path) -> None:
    """Pendulum with Gymnasium's own task; the run is a small one."""
    options = (
        "--meta-batch-size 2 --episodes-per-task 2 --iterations 1 --hidden 8 --test-tasks 1 --run-dir runs/pendulum"
    )
    run(tmp_path, "-m", "meta_rl.cli", "train", "maml-trpo", "--env", "classic/pendulum", *options.split())
    (block,) = blocks("handing-over.md", "python")
    (tmp_path / "play.py").write_text(block)
    assert -2000 < float(run(tmp_path, "play.py")) < 0  # the rewards of 200 steps are in [-16.3, 0]


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    """With a smaller config, which is all that is changed."""
    (block,) = blocks("../README.md", "python")
    head = """
import meta_rl
from meta_rl.config import replace_paths
original, small = meta_rl.default_config, {"iterations": 1, "meta_batch_size": 2, "evaluate.test_tasks": 2}
meta_rl.default_config = lambda recipe, env: replace_paths(original(recipe, env), small)
"""
    (tmp_path / "readme.py").write_text(head + block)
    assert run(tmp_path, "readme.py").count(" Score(mean=") == 4  # before, and after three steps


# -- the page on the algorithms is what their files say ---------------------------------------------------------------


def sections() -> list[tuple[str, str]]:
    """File and text of each algorithm's section."""
    text = (ROOT / "docs" / "algorithms.md").read_text()
    return re.findall(r"^## [^\n]*`(meta_rl/[^`]+)`$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("file", "text"), sections(), ids=[file for file, _ in sections()])
def test_formulas_are_those_of_the_file(file: str, text: str) -> None:
    docstring = " ".join((ast.get_docstring(ast.parse((ROOT / file).read_text())) or "").split())
    for block in re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            assert " ".join(line.split()) in docstring, f"{file} does not say: {line.strip()}"


def test_every_algorithm_and_recipe_is_on_the_page() -> None:
    from meta_rl.config import RECIPES

    text = (ROOT / "docs" / "algorithms.md").read_text()
    assert [name for name in RECIPES if f"`{name}`" not in text] == []
    files = {recipe.learner.partition(":")[0].replace(".", "/") + ".py" for recipe in RECIPES.values()}
    assert files <= {file for file, _ in sections()}


# -- the reference names what there is ---------------------------------------------------------------------------------

REFERENCE = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", REFERENCE)
def test_the_reference_names_what_exists_and_is_described(name: str) -> None:
    if name.startswith("meta_rl.sources.ray"):
        pytest.importorskip("ray")
    assert pkgutil.resolve_name(name).__doc__


def test_the_reference_has_every_public_name_and_learner() -> None:
    import envs
    import meta_rl
    from meta_rl.config import RECIPES

    public = {f"{package.__name__}.{name}" for package in (meta_rl, envs) for name in package.__all__}
    learners = {recipe.learner.replace(":", ".") for recipe in RECIPES.values()}
    settings = {type(recipe.algorithm) for recipe in RECIPES.values()}
    assert public | learners <= set(REFERENCE)
    assert {f"meta_rl.config.{kind.__name__}" for kind in settings} <= set(REFERENCE)
    assert len(REFERENCE) == len(set(REFERENCE))


# -- links ------------------------------------------------------------------------------------------------------------

FOLDERS = (ROOT / "docs", ROOT / "results", ROOT / "zoo")
MARKDOWN = [*sorted(ROOT.glob("*.md")), *(page for folder in FOLDERS for page in sorted(folder.glob("*.md")))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """What a link to a place on the page may say, as GitHub and mkdocs make it of the headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_broken_links_would_be_seen() -> None:
    assert LINK.findall("see [this](docs/a.md#b), ![that](../c.png)") == ["docs/a.md#b", "../c.png"]
    assert "one-physics-loop" in anchors(ROOT / "docs" / "locomotion.md")
    assert sum(len(LINK.findall(page.read_text())) for page in MARKDOWN) > 20


def test_the_table_of_presets_is_the_one_in_the_code() -> None:
    page = (ROOT / "docs" / "locomotion.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("| `")] == preset_lines()


def preset_lines() -> list[str]:
    """The presets in Markdown; paste `python -m tests.test_docs` into the page when the table in the code changes."""
    from envs.locomotion.presets import TABLE

    lines = []
    for row in TABLE:
        height = "never" if row.height is None else "to".join(f" {z:g} " for z in row.height).strip()
        fixed = "{} / {}".format(*row.tasks) if any(row.tasks) else ""
        batch = "" if not row.batch[1] else f"{row.batch[0] or 'any'} x {row.batch[1]}"
        extent = "to".join(f" {x:g} " for x in row.extent).strip()
        weights = [f"{x:g}" for x in (row.ctrl, row.contact, row.alive)]
        cells = [f"`{row.name}`", row.targets, extent, str(row.horizon), *weights, height, fixed, batch]
        lines.append("| " + " | ".join([*cells, row.source.partition(",")[0], row.note]) + " |")
    return lines


if __name__ == "__main__":
    print("\n".join(preset_lines()))


def test_every_test_that_the_page_on_faults_names_exists() -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "faults.md").read_text())
    assert len(named) > 30
    defined = {
        name for path in (ROOT / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert not set(named) - defined
