"""Options of the commands that hand something over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from meta_rl.config import EvaluateConfig


@dataclass(frozen=True)
class RecordConfig:
    """Every step of the test episodes, before and after adaptation, as arrays."""

    out: str = ""
    """The .npz file; default RUN/trajectories.npz, with --iteration RUN/trajectories-ITERATION.npz (in RUN/results of
    an exported agent)."""
    minari: str = ""
    """Also a Minari data set of this name: NAME-v0 or SPACE/NAME-v0 (extra minari)."""
    tasks: tuple[int, ...] = ()
    """Positions of the tasks among the test tasks (their order in evaluation.json); default all."""
    split: Literal["train", "test"] = "test"
    """Tasks to play."""
    iteration: int | None = None
    """Take the kept checkpoint of this iteration; default the newest."""
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


@dataclass(frozen=True)
class ExportConfig:
    """The trained agent as a folder that needs nothing else, with a model card. RUN may be such a folder, which is then
    uploaded as it is. With --format its policy alone, as a file for machines without this software."""

    format: Literal["agent", "onnx", "pt2"] = "agent"
    """The agent, which can adapt; or its policy as ONNX (extra onnx), or as an exported program of torch."""
    adapted: str = ""
    """With --format onnx or pt2: the policy as the player of this agent in this folder has adapted it, which
    `player.save(folder)` wrote."""
    out: str = ""
    """The folder; default RUN/export, with --iteration RUN/export-ITERATION; of other formats RUN/export-FORMAT (in
    RUN/results of an exported agent), with --adapted FOLDER/results/export-FORMAT."""
    replay: str = ""
    """A video (.mp4) or page (.html) that shows the agent; default what `meta-rl render` made, if it is there."""
    push_to_hub: str = ""
    """Also upload it to the Hugging Face Hub as this repository, USER/NAME (extra hub)."""
    private: bool = False
    """Make the repository a private one. If there is a public one of that name, nothing is uploaded."""
    iteration: int | None = None
    """Take the kept checkpoint of this iteration; default the newest."""
    data: str = ""
    """Path of the data of a few-shot run, if it has moved; only runs of earlier versions need it."""
