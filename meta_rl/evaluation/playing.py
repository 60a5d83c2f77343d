"""Episodes that are played to be shown: test tasks as they were judged with training tasks beside them for a page, one
task after the other for the live view."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

import envs
from envs import Scene, Task, TaskDistribution, Track
from meta_rl.agents.agent import Agent, load
from meta_rl.agents.opening import open_distribution
from meta_rl.config import EvaluateConfig, from_dict
from meta_rl.errors import ConfigError, RunError, Say
from meta_rl.evaluation.answers import Answers, answer_episodes
from meta_rl.evaluation.episodes import test_tasks
from meta_rl.evaluation.record import Evaluated
from meta_rl.evaluation.recording import Recording, first_of_each, record, training_tasks
from meta_rl.evaluation.scores import MODE
from meta_rl.evaluation.words import command_line
from meta_rl.runs.display import Display

REPLAYED = 60
"""Test tasks that can be replayed on a page, all its runs together."""
TRAIN_TASKS = 20
"""Training tasks played for comparison, at most as many as test tasks."""


class Played(NamedTuple):
    """A recording, and what draws its tasks."""

    recording: Recording
    distribution: TaskDistribution


class Shown(NamedTuple):
    """A run as a page shows it.

    Attributes:
        played: its episodes by split, those of the last training iteration as ``training``; none of a run that learns
            from labelled examples.
        answers: of a run that learns from labelled examples, where its data is at hand.
    """

    run: Evaluated
    played: dict[str, Played]
    answers: Answers | None = None


def play(run: Evaluated, share: int = 1, say: Say = print, at_hand: Recording | None = None) -> Shown:
    """Play what a page shows of a run.

    Args:
        share: number of runs on the page; each shows about ``REPLAYED // share`` tasks.
        at_hand: a recording of its test tasks, which are then not played again.
    Raises:
        ConfigError: the run has gone on since its evaluation.
    """
    display = Display.of(say)
    if not run.acts:
        return Shown(run, {}, _answers(run, display))
    agent, found = load(run.folder), run.record
    if agent.iteration != found.iteration:
        command = command_line("evaluate", run.folder)
        raise ConfigError(f"RUN: {run.folder} has gone on since its evaluation; run: {command}")
    protocol = from_dict(EvaluateConfig, found.protocol)
    test = open_distribution(agent, found.split)
    chosen = replayed(test, protocol, max(1, REPLAYED // share))
    if at_hand is None:
        display(f"playing {len(chosen)} {found.split} tasks of {run.folder} for the page")
        recording = record(agent, protocol, found.split, chosen, display=display)
    else:
        recording = at_hand.select(chosen)
    if not np.array_equal(recording.returns, found.values[MODE]["return"][chosen]):
        elsewhere = "was evaluated elsewhere (machine, libraries): its replays are not quite the evaluated episodes"
        display(f"{run.folder} {elsewhere}")
    played = {found.split: Played(recording, test)}
    if found.split == "test":
        display("playing training tasks for comparison")
        tasks = training_tasks(agent)
        kept = first_of_each([task.family for task in tasks], min(TRAIN_TASKS, len(chosen)))
        again = record(agent, protocol, "train", kept, tasks, display)
        played["training"] = Played(again, envs.make(run.config.env, "train"))
    return Shown(run, played)


def _answers(run: Evaluated, display: Display) -> Answers | None:
    """The answers of a run in a few test episodes; None, with the reason said, where they cannot be had again."""
    try:
        agent = load(run.folder)
        if agent.iteration == run.record.iteration:
            return answer_episodes(agent, run.record)
        reason = f"{run.folder} has gone on since its evaluation"
    except (ConfigError, RunError) as error:
        reason = str(error)
    display(f"no examples on the page: {reason}")
    return None


def replayed(distribution: TaskDistribution, protocol: EvaluateConfig, most: int = REPLAYED) -> list[int]:
    """Positions of the test tasks that a page shows: about `most`, as many of each family, the first ones."""
    families = [task.family for task in test_tasks(distribution, protocol.test_tasks, protocol.evaluation_seed)]
    return first_of_each(families, most)


class Live:
    """One task at a time, played before adaptation and after as many steps as were asked for.

    Everything derives from the evaluation's seed: choosing a task again shows the same episodes.

    Attributes:
        families: names, each with the positions of its tasks among the evaluation's.
        recording: of the chosen task, every stage so far.
    """

    recording: Recording
    scene: Scene

    def __init__(self, agent: Agent, split: str) -> None:
        self._agent, self._split = agent, split
        self._distribution = open_distribution(agent, split)
        protocol = agent.config.evaluate
        self._tasks = test_tasks(self._distribution, protocol.test_tasks, protocol.evaluation_seed)
        self.families: dict[str, list[int]] = {}
        for position, task in enumerate(self._tasks):
            self.families.setdefault(task.family, []).append(position)
        self.choose(next(iter(self.families)), 0)

    @property
    def task(self) -> Task:
        """The chosen one."""
        return self.recording.tasks[0]

    @property
    def steps(self) -> int:
        """Adaptation steps so far."""
        return self.recording.stages - 1

    def choose(self, family: str, number: int) -> None:
        """Start over with a task: the one with this number in its family."""
        self._position = self.families[family][number]
        self.scene = self._distribution.scene(self._tasks[self._position])
        self._play(0)

    def adapt(self) -> None:
        """One adaptation step more."""
        self._play(self.steps + 1)

    def track(self, stage: int) -> Track:
        """The judged episode of a stage."""
        return self.recording.track(0, stage)

    def score(self, stage: int, time: int | None = None) -> tuple[float, bool]:
        """Return and success of a stage, up to `time` or in all."""
        reward, success = self.recording.reward[0, stage, 0, :time], self.recording.success[0, stage, 0, :time]
        return float(reward.sum(dtype=np.float64)), bool(success.any())

    def _play(self, steps: int) -> None:
        protocol = replace(self._agent.config.evaluate, adaptation_steps=steps, tasks_at_once=1, evaluation_episodes=1)
        self.recording = record(self._agent, protocol, self._split, [self._position])
