"""The only loop that calls `env.step`, and the body of a shard: roll out, adapt, roll out."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from envs import NonFiniteError, Task, TaskDistribution, TaskVectorEnv
from meta_rl.algorithms.base import Actor, MetaLearner, Noise, draw_noise
from meta_rl.core import normaliser
from meta_rl.core.interface import from_env, to_env
from meta_rl.core.moments import Moments
from meta_rl.core.seeding import Purpose, generator, integer
from meta_rl.core.types import MetaBatch, Rollout, missing_in_all, task_number
from meta_rl.core.weights import Weights

BeforeStep = Callable[[int, int, NDArray[Any]], None]
"""Called before every step, with stage, time and the actions that environments are sent ``[task, env, ...]``."""
AfterStep = Callable[..., None]
"""Called with the environments after their reset and after every step. Where episodes are played in turn, with one
environment per task, and with the keyword ``turn``, the number of the episode."""


class Streams(NamedTuple):
    """Keys of a shard's random streams (see `meta_rl.core.seeding`)."""

    seed: int
    iteration: int
    noise: Purpose = Purpose.TRAIN_NOISE
    env: Purpose = Purpose.TRAIN_ENV

    def action_noise(self, stage: int, task_indices: Sequence[int], env: Envs, policy: Noise) -> NDArray[np.float32]:
        """All noise of one stage, ``[task, env, time, *noise_shape]``: each task has its own stream, so sharding
        changes nothing."""
        rngs = (generator(self.seed, self.noise, self.iteration, task, stage) for task in task_indices)
        # [env, time, *noise_shape] of each task, stacked on a new first axis.
        return np.stack([draw_noise(rng, policy, env.envs_per_task, env.horizon) for rng in rngs])

    def env_seeds(self, stage: int, task_indices: Sequence[int]) -> list[int]:
        """One seed per task for `TaskVectorEnv.reset`."""
        return [integer(self.seed, self.env, self.iteration, task, stage) for task in task_indices]


class InTurn:
    """One environment per task, in which several episodes of the task are played one after another; to whoever rolls
    out it looks like that many environments.

    Args:
        env: of one environment per task.
        episodes: of each task in a rollout.
    """

    def __init__(self, env: TaskVectorEnv, episodes: int) -> None:
        self.env, self.envs_per_task = env, episodes
        self.horizon, self.action_space = env.horizon, env.action_space

    def set_tasks(self, tasks: Sequence[Task]) -> None:
        """See `TaskVectorEnv.set_tasks`."""
        self.env.set_tasks(tasks)

    def close(self) -> None:
        """See `TaskVectorEnv.close`."""
        self.env.close()

    def seeds(self, seeds: Sequence[int], episode: int) -> list[int]:
        """Seeds of the tasks in their `episode`, which derive from those of the tasks."""
        return [int(np.random.SeedSequence([seed, episode]).generate_state(1)[0]) for seed in seeds]


Envs = TaskVectorEnv | InTurn
"""Environments that `rollout` takes."""


def make_envs(distribution: TaskDistribution, num_tasks: int, envs_per_task: int) -> Envs:
    """Environments of `distribution`, or one per task where its episodes are played in turn."""
    if distribution.in_turn and envs_per_task > 1:
        return InTurn(distribution.make(num_tasks, 1), envs_per_task)
    return distribution.make(num_tasks, envs_per_task)


