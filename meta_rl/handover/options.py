"""Options of the commands that hand something over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from meta_rl.config import EvaluateConfig
from meta_rl.config.bounds import AtLeastTwo, FiniteSpread, GivenCount, GivenTime, NonNegativeInt, PositiveInt


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
class DemonstrateConfig:
    """Episodes of an environment's expert, to learn from (`meta-rl train bc --demonstrations FILE`)."""

    names: Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="ENV")]] = ()
    """A name that `meta-rl envs` lists, or module:object of your own."""
    out: str = ""
    """The .npz file, a new one."""
    minari: str = ""
    """Also a Minari data set of this name: NAME-v0 or SPACE/NAME-v0 (extra minari)."""
    episodes: PositiveInt = 1
    """Episodes of each task."""
    tasks: NonNegativeInt = 0
    """Tasks; 0 means all of them where they are finitely many, else 40."""
    noise: FiniteSpread = 0.0
    """Standard deviation of the noise that is added to the expert's actions, in their units: then there is something to
    learn about coming back. What the expert would have done is recorded beside what was done."""
    split: Literal["train", "test"] = "train"
    """Tasks to play."""
    seed: NonNegativeInt = 0
    """Seed of the choice of tasks, of the noise and of the environments."""


@dataclass(frozen=True)
class AdaptConfig:
    """Adapt the agent to one environment, and save what it has adapted. Practice is as in training, unless told."""

    task: int = 0
    """Position of the task among the test tasks (their order in evaluation.json)."""
    split: Literal["train", "test"] = "test"
    """Tasks to choose from."""
    gym: str = ""
    """Practise in this environment instead, which gymnasium.make knows: Pendulum-v1, or module:NAME-v0 of your own."""
    out: str = ""
    """The folder; default RUN/player, with --iteration RUN/player-ITERATION (in RUN/results of an exported agent)."""
    episodes: GivenCount = None
    """Episodes that each adaptation learns from."""
    steps: GivenCount = None
    """Adaptations, one after another."""
    env_steps: GivenCount = None
    """Budget in env steps instead: whole episodes, as many as fit."""
    seconds: GivenTime = None
    """Budget in seconds instead, learning included."""
    keep_if: Literal["", "not-worse", "better"] = ""
    """Let the old and the new policy play, and save the old one unless the new one is so; empty: do not ask."""
    judge_episodes: AtLeastTwo = 10
    """Episodes that each of the two plays, with --keep-if."""
    seed: NonNegativeInt = 0
    """Seed of the noise of the actions and of the environment's resets."""
    iteration: int | None = None
    """Take the kept checkpoint of this iteration; default the newest."""


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
    tasks: str = ""
    """Hand it over for other tasks than those it was trained on, as `meta-rl envs` names them: on these it is then
    evaluated, shown and adapted. Observations and actions must be the same. RUN may be an exported agent."""
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
