"""What ``meta-rl envs`` prints: the task distributions, their sizes and speed; the conformance check of one. And when a
user's own may be imported."""

from __future__ import annotations

import os
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import gymnasium as gym
import numpy as np

import envs
from meta_rl.cli.options import take_option
from meta_rl.config import load_config
from meta_rl.config.fewshot import parse_name
from meta_rl.errors import ConfigError, RunError
from meta_rl.runs.own import recall

TASKS, ENVS_PER_TASK = 8, 8
"""Size of the batch that `speed` steps: 64 environments."""
ASKED_FOR = "--env module:object names the environment of a run that was not trained here in one of your own."


def environment_lines(names: Sequence[str], seconds: float = 0.0) -> Iterator[str]:
    """A head line, then a line per distribution, as they come.

    Args:
        seconds: step each so long to measure its speed; 0: do not.
    """
    head = ["name", "observation", "action", "horizon", "tasks train/test", *(["env-steps/s"] if seconds else [])]
    width = max([len(head[0]), *map(len, names)])
    layout = f"{{:<{width}}}  {{:>11}}  {{:<17}}  {{:>7}}  {{:>16}}" + ("  {:>11}" if seconds else "")
    yield layout.format(*head)
    for name in names:
        train, test = envs.make(name), envs.make(name, "test")
        observation = "x".join(map(str, train.observation_space.shape))
        row = [name, observation, describe(train.action_space), str(train.horizon), f"{count(train)}/{count(test)}"]
        yield layout.format(*row, *([f"{speed(train, seconds):,.0f}"] if seconds else []))
    if len(names) == 1 and not seconds and (about := envs.about(names[0])):
        yield f"\n{about}"


def describe(space: gym.spaces.Box | gym.spaces.Discrete) -> str:
    """An action space in a few characters: ``6 in [-1, 1]`` or ``2 choices``."""
    if isinstance(space, gym.spaces.Discrete):
        return f"{space.n} choices"
    return f"{'x'.join(map(str, space.shape))} in [{space.low.min():.3g}, {space.high.max():.3g}]"


def count(distribution: envs.TaskDistribution) -> str:
    """How many tasks there are."""
    number = distribution.num_tasks()
    return "continuum" if number is None else str(number)


def speed(distribution: envs.TaskDistribution, seconds: float) -> float:
    """Env-steps per second of 64 environments under random actions, resets included, on this machine as it is now."""
    rng = np.random.default_rng(0)
    shape, space = (TASKS, ENVS_PER_TASK), distribution.action_space
    with distribution.make(*shape) as env:
        env.set_tasks(distribution.sample(rng, TASKS))
        env.reset(range(TASKS))
        if isinstance(space, gym.spaces.Discrete):
            actions = rng.integers(space.start, space.start + space.n, (50, *shape))
        else:
            actions = rng.uniform(space.low, space.high, (50, *shape, *space.shape)).astype(space.dtype)
        taken, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            step = env.step(actions[taken % 50])
            done = step.terminated | step.truncated
            if done.any():
                env.reset(range(TASKS), done)
            taken += 1
        return taken * TASKS * ENVS_PER_TASK / (time.perf_counter() - started)


def check_environment(name: str, split: str = "train", task_visible: bool = False) -> None:
    """Run the conformance check on a distribution, a listed one or the user's own ``module:object``.

    Args:
        task_visible: with its tasks in view (`envs.VisibleTask`).
    Raises:
        ConfigError: there is no such distribution, or its tasks cannot be shown.
        RunError: it breaks the contract; one sentence says how.
    """
    distribution = find(name, split)
    try:
        distribution = envs.VisibleTask(distribution) if task_visible else distribution
    except envs.UnshowableError as error:
        raise ConfigError(f"--task-visible: {error}") from None
    try:
        envs.check(distribution)
    except envs.ConformanceError as error:
        raise RunError(f"{name}: {error}{_place(error)}") from error
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{frame.filename}:{frame.lineno}"
        raise RunError(f"{name}: raised {type(error).__name__} in {frame.name} ({place}): {error}") from error


