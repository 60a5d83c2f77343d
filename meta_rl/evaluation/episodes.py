"""Unbiased evaluation: for every task, fixed numbers of adaptation and evaluation episodes.

Each task is a fresh start from the meta-parameters. Stage k is judged on evaluation episodes with mode actions, the
headline, and again on as many with sampled actions; then the policy of stage k collects its adaptation episodes with
sampled actions (all at once, or one after another where each is remembered by the next) and takes adaptation step
k + 1. What is judged is never adapted on. Every episode of every task counts once, whenever it ends. (Meta-World's own
evaluator counts the first episodes *to finish*, while episodes end on success, which favours successes; see
docs/evaluation.md.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from envs import Task, TaskDistribution, TaskVectorEnv
from meta_rl.algorithms.base import Actor, MetaLearner
from meta_rl.config import EvaluateConfig
from meta_rl.core.interface import Interface
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.types import Adapted, Rollout, missing_in_all
from meta_rl.core.weights import Weights
from meta_rl.errors import Advance
from meta_rl.evaluation.scores import MODE, SAMPLED, Score, Stage, Values
from meta_rl.maths.statistics import bootstrap_interval, interquartile_mean
from meta_rl.sources.collect import Envs, Streams, as_sent, envs_per_task, make_envs, rollout

DEFAULT_TEST_TASKS = 40
"""Number of test tasks if a distribution has infinitely many."""


class Spectator(Protocol):
    """Sees episodes of an evaluation while they are played: those judged with mode actions, or those adapted on."""

    def begin(self, positions: Sequence[int], rows: Sequence[int], stage: int) -> None:
        """Called before a rollout of `stage`: the test tasks `positions` are played in `rows` of the environments. Of
        rollouts that are adapted on, `stage` is their number, from 0."""
        ...

    def after_step(self, env: TaskVectorEnv, turn: int = 0) -> None:
        """Called with the environments after resets and steps; see `meta_rl.sources.collect.AfterStep`."""
        ...

    def end(self, rollout: Rollout) -> None:
        """Called after the rollout, with what was recorded; its actions are those that environments were sent."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """Results per task, stage (adaptation steps taken) and episode.

    Attributes:
        tasks: the tasks that were evaluated.
        returns: undiscounted, with mode actions, ``[task, stage, episode]``.
        solved: success at any step of such an episode, ``[task, stage, episode]``.
        sampled_returns: undiscounted, with sampled actions, ``[task, stage, episode]``; no episodes where the protocol
            leaves them out.
        sampled_solved: success at any step of such an episode, ``[task, stage, episode]``.
        practice_returns: of the episodes with sampled actions that were adapted on, ``[task, step, episode]``; for a
            learner with a memory the learning curve of a trial.
        env_steps: env steps that the evaluation took.
        missing_success: why success is unknown, in a sentence: nothing was solved then, and it means nothing. Empty:
            it is known, or the tasks have none.
    """

    tasks: list[Task]
    returns: NDArray[np.float64]
    solved: NDArray[np.bool_]
    sampled_returns: NDArray[np.float64]
    sampled_solved: NDArray[np.bool_]
    practice_returns: NDArray[np.float64]
    env_steps: int
    missing_success: str = ""

    def stages(self) -> list[Stage]:
        """Per stage and way the mean success and return over tasks, each with a 95 % stratified-bootstrap interval, the
        interquartile mean of returns, and the mean success of each family."""
        return [self._stage(stage) for stage in range(self.returns.shape[1])]

    def values(self) -> Values:
        """Returns and successes ``[task, stage, episode]``; sampled actions only where they were judged."""
        found = {MODE: {"return": self.returns, "success": self.solved.astype(float)}}
        if self.sampled_returns.size:
            found[SAMPLED] = {"return": self.sampled_returns, "success": self.sampled_solved.astype(float)}
        return found

    def _stage(self, stage: int) -> Stage:
        families = [task.family for task in self.tasks]
        scores, iqm, by_family = {}, {}, {}
        for way, found in self.values().items():
            success, gained = (found[name][:, stage].mean(-1) for name in ("success", "return"))  # [task] each
            rng = generator(0, Purpose.BOOTSTRAP, stage=stage)
            scores[way] = {
                name: Score(float(values.mean()), *bootstrap_interval(values, families, rng))
                for name, values in (("success", success), ("return", gained))
            }
            iqm[way] = interquartile_mean(gained)
            by_family[way] = {
                family: float(np.mean([s for s, f in zip(success, families, strict=True) if f == family]))
                for family in dict.fromkeys(families)
            }
        return Stage(stage, scores, iqm, by_family)


class Seen(NamedTuple):
    """A spectator, if there is one, and what it is to see: the test tasks `positions` in `rows` of the environments."""

    spectator: Spectator | None
    positions: Sequence[int]
    rows: Sequence[int]

    def rollout(
        self, stage: int, env: Envs, actor: Actor, noise: NDArray[np.float32] | None, seeds: Sequence[int]
    ) -> Rollout:
        """`meta_rl.sources.collect.rollout`, which it sees."""
        if self.spectator is None:
            return rollout(env, actor, noise, seeds)
        self.spectator.begin(self.positions, self.rows, stage)
        played = rollout(env, actor, noise, seeds, after_step=self.spectator.after_step)
        self.spectator.end(as_sent(played, env))
        return played


class _Judged:
    """Returns and successes ``[task, stage, episode]`` of the episodes that judge, filled stage by stage."""

    def __init__(self, *shape: int) -> None:
        self.returns, self.solved, self.env_steps = np.zeros(shape), np.zeros(shape, bool), 0
        self.missing: list[str] = []

    def put(self, played: Rollout, kept: Sequence[int], tasks: Sequence[int], stage: int) -> None:
        """Store the rows `kept` of `played` as results of `tasks`, in the same order."""
        # [kept, episode] each
        self.returns[tasks, stage], self.solved[tasks, stage] = played.returns[kept], played.solved[kept]
        self.env_steps += int(played.valid[kept].sum())  # of [kept, episode, time]
        self.missing.append(played.missing_success)


def evaluate(
    learner: MetaLearner,
    weights: Weights,
    distribution: TaskDistribution,
    protocol: EvaluateConfig,
    chosen: Sequence[int] | None = None,
    spectator: Spectator | None = None,
    tasks: Sequence[Task] | None = None,
    advance: Advance = lambda count: None,
    practice_spectator: Spectator | None = None,
) -> Evaluation:
    """Adaptation curves of `weights` (on the CPU) on the tasks of `distribution`, usually a test split.

    Args:
        chosen: positions of the tasks to evaluate among the test tasks; default all. A task's numbers do not depend on
            which others are chosen.
        spectator: sees the episodes judged with mode actions.
        tasks: tasks to evaluate on; default: the protocol's test tasks.
        advance: takes how many more stages of tasks are judged.
        practice_spectator: sees the episodes that are adapted on.
    Raises:
        ConfigError: `distribution` has other spaces than the tasks that the learner was made for.
    """
    interface = _interface_of(learner, distribution)
    seed = protocol.evaluation_seed
    tasks = test_tasks(distribution, protocol.test_tasks, seed) if tasks is None else tasks
    positions = list(range(len(tasks))) if chosen is None else list(chosen)
    size = min(protocol.tasks_at_once, len(tasks))
    episodes = 1 if distribution.deterministic else protocol.evaluation_episodes
    steps = protocol.adaptation_steps
    judge = make_envs(distribution, size, episodes)
    practice = make_envs(distribution, size, envs_per_task(learner, protocol.adaptation_episodes)) if steps else None
    noisy = None
    if protocol.judge_sampled:  # noise makes episodes differ even where the environment does not
        noisy = make_envs(distribution, size, protocol.evaluation_episodes) if distribution.deterministic else judge
    rollouts = 1 if learner.episodes_at_once else protocol.adaptation_episodes
    streams = Streams(seed, 0, Purpose.TEST_NOISE, Purpose.TEST_ENV)
    sampling = Streams(seed, 0, Purpose.JUDGED_NOISE)
    by_mode = _Judged(len(tasks), steps + 1, episodes)
    by_sample = _Judged(len(tasks), steps + 1, protocol.evaluation_episodes if protocol.judge_sampled else 0)
    practice_returns = np.zeros((len(tasks), steps, protocol.adaptation_episodes))
    env_steps, warned = 0, False
    for start in range(0, len(tasks), size):
        # Batch shapes stay fixed: a chunk is played whole or not at all, and the last one repeats its last task.
        indices = [min(i, len(tasks) - 1) for i in range(start, start + size)]
        rows = [i for i in range(start, min(start + size, len(tasks))) if i in positions]
        kept = [i - start for i in rows]
        if not rows:
            continue
        chunk = [tasks[i] for i in indices]
        adapted = learner.start(weights, size)
        for step in range(steps + 1):
            judge.set_tasks(chunk)
            # Even numbers seed the judged episodes, odd ones adaptation episodes (see `_practise`): none is used twice.
            seeds = streams.env_seeds(2 * step * rollouts, indices)
            seen = Seen(spectator, rows, kept)
            judged = seen.rollout(step, judge, learner.actor(adapted), None, seeds)
            warned = warned or interface.warn_of_news(judged.observation)
            by_mode.put(judged, kept, rows, step)
            if noisy is not None:
                noisy.set_tasks(chunk)
                noise = sampling.action_noise(step, indices, noisy, learner.policy)
                # From the same starts as with mode actions: only the noise of the actions tells the two apart.
                by_sample.put(rollout(noisy, learner.actor(adapted), noise, seeds), kept, rows, step)
            advance(len(rows))
            if practice is None or step == steps:
                continue
            practice.set_tasks(chunk)
            stages = range(step * rollouts, (step + 1) * rollouts)
            beside = Seen(practice_spectator, rows, kept)
            adapted, played = _practise(learner, adapted, practice, stages, indices, streams, beside)
            # One rollout of all episodes, or one rollout per episode: [kept, episode] either way.
            practice_returns[rows, step] = np.concatenate([recorded.returns[kept] for recorded in played], 1)
            env_steps += sum(int(recorded.valid[kept].sum()) for recorded in played)
    for env in (judge, practice, noisy if noisy is not judge else None):
        if env is not None:
            env.close()
    return Evaluation(
        tasks=[tasks[i] for i in positions],
        returns=by_mode.returns[positions],  # [chosen, stage, episode], as below
        solved=by_mode.solved[positions],
        sampled_returns=by_sample.returns[positions],
        sampled_solved=by_sample.solved[positions],
        practice_returns=practice_returns[positions],
        env_steps=env_steps + by_mode.env_steps + by_sample.env_steps,
        missing_success=missing_in_all([*by_mode.missing, *by_sample.missing]),
    )


def _interface_of(learner: MetaLearner, distribution: TaskDistribution) -> Interface:
    """What `learner` was made for, which has to fit `distribution`; one that was made by hand does not say."""
    interface: Interface = getattr(learner, "interface", None) or Interface.of(distribution)
    interface.check(distribution)
    return interface


def _practise(
    learner: MetaLearner,
    adapted: Adapted,
    env: Envs,
    stages: Sequence[int],
    task_indices: Sequence[int],
    streams: Streams,
    seen: Seen,
) -> tuple[Adapted, list[Rollout]]:
    """Play one rollout with sampled actions, and adapt to it, for each of `stages`.

    Args:
        env: with its tasks set.
        stages: numbers of the rollouts, which key their random streams.
        seen: who sees them.
    Returns:
        What the learner has adapted after the last rollout, and the rollouts.
    """
    played = []
    for stage in stages:
        actor = learner.actor(adapted)
        noise = streams.action_noise(stage, task_indices, env, learner.policy)
        played.append(seen.rollout(stage, env, actor, noise, streams.env_seeds(2 * stage + 1, task_indices)))
        adapted = learner.adapt(adapted, learner.prepare(adapted, played[-1]), actor)
    return adapted, played


def test_tasks(distribution: TaskDistribution, count: int, seed: int) -> list[Task]:
    """The tasks to evaluate: all of a finite distribution, or `count` of them, families equally often. A distribution
    with infinitely many draws them; the two splits draw different ones."""
    every = distribution.tasks()
    if every is not None and count in (0, len(every)):
        return every
    rng = generator(seed, Purpose.TEST_TASKS, stage=int(distribution.split == "train"))
    return distribution.sample(rng, count or DEFAULT_TEST_TASKS)
