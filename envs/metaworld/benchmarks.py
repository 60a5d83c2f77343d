"""Which families and goals make up a Meta-World benchmark.

The names are written out here so that a misspelt one is refused without importing metaworld (a second);
a test compares them with metaworld's own tables. The goals always come from metaworld's own benchmark classes,
in this process, from a seed: a `metaworld.Task` carries a pickle, so it is never stored or sent anywhere.
"""

from __future__ import annotations

import functools
import hashlib
import pickle
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from envs.api import Task
from envs.metaworld import cache
from envs.names import UnknownNameError, closest
from envs.threads import SHARED

FAMILIES: tuple[str, ...] = (
    "assembly-v3", "basketball-v3", "bin-picking-v3", "box-close-v3", "button-press-topdown-v3",
    "button-press-topdown-wall-v3", "button-press-v3", "button-press-wall-v3", "coffee-button-v3", "coffee-pull-v3",
    "coffee-push-v3", "dial-turn-v3", "disassemble-v3", "door-close-v3", "door-lock-v3", "door-open-v3",
    "door-unlock-v3", "hand-insert-v3", "drawer-close-v3", "drawer-open-v3", "faucet-open-v3", "faucet-close-v3",
    "hammer-v3", "handle-press-side-v3", "handle-press-v3", "handle-pull-side-v3", "handle-pull-v3",
    "lever-pull-v3", "pick-place-wall-v3", "pick-out-of-hole-v3", "pick-place-v3", "plate-slide-v3",
    "plate-slide-side-v3", "plate-slide-back-v3", "plate-slide-back-side-v3", "peg-insert-side-v3",
    "peg-unplug-side-v3", "soccer-v3", "stick-push-v3", "stick-pull-v3", "push-v3", "push-wall-v3", "push-back-v3",
    "reach-v3", "reach-wall-v3", "shelf-place-v3", "sweep-into-v3", "sweep-v3", "window-open-v3", "window-close-v3",
)  # fmt: skip

_ML10_TRAIN = (
    "reach-v3", "push-v3", "pick-place-v3", "door-open-v3", "drawer-close-v3", "button-press-topdown-v3",
    "peg-insert-side-v3", "window-open-v3", "sweep-v3", "basketball-v3",
)  # fmt: skip
_ML10_TEST = ("drawer-open-v3", "door-close-v3", "shelf-place-v3", "sweep-into-v3", "lever-pull-v3")
_ML25_TRAIN = (
    "reach-v3", "push-v3", "pick-place-v3", "door-open-v3", "drawer-open-v3", "drawer-close-v3",
    "button-press-topdown-v3", "peg-insert-side-v3", "window-open-v3", "window-close-v3", "coffee-pull-v3",
    "pick-out-of-hole-v3", "disassemble-v3", "pick-place-wall-v3", "basketball-v3", "stick-pull-v3",
    "button-press-wall-v3", "faucet-open-v3", "door-lock-v3", "lever-pull-v3", "sweep-into-v3", "faucet-close-v3",
    "coffee-button-v3", "button-press-topdown-wall-v3", "dial-turn-v3",
)  # fmt: skip
_ML25_TEST = ("basketball-v3", "door-close-v3", "shelf-place-v3", "sweep-v3", "button-press-v3")
_MT10 = (
    "reach-v3", "push-v3", "pick-place-v3", "door-open-v3", "drawer-open-v3", "drawer-close-v3",
    "button-press-topdown-v3", "peg-insert-side-v3", "window-open-v3", "window-close-v3",
)  # fmt: skip
_ML45_TEST = ("bin-picking-v3", "box-close-v3", "hand-insert-v3", "door-lock-v3", "door-unlock-v3")
_ML45_TRAIN = tuple(f for f in FAMILIES if f not in _ML45_TEST)

_SUITES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ml10": (_ML10_TRAIN, _ML10_TEST),
    "ml25": (_ML25_TRAIN, _ML25_TEST),
    "ml45": (_ML45_TRAIN, _ML45_TEST),
}
_MULTITASK: dict[str, tuple[str, ...]] = {"mt10": _MT10, "mt25": _ML25_TRAIN, "mt50": FAMILIES}

OPTIONS = ("goal_visible", "reward_version", "horizon", "goal_seed")
"""What every benchmark leaves to choose, arguments of `envs.metaworld.distribution.MetaWorld`."""


@dataclass(frozen=True)
class Benchmark:
    """Families of the two splits, and how metaworld is asked for their goals.

    Attributes:
        name: the part of the name after ``metaworld/``.
        train, test: family names. Where both hold the same families (ML1, custom lists without a test part) the
            splits differ by their goals.
        stock: metaworld's own class of the benchmark, and the arguments of that; empty for a custom list. It is not
            part of the `repr`, by which goals on disk are known.
        multitask: an MT benchmark: the goal and the family are part of the observation, and the tasks that a policy is
            judged on are those that it has learned from.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    stock: tuple[str, ...] = field(default=(), repr=False)
    multitask: bool = field(default=False, repr=False)

    @property
    def told(self) -> tuple[str, ...]:
        """The families that the observation tells apart, in order: of an MT benchmark with more than one; else none."""
        return self.train if self.multitask and len(self.train) > 1 else ()

    def families(self, split: str) -> tuple[str, ...]:
        """The families of ``"train"`` or ``"test"``."""
        return {"train": self.train, "test": self.test}[split]


_STOCK: dict[str, Benchmark] = {
    **{name: Benchmark(name, *families, stock=(name.upper(),)) for name, families in _SUITES.items()},
    **{name: Benchmark(name, row, row, (name.upper(),), True) for name, row in _MULTITASK.items()},
    **{f"ml1-{family}": Benchmark(f"ml1-{family}", (family,), (family,), ("ML1", family)) for family in FAMILIES},
    **{f"mt1-{family}": Benchmark(f"mt1-{family}", (family,), (family,), ("MT1", family), True) for family in FAMILIES},
}
"""Name -> one of metaworld's own benchmarks."""


