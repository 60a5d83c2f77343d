"""Episodes that were recorded before, as a source of trials: for learners that step no environment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs import Task
from meta_rl.algorithms.base import MetaLearner
from meta_rl.config.codec import MINARI
from meta_rl.core.files import read_episodes
from meta_rl.core.interface import Interface, from_env
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.types import Rollout
from meta_rl.core.weights import Weights
from meta_rl.errors import ConfigError
from meta_rl.extras import check_installed
from meta_rl.sources.base import Plan
from meta_rl.sources.collect import Shard, shard_of

_ARRAYS = ("observation", "action", "reward", "success", "valid", "terminated")


class Demonstration(NamedTuple):
    """One episode."""

    observation: NDArray[np.float32]
    """``[time + 1, obs]``."""
    action: NDArray[Any]
    """What was done ``[time, *action]``; discrete actions are counted from 0."""
    label: NDArray[Any]
    """What should have been: the expert's actions, where they are recorded beside those taken; else the latter."""
    reward: NDArray[np.float32]
    success: NDArray[np.bool_]
    terminated: bool


class Demonstrations(NamedTuple):
    """All that was shown."""

    episodes: dict[Task, list[Demonstration]]
    """The episodes of each task, in the order in which they were played. Where it is not known which tasks there were,
    all are of one."""
    digest: str
    """sha256 of all of it."""

    def describe(self) -> dict[str, Any]:
        """Facts for the record of a run, JSON-able."""
        every = [one for played in self.episodes.values() for one in played]
        return {
            "sha256": self.digest,
            "tasks": len(self.episodes),
            "episodes": len(every),
            "env_steps": sum(len(one.reward) for one in every),
            "return": float(np.mean([one.reward.sum(dtype=np.float64) for one in every])),
            "success": float(np.mean([one.success.any() for one in every])),
        }


def read_demonstrations(where: str, interface: Interface) -> Demonstrations:
    """What was recorded in a file of `meta-rl demonstrate` or `meta-rl record`, or in a data set of Minari.

    Args:
        where: the file, or ``minari:NAME``.
        interface: of the learner, whose spaces they must have.
    Raises:
        ConfigError: it is not there, damaged or empty, or of other spaces; in one line.
    """
    if not where:
        raise ConfigError(
            "--demonstrations: there is nothing to learn from; valid: a file that meta-rl demonstrate or meta-rl "
            f"record wrote, or {MINARI}NAME"
        )
    name = where.removeprefix(MINARI)
    found = _of_minari(name) if where.startswith(MINARI) else _of_file(Path(where).expanduser())
    episodes: dict[Task, list[Demonstration]] = {}
    digest = hashlib.sha256()
    for task, one in found:
        _check(where, one, interface)
        action, label = (from_env(interface.action_space, x) for x in (one.action, one.label))
        one = one._replace(action=action, label=label)
        episodes.setdefault(task, []).append(one)
        digest.update(task.to_json().encode())
        for array in one:
            digest.update(np.ascontiguousarray(array).tobytes())
    if not episodes:
        raise ConfigError(f"--demonstrations: {where} has no episodes")
    return Demonstrations(episodes, digest.hexdigest())


