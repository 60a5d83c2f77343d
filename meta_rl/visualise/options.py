"""Options of the commands that show something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RenderConfig:
    """A video of test tasks, before and after adaptation side by side."""

    tasks: tuple[int, ...] = ()
    """Positions of the tasks among the test tasks (their order in evaluation.json); default one task of each family, at
    most four: the one that the page opens, or before an evaluation the first one."""
    families: tuple[str, ...] = ()
    """Families to show one task of each, if --tasks is not given."""
    split: Literal["train", "test"] = "test"
    """Tasks to play."""
    steps: int = 0
    """Adaptation steps before the right side (of a trial: episodes, times --adaptation-episodes of the run); 0: all of
    the run's protocol."""
    every: int = 5
    """Env steps between two pictures."""
    fps: int = 16
    """Pictures per second."""
    width: int = 320
    """Width of one side, in pixels; its height is three quarters of that."""
    out: str = ""
    """The file, as its suffix says: .mp4, .webm or .gif. Default RUN/adaptation.mp4 (in RUN/results of an exported
    agent); the name goes on with --iteration, --split train, --steps, --tasks and --families where they are given."""
    iteration: int | None = None
    """Take the kept checkpoint of this iteration; default the newest."""


@dataclass(frozen=True)
class ViewConfig:
    """A live page on this machine."""

    port: int | None = None
    """Port on 127.0.0.1, refused if it is taken; 0: any free one. None: 8080, or the next free one."""
    split: Literal["train", "test"] = "test"
    """Tasks to choose from."""
    iteration: int | None = None
    """Take the kept checkpoint of this iteration; default the newest."""
