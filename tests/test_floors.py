"""Imports only point down, and importing the package costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONFIGS = ("base_config", "fewshot_config", "config")
FLOORS = ("errors", *CONFIGS, "core", "networks", "algorithms", "sources")  # the rest of meta_rl is the top floor
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
        "import os.path as p\ndef f():\n    from envs import api, make\n    if p: import torch, meta_rl.cli\n"
    )
    assert sorted(imported(path)) == ["envs", "envs.api", "envs.make", "meta_rl.cli", "os.path", "torch"]


def test_floors_are_ordered() -> None:
    names = ["meta_rl.config", "meta_rl.core.types", "meta_rl.networks", "meta_rl.algorithms.maml", "meta_rl.sources"]
    assert [floor(name) for name in [*names, "meta_rl.train"]] == [3, 4, 5, 6, 7, 8]
    assert len(MODULES) > 30


def floor(module: str) -> int:
    """Height of a meta_rl module."""
    parts = module.split(".")
    if len(parts) < 2:
        return -1  # the package itself: its names are lazy
    return FLOORS.index(parts[1]) if parts[1] in FLOORS else len(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_down(path: Path) -> None:
    here = ".".join(path.with_suffix("").parts)
    for name in imported(path):
        top = name.partition(".")[0]
        if here.startswith("envs"):
            assert top not in ("torch", "meta_rl"), f"{here} imports {name}"
        elif top == "meta_rl":
            assert floor(name) <= floor(here), f"{here} (floor {floor(here)}) imports {name} (floor {floor(name)})"
            assert not (path.name == "__init__.py" and len(path.parts) == 2 and name == "meta_rl"), here
        elif top == "envs" and name.count("."):
            assert name.split(".")[1] in public_names(), f"{here} imports {name}: only the public names of envs"


def public_names() -> list[str]:
    import envs

    return envs.__all__


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import meta_rl", "torch mujoco metaworld ray wandb matplotlib"),
        ("import meta_rl.cli", "torch mujoco metaworld ray wandb matplotlib"),
        ("import meta_rl.train, meta_rl.report", "mujoco metaworld ray wandb matplotlib"),
        ("import envs", "torch mujoco metaworld meta_rl"),
    ],
)
def test_import_pulls_in_nothing_heavy(statement: str, absent: str) -> None:
    code = f"import sys; {statement}; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(done.stdout.split()) & set(absent.split())
    trace = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement], capture_output=True, text=True, check=True, cwd=ROOT
    )
    seen = {line.rpartition("|")[2].strip().partition(".")[0] for line in trace.stderr.splitlines()}
    assert statement.split()[1].partition(".")[0] in seen
    assert not seen & set(absent.split())
