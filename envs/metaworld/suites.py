"""Meta-World's vector envs by the names and arguments that Meta-World has for them, on the native engine.

Where Meta-World's own registration is wrong, this is right: ``ML1-train`` has the training goals (there it has the test
goals), and seed 0 is a seed in ``custom-mt-envs`` (there it is none).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from envs.api import Task
from envs.flat import autoreset_of
from envs.metaworld import benchmarks
from envs.names import UnknownNameError, closest

if TYPE_CHECKING:
    from envs.metaworld.vector import MetaWorldVectorEnv

GOALS = 50
"""Goals per family and split, in every benchmark of Meta-World."""
HORIZON = 500
"""Meta-World's own limit of env steps per episode."""
LARGEST_SEED = 2**32 - 1 - 50
"""Numpy's own limit, and some are counted up from it: test goals by one, environments of a custom MT each by one."""

Rows = list[tuple[tuple[Task, ...], int | None]]
"""For each environment its goals, and what seeds which of them come when."""


@dataclass(frozen=True)
class Members:
    """Arguments that say which environments there are; see `vector_env`."""

    seed: int | None
    num_envs: int | None
    env_name: str | None
    envs_list: Sequence[str] | None
    train_envs: Sequence[str] | None
    test_envs: Sequence[str] | None
    meta_batch_size: int
    total_tasks_per_cls: int | None


NOBODYS = Members(None, None, None, None, None, None, meta_batch_size=20, total_tasks_per_cls=None)
"""Arguments that leave the environments to the name."""


@dataclass(frozen=True)
class Suite:
    """A vector env of Meta-World, before its arguments.

    Attributes:
        rows: its environments.
        takes: the arguments, fields of `Members`, that say which they are, besides the seed and their number.
        multitask: goals are visible, and a one-hot code may tell the environment.
        pseudorandom: goals come in shuffled rounds, when asked for.
        terminate_on_success: episodes end where the goal is met.
        autoreset: when the next episode begins.
    """

    rows: Callable[[Members], Rows]
    takes: tuple[str, ...] = ()
    multitask: bool = False
    pseudorandom: bool = False
    terminate_on_success: bool = False
    autoreset: AutoresetMode = AutoresetMode.SAME_STEP


def _mt1(members: Members) -> Rows:
    """Copies of one family. With a seed all have the same goals in the same order, as in Meta-World."""
    benchmark = benchmarks.parse(f"mt1-{_known('env_name', members.env_name)}")
    count = 1 if members.num_envs is None else members.num_envs
    _require("num_envs", count, count >= 1, "at least 1")
    return [(_by_family(benchmark, "train", members.seed)[0], members.seed) for _ in range(count)]


def _mt(name: str, members: Members) -> Rows:
    rows: Rows = [(goals, members.seed) for goals in _by_family(benchmarks.parse(name), "train", members.seed)]
    return _counted(members, rows, "one environment per family")


def _custom_mt(members: Members) -> Rows:
    """One environment per family, each seeded by itself."""
    families = _all_known("envs_list", members.envs_list)
    seeds = [None if members.seed is None else members.seed + index for index in range(len(families))]
    parsed = [benchmarks.parse(f"mt1-{family}") for family in families]
    rows: Rows = [(_by_family(one, "train", seed)[0], seed) for one, seed in zip(parsed, seeds, strict=True)]
    return _counted(members, rows, "one environment for each of envs_list")


def _ml1(split: str, members: Members) -> Rows:
    return _shared(benchmarks.parse(f"ml1-{_known('env_name', members.env_name)}"), split, members)


def _ml(name: str, split: str, members: Members) -> Rows:
    return _shared(benchmarks.parse(name), split, members)


def _custom_ml(members: Members) -> Rows:
    """The training families of a custom benchmark; Meta-World has no vector env of the others."""
    train, test = _all_known("train_envs", members.train_envs), _all_known("test_envs", members.test_envs)
    return _shared(benchmarks.parse(f"{','.join(train)}:{','.join(test)}"), "train", members)


def _shared(benchmark: benchmarks.Benchmark, split: str, members: Members) -> Rows:
    """As many environments of each family, which share its goals."""
    families, size = _by_family(benchmark, split, members.seed), members.meta_batch_size
    fits = size >= 1 and size % len(families) == 0
    _require("meta_batch_size", size, fits, f"a multiple of {len(families)}, the number of families")
    each, most = size // len(families), members.total_tasks_per_cls
    used = GOALS if most is None else most
    _require("total_tasks_per_cls", most, 1 <= used <= GOALS, f"1 to {GOALS}, or None for all {GOALS}")
    _require(
        "meta_batch_size", size, used % each == 0,
        f"environments of a family that share its {used} goals evenly; {each} do not (see total_tasks_per_cls)",
    )  # fmt: skip
    rows: Rows = [(goals[:used][i::each], members.seed) for goals in families for i in range(each)]
    return _counted(members, rows, "meta_batch_size environments")


