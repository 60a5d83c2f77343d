"""Words that the terminal, reports and pages share: numbers of things, stages, and commands to be typed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

PROGRAM = "meta-rl"


def counted(number: int, noun: str) -> str:
    """A number of things: ``1 iteration``, ``2,000 iterations``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


class StageNames(NamedTuple):
    """What the stages of an evaluation, and of training, are called.

    Attributes:
        memory: whether the learner adapts by remembering its episodes rather than by steps.
        episodes: adaptation episodes between two stages.
        gradient_steps: of one adaptation of a learner without a memory; 0: it takes none.
        infers: whether the learner adapts by inferring the task from all episodes so far; without it and without
            gradient steps it learns nothing.
    """

    memory: bool = False
    episodes: int = 1
    gradient_steps: int = 1
    infers: bool = False

    def name(self, steps: int) -> str:
        """The stage after that many adaptation steps."""
        if self.memory:
            return f"episode {self.along(steps) + 1} of the trial"
        return f"after {counted(steps, 'adaptation step')}" if steps else "before adaptation"

    def along(self, steps: int) -> int:
        """Place of the stage on the axis called `axis`."""
        return steps * self.episodes if self.memory else steps

    def practising(self, episode: int) -> str:
        """One of the episodes between two stages, counted from 1."""
        return f"practising, episode {episode} of {self.episodes}"

    def learned(self, steps: int) -> str:
        """What the practice before the stage after `steps` adaptation steps has led to."""
        if self.memory:
            return f"the memory has seen {counted(self.along(steps), 'episode')}"
        if self.infers:
            return f"the task is inferred from {counted(steps * self.episodes, 'episode')}"
        if self.gradient_steps == 0:
            return "nothing is learned from it"
        return "one gradient step" if self.gradient_steps == 1 else f"{self.gradient_steps} gradient steps"

    @property
    def axis(self) -> str:
        """What stages are plotted against."""
        return "episodes of practice" if self.memory else "adaptation steps"


def command_line(*words: str | Path) -> str:
    """A command of this program as a shell takes it."""
    return shlex.join([PROGRAM, *map(str, words)])


def options(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Options that make `defaults` into `values`, each with its value; a list has a word for each item."""
    found = []
    for name, value in values.items():
        if name not in defaults or value != defaults[name]:
            items = value if isinstance(value, list | tuple) else [value]
            found += [f"--{name.replace('_', '-')}", *map(str, items)]
    return found


def wrapped(command: str, width: int = 72) -> str:
    """A command over several lines that a shell reads as one: broken before options, as far as they fit in `width`."""
    groups: list[list[str]] = [[]]
    for word in shlex.split(command):
        if word.startswith("--"):
            groups.append([])
        groups[-1].append(word)
    lines = [""]
    for part in map(shlex.join, groups):
        if lines[-1] and len(lines[-1]) + 1 + len(part) > width:
            lines.append(f"  {part}")
        else:
            lines[-1] += f" {part}" if lines[-1] else part
    return " \\\n".join(lines)
