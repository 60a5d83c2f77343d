"""The config of a training run."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro
from tyro.conf import Positional

from meta_rl.config.base import AlgorithmConfig, EnvOptions, EvaluateConfig, NetworkConfig, check_choice
from meta_rl.config.bounds import NonNegativeInt, PositiveFloat, PositiveInt
from meta_rl.config.fewshot import EpisodesConfig
from meta_rl.config.recipes.maml import MamlConfig
from meta_rl.config.recipes.table import DEFAULTS, RECIPES

_C = TypeVar("_C")


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    recipe: Positional[Annotated[str, tyro.conf.arg(metavar="RECIPE")]] = "maml-trpo"
    """Name of the algorithm's recipe."""
    env: str = "metaworld/ml1-reach-v3"
    """Task distribution: a name known to `envs.make`, module:object of your own, or few-shot tasks like
    omniglot-5way-1shot."""
    seed: NonNegativeInt = 0
    """Seed that everything random derives from."""
    iterations: NonNegativeInt = 100
    """Meta-updates; 0 evaluates the untrained policy."""
    meta_batch_size: PositiveInt = 20
    """Tasks per meta-update."""
    episodes_per_task: PositiveInt = 10
    """Episodes per task and stage, the rollout between two adaptations."""
    shards: PositiveInt = 1
    """Parts that the meta-batch is cut into for sampling. Results depend on it in the last digits, but not on the
    number of workers."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the learner; sampling is always on the CPU."""
    learners: PositiveInt = 1
    """Processes that share the meta-update, each with as many tasks (and, on CUDA, a GPU of its own). Results depend on
    it in the last digits."""
    workers: NonNegativeInt = 0
    """Processes that sample, at most one per shard; 0: sample in the learner's own process."""
    worker_cores: NonNegativeInt = 0
    """Cores of each worker, and threads of its native environments; 0: an equal share of this machine's, on Ray 1."""
    ray_address: str = ""
    """Sample on this Ray cluster (HOST:PORT; auto: the one this machine belongs to; local: start one here) instead of
    in processes of this machine."""
    worker_timeout: PositiveFloat = 120.0
    """Seconds without an env step (or without getting started) after which a worker counts as hung."""
    on_worker_failure: Literal["retry", "raise"] = "retry"
    """After a worker is lost: retry its work in a new one, or raise and stop the run."""
    start_from: str = ""
    """Folder of a run or of an exported agent whose weights (not its optimizer) the run begins with."""
    run_dir: str = ""
    """Folder of the run; default runs/RECIPE_ENV_sSEED. A run found there is resumed."""
    checkpoint_every: PositiveInt = 10
    """Iterations between checkpoints."""
    keep_checkpoints: NonNegativeInt = 3
    """Newest checkpoints kept; 0: all of them."""
    report_every: NonNegativeInt = 0
    """Iterations between pages (RUN/report.html) that are written while it trains; 0: only at the end."""
    logger: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """Loggers that get the metrics besides the files of the run; each needs the extra of its name."""
    env_options: EnvOptions = field(default_factory=EnvOptions)
    algorithm: AlgorithmConfig = field(default_factory=MamlConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    fewshot: EpisodesConfig = field(default_factory=EpisodesConfig)

    @property
    def path(self) -> Path:
        """The run directory."""
        # The colon of module:object means a host or a drive to some programs; that of a split keeps its old folders.
        env = self.env.replace("/", "-") if "/" in self.env else self.env.replace(":", "-")
        return Path(self.run_dir or f"runs/{self.recipe}_{env}_s{self.seed}")


def default_config(recipe: str, env: str) -> TrainConfig:
    """The config of a recipe on an environment, before options."""
    check_choice("recipe", recipe, RECIPES)
    config = TrainConfig(recipe=recipe, env=env, algorithm=RECIPES[recipe].algorithm)
    env = env.partition("+")[0]  # with dynamics of their own, tasks are learned with the settings of the plain ones
    for recipes, environments, changes in DEFAULTS:
        if fnmatch.fnmatchcase(recipe, recipes) and fnmatch.fnmatchcase(env, environments):
            config = replace_paths(config, changes)
    return config


def replace_paths(config: _C, changes: Mapping[str, Any]) -> _C:
    """`dataclasses.replace` with dotted paths into nested configs."""
    for path, value in changes.items():
        head, _, rest = path.partition(".")
        new = replace_paths(getattr(config, head), {rest: value}) if rest else value
        config = dataclasses.replace(config, **{head: new})  # type: ignore[type-var]
    return config


def settled(config: TrainConfig) -> TrainConfig:
    """The config with what counts iterations and was left open: annealing lasts as long as the run, unless told
    otherwise."""
    open_ones = {
        name: int(share * config.iterations)
        for name, share in config.algorithm.lengths.items()
        if share and config.iterations and getattr(config.algorithm, name) is None
    }
    return replace_paths(config, {f"algorithm.{name}": length for name, length in open_ones.items()})


def annealing_note(config: TrainConfig) -> str:
    """A sentence on annealing that takes more or fewer iterations than the run has; empty if it takes as many, or if
    nothing is annealed."""
    algorithm, annealing, last = config.algorithm, config.algorithm.annealing, config.iterations
    length = getattr(algorithm, annealing.length) if annealing and algorithm.anneals else None
    if not annealing or not length or length == last:
        return ""
    what = f"annealing takes {length} iterations (--{annealing.length.replace('_', '-')})"
    if length > last:
        return f"{what}, of which this run has {last}"
    factors = {name.replace("_", "-"): getattr(algorithm, name) for name in annealing.factors}
    ends = ", ".join(f"--{name} {factor:g}" for name, factor in factors.items() if factor != 1)
    return f"{what}, this run {last}: from iteration {length} on all is as at its end ({ends})"