def _of_file(path: Path) -> Iterator[tuple[Task, Demonstration]]:
    """The episodes of a recording: of each task, stage after stage."""
    if not path.is_file():
        raise ConfigError(f"--demonstrations: there is no file {path}")
    try:
        header, arrays = read_episodes(path, _ARRAYS)
        tasks = [Task(family, tuple(vector)) for family, vector in header["tasks"]]
    except ConfigError as error:
        raise ConfigError(f"--demonstrations: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"--demonstrations: {path}: not a recording ({type(error).__name__}: {error})") from error
    if {len(tasks)} != {len(array) for name, array in arrays.items() if name in _ARRAYS}:
        raise ConfigError(f"--demonstrations: {path}: not a recording (arrays of other lengths than its list of tasks)")
    label = arrays.get("label", arrays["action"])
    for place in np.ndindex(arrays["valid"].shape[:3]):
        length = int(arrays["valid"][place].sum())
        if length:  # an episode that was left out has none
            yield (
                tasks[place[0]],
                Demonstration(
                    arrays["observation"][place][: length + 1],
                    arrays["action"][place][:length],
                    label[place][:length],
                    arrays["reward"][place][:length],
                    arrays["success"][place][:length],
                    bool(arrays["terminated"][place]),
                ),
            )


def _of_minari(name: str) -> Iterator[tuple[Task, Demonstration]]:
    """The episodes of a data set of Minari. Those of other makers do not tell their tasks: they count as one."""
    check_installed("--demonstrations:", "minari", "minari", "minari", "h5py")
    import minari

    try:
        found = minari.load_dataset(name)
        about = list(found.storage.get_episode_metadata(range(found.total_episodes)))
        for told, one in zip(about, found.iterate_episodes(), strict=True):
            options, infos = told.get("options") or {}, one.infos or {}
            length = len(one.rewards)
            task = Task(str(options.get("family", "")), tuple(np.ravel(options.get("vector", ())).tolist()))
            action = np.asarray(one.actions)
            success = infos.get("success", np.zeros(length, bool))
            yield (
                task,
                Demonstration(
                    np.asarray(one.observations, np.float32),
                    action,
                    np.asarray(infos.get("expert_action", action))[:length],
                    np.asarray(one.rewards, np.float32),
                    np.asarray(success)[:length].astype(bool),
                    bool(np.any(one.terminations)),
                ),
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"--demonstrations: {MINARI}{name}: no data set that can be read ({reason})") from error


def _check(where: str, one: Demonstration, interface: Interface) -> None:
    """Refuse an episode of other spaces, or with numbers that are none."""
    mine, discrete = interface, isinstance(interface.action_space, gym.spaces.Discrete)
    seen, length = mine.observation_space.shape, len(one.reward)
    assert seen is not None
    assert mine.action_space.shape is not None
    kinds = {"observations": one.observation.shape == (length + 1, *seen)}
    for action in (one.action, one.label):
        fits = action.shape == (length, *mine.action_space.shape) and action.dtype.kind in ("iu" if discrete else "f")
        kinds["actions"] = kinds.get("actions", True) and fits
    for (what, fits), form, array in zip(kinds.items(), mine.forms, (one.observation, one.action), strict=True):
        if not fits:
            theirs = f"{array.dtype} {array.shape[1:]}"
            raise ConfigError(f"--demonstrations: {where} has {what} {theirs}, the environment's are {form}")
    if not all(np.isfinite(array).all() for array in one[:4]):
        raise ConfigError(f"--demonstrations: {where} is damaged: it has numbers that are not finite")


class FromDemonstrations:
    """Trials drawn from demonstrations; see `meta_rl.sources.base.Source`. In every iteration tasks in a new order, and
    of each some episodes, in the order in which they were played; as often as needed where there are fewer."""

    restarts = 0

    def __init__(self, demonstrations: Demonstrations, learner: MetaLearner, plan: Plan) -> None:
        self._episodes, self._learner, self._plan = list(demonstrations.episodes.items()), learner, plan
        self._horizon = max(len(one.reward) for _, played in self._episodes for one in played)

    def sample(self, weights: Weights, iteration: int) -> Shard:
        """See `Source.sample`. No environment is stepped."""
        plan = self._plan
        tasks = draw(generator(plan.seed, Purpose.TRAIN_TASKS, iteration), len(self._episodes), plan.meta_batch_size)
        stages = self._learner.stages(plan.episodes_per_task)
        trials = []
        for i, task in enumerate(tasks):
            rng = generator(plan.seed, Purpose.EXPERT, iteration, i)
            _, played = self._episodes[task]
            trials.append([played[k] for k in sorted(draw(rng, len(played), stages))])
        rollouts = [self._rollout([trial[stage] for trial in trials]) for stage in range(stages)]
        adapted = self._learner.start(weights, len(trials))  # what a memory holds is found again by learning
        batches = [self._learner.prepare(adapted, rollout) for rollout in rollouts]
        drawn = [self._episodes[task][0] for task in tasks]
        return shard_of(self._learner, drawn, batches, rollouts, bool(weights.statistics))._replace(env_steps=0)

    def close(self) -> None:
        """Nothing to free."""

    def _rollout(self, episodes: Sequence[Demonstration]) -> Rollout:
        """One episode of each task, as if just played, in one environment each."""

        def padded(array: NDArray[Any]) -> NDArray[Any]:
            missing = self._horizon - len(array)
            return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)]) if missing else array

        def stacked(arrays: Iterator[NDArray[Any]]) -> NDArray[Any]:
            return np.stack([padded(array) for array in arrays])[:, None]  # [task, 1, time, ...]

        reward = stacked(one.reward for one in episodes)
        return Rollout(
            stacked(one.observation[:-1] for one in episodes),
            stacked(one.action for one in episodes),
            reward,
            stacked(np.ones(len(one.reward), bool) for one in episodes),
            stacked(one.success for one in episodes),
            np.array([[one.terminated] for one in episodes]),
            np.stack([one.observation[-1:] for one in episodes]),
            reward,
            stacked(one.label for one in episodes),
        )


def draw(rng: np.random.Generator, count: int, wanted: int) -> list[int]:
    """`wanted` of the numbers below `count`, each as often as any other, to within one."""
    drawn: list[int] = []
    while len(drawn) < wanted:
        drawn += rng.permutation(count).tolist()
    return drawn[:wanted]
