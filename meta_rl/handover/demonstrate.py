"""``meta-rl demonstrate``: episodes of the expert of a task distribution, to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import envs
from envs import Task, TaskDistribution
from meta_rl.config import check_ranges
from meta_rl.core.interface import INTERFACE, Interface, Space
from meta_rl.core.seeding import Purpose
from meta_rl.errors import ConfigError, Say
from meta_rl.evaluation.episodes import test_tasks
from meta_rl.evaluation.recording import Recorder, Recording
from meta_rl.handover.minari import check_minari, to_minari
from meta_rl.handover.options import DemonstrateConfig
from meta_rl.runs.display import Display
from meta_rl.runs.folder import check_file
from meta_rl.runs.recorded import FINGERPRINT
from meta_rl.sources.collect import Streams, as_sent, make_envs, rollout

AT_ONCE = 10
"""Tasks played in one batch of environments."""


class TremblingHand:
    """An actor (`meta_rl.algorithms.base.Actor`) that does what it is told `instead` of deciding itself, with noise.

    Args:
        spread: standard deviation of the noise that is added to each action, in its units.
    """

    noise_kind = "normal"

    def __init__(self, space: Space, spread: float) -> None:
        assert space.shape is not None
        self.noise_shape: tuple[int, ...] = space.shape
        self._space, self._spread = space, spread
        self._noise: NDArray[Any] | None = None

    def begin(self, mask: NDArray[np.bool_] | None = None) -> None:
        """Nothing to forget."""

    def act(self, observation: NDArray[Any], noise: NDArray[Any] | None) -> NDArray[Any]:
        """See `Actor.act`: zeros, and the noise for what follows."""
        self._noise = noise
        return np.zeros((*observation.shape[:2], *self.noise_shape), self._space.dtype)

    def instead(self, action: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
        """Do what `action` ``[task, env, ...]`` says, in all tasks; noise leaves none outside of its space."""
        if self._noise is None or not isinstance(self._space, gym.spaces.Box):
            return action
        return np.clip(action + self._spread * self._noise, self._space.low, self._space.high).astype(action.dtype)

    def observe(self, reward: NDArray[np.float64], done: NDArray[np.bool_]) -> None:
        """Nothing to remember."""


def demonstrate(options: DemonstrateConfig, distribution: TaskDistribution, say: Say = print) -> Path:
    """Play the expert and write the .npz file, whose path is returned, and the Minari data set.

    Raises:
        ConfigError: nobody knows these tasks; the file exists or its folder does not; noise that actions cannot have.
    """
    out = Path(options.out)
    check(options, distribution)
    tasks = test_tasks(distribution, options.tasks, options.seed)
    recording = perform(distribution, tasks, options, Display.of(say))
    recording.save(out)
    solved = f"success {recording.success.any(-1).mean():.1%}, " if distribution.has_success else ""
    say(
        f"{recording.returns.size} episodes of {len(tasks)} tasks: {solved}return {recording.returns.mean():.2f}: {out}"
    )
    if options.minari:
        interface = Interface.of(distribution, distribution.horizon)
        say(f"Minari data set {options.minari}: {to_minari(recording, interface, options.minari)}")
    return out


def check(options: DemonstrateConfig, distribution: TaskDistribution) -> None:
    """Refuse what could only fail after the episodes were played; see `demonstrate`."""
    if not distribution.has_expert:
        others = ", ".join(envs.with_expert())
        raise ConfigError(f"ENV: {distribution.name} has no expert; for example {others} have one")
    if not options.out:
        raise ConfigError("--out: name the file to write, as in --out demonstrations.npz")
    if Path(options.out).exists():
        raise ConfigError(f"--out: {options.out} exists; valid: a new file")
    check_file(Path(options.out), "--out")
    check_ranges(options)
    if options.noise and not isinstance(distribution.action_space, gym.spaces.Box):
        raise ConfigError(f"--noise: {distribution.name} has discrete actions, got {options.noise:g}; valid: 0")
    if options.minari:
        check_minari(options.minari)


def perform(
    distribution: TaskDistribution, tasks: list[Task], options: DemonstrateConfig, display: Display | None = None
) -> Recording:
    """The expert's episodes of `tasks`, with what it would have done beside what was done."""
    recorder, streams = Recorder(labels=True), Streams(options.seed, 0, Purpose.EXPERT, Purpose.TRAIN_ENV)
    with (display or Display(bars=False)).bar("playing", len(tasks)) as bar:
        for start in range(0, len(tasks), AT_ONCE):
            chosen = tasks[start : start + AT_ONCE]
            positions = range(start, start + len(chosen))
            env = make_envs(distribution, len(chosen), options.episodes)
            try:
                env.set_tasks(chosen)
                hand = TremblingHand(env.action_space, options.noise)
                noise = streams.action_noise(0, positions, env, hand) if options.noise else None
                seeds, everywhere = streams.env_seeds(0, positions), np.ones(len(chosen), bool)
                recorder.begin(positions, range(len(chosen)), 0)
                played = rollout(env, hand, noise, seeds, after_step=recorder.after_step, taught=everywhere)
                recorder.end(as_sent(played, env))
            finally:
                env.close()
            bar.advance(len(chosen))
    return recorder.recording(circumstances(distribution, options), tasks)


def circumstances(distribution: TaskDistribution, options: DemonstrateConfig) -> dict[str, Any]:
    """`Recording.about`, and what identifies the tasks and the spaces."""
    return {
        "recipe": "expert",
        "env": distribution.name,
        "seed": options.seed,
        "iteration": 0,
        "split": distribution.split,
        "multitask": distribution.multitask,
        "protocol": {"adaptation_episodes": 1},
        "memory": True,
        "gradient_steps": 0,
        "has_success": distribution.has_success,
        "noise": options.noise,
        FINGERPRINT: distribution.fingerprint(),
        INTERFACE: Interface.of(distribution, distribution.horizon).to_dict(),
    }
