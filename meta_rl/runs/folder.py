"""Folders of runs: what they hold, and whether a run may use them. No torch here, because the command line asks before
any work starts."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from meta_rl.config import RECIPES, TrainConfig, changed_fields, data_places, load_config, replace_paths, settled
from meta_rl.errors import ConfigError, RunError
from meta_rl.runs.durable import json_bytes, replace_durably

MANIFEST = "agent.json"
"""The file that only an exported agent has; see `meta_rl.agents.bundle`."""
PLAYER_MANIFEST = "player.json"
"""The file that only a saved player has; see `meta_rl.agents.saved`."""
SHOWN_NUMBERS = 20
"""Numbers that a line names, at most."""

PACKAGES = ("meta-rl", "torch", "numpy", "gymnasium", "mujoco", "metaworld")
"""Packages whose versions are recorded."""

RESULTS = "results"
"""The folder in an exported agent that is not part of it; see `results_dir`."""


def is_exported(folder: Path) -> bool:
    """Whether `folder` is an exported agent (a run is not)."""
    return (folder / MANIFEST).exists()


def check_free(folder: Path, marker: str, kind: str, option: str = "") -> None:
    """Refuse to write a thing into a folder that holds anything but an earlier one.

    Args:
        marker: the file that only a folder of this kind has.
        kind: in words, as ``a saved player``.
        option: by which the folder was named, as ``--out:``.
    Raises:
        ConfigError: naming the folder.
    """
    if folder.exists() and not (folder / marker).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{option} {folder} exists and is not {kind}; choose another folder".lstrip())


def check_file(path: Path, option: str) -> None:
    """Refuse a file that could not be written after the work is done.

    Raises:
        ConfigError: its folder is not there or cannot be written, or a folder has its name; naming `option`.
    """
    if not path.parent.is_dir():
        raise ConfigError(f"{option}: there is no folder {path.parent}")
    if path.is_dir():
        raise ConfigError(f"{option}: {path} is a folder; name a file")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{option}: cannot write to {path.parent}: permission denied")


def results_dir(folder: Path) -> Path:
    """Folder for evaluations, reports and videos of the agent in `folder`: a run's own folder; for an exported agent a
    folder inside, so that its files stay as they were exported."""
    return folder / RESULTS if is_exported(folder) else folder


def require_run(folder: Path, option: str = "RUN") -> None:
    """Refuse a folder that is no run.

    Raises:
        ConfigError: it has no config, which exported agents have too; naming `option`.
    """
    if not (folder / "config.json").exists():
        raise ConfigError(f"{option}: {folder} is not a run directory (no config.json), nor an exported agent")


def has_checkpoint(folder: Path) -> bool:
    """Whether the run in `folder` has a checkpoint, sound or not."""
    return bool(kept(folder / "checkpoints"))


def kept(checkpoints: Path) -> list[Path]:
    """The checkpoints in the folder of that name, sound or not, newest first."""
    if not checkpoints.is_dir():
        return []
    return sorted((p for p in checkpoints.iterdir() if p.name.isdigit()), key=lambda p: int(p.name), reverse=True)


def iterations(folder: Path) -> dict[int, Path]:
    """The iterations whose agents `meta_rl.load` can give, first to last, each with its path: a checkpoint of a run,
    sound or not; the manifest of an exported agent.

    Raises:
        ConfigError: the run has no checkpoint yet.
        RunError: the manifest is damaged.
    """
    if not is_exported(folder):
        found = {int(path.name): path for path in reversed(kept(folder / "checkpoints"))}
        if not found:
            raise ConfigError(f"RUN: {folder} holds no checkpoint yet")
        return found
    manifest = folder / MANIFEST
    try:
        return {json.loads(manifest.read_bytes())["iteration"]: manifest}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{manifest}: unreadable ({type(error).__name__}: {error})") from error


def find_iteration(folder: Path, iteration: int) -> Path:
    """Path of the agent of an iteration, see `iterations`.

    Raises:
        ConfigError: the iteration is not kept; names those that are.
        RunError: the manifest is damaged.
    """
    found = iterations(folder)
    if iteration not in found:
        raise ConfigError(f"--iteration: {folder} keeps no iteration {iteration}; valid: {numbers_in_words(found)}")
    return found[iteration]


def numbers_in_words(numbers: Iterable[int]) -> str:
    """Numbers with commas; of many, the first and the last."""
    words = [str(number) for number in numbers]
    return ", ".join(
        words if len(words) <= SHOWN_NUMBERS else [*words[: SHOWN_NUMBERS // 2], "...", *words[-SHOWN_NUMBERS // 2 :]]
    )


def of_iteration(path: Path, iteration: int | None) -> Path:
    """`path` as it is called for the newest checkpoint (None), or for the one of an iteration, which its name tells."""
    return path if iteration is None else path.with_name(f"{path.stem}-{iteration:08d}{path.suffix}")


def began_with(folder: Path) -> dict[str, Any]:
    """The record of the agent that a run, or that of an exported agent, began with; empty if it began with none."""
    start: dict[str, Any] = about_run(folder).get("start", {})
    return start


def about_run(folder: Path) -> dict[str, Any]:
    """What a run wrote down when it began, or that of an exported agent; empty if it did not.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / (MANIFEST if is_exported(folder) else "environment.json")
    try:
        found = json.loads(path.read_bytes()) if path.exists() else {}
        about: dict[str, Any] = found.get("about", found)
    except (ValueError, AttributeError) as error:
        raise RunError(f"{path}: unreadable ({type(error).__name__}: {error})") from error
    return about


