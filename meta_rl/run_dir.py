"""What a folder holds that was given for a run. No torch here: the command line asks before any work starts."""

from __future__ import annotations

from pathlib import Path

from meta_rl.config import TrainConfig, changed_fields, load_config
from meta_rl.errors import ConfigError

MANIFEST = "agent.json"
"""The file that only an exported agent has; see `meta_rl.handover.bundle`."""


def is_exported(folder: Path) -> bool:
    """Whether `folder` is an exported agent (a run is not)."""
    return (folder / MANIFEST).exists()


def holds_run(config: TrainConfig) -> bool:
    """Whether the run directory of `config` already holds this very run.

    Raises:
        ConfigError: it holds an exported agent, or a run with another config, naming what changed.
    """
    folder = config.path
    if is_exported(folder):
        raise ConfigError(f"--run-dir: {folder} is an exported agent, which does not train on; choose another folder")
    recorded = folder / "config.json"
    if not recorded.exists():
        return False
    changed = changed_fields(load_config(recorded), config)
    if changed:
        raise ConfigError(
            f"--run-dir: {folder} holds a run with another config ({'; '.join(changed)}); "
            "repeat its options or choose another folder"
        )
    return True