def list_names() -> list[str]:
    """Every name after ``metaworld/`` but the custom ones."""
    return list(_STOCK)


def parse(name: str) -> Benchmark:
    """The benchmark called `name`: ``ml10``, ``ml1-FAMILY``, ``mt10``, ``mt1-FAMILY``, or a custom list
    ``FAMILY,FAMILY[:FAMILY,...]`` (train families, then test families; without the second part, the same families
    with other goals).

    Raises:
        UnknownNameError: no such benchmark or family, with the closest one; or a list that names a family twice.
    """
    if name in _STOCK:
        return _STOCK[name]
    train_text, _, test_text = name.partition(":")
    train = tuple(train_text.split(","))
    test = tuple(test_text.split(",")) if test_text else train
    for family in (*train, *test):
        if family not in FAMILIES:
            raise UnknownNameError(_unknown(name, family))
    for side in (train, test):
        if len(set(side)) != len(side):
            raise UnknownNameError(f"bad custom list of families: {name} (a family is named twice)")
    if test_text and set(train) & set(test):
        raise UnknownNameError(f"bad custom list of families: {name} (train and test share a family)")
    return Benchmark(name, train, test)


def _unknown(name: str, family: str) -> str:
    """The message about `family`, which is unknown: a part of the list `name`, or all of it."""
    if family != name:
        return f"unknown Meta-World family {family!r}; closest: {closest(family, FAMILIES)}"
    close = closest(name, [*_STOCK, *FAMILIES])
    return f"unknown task distribution {f'metaworld/{name}'!r}; closest: metaworld/{close}"


@functools.lru_cache(maxsize=32)
def goals(benchmark: Benchmark, split: str, seed: int) -> tuple[Task, ...]:
    """The 50 goals of each family of a split, drawn by metaworld's own benchmark classes with `seed`.

    That takes half a second per family, so the goals are kept on disk. The splits of an MT benchmark have the same.
    """
    split = "train" if benchmark.multitask else split
    families = benchmark.families(split)
    entry = _entry(benchmark, split, seed)
    with SHARED:  # metaworld seeds numpy's global generator and draws from it
        stored = cache.load(entry)
        if stored is None or set(stored) != set(families):
            splits = _draw(benchmark, split, seed)
            for other, drawn in splits.items():
                cache.store(_entry(benchmark, other, seed), drawn)
            stored = splits[split]
    return tuple(Task(family, tuple(vector)) for family in families for vector in stored[family].tolist())


def _entry(benchmark: Benchmark, split: str, seed: int) -> str:
    digest = hashlib.sha256(repr(benchmark).encode()).hexdigest()[:16]
    return f"goals/{digest}-{split}-{seed}"


def _draw(benchmark: Benchmark, split: str, seed: int) -> dict[str, cache.Arrays]:
    """For `split`, and the other one where it comes along: family -> task vectors ``[50, task_dim]``.

    Splits that share their families use metaworld's ML1 rule: test goals come from ``seed + 1``.
    """
    import metaworld

    if benchmark.stock:
        kind, *arguments = benchmark.stock
        source = getattr(metaworld, kind)(*arguments, seed=seed)
        drawn = {"train": source.train_tasks} | ({} if benchmark.multitask else {"test": source.test_tasks})
    elif benchmark.train == benchmark.test:
        drawn = {split: metaworld.CustomML(list(benchmark.train), [], seed=seed + (split == "test")).train_tasks}
    else:
        drawn = {split: metaworld.CustomML(list(benchmark.families(split)), [], seed=seed).train_tasks}
    return {split: _vectors(tasks) for split, tasks in drawn.items()}


def _vectors(tasks: list[Any]) -> cache.Arrays:
    by_family: dict[str, list[Any]] = {}
    for task in tasks:
        # The pickle was made by metaworld in this very process a moment ago, so reading it is safe.
        by_family.setdefault(task.env_name, []).append(pickle.loads(task.data)["rand_vec"])
    return {family: np.array(vectors, dtype=np.float64) for family, vectors in by_family.items()}


def to_metaworld(task: Task, goal_visible: bool = False) -> Any:
    """The `metaworld.Task` for `task`: built in this process, for this process's own `set_task` calls only."""
    import metaworld

    fields = {
        "env_cls": metaworld.ALL_V3_ENVIRONMENTS[task.family],
        "rand_vec": task.array,
        "partially_observable": not goal_visible,
    }
    return metaworld.Task(task.family, pickle.dumps(fields))


def reset_to(env: Any, task: Task) -> Any:
    """The first observation ``[39]`` of `env`, a metaworld env object that `to_metaworld(task)` was set on.

    Metaworld redraws while object and goal are too close, and never ends with a fixed vector. Its reset draws at most
    twice otherwise, so more than ten draws mean that it is stuck.

    Raises:
        ValueError: the family does not accept the task vector.
    """
    size, draws = env._random_reset_space.low.size, 0
    if len(task.vector) != size:
        raise ValueError(f"a task of {task.family} has {size} numbers, got {len(task.vector)}")

    def draw() -> Any:
        nonlocal draws
        draws += 1
        if draws > 10:
            raise ValueError(f"{task.family} rejects the task vector {task.vector}: object and goal are too close")
        return task.array

    env._get_state_rand_vec = draw
    try:
        return env.reset()[0]
    finally:
        del env._get_state_rand_vec