def check_start(config: TrainConfig) -> None:
    """Refuse a folder to start from that holds no agent, or one that has learned from something else. A run with a
    checkpoint of its own does not look there any more.

    Raises:
        ConfigError: in one line that names the option.
    """
    if not config.start_from or has_checkpoint(config.path):
        return
    folder = Path(config.start_from)
    require_run(folder, "--start-from")
    if not is_exported(folder) and not has_checkpoint(folder):
        raise ConfigError(f"--start-from: {folder} holds no checkpoint yet")
    try:
        recipe = load_config(folder / "config.json").recipe
    except ConfigError as error:
        raise ConfigError(f"--start-from: {folder}: {error}") from None
    acts, mine = (RECIPES[name].learns == "rl" for name in (recipe, config.recipe))
    if acts != mine:
        kinds = {True: "to act in environments", False: "from labelled examples"}
        raise ConfigError(f"--start-from: {folder} ({recipe}) has learned {kinds[acts]}; valid for {config.recipe}: an "
                          f"agent that has learned {kinds[mine]}")  # fmt: skip


def as_begun(config: TrainConfig) -> TrainConfig:
    """The config with what a run settles when it begins (see `meta_rl.config.settled`): as the run in its folder has
    recorded it, else for a new run."""
    recorded, mine = config.path / "config.json", config.algorithm
    if mine.lengths and recorded.exists():
        begun = load_config(recorded).algorithm
        for name in mine.lengths if type(begun) is type(mine) else ():
            if getattr(mine, name) is None:
                config = replace_paths(config, {f"algorithm.{name}": getattr(begun, name)})
    return settled(config)


def holds_run(config: TrainConfig) -> bool:
    """Whether the run directory of `config` already holds this very run.

    Raises:
        ConfigError: it cannot be used, or holds an exported agent, or a run with another config, naming what changed,
            or one that has more iterations already.
    """
    folder = config.path
    try:
        exported = is_exported(folder)
    except OSError as error:  # too long a name, or a folder that may not be read
        raise ConfigError(f"--run-dir: cannot use {folder}: {error.strerror}") from None
    if exported:
        raise ConfigError(f"--run-dir: {folder} is an exported agent, which does not train on; choose another folder")
    recorded = folder / "config.json"
    if not recorded.exists():
        return False
    begun = replace(load_config(recorded), iterations=config.iterations)
    changed = changed_fields(settled(begun), as_begun(config))
    if changed:
        raise ConfigError(
            f"--run-dir: {folder} holds a run with another config ({'; '.join(changed)}); "
            "repeat its options or choose another folder"
        )
    done = max((int(path.name) for path in kept(folder / "checkpoints")), default=0)
    if config.iterations < done:
        raise ConfigError(
            f"--iterations: {folder} has {done} iterations already, got {config.iterations}; valid: {done} or more, or "
            "another --run-dir"
        )
    return True


def open_run(config: TrainConfig) -> Path:
    """The run directory: made, or found to hold the same run.

    Raises:
        ConfigError: it cannot be written, holds something else, or another config.
    """
    run_dir = config.path
    if holds_run(config):
        return run_dir
    # What a run leaves that is stopped before it has its config:
    leftovers = {".lock", ".tmp-config.json"}
    if run_dir.exists() and (not run_dir.is_dir() or any(p.name not in leftovers for p in run_dir.iterdir())):
        raise ConfigError(f"--run-dir: {run_dir} exists and is not a run; choose another folder")
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--run-dir: cannot create {run_dir}: {error.strerror}") from None
    if not os.access(run_dir, os.W_OK):
        raise ConfigError(f"--run-dir: cannot write to {run_dir}: permission denied")
    return run_dir


def write_json(path: Path, value: Any) -> None:
    """Replace the file at `path` durably."""
    replace_durably(path, json_bytes(value))


def absolute_data(config: TrainConfig) -> TrainConfig:
    """`config` with the path of its data from the root on, so that it is found from other folders."""
    found = {name: str(Path(path).expanduser().absolute()) for name, path in data_places(config).items()}
    return replace_paths(config, found)


def versions() -> dict[str, Any]:
    """Libraries, interpreter, machine and (in a checkout) commit."""
    found: dict[str, Any] = {"python": platform.python_version(), "machine": platform.machine()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    try:
        commit = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5
        )
        found["commit"] = commit.stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        found["commit"] = None
    return found
