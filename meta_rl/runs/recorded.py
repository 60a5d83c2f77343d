"""What a run wrote down about the tasks that it learns from, compared with what is there now."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from meta_rl.config import TrainConfig, load_config
from meta_rl.core.interface import INTERFACE, Interface
from meta_rl.errors import ConfigError
from meta_rl.runs.folder import PACKAGES, absolute_data

FINGERPRINT = "task_distribution"
"""Key of the fingerprint of the training tasks in ``environment.json`` and in the manifest of an exported agent."""
LEARNED_ON = "learned_on"
"""Key of the name and the fingerprint of the tasks that an agent learned from, if it was handed over for others."""
UNCOMPARED = {*PACKAGES, "engine", "name", "source"}
"""Keys of fingerprints that may change: versions, who steps the environments, names, and where data lies."""
DEMONSTRATIONS = "demonstrations"
"""Key of what is known of the demonstrations that a run learns from, in a fingerprint."""
DIGEST = "sha256"
"""Key of the digest of all data in a fingerprint."""
SHOWN = 60
"""Letters of a value in a message, at most."""


def read_about(run_dir: Path) -> dict[str, Any]:
    """What a run wrote down when it began; empty for runs of earlier versions, which did not."""
    try:
        found = json.loads((run_dir / "environment.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def learned_on(about: Mapping[str, Any]) -> str:
    """Name of the tasks that an agent learned from, if it was handed over for others; else empty.

    Args:
        about: what its run wrote down (`meta_rl.runs.folder.about_run`).
    """
    return str(about.get(LEARNED_ON, {}).get("env", ""))


def read_interface(about: Mapping[str, Any]) -> Interface | None:
    """The interface in it; None if there is none."""
    try:
        return Interface.from_dict(about[INTERFACE])
    except (ValueError, KeyError, TypeError):
        return None


def differing(
    recorded: Mapping[str, Any], now: Mapping[str, Any], keys: Collection[str] | None = None, prefix: str = ""
) -> Iterator[str]:
    """Say each value that both fingerprints have and that is not the same, as ``key is NEW, was OLD``.

    Args:
        keys: compare these only.
    """
    now = json.loads(json.dumps(now))
    for key in recorded:
        old, new = recorded[key], now.get(key)
        if key not in now or key in UNCOMPARED or (keys is not None and key not in keys) or old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differing(old, new, prefix=f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} is {_shown(new)}, was {_shown(old)}"


def differing_interfaces(recorded: Interface, now: Interface) -> Iterator[str]:
    """Say where observations, answers, the ids of items or the numbers of tasks are not those that were recorded."""
    for what, old, new in zip(("observations", "actions"), recorded.forms, now.forms, strict=True):
        if old != new:
            yield f"{what} are {new}, were {old}"
    if recorded.ids and now.ids and recorded.ids != now.ids:
        pairs = zip(recorded.ids, now.ids, strict=False)
        place = next((k for k, (old, new) in enumerate(pairs) if old != new), min(len(recorded.ids), len(now.ids)))
        was, is_ = (_shown(ids[place]) if place < len(ids) else "absent" for ids in (recorded.ids, now.ids))
        yield f"item {place} is {is_}, was {was}"
    if recorded.numbers and now.numbers and recorded.numbers != now.numbers:
        yield "means and deviations of the numbers of tasks are others"


def refuse_changes(option: str, what: str, changes: Collection[str]) -> None:
    """Raise ConfigError, in one line, if there are changes of the tasks `what`, which `option` names."""
    if changes:
        raise ConfigError(f"{option}: {what} is not what the run learned from: {'; '.join(changes)}")


def check_resumed(config: TrainConfig, fingerprint: Mapping[str, Any], interface: Interface) -> None:
    """Refuse to go on with a run on other tasks or other data than it began with.

    Args:
        fingerprint: of the training tasks as they are now.
        interface: of these.
    Raises:
        ConfigError: naming what differs, or that data may not have moved because nothing was recorded of it.
    """
    about = read_about(config.path)
    recorded, before = about.get(FINGERPRINT, {}), read_interface(about)
    changes = list(differing(recorded, fingerprint))
    changes += differing_interfaces(before, interface) if before else []
    option, what = ("--data", config.fewshot.data) if DIGEST in fingerprint else ("--env", config.env)
    if changes and all(change.startswith(f"{DEMONSTRATIONS}.") for change in changes):
        option, what = f"--{DEMONSTRATIONS}", config.algorithm.shown or ""
    refuse_changes(option, what or config.env, changes)
    old, new = (absolute_data(c).fewshot.data for c in (load_config(config.path / "config.json"), config))
    if old != new and DIGEST not in recorded:
        raise ConfigError(f"--data: {config.path} did not record a sha256 of its data, so it cannot have moved; valid: "
                          f"{old}")  # fmt: skip


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[:12]}..."
