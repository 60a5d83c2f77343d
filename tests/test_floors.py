"""Imports only point down, and importing the package costs nothing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = (
    ("errors",),
    ("extras", "config", "core"),
    ("maths",),
    ("networks", "fewshot"),
    ("algorithms",),
    ("sources",),
    ("runs", "classical"),
    ("agents",),
    ("training",),
    ("evaluation",),
    ("visualise", "handover", "studies"),
    ("cli",),
)
"""From the ground up. Two rooms of one floor do not import each other."""
MODULES = sorted(p.relative_to(ROOT) for package in ("envs", "meta_rl") for p in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> list[str]:
    """Every module named in an import statement, at any depth (function-level ones too)."""
    names: list[str] = []
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            names.append(node.module)
            if node.module in ("meta_rl", "envs"):
                names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def test_imports_inside_functions_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "import os.path as p\ndef f():\n    from envs import api, make\n    if p: import torch, meta_rl.cli.commands\n"
    )
    assert sorted(imported(path)) == ["envs", "envs.api", "envs.make", "meta_rl.cli.commands", "os.path", "torch"]


def test_floors_are_ordered() -> None:
    names = [
        "meta_rl.errors",
        "meta_rl.config.train",
        "meta_rl.core.types",
        "meta_rl.networks",
        "meta_rl.training.train",
    ]
    assert [floor(name) for name in names] == [0, 1, 1, 3, 8]
    rooms = {path.stem if path.is_file() else path.name for path in (ROOT / "meta_rl").iterdir()}
    assert rooms - {"__init__", "__pycache__", "py"} == {room for level in FLOORS for room in level}


def room(module: str) -> str:
    """The part of meta_rl that a module is in."""
    return module.split(".")[1] if "." in module else ""


def floor(module: str) -> int:
    """Height of a meta_rl module; -1 for the package itself, whose names are lazy."""
    return next((height for height, rooms in enumerate(FLOORS) if room(module) in rooms), -1)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_down(path: Path) -> None:
    here = ".".join(path.with_suffix("").parts)
    for name in imported(path):
        top = name.partition(".")[0]
        if here.startswith("envs"):
            assert top not in ("torch", "meta_rl"), f"{here} imports {name}"
        elif top == "meta_rl":
            lower = floor(name) < floor(here) or room(name) == room(here) or here == "meta_rl.__init__"
            assert lower, f"{here} (floor {floor(here)}) imports {name} (floor {floor(name)})"
            assert not (path.name == "__init__.py" and len(path.parts) == 2 and name == "meta_rl"), here
        elif top == "envs" and name.count("."):
            assert name.split(".")[1] in public_names(), f"{here} imports {name}: only the public names of envs"


def public_names() -> list[str]:
    import envs

    return envs.__all__


PLAYING = (
    *("meta_rl.agents", "meta_rl.training", "meta_rl.sources", "meta_rl.evaluation.episodes"),
    *(f"meta_rl.evaluation.recording.{name}" for name in ("record", "Recorder", "training_tasks")),
    *("meta_rl.evaluation.playing.play", "meta_rl.evaluation.report", "envs.make"),
)
"""What loads agents, makes environments and plays in them: modules, and single names of modules."""


def names(path: Path) -> list[str]:
    """Every name that a file imports, with its module; a module that is imported whole is a name with a star."""
    found: list[str] = []
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found += [f"{alias.name}.*" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def playing(path: Path) -> list[str]:
    """The names of `PLAYING` that a file imports."""
    return [name for name in names(path) if name == "envs.*" or f"{name}.".startswith(tuple(f"{p}." for p in PLAYING))]


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[:2] == ("meta_rl", "visualise")], ids=str)
def test_visualise_draws_what_it_is_handed(path: Path) -> None:
    """It loads no agent and plays no episode."""
    assert playing(path) == []


def test_playing_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "import envs\nfrom envs import Task, make\nfrom meta_rl.evaluation.recording import Recording, record\n"
    )
    assert playing(path) == ["envs.*", "envs.make", "meta_rl.evaluation.recording.record"]
    assert playing(Path("meta_rl/evaluation/playing.py"))


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import meta_rl", "torch mujoco metaworld ray wandb matplotlib"),
        ("import meta_rl.cli.commands", "torch mujoco metaworld ray wandb matplotlib"),
        ("import meta_rl.cli; meta_rl.cli.main(['--help'])", "envs numpy gymnasium tyro torch"),
        (
            "import meta_rl.training.train, meta_rl.evaluation.report, meta_rl.evaluation.compare",
            "mujoco metaworld ray wandb matplotlib",
        ),
        ("import envs", "torch mujoco metaworld meta_rl"),
    ],
)
def test_import_pulls_in_nothing_heavy(statement: str, absent: str) -> None:
    code = f"import sys; {statement}; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(done.stdout.splitlines()[-1].split()) & set(absent.split())
    trace = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement], capture_output=True, text=True, check=True, cwd=ROOT
    )
    seen = {line.rpartition("|")[2].strip().partition(".")[0] for line in trace.stderr.splitlines()}
    assert statement.split()[1].partition(".")[0] in seen
    assert not seen & set(absent.split())


def test_the_map_is_the_order_of_floors() -> None:
    """docs/architecture.md lists every room on its floor, the highest first."""
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    assert [number for number, _ in rows] == sorted((number for number, _ in rows), key=int, reverse=True)
    assert {(int(number) - 1, name) for number, name in rows} == {
        (height, name) for height, rooms in enumerate(FLOORS) for name in rooms
    }
