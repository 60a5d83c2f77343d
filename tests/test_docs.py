"""The code on the pages of `docs/` runs as it stands."""

from __future__ import annotations

import ast
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from meta_rl.cli import main

ROOT = Path(__file__).parent.parent


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)


def unpack(page: str, name: str, folder: Path) -> Path:
    """The first block of the page as the file it says it is, ``name.py``, the others beside it."""
    files = (f"{name}.py", "training.py", f"test_{name}.py")
    for file, block in zip(files, blocks(page, "python"), strict=False):
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


def test_the_network_of_the_page_keeps_its_first_layer(tmp_path: Path) -> None:
    (tmp_path / "held.py").write_text(blocks("adding-an-algorithm.md", "python")[-1])
    stays = ast.literal_eval(run(tmp_path, "held.py").splitlines()[-1])
    held = {"mean.0.weight", "mean.0.bias"}
    assert stays == {name: name in held for name in stays}
    assert stays.keys() > held


def test_the_distribution_of_the_page_goes_from_zero_to_an_agent(spring: Path) -> None:
    """Every command of the page, in its order; training is a small one."""
    small = "--iterations 1 --meta-batch-size 2 --episodes-per-task 2 --hidden 8 --device cpu --test-tasks 2"
    said = {}
    for line in "".join(blocks("adding-a-task-distribution.md", "sh")).splitlines():
        program, command, *arguments = line.split()
        assert program == "meta-rl"
        if command == "train":
            position = arguments.index("--iterations")
            arguments[position : position + 2] = small.split()
        if command == "render":
            pytest.importorskip("av")
            arguments += ["--every", "25", "--width", "32"]
        said[command] = run(spring, "-m", "meta_rl.cli", command, *arguments)
    assert list(said) == ["envs", "train", "report", "render", "export", "evaluate"]
    assert said["envs"] == "spring:make: keeps the contract\n"
    assert said["report"].endswith("report: runs/spring/report.html\n")
    assert said["render"].endswith("video: spring.mp4\n")
    assert "evaluating iteration 1 on spring:make, test tasks\n" in said["evaluate"]
    assert {"model.safetensors", "README.md"} <= {path.name for path in (spring / "agents" / "spring").iterdir()}


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


def test_the_python_of_the_page_on_the_engine_runs(tmp_path: Path) -> None:
    (block,) = blocks("engine.md", "python")
    (tmp_path / "branches.py").write_text(block)
    run(tmp_path, "branches.py")


def test_the_arm_of_the_page_goes_from_a_model_to_a_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command of the page, in its order; training is a small one."""
    page = "your-own-robot.md"
    code, varied = blocks(page, "python")
    (tmp_path / "arm.xml").write_text(blocks(page, "xml")[0])
    (tmp_path / "arm.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "arm", raising=False)
    small = "1 --meta-batch-size 2 --episodes-per-task 2 --hidden 8 --device cpu --test-tasks 2"
    for line in "".join(blocks(page, "sh")).splitlines():
        program, command, *arguments = line.split()
        assert program == "meta-rl"
        if command == "train":
            position = arguments.index("--iterations") + 1
            arguments[position : position + 1] = small.split()
        if command == "render":
            pytest.importorskip("av")
            arguments += ["--every", "30", "--width", "32"]
        assert main([command, *arguments]) == 0
    said = capsys.readouterr().out
    assert said.count(": keeps the contract\n") == 2
    assert "video: arm.mp4\n" in said
    assert '"vertices":' in (tmp_path / "runs/arm-maml/report.html").read_text()  # the replay in three dimensions
    exec(compile(varied, "varied.py", "exec"), {})
    monkeypatch.delitem(sys.modules, "arm")


def test_the_player_of_the_page_plays(tmp_path: Path) -> None:
    """Pendulum with Gymnasium's own task; the run is a small one."""
    options = (
        "--meta-batch-size 2 --episodes-per-task 2 --iterations 1 --hidden 8 --test-tasks 1 --run-dir runs/pendulum"
    )
    run(tmp_path, "-m", "meta_rl.cli", "train", "maml-trpo", "--env", "classic/pendulum", *options.split())
    (block,) = blocks("handing-over.md", "python")
    (tmp_path / "play.py").write_text(block)
    assert -2000 < float(run(tmp_path, "play.py")) < 0  # the rewards of 200 steps are in [-16.3, 0]


SMALLER = """
import meta_rl
from meta_rl.config import replace_paths
original, small = meta_rl.default_config, {"iterations": 1, "meta_batch_size": 4, "evaluate.test_tasks": 2}
meta_rl.default_config = lambda recipe, env: replace_paths(original(recipe, env), small)
"""
"""What makes the runs of a page's Python small."""


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    """With a smaller config, which is all that is changed."""
    (block,) = blocks("../README.md", "python")
    (tmp_path / "readme.py").write_text(SMALLER + block)
    assert run(tmp_path, "readme.py").count(" Score(mean=") == 4  # before, and after three steps


def test_the_python_of_the_page_on_scaling_out_runs(tmp_path: Path) -> None:
    """With a smaller config; two workers, which import the script without training again."""
    (block,) = blocks("scaling-out.md", "python")
    (tmp_path / "many.py").write_text(SMALLER + block)
    said = run(tmp_path, "many.py")
    assert "resuming" not in said
    assert said.count("evaluated on 2 test tasks") == 1
    assert said.splitlines()[-1].startswith("{'mode actions': {")


# -- an algorithm that joins the repository is three files and a section -----------------------------------------------

