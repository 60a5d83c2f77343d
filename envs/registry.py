"""The table of task distributions. A row serves one name, or all names that begin alike; nothing else asks for names.

Rows import lazily, so that listing and checking names costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import gymnasium as gym

from envs import about as words
from envs import dynamics
from envs.api import TaskDistribution
from envs.locomotion.presets import PRESETS
from envs.metaworld import benchmarks
from envs.names import UnknownNameError, closest
from envs.own import Origin, import_own, is_own, name_of, origin_of
from envs.visible import VisibleTask

SPLITS = ("train", "test")
OPTIONS = ("task_visible",)
"""What every distribution leaves to choose."""
Maker: TypeAlias = Callable[..., TaskDistribution]
"""``maker(split, **options)``: the distribution of a split."""


@dataclass(frozen=True)
class Entry:
    """What is known of a name without building its distribution.

    Attributes:
        maker: who builds it.
        families: split -> names of its families; None: its distribution is built at no cost, and knows.
        stock_benchmark: see the function `stock_benchmark`.
        options: see the function `options`.
        own: ``module:object`` that was registered, if it is nobody's but the user's and can be imported.
        rigid: it is known that its tasks cannot have dynamics of their own.
        about: see the function `about`; takes what a run has chosen (`options`).
    """

    maker: Maker
    families: Callable[[str], tuple[str, ...]] | None = None
    stock_benchmark: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    own: str = ""
    rigid: bool = False
    about: Callable[..., str] = lambda **_: ""


@dataclass(frozen=True)
class Row:
    """The names that begin with one key of the table.

    Attributes:
        read: what follows the key in a name -> its entry; None: no name ends like that. Where a row can say better
            than the closest name what is wrong, `read` raises UnknownNameError.
        listed: what follows the key in the names that are listed.
    """

    read: Callable[[str], Entry | None]
    listed: Sequence[str] = ("",)


def _single(maker: Maker, own: str = "", rigid: bool = False, about: str = "") -> Row:
    """The row of one name, which is the key."""
    return Row(lambda rest: None if rest else Entry(maker, own=own, rigid=rigid, about=lambda **_: about))


def _navigation(split: str, **options: Any) -> TaskDistribution:
    from envs.navigation import Navigation

    return Navigation(split, **options)


def _tabular(split: str, **options: Any) -> TaskDistribution:
    from envs.tabular import Tabular

    return Tabular(split, **options)


def _classic(name: str, split: str, **options: Any) -> TaskDistribution:
    from envs.classic import Classic

    return Classic(name, split, **options)


def _locomotion(name: str, split: str, **options: Any) -> TaskDistribution:
    from envs.locomotion.distribution import Locomotion

    return Locomotion(name, split, **options)


def _bandit(num_arms: int, horizon: int, split: str, **options: Any) -> TaskDistribution:
    from envs.bandit import Bandit

    return Bandit(split, num_arms=num_arms, horizon=horizon, **options)


def _read_bandit(rest: str) -> Entry:
    """The bandit of the sizes in ``/kARMS-nPULLS``."""
    sizes = re.fullmatch(r"/k([1-9]\d*)-n([1-9]\d*)", rest)
    if not sizes:
        name = f"bandit{rest}"
        raise UnknownNameError(f"bad bandit {name!r}: write bandit/kARMS-nPULLS, both at least 1, like bandit/k5-n10")
    arms, pulls = int(sizes[1]), int(sizes[2])
    return Entry(partial(_bandit, arms, pulls), rigid=True, about=lambda **_: words.bandit(arms, pulls))


def _metaworld(name: str, split: str, **options: Any) -> TaskDistribution:
    from envs.metaworld.distribution import MetaWorld

    return MetaWorld(name, split, **options)


def _read_metaworld(rest: str) -> Entry:
    """The benchmark ``/NAME`` or the custom list ``/FAMILY,FAMILY[:FAMILY,...]``."""
    name = rest.removeprefix("/")
    benchmark = benchmarks.parse(name)
    stock = () if benchmark.multitask else benchmark.stock

    def about(goal_visible: bool | None = None, **_: Any) -> str:
        return words.metaworld(benchmark, goal_visible)

    return Entry(partial(_metaworld, name), benchmark.families, stock, benchmarks.OPTIONS, about=about)


TABLE: dict[str, Row] = {
    "navigation": _single(_navigation, rigid=True, about=words.NAVIGATION),
    "tabular": _single(_tabular, rigid=True, about=words.TABULAR),
    **{
        f"classic/{name}": _single(partial(_classic, name), rigid=True, about=about)
        for name, about in words.CLASSIC.items()
    },
    **{name: _single(partial(_locomotion, name), about=words.RUNNERS[name.partition("@")[0]]) for name in PRESETS},
    "bandit": Row(_read_bandit, [f"/k{arms}-n{pulls}" for pulls in (10, 100, 500) for arms in (5, 10, 50)]),
    "metaworld": Row(_read_metaworld, [f"/{name}" for name in benchmarks.list_names()]),
}
"""Key -> row. A key is a whole name, or the part of names before their first slash."""


def _find(name: str) -> Entry:
    """The entry of `name`.

    Raises:
        UnknownNameError: with the closest valid name.
    """
    base, plus, ranges = name.partition("+")
    if plus and name not in TABLE:
        return _varied(base, ranges)
    key = name if name in TABLE else name.partition("/")[0]
    entry = TABLE[key].read(name.removeprefix(key)) if key in TABLE else None
    if entry is None:
        advice = "one of your own? import its module, or name it: module:object"
        if is_own(name):  # a file may say so; nothing is imported before its owner says it
            raise UnknownNameError(f"{name!r} has not been imported here ({advice})")
        close = closest(name, list_names())
        raise UnknownNameError(f"unknown task distribution {name!r} ({advice}); closest: {close}")
    return entry


def _varied(base: str, ranges: str) -> Entry:
    """The tasks of `base` with dynamics that differ in these `ranges`."""
    from envs.varied import VariedDynamics

    entry = _find(base)
    dynamics.parse(ranges)  # now, not when it is built
    if entry.rigid:
        raise UnknownNameError(f"{base}+{ranges}: {TaskDistribution.no_dynamics}")

    def maker(split: str, **options: Any) -> TaskDistribution:
        return VariedDynamics(entry.maker(split, **options), ranges)

    def about(**options: Any) -> str:
        return f"{entry.about(**options)} {words.DYNAMICS}".strip()

    return Entry(maker, entry.families, options=entry.options, about=about)


def about(name: str, **options: Any) -> str:
    """What the tasks of `name` are, in a sentence or two for people; empty for a user's own.

    Args:
        options: what a run has chosen (see the function `options`).
    Raises:
        UnknownNameError: unknown name.
    """
    shown = options.pop("task_visible", None)
    said = _find(name).about(**options)
    return f"{said} {words.SHOWN}" if shown and said else said


def list_names() -> list[str]:
    """Every name that `make` knows, aside from bandits of other sizes, ``bandit/kARMS-nPULLS``, and custom Meta-World
    lists, ``metaworld/FAMILY,FAMILY[:FAMILY,...]``, and names with dynamics, ``NAME+RANGES`` (`envs.dynamics`)."""
    return [key + rest for key, row in TABLE.items() for rest in row.listed]


def register(name: str, maker: Maker) -> None:
    """Make ``maker(split, **options)`` known as `name`.

    Raises:
        TypeError: the name is no text, or `maker` cannot be called.
        ValueError: the name is taken.
    """
    if not isinstance(name, str):
        raise TypeError(f"register: a name is a text, got {name!r}")
    if not callable(maker):
        raise TypeError(f"register: {name!r} needs a function of the split that returns a TaskDistribution, got a "
                        f"{type(maker).__name__}")  # fmt: skip
    try:
        _find(name)
    except UnknownNameError:
        TABLE[name] = _single(maker, name_of(maker))
    else:
        raise ValueError(f"{name!r} is already a task distribution")


def register_own(own: str, name: str = "", folder: str = "") -> None:
    """Import ``module:object`` and make it known by that name.

    The object is a `TaskDistribution`, or returns one when it is called, with the split (``"train"`` or ``"test"``) if
    it takes one. Only call it with what the user has written: importing runs the module.

    Args:
        name: by which it is known instead, unless the module itself registers something by it.
        folder: where the module lies, if Python does not look there.
    Raises:
        UnknownNameError: the module cannot be imported, or has no such object.
    """
    maker = import_own(own, folder)
    if name in ("", own) or name not in TABLE:
        TABLE[name or own] = _single(maker, own)


def with_expert() -> list[str]:
    """Names of distributions that know an expert (`TaskDistribution.has_expert`): the first that is listed of each
    row."""
    first = [key + next(iter(row.listed), "") for key, row in TABLE.items()]
    return [name for name in first if not _find(name).own and make(name).has_expert]


def origin(name: str) -> Origin | None:
    """The place that another process can import the distribution `name` from; None unless the user has registered it,
    from a module of their own."""
    try:
        own = _find(name).own
    except UnknownNameError:
        return None
    return origin_of(own) if own else None


def check_name(name: str, split: str = "train") -> None:
    """Refuse an unknown name or split without importing or building anything.

    Raises:
        UnknownNameError: with the closest valid name.
    """
    if split not in SPLITS:
        raise UnknownNameError(f"unknown split {split!r}; valid: {', '.join(SPLITS)}")
    _find(name)


def families(name: str, split: str = "train") -> tuple[str, ...]:
    """The family names of a distribution; for Meta-World without importing metaworld.

    Raises:
        UnknownNameError: unknown name or split.
    """
    check_name(name, split)
    known = _find(name).families
    return known(split) if known else make(name, split).families


def stock_benchmark(name: str) -> tuple[str, ...]:
    """Meta-World's own benchmark behind `name`, which its own evaluator knows; found without importing metaworld.

    Returns:
        The name of its class in metaworld and the arguments of that, ``("ML10",)`` or ``("ML1", "reach-v3")``; empty
        for all other distributions, those of the MT benchmarks included.
    Raises:
        UnknownNameError: unknown name.
    """
    return _find(name).stock_benchmark


def options(name: str) -> tuple[str, ...]:
    """What of a distribution a run may choose: keyword arguments of `make`.

    Raises:
        UnknownNameError: unknown name.
    """
    return (*_find(name).options, *OPTIONS)


def make(name: str, split: str = "train", **options: Any) -> TaskDistribution:
    """The task distribution called `name`.

    Args:
        name: see `list_names`; for example ``navigation``, ``bandit/k5-n10``, ``cheetah-vel@promp`` (a family as a
            paper defines it), ``classic/cartpole``, ``metaworld/ml10``, ``metaworld/ml1-push-v3``, ``metaworld/mt10``,
            or a custom Meta-World split ``metaworld/reach-v3,push-v3:door-open-v3`` (train families : test families);
            with dynamics that differ between tasks, ``metaworld/ml1-push-v3+dynamics`` (`envs.dynamics`).
        split: ``"train"`` or ``"test"``.
        options: the keyword arguments of the distribution's class, e.g. ``goal_seed`` or ``reward_version``; and
            ``task_visible``, which shows the numbers of the task at the end of every observation (`envs.VisibleTask`).
    Raises:
        UnknownNameError: unknown name or split.
        UnshowableError: the tasks are to be shown, and cannot be.
        TypeError: what was registered by this name makes something else.
    """
    check_name(name, split)
    shown = options.pop("task_visible", None)
    made = _find(name).maker(split, **options)
    if not isinstance(made, TaskDistribution):
        advice = "; envs.vector.GymDistribution makes one of an environment" if isinstance(made, gym.Env) else ""
        raise TypeError(f"{name}: its maker returned a {type(made).__name__}; valid: an envs.TaskDistribution{advice}")
    return VisibleTask(made) if shown else made