SUITES: dict[str, Suite] = {
    "MT1": Suite(_mt1, ("env_name",), multitask=True, autoreset=AutoresetMode.NEXT_STEP),
    **{name: Suite(partial(_mt, name.lower()), multitask=True) for name in ("MT10", "MT25", "MT50")},
    "custom-mt-envs": Suite(_custom_mt, ("envs_list",), multitask=True),
    **{
        f"{name}-{split}": Suite(
            partial(_ml1, split) if name == "ML1" else partial(_ml, name.lower(), split),
            (*(("env_name",) if name == "ML1" else ()), "meta_batch_size", "total_tasks_per_cls"),
            pseudorandom=True,
            terminate_on_success=split == "test",
        )
        for name in ("ML1", "ML10", "ML25", "ML45")
        for split in ("train", "test")
    },
    "custom-ml-envs": Suite(_custom_ml, ("train_envs", "test_envs", "meta_batch_size", "total_tasks_per_cls")),
}
"""What follows ``meta-rl/`` (and ``Meta-World/``) in the ids of `gymnasium.make_vec`."""


def register_ids() -> None:
    """Make ``meta-rl/MT10`` and the others known to `gymnasium.make_vec`. Nothing is imported before they are used."""
    for name in SUITES:
        gym.register(f"meta-rl/{name}", vector_entry_point="envs.metaworld:vector_env", kwargs={"name": name})


def vector_env(
    name: str,
    env_name: str | None = None,
    *,
    seed: int | None = None,
    num_envs: int | None = None,
    max_episode_steps: int | None = None,
    terminate_on_success: bool | None = None,
    use_one_hot: bool = False,
    autoreset_mode: AutoresetMode | str | None = None,
    task_select: str | None = None,
    meta_batch_size: int = 20,
    total_tasks_per_cls: int | None = None,
    envs_list: Sequence[str] | None = None,
    train_envs: Sequence[str] | None = None,
    test_envs: Sequence[str] | None = None,
    reward_function_version: str = "v2",
    num_goals: int = GOALS,
    vector_strategy: str = "sync",
    recurrent_info_in_obs: bool = False,
    reward_normalization_method: str | None = None,
    normalize_observations: bool = False,
    num_threads: int | None = None,
) -> MetaWorldVectorEnv:
    """One of Meta-World's vector envs on the native engine: ``gymnasium.make_vec("Meta-World/NAME", ...)``, faster.

    Defaults are Meta-World's own. ``gymnasium.make_vec("meta-rl/NAME", ...)`` comes here too, once `envs` is imported.

    Args:
        name: ``"MT1"``, ``"MT10"``, ``"MT25"``, ``"MT50"``, ``"ML1-train"``, ``"ML1-test"``, ``"ML10-train"`` and so
            on, ``"custom-mt-envs"`` or ``"custom-ml-envs"``.
        env_name: the family, of MT1 and ML1 only.
        seed: draws the goals and, in each environment, which of them come when; None: other ones each time.
        num_envs: environments, of MT1 only: the others have theirs.
        max_episode_steps: env steps per episode, at most 500, which is the default.
        terminate_on_success: end episodes where the goal is met; default in the ``-test`` envs only.
        use_one_hot: of MT: tell which environment it is at the end of the observation, which is then float32.
        autoreset_mode: one of gymnasium's; default same-step, of MT1 next-step.
        task_select: ``"random"``: each reset draws a goal; ``"pseudorandom"``, the default of ML: they come in shuffled
            rounds, by ``call("sample_tasks")``.
        meta_batch_size: of ML: environments, as many of each family.
        total_tasks_per_cls: of ML: goals per family; default all 50.
        envs_list: families of ``"custom-mt-envs"``.
        train_envs: families of ``"custom-ml-envs"`` to learn on.
        test_envs: its families to be judged on.
        vector_strategy: ``"sync"`` or ``"async"``, as Meta-World's; the native engine does as one of them.
        recurrent_info_in_obs: only off, as by default; a vector wrapper does such things, and the next two.
        reward_normalization_method: likewise.
        normalize_observations: likewise.
        num_threads: threads that step, the calling one included; default one per available core.
    Raises:
        UnknownNameError: no such name or family, with the closest one.
        ValueError: an argument that does not fit, in one line with what would be valid.
    """
    if name not in SUITES:
        raise UnknownNameError(f"unknown vector env {name!r}; closest: {closest(name, SUITES)}")
    suite = SUITES[name]
    seed, num_envs = _whole("seed", seed), _whole("num_envs", num_envs)
    limit = _whole("max_episode_steps", max_episode_steps)
    _require("seed", seed, seed is None or 0 <= seed <= LARGEST_SEED, f"0 to {LARGEST_SEED}, or None")
    _require("max_episode_steps", limit, limit is None or limit >= 1, f"at least 1, or None for {HORIZON}")
    native = "'v2' ('v1' is to be had by envs.make with reward_version='v1')"
    _require("reward_function_version", reward_function_version, reward_function_version == "v2", native)
    _require("num_goals", num_goals, num_goals == GOALS, f"{GOALS}")
    _require("vector_strategy", vector_strategy, vector_strategy in ("sync", "async"), "'sync' or 'async'")
    selections = ("random", "pseudorandom", None)
    _require("task_select", task_select, task_select in selections, "'random' or 'pseudorandom'")
    _require("use_one_hot", use_one_hot, suite.multitask or not use_one_hot, "False: ML does not tell the family")
    _require("recurrent_info_in_obs", True, not recurrent_info_in_obs, "False, and a vector wrapper of your own")
    wrapper = "None, and gymnasium.wrappers.vector.NormalizeReward around it"
    _require("reward_normalization_method", reward_normalization_method, not reward_normalization_method, wrapper)
    wrapper = "False, and gymnasium.wrappers.vector.NormalizeObservation around it"
    _require("normalize_observations", True, not normalize_observations, wrapper)
    mode = suite.autoreset if autoreset_mode is None else autoreset_of(autoreset_mode)
    goals = _whole("total_tasks_per_cls", total_tasks_per_cls)
    size = _whole("meta_batch_size", meta_batch_size)
    members = Members(seed, num_envs, env_name, envs_list, train_envs, test_envs, size, goals)
    _check_taken(name, suite, members)
    rows = suite.rows(members)

    from envs.metaworld.vector import MetaWorldVectorEnv, Place  # the engine

    return MetaWorldVectorEnv(
        [Place(*row) for row in rows],
        goal_visible=suite.multitask,
        use_one_hot=use_one_hot,
        horizon=min(limit or HORIZON, HORIZON),
        pseudorandom=suite.pseudorandom if task_select is None else task_select == "pseudorandom",
        terminate_on_success=suite.terminate_on_success if terminate_on_success is None else terminate_on_success,
        autoreset=mode,
        num_threads=num_threads,
    )


