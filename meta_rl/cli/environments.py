"""What ``meta-rl envs`` prints: the task distributions, their sizes and speed; and the conformance check of one."""

from __future__ import annotations

import importlib
import sys
import time
import traceback
from collections.abc import Iterator, Sequence

import gymnasium as gym
import numpy as np

import envs
from meta_rl.errors import ConfigError, RunError

TASKS, ENVS_PER_TASK = 8, 8
"""Size of the batch that `speed` steps: 64 environments."""


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


def check_environment(name: str, split: str = "train") -> None:
    """Run the conformance check on a distribution, a listed one or the user's own ``module:object``.

    Raises:
        ConfigError: there is no such distribution.
        RunError: it breaks the contract; one sentence says how.
    """
    distribution = find(name, split)
    try:
        envs.check(distribution)
    except envs.ConformanceError as error:
        raise RunError(f"{name}: {error}") from error
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{frame.filename}:{frame.lineno}"
        raise RunError(f"{name}: raised {type(error).__name__} in {frame.name} ({place}): {error}") from error


def find(name: str, split: str) -> envs.TaskDistribution:
    """A listed distribution, or the object ``module:object``: a distribution, or what returns one without arguments.

    Raises:
        ConfigError: it cannot be had, in one line.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or "/" in module_name:  # as in metaworld/push-v3:reach-v3; names of modules have no slash
        return envs.make(name, split)
    if "" not in sys.path:
        sys.path.insert(0, "")  # the user's file lies in the working directory
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigError(f"NAME: cannot import {module_name!r}: {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        close = envs.closest(attribute, dir(module))
        raise ConfigError(f"NAME: {module_name} has no {attribute!r}; closest: {close}")
    found = getattr(module, attribute)
    if callable(found) and not isinstance(found, envs.TaskDistribution):
        try:
            found = found()
        except Exception as error:
            raise ConfigError(f"NAME: calling {name} raised {type(error).__name__}: {error}") from error
    if not isinstance(found, envs.TaskDistribution):
        kind = type(found).__name__
        raise ConfigError(f"NAME: {name} is a {kind}; valid: an envs.TaskDistribution, or what returns one when called")
    return found
