"""State of the live view: a task is chosen, and adapted to one step after the other."""

from __future__ import annotations

import dataclasses

import numpy as np

import envs
from envs import Scene, Task, Track
from meta_rl.agents.agent import Agent
from meta_rl.evaluation.episodes import test_tasks
from meta_rl.evaluation.recording import Recording, record
from meta_rl.visualise.side_by_side import track


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
        self._distribution = envs.make(agent.config.env, split)
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
        return track(self.recording, 0, stage)

    def score(self, stage: int, time: int | None = None) -> tuple[float, bool]:
        """Return and success of a stage, up to `time` or in all."""
        reward, success = self.recording.reward[0, stage, 0, :time], self.recording.success[0, stage, 0, :time]
        return float(reward.sum(dtype=np.float64)), bool(success.any())

    def _play(self, steps: int) -> None:
        protocol = dataclasses.replace(
            self._agent.config.evaluate, adaptation_steps=steps, tasks_at_once=1, evaluation_episodes=1
        )
        self.recording = record(self._agent, protocol, self._split, [self._position])
