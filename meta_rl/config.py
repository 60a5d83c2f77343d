"""What can be trained and with which numbers: config dataclasses, the table of recipes, defaults per environment.

Nothing here imports torch or metaworld, so the command line parses, checks and refuses within a fraction of a second.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro
from tyro.conf import Positional

import envs
from meta_rl.errors import ConfigError


@dataclass(frozen=True)
class NetworkConfig:
    """The policy network."""

    hidden: tuple[int, ...] = (128, 128)
    """Units of each hidden layer."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Non-linearity between layers."""
    init_std: float = 1.0
    """Initial standard deviation of actions, in action units."""
    min_std: float = 1e-6
    """Lower bound on the standard deviation."""


@dataclass(frozen=True)
class MamlConfig:
    """Policy-gradient MAML: inner loss, outer loss and outer step (see `meta_rl.algorithms.maml`)."""

    inner_lr: float = 0.1
    """Step size of the adaptation."""
    inner_steps: int = 1
    """Gradient steps per task while meta-training; each has its own support rollout. 0: plain multi-task training."""
    first_order: bool = False
    """Ignore second derivatives (FOMAML)."""
    discount: float = 0.99
    """Discount factor of the returns."""
    gae_lambda: float = 1.0
    """Lambda of generalised advantage estimation."""
    max_kl: float = 0.01
    """Trust region: largest mean KL divergence of the post-adaptation policies, in nats."""
    cg_iters: int = 10
    """Conjugate-gradient iterations."""
    cg_damping: float = 1e-5
    """Added to the curvature matrix."""
    curvature_stride: int = 5
    """Curvature products use every n-th step of each episode (the line search checks the KL on all of them)."""
    backtrack_ratio: float = 0.8
    """Line search: factor between candidates."""
    max_backtracks: int = 15
    """Line search: number of candidates."""


@dataclass(frozen=True)
class EvaluateConfig:
    """The evaluation protocol; the defaults are those of `docs/evaluation.md`."""

    test_tasks: int = 0
    """Test tasks; 0 means all of them where they are finitely many, else 40."""
    adaptation_episodes: int = 10
    """Episodes each adaptation step learns from, with sampled actions."""
    evaluation_episodes: int = 3
    """Episodes each policy is judged on, with mode actions; one suffices, and is used, where the environment is
    deterministic."""
    adaptation_steps: int = 1
    """Adaptation steps at test time; the curve has one point more."""
    tasks_at_once: int = 10
    """Tasks evaluated in one batch of environments."""
    evaluation_seed: int = 0
    """Seeds the choice of test tasks and the noise of adaptation; the same for all runs, so that they compare."""
    stock_goals: int = 0
    """Also run Meta-World's own (biased) evaluator on so many goals per family and print its number beside ours;
    0: no."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    recipe: Positional[Annotated[str, tyro.conf.arg(metavar="RECIPE")]] = "maml-trpo"
    """Name of the algorithm's recipe."""
    env: str = "metaworld/ml1-reach-v3"
    """Task distribution, a name known to `envs.make`."""
    seed: int = 0
    """Everything random derives from it."""
    iterations: int = 100
    """Meta-updates; 0 evaluates the untrained policy."""
    meta_batch_size: int = 20
    """Tasks per meta-update."""
    episodes_per_task: int = 10
    """Episodes per task and rollout stage."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the learner computes; sampling is always on the CPU."""
    run_dir: str = ""
    """Folder of the run; default runs/RECIPE_ENV_sSEED. A run found there is resumed."""
    checkpoint_every: int = 10
    """Iterations between checkpoints."""
    keep_checkpoints: int = 3
    """Newest checkpoints kept."""
    algorithm: MamlConfig = field(default_factory=MamlConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)

    @property
    def path(self) -> Path:
        """The run directory."""
        return Path(self.run_dir or f"runs/{self.recipe}_{self.env.replace('/', '-')}_s{self.seed}")