def _by_family(benchmark: benchmarks.Benchmark, split: str, seed: int | None) -> list[tuple[Task, ...]]:
    """The goals of each family; without a seed, ones of nobody else."""
    drawn = int(np.random.SeedSequence().generate_state(1)[0]) >> 1 if seed is None else seed
    by_family: dict[str, list[Task]] = {family: [] for family in benchmark.families(split)}
    for task in benchmarks.goals(benchmark, split, drawn):
        by_family[task.family].append(task)
    return [tuple(tasks) for tasks in by_family.values()]


def _check_taken(name: str, suite: Suite, members: Members) -> None:
    """Refuse arguments that say which environments there are, where `name` says it."""
    for argument, plain in vars(NOBODYS).items():
        if argument not in ("seed", "num_envs", *suite.takes) and getattr(members, argument) != plain:
            takers = ", ".join(other for other, one in SUITES.items() if argument in one.takes)
            raise ValueError(f"{argument}: {name} does not take it; those that do: {takers}")


def _whole(argument: str, number: Any) -> Any:
    """`number` as a Python int, or None.

    Raises:
        ValueError: it is no whole number.
    """
    try:
        return None if number is None else operator.index(number)
    except TypeError:
        raise ValueError(f"{argument}: got {number!r}; valid: a whole number") from None


def _known(argument: str, family: str | None) -> str:
    """`family`, if it is one.

    Raises:
        UnknownNameError: with the closest one.
    """
    if family is None:
        raise UnknownNameError(f"{argument}: needs a family, as 'reach-v3'")
    if family not in benchmarks.FAMILIES:
        raise UnknownNameError(
            f"{argument}: unknown Meta-World family {family!r}; closest: {closest(family, benchmarks.FAMILIES)}"
        )
    return family


def _all_known(argument: str, families: Sequence[str] | None) -> list[str]:
    if isinstance(families, str):
        raise UnknownNameError(f"{argument}: got {families!r}; valid: a list of families, as ['reach-v3']")
    return [_known(argument, family) for family in families] if families else [_known(argument, None)]


def _counted(members: Members, rows: Rows, what: str) -> Rows:
    """`rows`, if `num_envs` says nothing else; 1 is what `gymnasium.make_vec` says where nobody else did."""
    _require("num_envs", members.num_envs, members.num_envs in (None, 1, len(rows)), f"{len(rows)}, {what}")
    return rows


def _require(argument: str, value: Any, fits: bool, valid: str) -> None:
    if not fits:
        raise ValueError(f"{argument}: got {value!r}; valid: {valid}")
