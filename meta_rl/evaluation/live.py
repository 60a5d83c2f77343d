"""One task at a time, for the live view: played before adaptation, and after each step that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from envs import Scene, Task, TaskVectorEnv, Track
from meta_rl.agents.agent import Agent
from meta_rl.agents.opening import open_distribution
from meta_rl.core.types import Rollout
from meta_rl.errors import ConfigError
from meta_rl.evaluation.episodes import Course, Seen, Spectator, chunk_of, test_tasks
from meta_rl.evaluation.one_of import OneOf
from meta_rl.evaluation.playing import opened
from meta_rl.evaluation.practice import PracticeRecorder
from meta_rl.evaluation.recording import Recorder, Recording, about
from meta_rl.evaluation.words import StageNames


class NotWanted(Exception):
    """What was being played is not wanted any more."""


class Live:
    """Plays a task in the batch shapes of the evaluation, so that its numbers are the evaluation's.

    Everything derives from the evaluation's seed: choosing a task again shows the same episodes. Stages that were
    played are kept; one step more plays only what is new.

    Args:
        run_dir: where the evaluation of the agent lies, if it has one.
        wanted: asked while episodes are played; when it says no, the play ends with `NotWanted`.
        told: takes in words what is being played.
    Attributes:
        families: names, each with the positions of its tasks among the evaluation's.
        opened: the family and the number (in its family) that are shown first.
        recording: of the chosen task, every stage so far, with the practice between them.
        task: the chosen one.
        scene: draws it.
    """

    recording: Recording
    task: Task
    scene: Scene

    def __init__(
        self,
        agent: Agent,
        split: str,
        run_dir: Path | None = None,
        wanted: Callable[[], bool] = lambda: True,
        told: Callable[[str], None] = lambda words: None,
    ) -> None:
        self._agent, self._wanted, self._told = agent, wanted, told
        self._distribution = open_distribution(agent, split)
        self._protocol = protocol = agent.config.evaluate
        self._tasks = test_tasks(self._distribution, protocol.test_tasks, protocol.evaluation_seed)
        self.families: dict[str, list[int]] = {}
        for position, task in enumerate(self._tasks):
            self.families.setdefault(task.family, []).append(position)
        first = opened(run_dir or Path(), agent, split, self._distribution)[0]
        family = self._tasks[first].family
        self.opened = family, self.families[family].index(first)
        self._one = OneOf(self._distribution)
        self._size = min(protocol.tasks_at_once, len(self._tasks))
        self._course = Course(agent.learner, agent.weights, self._one, protocol, self._size)

    @property
    def names(self) -> StageNames:
        """What stages and practice are called."""
        return self.recording.stage_names

    @property
    def steps(self) -> int:
        """Adaptation steps so far."""
        return self.recording.stages - 1

    def choose(self, family: str, number: int, place: Sequence[float] | None = None) -> None:
        """Start over with a task: the one with this number in its family.

        Args:
            place: another place for its goal (see `TaskDistribution.with_goal`).
        Raises:
            ConfigError: the goals of this family cannot be moved, or not there.
            NotWanted: it is not wanted any more; nothing has changed.
        """
        position = self.families[family][number]
        task = self._tasks[position]
        if place is not None:
            task = self._moved(task, place)
        start = position - position % self._size
        indices = chunk_of(start, self._size, len(self._tasks))
        tasks = [self._tasks[i] for i in indices]
        self._one.row = position - start
        tasks[self._one.row] = task
        self._course.begin(tasks, indices)
        self._played = [position], [self._one.row]
        recorder, practice = Recorder(), PracticeRecorder()
        recording = self._judge(recorder, practice, task)
        self._recorder, self._practice = recorder, practice
        self.recording, self.task, self.scene = recording, task, self._distribution.scene(task)

    def adapt(self) -> None:
        """Practise, adapt, and play the stage after it.

        Raises:
            NotWanted: it is not wanted any more; choose a task again.
        """
        self._told(self._names_of_practice())
        self._course.practise(Seen(self._watched(self._practice, practising=True), *self._played))
        self.recording = self._judge(self._recorder, self._practice, self.task)

    def movable(self) -> bool:
        """Whether the goal of the chosen task can be put elsewhere."""
        goal = self.scene.marks().get("goal")
        return goal is not None and self._distribution.with_goal(self.task, goal) is not None

    def track(self, stage: int) -> Track:
        """The judged episode of a stage."""
        return self.recording.track(0, stage)

    def score(self, stage: int, time: int | None = None) -> tuple[float, bool]:
        """Return and success of a stage, up to `time` or in all."""
        return self.recording.score(0, stage, time)

    def close(self) -> None:
        """Free the environments."""
        self._course.close()

    def _moved(self, task: Task, place: Sequence[float]) -> Task:
        try:
            moved = self._distribution.with_goal(task, place)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if moved is None:
            raise ConfigError(f"the goals of {task.family} cannot be moved")
        return moved

    def _judge(self, recorder: Recorder, practice: PracticeRecorder, task: Task) -> Recording:
        judged = self._course.judge(Seen(self._watched(recorder), *self._played))
        told = about(self._agent, self._protocol, self._distribution, judged.missing_success)
        return recorder.recording(told, [task], practice)

    def _names_of_practice(self) -> str:
        episodes = self._protocol.adaptation_episodes
        return self.names.practising(1) if self.names.memory else f"practising, {episodes} episodes at once"

    def _watched(self, spectator: Spectator, practising: bool = False) -> Spectator:
        return _Watched(spectator, self._wanted, self._told_of if practising and self.names.memory else None)

    def _told_of(self, rollout: int) -> None:
        self._told(self.names.practising(rollout % self._protocol.adaptation_episodes + 1))


class _Watched:
    """A spectator who may leave: then the play ends with `NotWanted`."""

    def __init__(self, inner: Spectator, wanted: Callable[[], bool], began: Callable[[int], None] | None) -> None:
        self._inner, self._wanted, self._began = inner, wanted, began

    def begin(self, positions: Sequence[int], rows: Sequence[int], stage: int) -> None:
        """See `Spectator.begin`."""
        if self._began is not None:
            self._began(stage)
        self._inner.begin(positions, rows, stage)

    def after_step(self, env: TaskVectorEnv, turn: int = 0) -> None:
        """See `Spectator.after_step`."""
        if not self._wanted():
            raise NotWanted
        self._inner.after_step(env, turn)

    def end(self, rollout: Rollout) -> None:
        """See `Spectator.end`."""
        self._inner.end(rollout)
