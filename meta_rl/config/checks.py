"""Settings that are refused before any work starts."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import math
import typing
from typing import Any

import envs
from meta_rl.config.bounds import Bound
from meta_rl.config.codec import with_plain_values
from meta_rl.config.combinations import check_combinations
from meta_rl.config.fewshot import closest_kind, parse_name
from meta_rl.config.recipes.table import RECIPES
from meta_rl.config.train import TrainConfig
from meta_rl.errors import ConfigError


def validate(config: TrainConfig) -> TrainConfig:
    """The config with plain values (see `meta_rl.config.with_plain_values`); refuses impossible settings.

    Raises:
        ConfigError: one line naming the option and what would be valid.
    """
    config = check_protocol(config)
    families = _families(config.env)
    check_combinations(config)
    _check_recipe(config)
    if config.meta_batch_size % len(families):
        below = config.meta_batch_size // len(families) * len(families)
        valid = " or ".join(str(n) for n in (below, below + len(families)) if n)
        raise ConfigError(
            f"--meta-batch-size: {config.meta_batch_size} does not divide evenly among the {len(families)} families "
            f"of {config.env}; closest: {valid}"
        )
    _check_told(config)
    if config.shards > 1 or config.workers:
        _check_workers(config)
    if config.ray_address:
        _check_ray(config)
    if config.learners > 1:
        _check_learners(config)
    return config


def check_protocol(config: TrainConfig) -> TrainConfig:
    """The config with plain values; refuses what an evaluation of its run cannot do. How the run was trained is not
    asked: it was.

    Raises:
        ConfigError: one line naming the option and what would be valid.
    """
    config = with_plain_values(config)
    _families(config.env)  # refuses unknown tasks
    _check_match(config)
    _check_env_options(config)
    check_ranges(config)
    if config.evaluate.stock_goals > 50:
        raise ConfigError(f"--stock-goals: Meta-World has 50 goals per family, got {config.evaluate.stock_goals}")
    if config.evaluate.stock_goals and not (parse_name(config.env) is None and envs.stock_benchmark(config.env)):
        raise ConfigError(f"--stock-goals: Meta-World's evaluator knows its ML benchmarks, not {config.env}; valid: 0")
    if config.evaluate.stock_goals and config.env_options.goal_visible:
        raise ConfigError("--stock-goals: Meta-World's evaluator of ML benchmarks hides the goal; valid: 0, or without "
                          "--goal-visible True")  # fmt: skip
    if config.evaluate.stock_goals and config.env_options.task_visible:
        raise ConfigError("--stock-goals: Meta-World's evaluator does not show the task; valid: 0, or without "
                          "--task-visible True")  # fmt: skip
    if config.evaluate.shown_steps and parse_name(config.env) is None:
        raise ConfigError(f"--shown-steps: for few-shot tasks, not {config.env}, where every step is scored; valid: "
                          "none")  # fmt: skip
    if config.network.normalise_observations and parse_name(config.env):
        raise ConfigError(f"--normalise-observations: for policies; few-shot tasks like {config.env} have none; valid: "
                          "False")  # fmt: skip
    low, high = config.fewshot.lowest_rating, config.fewshot.highest_rating
    if low >= high:
        raise ConfigError(f"--highest-rating: must be above --lowest-rating, {low}, got {high}")
    return config


def _check_env_options(config: TrainConfig) -> None:
    """Refuse options that the tasks do not have."""
    known = () if parse_name(config.env) else envs.options(config.env)
    for name in config.env_options.given():
        if name not in known:
            whose = "Meta-World's tasks" if known else "environments"
            raise ConfigError(f"{_option(name)}: for {whose}; {config.env} has no such option; valid: None")


def _check_recipe(config: TrainConfig) -> None:
    """Refuse settings that are not those of the recipe's name."""
    contradictions = _contradictions(config, config.recipe)
    if not contradictions:
        return
    mine = RECIPES[config.recipe]
    others = [
        name
        for name, row in RECIPES.items()
        if row.learner == mine.learner and row.learns == mine.learns and not _contradictions(config, name)
    ]
    hint = f"; a recipe of these settings: {', '.join(others)}" if others else ""
    raise ConfigError(f"{contradictions[0]}, or it is not {config.recipe}{hint}")


def _contradictions(config: TrainConfig, recipe: str) -> list[str]:
    """What in `config` a recipe is not, each as the option with what it must be."""
    found = []
    for path, wanted in RECIPES[recipe].defined_by.items():
        value: Any = functools.reduce(getattr, path.split("."), config)
        bound = wanted if isinstance(wanted, Bound) else Bound(wanted.__eq__, f"must be {wanted}")
        if not bound.fits(value):
            found.append(f"{_option(path.rpartition('.')[2])}: {bound.problem}, got {value}")
    return found


