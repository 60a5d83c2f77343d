"""What a wheel holds, and that the scripts open the same door."""

from __future__ import annotations

import configparser
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A freshly built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and ("No matching distribution" in done.stderr or "ConnectionError" in done.stderr):
        pytest.skip("no package registry within reach, which an isolated build needs")
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = folder.glob("*.whl")
    assert path.name.startswith(f"meta_rl-{PROJECT['version']}-")
    return path


@pytest.fixture(scope="module")
def wheel(wheel_file: Path) -> dict[str, bytes]:
    """The files in it."""
    with zipfile.ZipFile(wheel_file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_two_packages_and_the_engines(wheel: dict[str, bytes]) -> None:
    tops = {name.partition("/")[0] for name in wheel}
    assert tops == {"meta_rl", "envs", f"meta_rl-{PROJECT['version']}.dist-info"}
    for package in ("meta_rl", "envs"):
        kinds = (".py", ".pyi", ".typed", ".html", ".css", ".js")
        sources = {str(p.relative_to(ROOT)) for p in (ROOT / package).rglob("*") if p.suffix in kinds}
        built = {name for name in wheel if name.startswith(f"{package}/") and not name.endswith((".so", ".pyd"))}
        assert built == sources  # no C++, no caches, nothing missing, the report's page included
    engines = [name for name in wheel if name.endswith((".so", ".pyd"))]
    assert sorted(name.partition("/_engine.")[0] for name in engines) == ["envs/metaworld", "envs/mjcf"]


def test_the_wheel_holds_no_agents(wheel: dict[str, bytes]) -> None:
    assert not [name for name in wheel if "zoo" in Path(name).parts or name.endswith(".safetensors")]


def test_the_wheel_names_its_version_and_its_command(wheel: dict[str, bytes]) -> None:
    info = f"meta_rl-{PROJECT['version']}.dist-info"
    metadata = wheel[f"{info}/METADATA"].decode().splitlines()
    assert "Name: meta-rl" in metadata
    assert f"Version: {PROJECT['version']}" in metadata
    entries = configparser.ConfigParser()
    entries.read_string(wheel[f"{info}/entry_points.txt"].decode())
    assert dict(entries["console_scripts"]) == PROJECT["scripts"] == {"meta-rl": "meta_rl.cli:main"}


def test_the_wheel_is_licensed(wheel: dict[str, bytes]) -> None:
    info = f"meta_rl-{PROJECT['version']}.dist-info"
    metadata = wheel[f"{info}/METADATA"].decode().splitlines()
    assert "License-Expression: MIT" in metadata
    assert "License-File: LICENSE" in metadata
    assert wheel[f"{info}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()


def test_the_wheel_says_that_it_is_typed(wheel: dict[str, bytes]) -> None:
    assert {"meta_rl/py.typed", "envs/py.typed"} <= set(wheel)


def test_the_console_command_exists() -> None:
    module, _, function = PROJECT["scripts"]["meta-rl"].partition(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_scripts_are_the_commands(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / f"{name}.py"), "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert "--adaptation-episodes" in done.stdout


def test_constraints_pin_every_dependency() -> None:
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if line}
    names = {dependency.split(">")[0].split("=")[0].strip().lower() for dependency in PROJECT["dependencies"]}
    assert names <= pinned


ACTIONS = """
import sys
sys.path[:0] = sys.argv[3:]
import numpy as np
import meta_rl
player = meta_rl.load(sys.argv[1]).player()
observations = np.load(sys.argv[2])
actions = []
for observation in observations:
    actions.append(player.act(observation))
    player.observe(0.5, False)
np.save("actions.npy", actions)
print(meta_rl.__file__)
"""


@pytest.mark.parametrize("recipe", ["maml-trpo", "rl2"])
def test_an_agent_acts_the_same_without_the_source_tree(recipe: str, wheel_file: Path, tmp_path: Path) -> None:
    """Trained here; exported; loaded by another interpreter that knows the wheel, and not the checkout."""
    import numpy as np

    from meta_rl import load
    from meta_rl.config import default_config, replace_paths
    from meta_rl.handover.export import export
    from meta_rl.training.train import train

    small = {"iterations": 1, "meta_batch_size": 2, "episodes_per_task": 2, "network.hidden": (8,), "device": "cpu"}
    run = train(replace_paths(default_config(recipe, "navigation"), small | {"run_dir": str(tmp_path / "run")}))
    folder = export(run, tmp_path / "agent")
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", str(installed)]
    subprocess.run([*command, str(wheel_file)], check=True)
    elsewhere.mkdir()
    observations = np.random.default_rng(0).normal(size=(50, 2))
    np.save(elsewhere / "observations.npy", observations)
    libraries = Path(np.__file__).parents[1]
    # -S: the links that an editable installation leaves are not followed.
    command = [sys.executable, "-S", "-I", "-c", ACTIONS, str(folder), "observations.npy"]
    done = subprocess.run(
        [*command, str(installed), str(libraries)], cwd=elsewhere, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == installed / "meta_rl" / "__init__.py"
    player = load(run).player()
    expected = []
    for observation in observations:
        expected.append(player.act(observation))
        player.observe(0.5, False)
    np.testing.assert_array_equal(np.load(elsewhere / "actions.npy"), expected)
