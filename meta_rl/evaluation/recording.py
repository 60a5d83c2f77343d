"""Episodes to look at: chosen test tasks of a run, played as `evaluate` plays them, every stage recorded.

A recording holds what happened (observations, actions, rewards, success) and the states of the simulation, from which
pictures are drawn later, somewhere else: nothing is rendered while environments run. Its returns are those of the
evaluation, bit for bit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import Task, TaskDistribution, TaskVectorEnv, Track
from meta_rl.agents.agent import Agent
from meta_rl.agents.opening import open_distribution
from meta_rl.config import EvaluateConfig, make_distribution, to_dict
from meta_rl.core.files import read_episodes
from meta_rl.core.types import Rollout
from meta_rl.errors import ConfigError
from meta_rl.evaluation.episodes import evaluate, test_tasks
from meta_rl.evaluation.practice import (
    PRACTICE_ARRAYS,
    Outcomes,
    Practice,
    PracticeRecorder,
    chosen_rows,
    stack_states,
    widen,
)
from meta_rl.evaluation.words import StageNames
from meta_rl.runs.display import Display
from meta_rl.sources.base import Plan

ARRAYS = ("observation", "action", "reward", "success", "valid", "terminated", "state")
LABEL = "label"
"""The array of the expert's actions, in recordings that have them."""