def _check_told(config: TrainConfig) -> None:
    """Refuse a teacher who leaves its student no iteration."""
    taken = config.algorithm.told_for or 0
    if 0 < config.iterations <= taken:
        raise ConfigError(
            f"--teacher-iterations: {taken} of {config.iterations} iterations leave the student none; valid: 0 to "
            f"{config.iterations - 1}"
        )


def _check_workers(config: TrainConfig) -> None:
    """Refuse shards and workers that there is no work for."""
    if parse_name(config.env):
        option, valid = ("--workers", 0) if config.workers else ("--shards", 1)
        raise ConfigError(f"{option}: few-shot tasks are drawn in the learner's own process; valid: {valid}")
    if config.shards > config.meta_batch_size:
        raise ConfigError(
            f"--shards: {config.meta_batch_size} tasks cannot be cut into {config.shards} parts; "
            f"closest: {config.meta_batch_size}"
        )
    if config.workers > config.shards:
        raise ConfigError(
            f"--workers: {config.workers} workers need at least as many shards, there {_are(config.shards)}; closest: "
            f"{config.shards} (or --shards {config.workers}, in a new run: results depend on it in the last digits)"
        )


def _check_learners(config: TrainConfig) -> None:
    """Refuse to share an update that is no mean over tasks, or unequally."""
    if not config.algorithm.shared_update:
        raise ConfigError(f"--learners: {config.recipe} updates in one process; valid: 1, got {config.learners}")
    if config.meta_batch_size % config.learners:
        valid = [n for n in range(1, config.meta_batch_size + 1) if config.meta_batch_size % n == 0]
        close = min(valid, key=lambda n: abs(n - config.learners))
        raise ConfigError(
            f"--learners: {config.meta_batch_size} tasks do not divide evenly among {config.learners}; closest: {close}"
        )


def _check_ray(config: TrainConfig) -> None:
    """Refuse a cluster without workers, or without Ray."""
    if not config.workers:
        raise ConfigError("--ray-address: a cluster needs --workers of at least 1, got 0")
    if importlib.util.find_spec("ray") is None:
        raise ConfigError("--ray-address: Ray is not installed here; pip install 'meta-rl[ray]' brings it")


def _are(count: int) -> str:
    return f"are {count}" if count > 1 else "is 1"


def _families(env: str) -> tuple[str, ...]:
    """Names of the families of a task distribution; few-shot tasks are all of one."""
    if parse_name(env):
        return (env,)
    try:
        return envs.families(env, "train")
    except envs.UnknownNameError as error:
        close = closest_kind(env)
        raise ConfigError(f"--env: {f'unknown tasks {env!r}; closest: {close}' if close else error}") from None


def _check_match(config: TrainConfig) -> None:
    """Refuse a recipe on tasks that it cannot learn from."""
    name, learns = parse_name(config.env), RECIPES[config.recipe].learns
    fits = {"rl": name is None, "examples": name is not None, "classes": name is not None and name.ways > 0}
    if not fits[learns]:
        wanted = {"rl": "in an environment", "examples": "from few-shot tasks", "classes": "from N-way few-shot tasks"}
        kind = "rl" if name is None else "classes" if name.ways else "examples"
        valid = [row for row, recipe in RECIPES.items() if recipe.learns in (kind, "examples" if name else "rl")]
        raise ConfigError(
            f"recipe: {config.recipe} learns {wanted[learns]}, which {config.env} is not; valid: {', '.join(valid)}"
        )

    ways = config.fewshot.train_ways
    if learns == "examples" and name and ways not in (0, name.ways):
        raise ConfigError(
            f"--train-ways: {config.recipe} adapts a network with an output per class, so it trains with as many as it "
            f"is tested on; valid: 0, got {ways}"
        )
    if ways == 1 or (ways and name and not name.ways):
        raise ConfigError(f"--train-ways: at least 2 classes, and only where tasks have classes; valid: 0, got {ways}")


def check_ranges(config: Any) -> None:
    """Refuse a number of `config`, or of a config in it, by the bounds in the annotations of its fields.

    Raises:
        ConfigError: naming the option.
    """
    hints = typing.get_type_hints(type(config), include_extras=True)
    for item in dataclasses.fields(config):
        name, value = item.name, getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            check_ranges(value)
        for bound in getattr(hints[name], "__metadata__", ()):
            if isinstance(bound, Bound) and not bound.fits(value):
                raise ConfigError(f"{_option(name)}: {bound.problem}, got {value}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{_option(name)}: must be a finite number, got {value}")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