@dataclass(frozen=True)
class Recipe:
    """A row of the table: which learner, with which settings.

    Attributes:
        learner: ``module:class`` of the learner, imported when needed.
        algorithm: its default config.
        summary: one line for the help.
    """

    learner: str
    algorithm: MamlConfig
    summary: str


RECIPES: dict[str, Recipe] = {
    "maml-trpo": Recipe(
        "meta_rl.algorithms.maml:Maml",
        MamlConfig(),
        "MAML, second order, likelihood-ratio inner loss, TRPO outer step (Finn et al. 2017)",
    ),
    "multitask-trpo": Recipe(
        "meta_rl.algorithms.maml:Maml",
        MamlConfig(inner_steps=0),
        "baseline: one policy trained on all tasks by TRPO without adaptation; adapted only at test time",
    ),
}

# Environment prefix -> defaults that differ from TrainConfig's, by field path. First match wins.
ENV_DEFAULTS: dict[str, dict[str, Any]] = {
    "navigation": {
        "episodes_per_task": 20,
        "network.hidden": (100, 100),
        "network.activation": "relu",
        "network.init_std": 0.3,  # actions are clipped to 0.1; with 1.0 exploration is mostly clipped noise
        "evaluate.adaptation_episodes": 20,
        "evaluate.adaptation_steps": 3,
    },
    "metaworld/": {"evaluate.adaptation_episodes": 10},
}

# Fields that may differ between a run and its resumption, because they do not change its numbers.
RESUMABLE_CHANGES = {"iterations", "device", "run_dir", "checkpoint_every", "keep_checkpoints", "evaluate"}

C = TypeVar("C")


def default_config(recipe: str, env: str) -> TrainConfig:
    """The config of a recipe on an environment, before options."""
    check_choice("recipe", recipe, RECIPES)
    config = TrainConfig(recipe=recipe, env=env, algorithm=RECIPES[recipe].algorithm)
    for prefix, changes in ENV_DEFAULTS.items():
        if env.startswith(prefix):
            return replace_paths(config, changes)
    return config


def replace_paths(config: C, changes: Mapping[str, Any]) -> C:
    """`dataclasses.replace` with dotted paths into nested configs."""
    for path, value in changes.items():
        head, _, rest = path.partition(".")
        new = replace_paths(getattr(config, head), {rest: value}) if rest else value
        config = dataclasses.replace(config, **{head: new})  # type: ignore[type-var]
    return config


def check_choice(option: str, value: str, valid: Mapping[str, Any]) -> None:
    """Raise ConfigError unless `value` is a key of `valid`, naming the closest key."""
    if value not in valid:
        close = difflib.get_close_matches(value, list(valid), 1, 0.0)[0]
        raise ConfigError(f"{option}: unknown {value!r}; closest: {close} (all: {', '.join(valid)})")


def validate(config: TrainConfig) -> None:
    """Refuse impossible settings.

    Raises:
        ConfigError: one line naming the option and what would be valid.
    """
    check_choice("recipe", config.recipe, RECIPES)
    try:
        families = envs.families(config.env, "train")
    except envs.UnknownNameError as error:
        raise ConfigError(f"--env: {error}") from None
    _at_least(1, config, "meta_batch_size", "episodes_per_task", "checkpoint_every", "keep_checkpoints")
    _at_least(0, config, "seed", "iterations")
    _at_least(1, config.evaluate, "adaptation_episodes", "evaluation_episodes", "tasks_at_once")
    _at_least(0, config.evaluate, "test_tasks", "adaptation_steps", "stock_goals", "evaluation_seed")
    if config.evaluate.stock_goals > 50:
        raise ConfigError(f"--stock-goals: Meta-World has 50 goals per family, got {config.evaluate.stock_goals}")
    if config.evaluate.stock_goals and not config.env.startswith("metaworld/ml"):
        raise ConfigError(f"--stock-goals: Meta-World's evaluator knows its ML benchmarks, not {config.env}; valid: 0")
    _at_least(0, config.algorithm, "inner_steps", "cg_damping")
    _at_least(1, config.algorithm, "cg_iters", "max_backtracks", "curvature_stride")
    for name in ("inner_lr", "max_kl"):
        if not getattr(config.algorithm, name) > 0:
            raise ConfigError(f"{_option(name)}: must be above 0, got {getattr(config.algorithm, name)}")
    for name in ("discount", "gae_lambda", "backtrack_ratio"):
        if not 0 <= getattr(config.algorithm, name) <= 1:
            raise ConfigError(f"{_option(name)}: must be between 0 and 1, got {getattr(config.algorithm, name)}")
    for name in ("init_std", "min_std"):
        if not getattr(config.network, name) > 0:
            raise ConfigError(f"{_option(name)}: must be above 0, got {getattr(config.network, name)}")
    _finite(config)
    if any(units < 1 for units in config.network.hidden):
        raise ConfigError(f"--hidden: every layer needs at least 1 unit, got {config.network.hidden}")
    if config.meta_batch_size % len(families):
        below = config.meta_batch_size // len(families) * len(families)
        valid = " or ".join(str(n) for n in (below, below + len(families)) if n)
        raise ConfigError(
            f"--meta-batch-size: {config.meta_batch_size} does not divide evenly among the {len(families)} families "
            f"of {config.env}; closest: {valid}"
        )


