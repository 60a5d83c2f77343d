"""Runs in environments of one's own, which this user has trained on this machine.

Such an environment is Python code, so no file of a run may decide that it is imported: the run may come from anybody.
What training writes down is therefore kept apart from the run, in a folder of the user's own: which run, and the
``module:object`` that the user had imported when it was trained. A run that has moved, or that came from elsewhere, is
not among them, and neither is an exported agent.

The folder is ``meta-rl`` in ``$XDG_STATE_HOME`` or else ``~/.local/state``. It can be deleted: commands then ask for
the name.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from envs import Origin, origin
from meta_rl.runs.durable import json_bytes, replace_durably


def remember(run_dir: Path, env: str) -> None:
    """Write down where the environment of a run, which has begun, is imported from, if it is the user's own. Does
    nothing where the folder cannot be written: commands then ask."""
    found, place = origin(env), _place(run_dir)
    if found is None or place is None:
        return
    try:
        note = {"run": str(run_dir.resolve()), "env": env, "identity": _identity(run_dir), **found._asdict()}
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_durably(place, json_bytes(note))
    except OSError:
        return


def recall(run_dir: Path, env: str) -> Origin | None:
    """The place that the environment `env` of a run is imported from; None unless this user has trained that very run,
    and it lies there still."""
    place = _place(run_dir)
    if place is None:
        return None
    try:
        note = json.loads(place.read_bytes())
        expected = {"run": str(run_dir.resolve()), "env": env, "identity": _identity(run_dir)}
        if any(note[key] != value for key, value in expected.items()):
            return None
        return Origin(str(note["own"]), str(note["folder"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _place(run_dir: Path) -> Path | None:
    """The file that a run is remembered in; None where the user has no home."""
    try:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:
        return None
    return Path(base, "meta-rl", f"{hashlib.sha256(str(run_dir.resolve()).encode()).hexdigest()[:32]}.json")


def _identity(run_dir: Path) -> str:
    """Digest of what a run wrote when it began: another run in its place has another."""
    return hashlib.sha256((run_dir / "environment.json").read_bytes()).hexdigest()