def rollout(
    env: Envs,
    actor: Actor,
    noise: NDArray[np.float32] | None,
    seeds: Sequence[int],
    before_step: Callable[[int, NDArray[Any]], None] | None = None,
    after_step: AfterStep | None = None,
    discard: bool = False,
    taught: NDArray[np.bool_] | None = None,
) -> Rollout:
    """One episode in every environment.

    Args:
        env: with its tasks set.
        noise: ``[task, env, time, ...]`` for sampled actions, None for the mode.
        seeds: one per task.
        before_step: called before every step, with time and the actions that are sent ``[task, env, ...]``.
        after_step: called after resets and steps; `meta_rl.evaluation.recording` does so.
        discard: leave out an episode in which an observation or reward is not finite, instead of raising.
        taught: ``[task]``: the expert labels all steps, and acts in these tasks in the actor's place. None: there is no
            expert, or nobody asks.
    Returns:
        What learners read: discrete actions are counted from 0, as policies answer them (see `as_sent`).
    Raises:
        NonFiniteError: an action is not finite; or an observation or reward is not, unless `discard`.
    """
    if not isinstance(env, InTurn):
        return _rollout(env, actor, noise, seeds, before_step, after_step, discard, taught)
    episodes = []
    for k in range(env.envs_per_task):
        drawn = None if noise is None else noise[:, k : k + 1]
        told = None if after_step is None else functools.partial(after_step, turn=k)
        mine = copy.copy(actor)  # a memory begins each episode as the first
        episodes.append(_rollout(env.env, mine, drawn, env.seeds(seeds, k), before_step, told, discard, taught))
    return join_rollouts(episodes)


def join_rollouts(rollouts: Sequence[Rollout]) -> Rollout:
    """Rollouts of the same tasks and horizon as one, side by side on the axis of environments."""
    *arrays, discarded, missing = zip(*rollouts, strict=True)
    joined = (np.concatenate(parts, 1) for parts in arrays)
    return Rollout._make([*joined, sum(discarded, ()), missing_in_all(missing)])


