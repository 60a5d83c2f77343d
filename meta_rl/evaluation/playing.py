"""Episodes that are played for a page: test tasks as they were judged, with training tasks beside them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from envs import TaskDistribution
from meta_rl.agents.agent import Agent, load
from meta_rl.agents.opening import open_distribution
from meta_rl.config import EvaluateConfig, from_dict, make_distribution
from meta_rl.errors import ConfigError, RunError, Say
from meta_rl.evaluation.answers import Answers, answer_episodes
from meta_rl.evaluation.episodes import test_tasks
from meta_rl.evaluation.keeping import JUDGED, TRAINING, keep_recording, kept_recording
from meta_rl.evaluation.record import Evaluated, evaluation_path, read_record_file
from meta_rl.evaluation.recording import Recording, first_of_each, record, training_tasks, typical
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
    Returns:
        With the episodes that were kept of the evaluation, if any, where the run has gone on since.
    """
    display = Display.of(say)
    if not run.acts:
        return Shown(run, {}, _answers(run, display))
    agent, found = load(run.folder), run.record
    if agent.iteration != found.iteration:
        command = command_line("evaluate", run.folder)
        display(f"{run.folder} has gone on since its evaluation, which the page shows; a new one: {command}")
        return Shown(run, _kept(run, agent, max(1, REPLAYED // share)))
    protocol = from_dict(EvaluateConfig, found.protocol)
    test = open_distribution(agent, found.split)
    chosen = replayed(test, protocol, max(1, REPLAYED // share))
    recording = at_hand.select(chosen) if at_hand else kept_recording(run.folder, JUDGED, chosen)
    if recording is None:
        display(f"playing {len(chosen)} {found.split} tasks of {run.folder} for the page")
        recording = record(agent, protocol, found.split, chosen, display=display, practice=True)
        keep_recording(recording, run.folder, JUDGED, display)
    if not np.array_equal(recording.returns, found.values[MODE]["return"][chosen]):
        elsewhere = "was evaluated elsewhere (machine, libraries): its replays are not quite the evaluated episodes"
        display(f"{run.folder} {elsewhere}")
    played = {found.split: Played(recording, test)}
    if found.split == "test":
        tasks = training_tasks(agent)
        kept = first_of_each([task.family for task in tasks], min(TRAIN_TASKS, len(chosen)))
        again = kept_recording(run.folder, TRAINING, kept)
        if again is None:
            display("playing training tasks for comparison")
            again = record(agent, protocol, "train", kept, tasks, display, True)
            keep_recording(again, run.folder, TRAINING, display)
        played["training"] = Played(again, make_distribution(run.config))
    return Shown(run, played)


def _kept(run: Evaluated, agent: Agent, most: int) -> dict[str, Played]:
    """What was kept of an evaluation that can no more be played as it was: `most` tasks; none if it was not kept."""
    found, played = run.record, dict[str, Played]()
    judged = kept_recording(run.folder, JUDGED)
    if judged is not None:
        first = first_of_each([task.family for task in judged.tasks], most)
        chosen = [judged.positions[row] for row in first]
        played[found.split] = Played(judged.select(chosen), open_distribution(agent, found.split))
        training = kept_recording(run.folder, TRAINING)
        if training is not None and found.split == "test":
            played["training"] = Played(training, make_distribution(run.config))
    return played


def opened(run_dir: Path, agent: Agent, split: str, distribution: TaskDistribution) -> list[int]:
    """Positions of the tasks that are shown first, one of each family: the one that the page opens, which is `typical`,
    if the evaluation of this agent on these tasks is there; else the first one of each family."""
    protocol = agent.config.evaluate
    shown = replayed(distribution, protocol)
    tasks = test_tasks(distribution, protocol.test_tasks, protocol.evaluation_seed)
    families = [tasks[position].family for position in shown]
    path = evaluation_path(run_dir)
    found = read_record_file(path) if path.exists() else None
    if found is None or (found.iteration, found.split, found.tasks) != (agent.iteration, split, len(tasks)):
        return [shown[families.index(family)] for family in dict.fromkeys(families)]
    returns = found.values[MODE]["return"][shown]  # [task, stage, episode]
    return [shown[row] for row in typical(families, returns.mean(-1), np.asarray(returns[:, [0, -1], 0].any(-1)))]


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