def _place(error: BaseException) -> str:
    """The line that raised the cause of `error`, if it is the user's; else empty."""
    while error.__cause__ is not None:
        error = error.__cause__
    frame = traceback.extract_tb(error.__traceback__)[-1]
    own = Path(frame.filename).is_relative_to(Path(envs.__file__).parent)
    return "" if own else f" (in {frame.name}, {frame.filename}:{frame.lineno})"


def find(name: str, split: str) -> envs.TaskDistribution:
    """A listed distribution, or the one of ``module:object`` in the working directory.

    Raises:
        ConfigError: it cannot be had, in one line.
    """
    if not envs.is_own(name):
        return envs.make(name, split)
    try:
        envs.register_own(name, folder=os.getcwd())
        return envs.make(name, split)
    except envs.UnknownNameError as error:
        raise ConfigError(f"NAME: {error}") from error


def of_run(argv: list[str], needed: bool = True) -> list[str]:
    """Make the environment of the run that comes first in `argv` known, see `know`; returns the arguments without
    ``--env``.

    Args:
        needed: it will be used; otherwise it may stay unknown if nobody names it.
    """
    given, rest = take_option(argv, "--env", "")
    is_run = bool(rest) and (Path(rest[0]) / "config.json").exists() and not {"-h", "--help"} & {*rest}
    if is_run and (needed or given):
        know(Path(rest[0]), given)
    return rest


def know(run: Path, given: str = "") -> None:
    """Make the environment of a run known.

    A run comes from anybody, so what its files say is never imported. Its environment is one that is listed; or what
    the user names; or what the user had named when training this very run, which training has remembered elsewhere.

    Args:
        given: what ``--env`` says, ``module:object``.
    Raises:
        ConfigError: it is not known, or something else is, in one line.
    """
    env = load_config(run / "config.json").env
    if _is_known(env):
        if given in ("", env):
            return
        if not (envs.is_own(given) and envs.origin(env)):
            raise ConfigError(f"--env: {run} was trained on {env}, which needs no name; leave it out")
    if given:
        if not envs.is_own(given):
            raise ConfigError(f"--env: {given!r} is not the {env!r} that {run} was trained on; valid: module:object")
        _import("--env", envs.Origin(given, os.getcwd()), env)
    elif found := recall(run, env):
        _import("RUN", found, env)
    else:
        raise ConfigError(
            f"RUN: {run} was trained on {env!r}, which is not known here; is it your own? name it: --env module:object"
        )


def know_own(env: str, given: str, run: Path | None) -> None:
    """Make the environment to train in known, if it is the user's own.

    Args:
        env: the one of the defaults.
        given: what ``--env`` says.
        run: the folder of the config that the defaults are from; as in `know`, its files import nothing.
    Raises:
        ConfigError: it cannot be imported, or makes no distribution for one of the splits, in one line.
    """
    if envs.is_own(given):
        _import("--env", envs.Origin(given, os.getcwd()), given)
    elif not given and run and not _is_known(env) and (found := recall(run, env)):
        _import("--config", found, env)


def _is_known(env: str) -> bool:
    """Whether tasks can be made by their name; few-shot tasks always can."""
    if parse_name(env):
        return True
    try:
        envs.check_name(env)
    except envs.UnknownNameError:
        return False
    return True


def _import(option: str, found: envs.Origin, env: str) -> None:
    """Make a user's own distribution known as `env`, and see at once that it is there for both splits.

    Raises:
        ConfigError: it is not; `option` says who asks for it.
    """
    try:
        envs.register_own(found.own, env, found.folder)
        train, test = (envs.make(env, split) for split in ("train", "test"))
    except envs.UnknownNameError as error:
        raise ConfigError(f"{option}: {error}") from error
    shared = {*(train.tasks() or ())} & {*(test.tasks() or ())}
    if shared:
        warnings.warn(
            f"{found.own}: {len(shared)} test tasks are training tasks; does it take the split?", stacklevel=2
        )
