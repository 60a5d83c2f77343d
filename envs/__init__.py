"""Task distributions for meta-reinforcement learning: `make(name, split)` and the contract they all keep.

This package needs numpy, gymnasium and mujoco, never torch and never meta_rl.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from envs.api import (
    FlatVectorEnv,
    NonFiniteError,
    Step,
    Task,
    TaskDistribution,
    TaskVectorEnv,
)
from envs.checks import ConformanceError, check
from envs.fixed import FixedTask
from envs.locomotion.presets import PRESETS as _PRESETS
from envs.metaworld import benchmarks as _benchmarks
from envs.scene import NoDisplayError, Scene, Solid, Track
from envs.threads import limit_threads
from envs.vector import EnvError, SingleEnv

__all__ = [
    "ConformanceError",
    "EnvError",
    "FixedTask",
    "FlatVectorEnv",
    "NoDisplayError",
    "NonFiniteError",
    "Scene",
    "SingleEnv",
    "Solid",
    "Step",
    "Task",
    "TaskDistribution",
    "TaskVectorEnv",
    "Track",
    "UnknownNameError",
    "check",
    "check_name",
    "families",
    "limit_threads",
    "list_names",
    "make",
    "register",
]

SPLITS = ("train", "test")


class UnknownNameError(ValueError):
    """No distribution (or split) has that name; the message gives the closest one that exists."""


def _navigation(split: str, **options: Any) -> TaskDistribution:
    from envs.navigation import Navigation

    return Navigation(split, **options)


def _tabular(split: str, **options: Any) -> TaskDistribution:
    from envs.tabular import Tabular

    return Tabular(split, **options)


def _bandit(num_arms: int, horizon: int, split: str, **options: Any) -> TaskDistribution:
    from envs.bandit import Bandit

    return Bandit(split, num_arms=num_arms, horizon=horizon, **options)


def _classic(name: str, split: str, **options: Any) -> TaskDistribution:
    from envs.classic import Classic

    return Classic(name, split, **options)


def _locomotion(name: str, split: str, **options: Any) -> TaskDistribution:
    from envs.locomotion.distribution import Locomotion

    return Locomotion(name, split, **options)


# name -> maker(split, **options). Makers import lazily, so that listing names costs nothing.
_REGISTRY: dict[str, Callable[..., TaskDistribution]] = {
    "navigation": _navigation,
    "tabular": _tabular,
    **{f"classic/{name}": partial(_classic, name) for name in ("cartpole", "pendulum", "acrobot")},
    **{name: partial(_locomotion, name) for name in _PRESETS},
}
_BANDIT = re.compile(r"bandit/k([1-9]\d*)-n([1-9]\d*)")
_BANDIT_NAMES = [f"bandit/k{arms}-n{pulls}" for pulls in (10, 100, 500) for arms in (5, 10, 50)]


def _maker(name: str) -> Callable[..., TaskDistribution] | None:
    """Who makes `name`; None for Meta-World's names and for unknown ones."""
    if sizes := _BANDIT.fullmatch(name):
        return partial(_bandit, int(sizes[1]), int(sizes[2]))
    return _REGISTRY.get(name)


def register(name: str, maker: Callable[..., TaskDistribution]) -> None:
    """Make ``maker(split, **options)`` known as `name`.

    Raises:
        ValueError: the name is taken.
    """
    if name in list_names() or _maker(name):
        raise ValueError(f"{name!r} is already a task distribution")
    _REGISTRY[name] = maker


def list_names() -> list[str]:
    """Every name that `make` knows, aside from bandits of other sizes, ``bandit/kARMS-nPULLS``, and custom Meta-World
    lists, ``metaworld/FAMILY,FAMILY[:FAMILY,...]``."""
    return [*_REGISTRY, *_BANDIT_NAMES, *(f"metaworld/{name}" for name in _benchmarks.list_names())]


def check_name(name: str, split: str = "train") -> None:
    """Refuse an unknown name or split without importing or building anything.

    Raises:
        UnknownNameError: with the closest valid name.
    """
    if split not in SPLITS:
        raise UnknownNameError(f"unknown split {split!r}; valid: {', '.join(SPLITS)}")
    if _maker(name):
        return
    if name.startswith("bandit"):
        raise UnknownNameError(f"bad bandit {name!r}: write bandit/kARMS-nPULLS, both at least 1, like bandit/k5-n10")
    if name.startswith("metaworld/"):
        try:
            _benchmarks.parse(name.removeprefix("metaworld/"))
            return
        except KeyError as error:
            unknown = str(error.args[0])
            if unknown != name.removeprefix("metaworld/") and "(" in unknown:
                raise UnknownNameError(f"bad custom list of families: {unknown}") from None
            if unknown != name.removeprefix("metaworld/"):
                close = difflib.get_close_matches(unknown, _benchmarks.FAMILIES, 1, 0.0)[0]
                raise UnknownNameError(f"unknown Meta-World family {unknown!r}; closest: {close}") from None
    close = difflib.get_close_matches(name, list_names(), 1, 0.0)[0]
    raise UnknownNameError(f"unknown task distribution {name!r}; closest: {close}")


def families(name: str, split: str = "train") -> tuple[str, ...]:
    """The family names of a distribution; for Meta-World without importing metaworld."""
    check_name(name, split)
    if _maker(name):
        return make(name, split).families
    return _benchmarks.parse(name.removeprefix("metaworld/")).families(split)


def make(name: str, split: str = "train", **options: Any) -> TaskDistribution:
    """The task distribution called `name`.

    Args:
        name: see `list_names`; for example ``navigation``, ``bandit/k5-n10``, ``cheetah-vel@promp`` (a family as a
            paper defines it), ``classic/cartpole``, ``metaworld/ml10``, ``metaworld/ml1-push-v3``, or a custom
            Meta-World split ``metaworld/reach-v3,push-v3:door-open-v3``
            (train families : test families).
        split: ``"train"`` or ``"test"``.
        options: the keyword arguments of the distribution's class, e.g. ``goal_seed`` or ``reward_version``.
    Raises:
        UnknownNameError: unknown name or split.
    """
    check_name(name, split)
    if maker := _maker(name):
        return maker(split, **options)
    from envs.metaworld.distribution import MetaWorld

    return MetaWorld(name.removeprefix("metaworld/"), split, **options)