@dataclass(frozen=True)
class Recording(Outcomes):
    """Judged episodes (mode actions) ``[task, stage, episode, ...]``; stage k comes after k adaptation steps.

    Attributes:
        about: JSON-able: ``recipe``, ``env``, ``seed``, ``iteration``, ``split``, ``protocol``; ``memory``: whether
            the learner adapts by remembering its episodes rather than by steps; ``gradient_steps`` of one adaptation;
            ``infers``: whether it infers the task instead; ``has_success``: of the tasks.
        positions: of the tasks among the test tasks of the protocol.
        tasks: what was played.
        observation: float32 ``[..., time + 1, *obs]``; the last one is what the last action led to.
        action: ``[..., time, *action]``.
        reward: float32 ``[..., time]``, 0 after the end of an episode.
        success: bool ``[..., time]``, the goal is met at this very step.
        valid: bool ``[..., time]``, False after the end of an episode.
        terminated: bool ``[...]``, the episode ended in a terminal state.
        state: float64 ``[..., time + 1, state]``, what `TaskVectorEnv.state` gave; shorter ones end in zeros.
        practice: the episodes that were adapted on between the stages, where they were recorded too.
        label: what the expert would have done at each step, shaped as `action`, where it was asked.
    """

    about: dict[str, Any]
    positions: list[int]
    tasks: list[Task]
    observation: NDArray[np.float32]
    action: NDArray[Any]
    reward: NDArray[np.float32]
    success: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    terminated: NDArray[np.bool_]
    state: NDArray[np.float64]
    practice: Practice | None = None
    label: NDArray[Any] | None = None

    def stage_name(self, stage: int) -> str:
        """A stage in words."""
        return self.stage_names.name(stage)

    @property
    def stage_names(self) -> StageNames:
        """What the stages are called."""
        about = self.about
        return StageNames(
            about["memory"],
            about["protocol"]["adaptation_episodes"],
            about.get("gradient_steps", 1),
            about.get("infers", False),
        )

    def track(self, task: int, stage: int) -> Track:
        """The first episode of a task and stage, for a scene."""
        index = (task, stage, 0)
        return Track(self.state[index], self.action[index], self.reward[index], int(self.lengths[index]))

    def score(self, task: int, stage: int, time: int | None = None) -> tuple[float, bool]:
        """Return and success of the first episode of a task and stage, up to `time` or in all: the numbers that
        whatever shows an episode says of it."""
        reward, success = self.reward[task, stage, 0, :time], self.success[task, stage, 0, :time]
        return float(reward.sum(dtype=np.float64)), bool(success.any())

    def select(self, positions: Sequence[int]) -> Recording:
        """The tasks at these positions, in this order."""
        rows = [self.positions.index(position) for position in positions]
        arrays = {name: getattr(self, name)[rows] for name in ARRAYS}
        practice = self.practice.rows(rows) if self.practice else None
        label = None if self.label is None else self.label[rows]
        tasks = [self.tasks[row] for row in rows]
        return Recording(self.about, list(positions), tasks, **arrays, practice=practice, label=label)

    def typical(self, each: int) -> list[int]:
        """Rows of `each` tasks per family (all, where it has fewer): those in its middle by how much the mean return
        rises from the first stage to the last. Tasks where nothing happens, because neither of these two stages
        earns anything in the episode that is shown, are left out where enough others are."""
        eventful = np.asarray(self.reward[:, [0, -1], 0].any((1, 2)))
        return typical([task.family for task in self.tasks], self.returns.mean(-1), eventful, each)

    @property
    def stages(self) -> int:
        """Adaptation steps, plus one."""
        return int(self.reward.shape[1])

    def save(self, path: Path) -> None:
        """Write a ``.npz`` file; no pickle inside."""
        header = {
            "about": self.about,
            "positions": self.positions,
            "tasks": [[task.family, task.vector] for task in self.tasks],
        }
        with open(path, "wb") as file:  # given a path, numpy would append a suffix
            np.savez_compressed(file, header=np.array(json.dumps(header)), **self._arrays())

    def _arrays(self) -> dict[str, Any]:
        """By their names in the file."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        if self.label is not None:
            arrays[LABEL] = self.label
        if self.practice is not None:
            arrays |= {f"practice_{name}": getattr(self.practice, name) for name in ("moments", *PRACTICE_ARRAYS)}
        return arrays

    @staticmethod
    def load(path: Path) -> Recording:
        """The inverse of `save`.

        Raises:
            ConfigError: not such a file.
        """
        header, found = read_episodes(path, ARRAYS)
        arrays = {name: found[name] for name in ARRAYS}
        practice = None
        if "practice_moments" in found:
            practice = Practice(**{name: found[f"practice_{name}"] for name in ("moments", *PRACTICE_ARRAYS)})
        tasks = [Task(family, tuple(vector)) for family, vector in header["tasks"]]
        return Recording(
            header["about"], header["positions"], tasks, **arrays, practice=practice, label=found.get(LABEL)
        )


class Recorder:
    """A `meta_rl.evaluation.episodes.Spectator` that keeps everything.

    Args:
        chosen: only of the tasks at these positions; default of all.
        labels: also the expert's actions.
    """

    def __init__(self, chosen: Sequence[int] | None = None, labels: bool = False) -> None:
        self._chosen, self._more = chosen, (LABEL,) if labels else ()
        self._episodes: dict[
            tuple[int, int], dict[str, NDArray[Any]]
        ] = {}  # (position, stage) -> arrays [episode, ...]
        self._begun: tuple[Sequence[int], Sequence[int], int] = ((), (), 0)
        self._states: dict[int, list[list[list[NDArray[np.float64]]]]] = {}  # turn -> [time][row][episode]

    def begin(self, positions: Sequence[int], rows: Sequence[int], stage: int) -> None:
        """See `Spectator.begin`."""
        self._begun, self._states = (*chosen_rows(positions, rows, self._chosen), stage), {}

    def after_step(self, env: TaskVectorEnv, turn: int = 0) -> None:
        """See `Spectator.after_step`."""
        moments = self._states.setdefault(turn, [])
        moments.append([[env.state(row, i) for i in range(env.envs_per_task)] for row in self._begun[1]])

    def end(self, rollout: Rollout) -> None:
        """See `Spectator.end`."""
        positions, rows, stage = self._begun
        # Where all episodes ended before the horizon, nothing moved afterwards.
        length = rollout.reward.shape[-1] + 1
        turns = [moments + moments[-1:] * (length - len(moments)) for moments in self._states.values()]
        last = rollout.last_observation[:, :, None]
        for i, (position, row) in enumerate(zip(positions, rows, strict=True)):
            self._episodes[position, stage] = {
                "observation": np.concatenate([rollout.observation[row], last[row]], 1),
                **{name: getattr(rollout, name)[row] for name in (*ARRAYS[1:-1], *self._more)},
                # [time][episode], the episodes of each turn after those of the one before.
                "state": stack_states([[s for moments in turns for s in moments[t][i]] for t in range(length)]),
            }

    def recording(
        self, about: dict[str, Any], tasks: Sequence[Task], practice: PracticeRecorder | None = None
    ) -> Recording:
        """All that was kept so far.

        Args:
            tasks: all that were played, or those that were kept.
            practice: saw the episodes that were adapted on, of the same tasks.
        """
        positions = sorted({position for position, _ in self._episodes})
        stages = 1 + max(stage for _, stage in self._episodes)
        widen(list(self._episodes.values()))

        def gather(name: str) -> NDArray[Any]:
            found = [[self._episodes[position, stage][name] for stage in range(stages)] for position in positions]
            return np.stack([np.stack(row) for row in found])

        kept = [tasks[position] for position in positions] if len(tasks) > len(positions) else list(tasks)
        arrays = {name: gather(name) for name in (*ARRAYS, *self._more)}
        beside = practice.practice(stages - 1) if practice else None
        return Recording(about, positions, kept, **arrays, practice=beside)


def record(
    agent: Agent,
    protocol: EvaluateConfig | None = None,
    split: str = "test",
    chosen: Sequence[int] | None = None,
    tasks: Sequence[Task] | None = None,
    display: Display | None = None,
    practice: bool = False,
) -> Recording:
    """Play tasks of an agent's distribution with adaptation, and record the judged episodes of every stage.

    Args:
        protocol: default the run's own.
        chosen: positions among the protocol's test tasks; default all.
        tasks: to be played instead of the protocol's test tasks.
        display: shows how far it is.
        practice: record the episodes between the stages, too.
    Raises:
        ConfigError: a position that is not there, or the agent has learned in another distribution.
    """
    protocol = protocol or agent.config.evaluate
    distribution = open_distribution(agent, split)
    if tasks is None:
        tasks = test_tasks(distribution, protocol.test_tasks, protocol.evaluation_seed)
    if chosen is not None:
        chosen = sorted(set(chosen))
        wrong = [position for position in chosen if not 0 <= position < len(tasks)]
        if wrong or not chosen:
            raise ConfigError(f"--tasks: {wrong[0] if wrong else 'none'} asked for; valid: 0 to {len(tasks) - 1}")
    recorder, beside = Recorder(), PracticeRecorder() if practice else None
    seen = replace(protocol, judge_sampled=False)  # which nobody looks at
    count = len(tasks) if chosen is None else len(chosen)
    with (display or Display(bars=False)).bar("playing", count * (seen.adaptation_steps + 1)) as bar:
        evaluation = evaluate(
            agent.learner, agent.weights, distribution, seen, chosen, recorder, tasks, bar.advance, beside
        )
    told = about(agent, protocol, distribution, evaluation.missing_success)
    return recorder.recording(told, evaluation.tasks, beside)


def training_tasks(agent: Agent) -> list[Task]:
    """The tasks of the last training iteration."""
    c = agent.config
    plan = Plan(c.meta_batch_size, c.episodes_per_task, c.seed)
    return plan.tasks(make_distribution(c), max(agent.iteration - 1, 0))


def typical(
    families: Sequence[str], means: NDArray[np.float64], eventful: NDArray[np.bool_], each: int = 1
) -> list[int]:
    """See `Recording.typical`, of mean returns ``[task, stage]``; `eventful` says in which tasks something happens."""
    rise = means[:, -1] - means[:, 0]
    ranked: dict[str, list[int]] = {family: [] for family in families}
    for row in np.argsort(rise, kind="stable").tolist():
        ranked[families[row]].append(row)
    middles = []
    for rows in ranked.values():
        kept = [row for row in rows if eventful[row]]
        kept = kept if len(kept) >= each else rows
        start = max(0, (len(kept) - each) // 2)
        middles += kept[start : start + each]
    return middles


def first_of_each(families: Sequence[str], most: int) -> list[int]:
    """Positions of about `most` tasks, as many of each family, at least one."""
    each = max(1, most // len(dict.fromkeys(families)))
    counts: dict[str, int] = {}
    chosen = []
    for position, family in enumerate(families):
        counts[family] = counts.get(family, 0) + 1
        if counts[family] <= each:
            chosen.append(position)
    return chosen


def about(
    agent: Agent, protocol: EvaluateConfig, distribution: TaskDistribution, missing_success: str
) -> dict[str, Any]:
    """`Recording.about`."""
    return {
        "recipe": agent.config.recipe,
        "env": agent.config.env,
        "seed": agent.config.seed,
        "iteration": agent.iteration,
        "split": distribution.split,
        "multitask": distribution.multitask,
        "protocol": to_dict(protocol),
        "memory": not agent.learner.episodes_at_once,
        "gradient_steps": agent.config.algorithm.gradient_steps,
        "infers": agent.config.algorithm.infers,
        "has_success": distribution.has_success and not missing_success,
    }
