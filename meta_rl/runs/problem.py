"""Problems that a run learns: a learner, and the source of its meta-batches. One training loop serves all of them."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, Protocol

import envs
from meta_rl.algorithms.base import MetaLearner, make_learner
from meta_rl.algorithms.supervised import FewShotLearner
from meta_rl.config import RECIPES, TrainConfig, make_distribution, settled
from meta_rl.core.interface import Interface
from meta_rl.core.replay import step_bytes
from meta_rl.errors import ConfigError
from meta_rl.fewshot.tasks import FewShotSource, open_tasks
from meta_rl.runs.recorded import DEMONSTRATIONS
from meta_rl.sources.base import Plan, Source
from meta_rl.sources.demonstrations import FromDemonstrations, read_demonstrations
from meta_rl.sources.in_process import InProcess
from meta_rl.sources.processes import Processes
from meta_rl.sources.supervisor import TRIES


class Problem(Protocol):
    """A learner with its training tasks."""

    @property
    def learner(self) -> MetaLearner | FewShotLearner:
        """The learner for these tasks."""
        ...

    @property
    def interface(self) -> Interface:
        """The interface of the learner: what it observes and answers."""
        ...

    has_success: bool
    """Whether the tasks can be solved (see `envs.TaskDistribution`)."""
    notes: tuple[str, ...]
    """What a user should know before it is learned, a line each."""

    def source(self) -> Source:
        """The source of a training run."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """JSON-able: what identifies the task distribution."""
        ...


class Environments:
    """Reinforcement learning."""

    def __init__(self, config: TrainConfig) -> None:
        self._config, self._distribution = config, make_distribution(config)
        if wrong := envs.misfit(self._distribution.observation_space, self._distribution.action_space):
            raise ConfigError(f"--env: {config.env}: {wrong}")
        known = self._distribution.knows_mean_reward
        if config.algorithm.needs_mean_reward and not known:
            raise ConfigError(
                f"--learn-from-means: {config.env} does not know the mean of its rewards; valid here: False"
            )
        if config.algorithm.needs_success and not self._distribution.has_success:
            raise ConfigError(f"--success-bonus: {config.env} has no goal that can be met; valid here: 0")
        if config.env_options.task_visible:
            _require_form(self._distribution, make_distribution(config, "test"))
        if config.algorithm.taught_for is not None and not self._distribution.has_expert:
            others = ", ".join(envs.with_expert())
            raise ConfigError(f"--env: {config.env} has no expert to learn from; for example {others} have one")
        learner: Any = make_learner(config, self._distribution)
        self.learner: MetaLearner = learner
        self.interface = replace(learner.interface, horizon=self._distribution.horizon)
        self.has_success = self._distribution.has_success
        self.notes = (*replay_notes(config, self.interface), *phase_notes(config))
        shown = config.algorithm.shown
        self._shown = None if shown is None else read_demonstrations(shown, self.interface)

    def source(self) -> Source:
        """See `Problem.source`.

        Raises:
            ConfigError: something cannot be sent to another process; no Ray cluster, or a too small one.
        """
        c = self._config
        algorithm = settled(c).algorithm
        plan = Plan(c.meta_batch_size, c.episodes_per_task, c.seed, c.shards, algorithm.taught_for, algorithm.told_for)
        if self._shown:
            return FromDemonstrations(self._shown, self.learner, plan)
        work = self._distribution, self.learner, plan
        if not c.workers:
            return InProcess(*work)
        tries = 1 if c.on_worker_failure == "raise" else TRIES
        if not c.ray_address:
            return Processes(*work, c.workers, c.worker_cores, c.worker_timeout, tries)
        from meta_rl.sources.ray import Ray  # an extra

        return Ray(*work, c.workers, c.ray_address, c.worker_cores or 1, c.worker_timeout, tries)

    def fingerprint(self) -> dict[str, Any]:
        """See `Problem.fingerprint`."""
        shown = {DEMONSTRATIONS: self._shown.describe()} if self._shown else {}
        return self._distribution.fingerprint() | shown


def _require_form(train: envs.TaskDistribution, test: envs.TaskDistribution) -> None:
    """Refuse test tasks that an agent could not read after training."""
    (mine,), (its,) = train.observation_space.shape, test.observation_space.shape
    if mine != its:
        raise ConfigError(
            f"--task-visible: observations of {train.name} have {mine} numbers in training and {its} in tests, as the "
            "tasks of their families differ in length; valid here: None"
        )


class LabelledExamples:
    """Supervised few-shot learning."""

    has_success = False
    notes: tuple[str, ...] = ()

    def __init__(self, config: TrainConfig) -> None:
        self._config, self._tasks = config, open_tasks(config, "train")
        learner: Any = make_learner(config, self._tasks)
        self.learner: FewShotLearner = learner
        self.interface = Interface.of(self._tasks)

    def source(self) -> Source:
        """See `Problem.source`."""
        return FewShotSource(self._tasks, self._config)

    def fingerprint(self) -> dict[str, Any]:
        """See `Problem.fingerprint`."""
        return self._tasks.fingerprint()


def replay_notes(config: TrainConfig, interface: Interface) -> tuple[str, ...]:
    """A line on the memory that the replay of a run may take, if it keeps one.

    Raises:
        ConfigError: this machine has too little, or settings do not fit the tasks.
    """
    kept = config.algorithm.kept_steps(config.episodes_per_task * interface.horizon)
    if not kept:
        return ()
    each = step_bytes(interface, config.algorithm.kept_observations)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = kept * each
    if 2 * needed > there:  # a checkpoint is put together in memory
        raise ConfigError(
            f"--replay-size: a replay of {kept:,} env steps takes {needed / 1e9:,.1f} GB, and as much again for a "
            f"checkpoint; this machine has {there / 1e9:,.1f}; valid: at most {there // (2 * each):,} steps of all "
            "tasks together"
        )
    size = f"{needed / 1e6:,.0f} MB of memory, and of every checkpoint"
    return (f"the replay grows to {kept:,} env steps at most: {size}",)


def phase_notes(config: TrainConfig) -> tuple[str, ...]:
    """A line on when somebody else begins to act in training, whose scores are no continuation of those before."""
    told = config.algorithm.told_for
    if not told or told >= config.iterations:
        return ()
    return (f"the teacher acts and learns for {told:,} iterations; from the next one on the scores are the student's",)


_KINDS: dict[str, type[Environments] | type[LabelledExamples]] = {
    "rl": Environments,
    "examples": LabelledExamples,
    "classes": LabelledExamples,
}


def open_problem(config: TrainConfig) -> Problem:
    """The problem that `config` describes, with its data in memory.

    Raises:
        ConfigError: data is missing, damaged or too little.
    """
    return _KINDS[RECIPES[config.recipe].learns](config)
