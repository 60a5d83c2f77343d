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
from meta_rl.core.types import Rollout, missing_in_all
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
    seed, steps = protocol.evaluation_seed, protocol.adaptation_steps
    tasks = test_tasks(distribution, protocol.test_tasks, seed) if tasks is None else tasks
    positions = list(range(len(tasks))) if chosen is None else list(chosen)
    size = min(protocol.tasks_at_once, len(tasks))
    course = Course(learner, weights, distribution, protocol, size)
    by_mode = _Judged(len(tasks), steps + 1, course.judged_episodes)
    by_sample = _Judged(len(tasks), steps + 1, protocol.evaluation_episodes if protocol.judge_sampled else 0)
    practice_returns = np.zeros((len(tasks), steps, protocol.adaptation_episodes))
    env_steps = 0
    for start in range(0, len(tasks), size):
        indices = chunk_of(start, size, len(tasks))
        rows = [i for i in range(start, min(start + size, len(tasks))) if i in positions]
        kept = [i - start for i in rows]
        if not rows:
            continue
        course.begin([tasks[i] for i in indices], indices)
        seen, beside = Seen(spectator, rows, kept), Seen(practice_spectator, rows, kept)
        for step in range(steps + 1):
            by_mode.put(course.judge(seen), kept, rows, step)
            if protocol.judge_sampled:
                by_sample.put(course.judge_sampled(), kept, rows, step)
            advance(len(rows))
            if step == steps:
                continue
            played = course.practise(beside)
            # One rollout of all episodes, or one rollout per episode: [kept, episode] either way.
            practice_returns[rows, step] = np.concatenate([recorded.returns[kept] for recorded in played], 1)
            env_steps += sum(int(recorded.valid[kept].sum()) for recorded in played)
    course.close()
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


def chunk_of(start: int, size: int, count: int) -> list[int]:
    """Positions of the tasks that are played at once. Batch shapes stay fixed: a chunk is played whole or not at all,
    and the last one repeats its last task."""
    return [min(i, count - 1) for i in range(start, start + size)]


class Course:
    """Tasks on their way through the stages: judged, then adapted on their practice, and judged again.

    Everything random derives from the evaluation's seed, the task's position and the stage.

    Args:
        size: of a chunk of tasks, which are played at once.
    Attributes:
        judged_episodes: of each stage, with mode actions.
        step: adaptation steps of the chunk so far.
    Raises:
        ConfigError: `distribution` has other spaces than the tasks that the learner was made for.
    """

    def __init__(
        self,
        learner: MetaLearner,
        weights: Weights,
        distribution: TaskDistribution,
        protocol: EvaluateConfig,
        size: int,
    ) -> None:
        self._interface, self._warned = _interface_of(learner, distribution), False
        self._learner, self._weights, self._distribution, self._protocol = learner, weights, distribution, protocol
        self._size, self.step = size, 0
        self.judged_episodes = 1 if distribution.deterministic else protocol.evaluation_episodes
        seed = protocol.evaluation_seed
        self._streams = Streams(seed, 0, Purpose.TEST_NOISE, Purpose.TEST_ENV)
        self._sampling = Streams(seed, 0, Purpose.JUDGED_NOISE)
        # Noise makes episodes differ even where the environment does not.
        self._noisy_episodes = protocol.evaluation_episodes
        self._practice_envs = envs_per_task(learner, protocol.adaptation_episodes)
        self._rollouts = 1 if learner.episodes_at_once else protocol.adaptation_episodes
        self._made: dict[int, Envs] = {}  # environments per task -> environments
        self._practising: Envs | None = None

    def begin(self, tasks: Sequence[Task], indices: Sequence[int]) -> None:
        """Start a chunk from the meta-parameters: tasks, and their positions among all test tasks."""
        self._tasks, self._indices, self.step = list(tasks), list(indices), 0
        self._adapted = self._learner.start(self._weights, self._size)

    def judge(self, seen: Seen) -> Rollout:
        """Play the evaluation episodes of this stage with mode actions."""
        env = self._envs(self.judged_episodes)
        judged = seen.rollout(self.step, env, self._learner.actor(self._adapted), None, self._seeds())
        self._warned = self._warned or self._interface.warn_of_news(judged.observation)
        return judged

    def judge_sampled(self) -> Rollout:
        """The same with sampled actions, from the same starts: only the noise of the actions tells the two apart."""
        env = self._envs(self._noisy_episodes)
        noise = self._sampling.action_noise(self.step, self._indices, env, self._learner.policy)
        return rollout(env, self._learner.actor(self._adapted), noise, self._seeds())

    def practise(self, seen: Seen) -> list[Rollout]:
        """Play the adaptation episodes of this stage with sampled actions, and adapt to them: the next stage."""
        if self._practising is None:
            self._practising = make_envs(self._distribution, self._size, self._practice_envs)
        env, learner = self._practising, self._learner
        env.set_tasks(self._tasks)
        played = []
        for stage in range(self.step * self._rollouts, (self.step + 1) * self._rollouts):
            actor = learner.actor(self._adapted)
            noise = self._streams.action_noise(stage, self._indices, env, learner.policy)
            seeds = self._streams.env_seeds(2 * stage + 1, self._indices)
            played.append(seen.rollout(stage, env, actor, noise, seeds))
            self._adapted = learner.adapt(self._adapted, learner.prepare(self._adapted, played[-1]), actor)
        self.step += 1
        return played

    def close(self) -> None:
        """Free the environments."""
        for env in (*self._made.values(), self._practising):
            if env is not None:
                env.close()

    def _envs(self, episodes: int) -> Envs:
        """The environments that judge, with their tasks set."""
        if episodes not in self._made:
            self._made[episodes] = make_envs(self._distribution, self._size, episodes)
        self._made[episodes].set_tasks(self._tasks)
        return self._made[episodes]

    def _seeds(self) -> list[int]:
        """Even numbers seed the judged episodes, odd ones adaptation episodes (see `practise`): none is used twice."""
        return self._streams.env_seeds(2 * self.step * self._rollouts, self._indices)


def _interface_of(learner: MetaLearner, distribution: TaskDistribution) -> Interface:
    """What `learner` was made for, which has to fit `distribution`; one that was made by hand does not say."""
    interface: Interface = getattr(learner, "interface", None) or Interface.of(distribution)
    interface.check(distribution)
    return interface


def test_tasks(distribution: TaskDistribution, count: int, seed: int) -> list[Task]:
    """The tasks to evaluate: all of a finite distribution, or `count` of them, families equally often. A distribution
    with infinitely many draws them; the two splits draw different ones."""
    every = distribution.tasks()
    if every is not None and count in (0, len(every)):
        return every
    rng = generator(seed, Purpose.TEST_TASKS, stage=int(distribution.split == "train"))
    return distribution.sample(rng, count or DEFAULT_TEST_TASKS)