def _rollout(
    env: TaskVectorEnv,
    actor: Actor,
    noise: NDArray[np.float32] | None,
    seeds: Sequence[int],
    before_step: Callable[[int, NDArray[Any]], None] | None,
    after_step: AfterStep | None,
    discard: bool,
    taught: NDArray[np.bool_] | None,
) -> Rollout:
    """See `rollout`."""
    shape = (*env.shape, env.horizon)
    discrete = isinstance(env.action_space, gym.spaces.Discrete)
    observation = np.zeros((*shape, *env.observation_space.shape), np.float32)
    action: NDArray[Any] = np.zeros((*shape, *env.action_space.shape), np.int64 if discrete else np.float32)
    label = action if taught is None else np.zeros_like(action)
    reward = np.zeros(shape, np.float32)
    valid, success = np.zeros(shape, bool), np.zeros(shape, bool)
    lost = np.zeros(env.shape, bool)
    discarded: list[str] = []
    terminated = np.zeros(env.shape, bool)

    def sift(current: NDArray[Any], gained: NDArray[np.float64], when: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """The observation and reward with zeros for each environment that gave a NaN or an infinity so far. They are
        replaced at once, because a policy that has read a NaN may remember it for ever."""
        nonlocal lost
        bad = where_non_finite(env, current, gained) | lost
        if not bad.any():
            return current, gained
        discarded.extend(blame(env, bad & ~lost, when))
        if not discard:
            raise NonFiniteError(discarded[0])
        lost = bad  # it goes on, unseen: the others of the batch are not done yet
        current, gained = current.copy(), gained.copy()
        current[lost] = gained[lost] = 0  # [lost, obs] and [lost]
        return current, gained

    current, _ = sift(env.reset(seeds), np.zeros(env.shape), "at reset")
    active = ~lost
    if after_step is not None:
        after_step(env)
    actor.begin()
    for t in range(env.horizon):
        observation[:, :, t] = current  # [task, env, obs]
        # [task, env, *action] at observations [task, env, obs] and noise [task, env, *noise_shape].
        action[:, :, t] = actor.act(observation[:, :, t], None if noise is None else noise[:, :, t])
        if taught is not None:
            label[:, :, t] = expert_labels(env, observation[:, :, t])
            if taught.any():
                action[:, :, t] = actor.instead(label[:, :, t], taught)  # type: ignore[attr-defined]
        valid[:, :, t] = active  # [task, env]
        sent = np.ascontiguousarray(to_env(env.action_space, action[:, :, t]))
        if before_step is not None:
            before_step(t, sent)
        step = env.step(sent)
        terminated = step.terminated
        current, gained = sift(step.observation, step.reward, f"step {t}")
        reward[:, :, t], success[:, :, t] = gained, step.success  # [task, env] each
        active = ~(step.terminated | step.truncated | lost)
        if after_step is not None:
            after_step(env)
        actor.observe(gained, ~active)
        if not active.any():
            break
    # t is the last step that any environment took; the last observation is repeated up to the horizon.
    observation[:, :, t + 1 :] = current[:, :, None]  # [task, env, 1, obs]
    for array in (reward, valid, success):
        array[lost] = 0  # [lost, time]
    last = current.astype(np.float32)
    mean = env.mean_reward(observation, to_env(env.action_space, action))
    mean_reward = reward if mean is None else np.where(valid, mean, 0).astype(np.float32)  # [task, env, time]
    ends = terminated & ~lost, last  # [task, env], [task, env, obs]
    told = tuple(discarded), env.missing_success
    return Rollout(observation, action, reward, valid, success, *ends, mean_reward, label, *told)


def expert_labels(env: TaskVectorEnv, observation: NDArray[Any]) -> NDArray[Any]:
    """The expert's actions at `observation` ``[task, env, obs]``, as policies answer them.

    Raises:
        RuntimeError: the tasks have no expert; the config was not checked.
    """
    action = env.expert_action(observation)
    if action is None:
        raise RuntimeError("no expert knows these tasks")
    return np.asarray(from_env(env.action_space, action))


def as_sent(recorded: Rollout, env: Envs) -> Rollout:
    """A rollout with the actions as `env` was sent them, for people and files; learners read it as it was recorded."""
    sent = (to_env(env.action_space, action) for action in (recorded.action, recorded.label))
    return recorded._replace(**dict(zip(("action", "label"), sent, strict=True)))


def where_non_finite(env: TaskVectorEnv, observation: NDArray[Any], reward: NDArray[Any]) -> NDArray[np.bool_]:
    """Environments that gave a NaN or an infinity, or what is one as float32, which learners read; ``[task, env]``."""
    with np.errstate(over="ignore"):
        observation, reward = observation.astype(np.float32, copy=False), reward.astype(np.float32)
    if np.isfinite(observation).all() and np.isfinite(reward).all():
        return np.zeros(env.shape, bool)
    # [task, env, *obs] -> [task, env, n] -> [task, env]
    finite: NDArray[np.bool_] = np.isfinite(observation).reshape(*env.shape, -1).all(-1) & np.isfinite(reward)
    return ~finite


def blame(env: TaskVectorEnv, bad: NDArray[np.bool_], when: str) -> list[str]:
    """A line for each environment in `bad`."""
    what = "non-finite observation or reward from the environment"
    return [f"{what}, task {env.tasks[task].to_json()}, {when}" for task, _ in np.argwhere(bad)]  # [bad, 2]


class Shard(NamedTuple):
    """Result of a shard: prepared batches for the learner, and summaries of the raw rollouts."""

    batch: MetaBatch
    returns: NDArray[np.float64]
    """``[task, stage, env]``; the last stage is the query. NaN for an episode that was left out."""
    solved: NDArray[np.bool_]
    """``[task, stage, env]``: success at any step."""
    env_steps: int
    discarded: tuple[str, ...] = ()
    """Problem of each episode that was left out."""
    measured: tuple[Moments, ...] = ()
    """Statistics of each task's observations; none where they are not normalised."""
    missing_success: str = ""
    """Why `solved` is unknown (see `meta_rl.core.types.Rollout`); empty: it is known."""

    def describe(self) -> dict[str, float]:
        """Mean return and success rate (where it is known) of each stage, named by the adaptation steps before it, and
        how many episodes were left out."""
        row: dict[str, float] = {}
        for stage in range(self.returns.shape[1]):
            kept = np.isfinite(self.returns[:, stage])  # [task, env]: NaN marks an episode that was left out
            row[f"return/stage_{stage}"] = float(self.returns[:, stage][kept].mean())  # over [kept]
            if not self.missing_success:
                row[f"success/stage_{stage}"] = float(self.solved[:, stage][kept].mean())
        row["guard/discarded_episodes"] = float(len(self.discarded))
        return row


def sample_shard(
    env: Envs,
    learner: MetaLearner,
    weights: Weights,
    tasks: Sequence[Task],
    task_indices: Sequence[int],
    episodes_per_task: int,
    streams: Streams,
    before_step: BeforeStep | None = None,
    taught: NDArray[np.bool_] | None = None,
    told: bool | None = None,
) -> Shard:
    """Support rollouts with an adaptation after each, then the query rollout.

    A pure function of its arguments: `task_indices` (positions in the meta-batch) key the random streams.

    Args:
        taught: see `rollout`; for all stages.
        told: the learner is told the numbers of the tasks, and, if True, the actor too (see `MetaLearner.tell`). If
            False, the policy is held, and so are the statistics by which it reads observations. None: neither is told.

    Raises:
        NonFiniteError: an action is not finite, or nothing is left of a task's episodes to adapt on or to judge by.
    """
    env.set_tasks(tasks)
    adapted = learner.start(weights, len(tasks))
    if told is not None:
        adapted = learner.tell(adapted, tasks, told)
    batches: list[Any] = []
    rollouts: list[Rollout] = []
    stages = learner.stages(episodes_per_task)
    for stage in range(stages):
        noise = streams.action_noise(stage, task_indices, env, learner.policy)
        actor = learner.actor(adapted)
        before = None if before_step is None else functools.partial(before_step, stage)
        seeds = streams.env_seeds(stage, task_indices)
        recorded = rollout(env, actor, noise, seeds, before, discard=True, taught=taught)
        # Learners with a memory go on without a lost episode; a gradient step needs at least one per task.
        if learner.episodes_at_once and not recorded.valid.any((1, 2)).all():  # [task]
            raise NonFiniteError(f"every episode of a task had a {recorded.discarded[0]}")
        rollouts.append(recorded)
        batches.append(learner.prepare(adapted, recorded))
        if stage < stages - 1:  # the last rollout is the query, which nothing adapts on
            adapted = learner.adapt(adapted, batches[-1], actor)
    return shard_of(learner, tasks, batches, rollouts, bool(weights.statistics) and told is not False)


def shard_of(
    learner: MetaLearner, tasks: Sequence[Task], batches: Sequence[Any], rollouts: Sequence[Rollout], normalised: bool
) -> Shard:
    """The shard of these stages.

    Args:
        tasks: that were played; they are numbered for a `learner` that finds them again.
        batches: what the learner's `prepare` made of the rollouts.
        normalised: measure the observations.
    """
    again = getattr(learner, "finds_tasks", False)
    numbers = torch.tensor([task_number(task.to_json()) for task in tasks]) if again else ()  # int64 [task]
    return Shard(
        MetaBatch(tuple(batches[:-1]), batches[-1], numbers),
        np.stack([r.returns for r in rollouts], 1),  # [task, stage, env]
        np.stack([r.solved for r in rollouts], 1),  # [task, stage, env]
        sum(r.env_steps for r in rollouts),
        tuple(problem for r in rollouts for problem in r.discarded),
        normaliser.measure([(r.observation, r.valid) for r in rollouts]) if normalised else (),
        missing_in_all(r.missing_success for r in rollouts),
    )


def envs_per_task(learner: MetaLearner, episodes: int) -> int:
    """Environments per task: `episodes` of them if a learner collects its episodes side by side, else one, in which the
    episodes follow each other."""
    return episodes if learner.episodes_at_once else 1
