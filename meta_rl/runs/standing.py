"""How far a run is, read from its folder, also while it is training: nothing is written there, and nothing held for
longer than a moment."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from meta_rl.config import TrainConfig, load_config
from meta_rl.errors import RunError
from meta_rl.runs.durable import in_use
from meta_rl.runs.folder import MANIFEST, is_exported, kept
from meta_rl.runs.log import last_row

WRITTEN = ("config.json", "metrics.jsonl", MANIFEST, "evaluation.json", "results/evaluation.json")
"""Files whose age tells when a run was last at work."""


class Standing(NamedTuple):
    """How far a run, or the run that an agent was exported from, has come.

    Attributes:
        iteration: finished iterations.
        iterations: that it is to have.
        env_steps: of training; 0 for labelled examples.
        state: ``in progress`` (a process is training it now), ``finished``, ``stopped`` or ``exported``.
        changed: when it was last at work, in seconds since the epoch.
    """

    iteration: int
    iterations: int
    env_steps: int
    state: str
    changed: float

    @property
    def running(self) -> bool:
        """Whether a process is training it now."""
        return self.state == "in progress"

    @property
    def complete(self) -> bool:
        """Whether no more training is to be expected."""
        return self.state in ("finished", "exported")

    def words(self) -> str:
        """``iteration 40 of 100, in progress``."""
        if self.state == "exported":
            return f"iteration {self.iteration:,}, exported"
        state = "" if self.state == "finished" else f", {self.state}"
        return f"iteration {self.iteration:,} of {self.iterations:,}{state}"

    def sentence(self, judged: int | None = None) -> str:
        """What a page says of it; nothing of a run that is complete and was judged after its last iteration.

        Args:
            judged: the iteration after which it was judged, if it was.
        """
        if judged == self.iteration and self.complete:
            return ""
        words = f"{self.words()}."
        if judged is not None:
            words = f"{self.words()}; judged after iteration {judged:,}."
        return words[0].upper() + words[1:]


@dataclass(frozen=True)
class Begun:
    """A run of which nothing is known but its config and how far it is."""

    folder: Path
    config: TrainConfig
    standing: Standing

    @classmethod
    def read(cls, folder: Path) -> Begun:
        """The run in `folder`.

        Raises:
            ConfigError: its config is not one.
            RunError: a file of it is damaged.
        """
        config = load_config(folder / "config.json")
        try:
            return cls(folder, config, read_standing(folder, config))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{folder}: damaged ({type(error).__name__}: {error})") from error


def read_standing(folder: Path, config: TrainConfig) -> Standing:
    """How far the run in `folder` is.

    Raises:
        OSError, ValueError, KeyError, TypeError: a file of it is damaged.
    """
    changed = _newest(folder / name for name in WRITTEN)
    if is_exported(folder):
        manifest = json.loads((folder / MANIFEST).read_bytes())
        return Standing(manifest["iteration"], config.iterations, manifest["env_steps"], "exported", changed)
    row = last_row(folder / "metrics.jsonl")
    checkpoints = [int(path.name) for path in kept(folder / "checkpoints")[:1]]
    iteration = int(row["iteration"]) if row else max([0, *checkpoints])
    steps = int(row["env_steps"]) if row else 0
    if in_use(folder):
        state = "in progress"
    else:
        state = "finished" if (row or checkpoints) and iteration >= config.iterations else "stopped"
    return Standing(iteration, config.iterations, steps, state, changed)


def _newest(paths: Iterable[Path]) -> float:
    """When the youngest of the files that are there was written; 0 where there is none."""
    return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)