ADDED = {"anil": "Keep it", "lstm-reinforce": "A learner with a memory"}
"""Recipe -> the section of the page that adds it."""
STEP = re.compile(r"^`([^`\n]+/[^`\n]+)`(?:[^\n]+\n)+\n(```|~~~)(python|diff|md)\n(.*?)^\2$", re.MULTILINE | re.DOTALL)
"""A paragraph that begins with the path of a file, and the block below it."""


def steps(recipe: str) -> list[tuple[str, str, str]]:
    """Path, kind and text of each change that a section of the page asks for."""
    page = (ROOT / "docs" / "adding-an-algorithm.md").read_text()
    # Headings of the page have no code in them; those in its blocks name a file.
    (section,) = re.findall(rf"^## {ADDED[recipe]}$(.*?)(?=^## [^`\n]*$|\Z)", page, re.MULTILINE | re.DOTALL)
    return [(path, kind, text) for path, _, kind, text in STEP.findall(section)]


def take(repository: Path, path: str, kind: str, text: str) -> None:
    """Make one change: a new file, the page's first file with a difference, or a section at the end of a page."""
    file = repository / path
    if kind == "md":
        file.write_text(f"{file.read_text()}\n{text}")
        return
    assert not file.exists()
    file.write_text(text if kind == "python" else blocks("adding-an-algorithm.md", "python")[0])
    if kind == "diff":
        subprocess.run(["git", "apply", "-"], cwd=repository, input=text, text=True, check=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of this one with a single commit."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    copy = tmp_path / "repository"
    for name in ("meta_rl", "envs", "tests", "docs", "scripts", "pyproject.toml", ".gitignore"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, copy / name)
    git(copy, "init", "--quiet")
    git(copy, "add", "--all")
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "commit.gpgsign=false")
    git(copy, *who, "commit", "--quiet", "--no-verify", "--message", "before")
    return copy


def git(repository: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=repository, check=True, capture_output=True, text=True, env=outside_of_git()
    ).stdout


def outside_of_git() -> dict[str, str]:
    """The environment without what a hook tells git about another repository."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def run_in(repository: Path, *arguments: str) -> str:
    """What Python says with the packages of the copy; ``-S`` is without those that an editable installation names."""
    path = os.pathsep.join([str(repository), *filter(None, sys.path)])
    environment = outside_of_git() | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-S", *arguments]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("recipe", ADDED)
def test_adding_an_algorithm_by_the_page_touches_three_files_and_a_section(recipe: str, repository: Path) -> None:
    name = recipe.replace("-", "_")
    files = {
        f"meta_rl/config/recipes/{name}.py",
        f"meta_rl/algorithms/{name}.py",
        f"tests/meta_rl/algorithms/test_{name}.py",
        "docs/algorithms.md",
    }
    for step in steps(recipe):
        take(repository, *step)
    assert run_in(repository, "-c", "import meta_rl; print(meta_rl.__file__)").startswith(str(repository))
    options = "--env navigation --iterations 1 --meta-batch-size 2 --episodes-per-task 2 --hidden 8 --device cpu"
    evaluation = f"--test-tasks 2 --run-dir {repository.parent / 'run'}"
    said = run_in(repository, "-m", "meta_rl.cli", "train", recipe, *options.split(), *evaluation.split())
    assert "report: " in said
    # Its own test, and those that hold every algorithm to its description and its place.
    held = ["test_every_algorithm_and_recipe_is_on_the_page", "test_formulas_are_those_of_the_file",
            "test_the_reference_has_every_public_name_and_learner", "test_imports_point_down"]  # fmt: skip
    wanted = " or ".join([f"test_{name}.py", *held])
    tested = (f"tests/meta_rl/algorithms/test_{name}.py", "tests/test_docs.py", "tests/test_floors.py")
    assert "passed" in run_in(repository, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-k", wanted, *tested)
    if ruff := shutil.which("ruff", path=str(Path(sys.executable).parent)):
        python = sorted(file for file in files if file.endswith(".py"))
        for command in (["check"], ["format", "--check"]):
            subprocess.run([ruff, *command, "--no-cache", *python], cwd=repository, check=True, capture_output=True)
    git(repository, "add", "--all")
    stat = git(repository, "diff", "--cached", "--stat=200").splitlines()
    assert {line.split("|")[0].strip() for line in stat[:-1]} == files
    assert stat[-1].startswith(" 4 files changed")
    assert "deletion" not in stat[-1]


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

REFERENCE = [
    name
    for page in ("api", "algorithms")
    for name in re.findall(r"^::: (\S+)$", (ROOT / "docs" / f"{page}.md").read_text(), re.MULTILINE)
]


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
    described = [pkgutil.resolve_name(name) for name in REFERENCE if name.endswith("Config")]
    assert settings <= set(described)
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


def test_the_tables_of_dynamics_are_those_in_the_code() -> None:
    from envs.dynamics import PRESETS, QUANTITIES

    page = (ROOT / "docs" / "dynamics.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    quantities = [
        f"| `{name}` | {q.plain:g} | {q.limits[0]:g} and {q.limits[1]:g} | " for name, q in QUANTITIES.items()
    ]
    assert [row[: len(start)] for row, start in zip(rows, quantities, strict=False)] == quantities
    presets = {
        name: ", ".join(f"{q} {low:g} to {high:g}" for q, (low, high) in r.items()) for name, r in PRESETS.items()
    }
    assert rows[len(quantities) :] == [f"| `{name}` | {ranges} |" for name, ranges in presets.items()]


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