def _finite(config: Any) -> None:
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            _finite(value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{_option(item.name)}: must be a finite number, got {value}")


def _at_least(low: int, config: Any, *names: str) -> None:
    for name in names:
        if not getattr(config, name) >= low:
            raise ConfigError(f"{_option(name)}: must be at least {low}, got {getattr(config, name)}")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


# -- JSON ------------------------------------------------------------------------------------------------------------


def to_dict(config: Any) -> dict[str, Any]:
    """A config as JSON-able nested dicts."""
    return json.loads(json.dumps(dataclasses.asdict(config)))  # type: ignore[no-any-return]


def from_dict(cls: type[C], values: Mapping[str, Any], path: str = "") -> C:
    """The inverse of `to_dict`, strict.

    Raises:
        ConfigError: an unknown field or a value of the wrong type.
    """
    hints = typing.get_type_hints(cls)
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            close = difflib.get_close_matches(name, list(hints), 1, 0.0)[0]
            raise ConfigError(f"config: unknown field {path + name!r}; closest: {path + close}")
        arguments[name] = _convert(hints[name], value, path + name)
    return cls(**arguments)


def _convert(kind: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigError(f"config: {path} must be an object, got {value!r}")
        return from_dict(kind, value, f"{path}.")  # type: ignore[arg-type]
    origin = typing.get_origin(kind)
    if origin is Literal:
        if value not in typing.get_args(kind):
            raise ConfigError(f"config: {path} must be one of {', '.join(typing.get_args(kind))}, got {value!r}")
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(typing.get_args(kind)[0], item, path) for item in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, types.GenericAlias) or type(value) is not kind:
        raise ConfigError(f"config: {path} must be {kind}, got {value!r}")
    return value


def load_config(path: Path) -> TrainConfig:
    """Read a dumped config.

    Raises:
        ConfigError: the file is missing, not JSON, or holds a bad field.
    """
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"--config: cannot read {path}: {error.strerror}") from None
    except ValueError as error:  # not JSON, or not even text
        raise ConfigError(f"--config: {path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"--config: {path} must hold a JSON object, as a run's config.json does")
    return from_dict(TrainConfig, values)


def changed_fields(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Dotted names of fields that differ and may not differ when a run is resumed, as ``name: old -> new``."""

    def walk(a: Mapping[str, Any], b: Mapping[str, Any], prefix: str) -> list[str]:
        found: list[str] = []
        for name in sorted(a.keys() | b.keys()):
            if prefix + name in RESUMABLE_CHANGES or a.get(name) == b.get(name):
                continue
            if isinstance(a.get(name), dict) and isinstance(b.get(name), dict):
                found += walk(a[name], b[name], f"{prefix}{name}.")
            else:
                found.append(f"{prefix}{name}: {a.get(name)} -> {b.get(name)}")
        return found

    return walk(to_dict(old), to_dict(new), "")
