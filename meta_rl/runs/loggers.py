"""Loggers that get the config, the metrics and the evaluation too, by ``--logger``: TensorBoard, Weights & Biases,
trackio. The JSON-lines files are always written.

A logger is opened for a run directory, with the number of iterations finished so far, and goes on with the same log.
After a stop some work is done again. Its rows replace their equals (TensorBoard) or are dropped by the service. They
hold the same numbers, because a resumed run repeats itself bit for bit.
"""

from __future__ import annotations

import io
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from meta_rl.config import TrainConfig, to_dict
from meta_rl.errors import ConfigError, RunError, Say
from meta_rl.extras import check_installed

PROJECT = "meta-rl"
"""Project of runs on W&B and trackio, unless WANDB_PROJECT or TRACKIO_PROJECT names another."""


class Logger(Protocol):
    """Something that takes the config, when it is opened, and numbers."""

    def write(self, iteration: int, values: dict[str, float]) -> None:
        """The numbers of one finished iteration, by ``group/name``."""
        ...

    def conclude(self, iteration: int, values: dict[str, float]) -> None:
        """The numbers of an evaluation after an iteration, by ``split/name``."""
        ...

    def close(self) -> None:
        """Flush and go."""
        ...


class TensorBoard:
    """Event files in ``RUN/tensorboard``; see them with ``tensorboard --logdir runs``."""

    def __init__(self, run_dir: Path, config: TrainConfig, iteration: int) -> None:
        writer: Any = import_module("torch.utils.tensorboard").SummaryWriter
        # Whatever an interrupted run logged after its checkpoint counts no more.
        self._writer = writer(str(run_dir / "tensorboard"), purge_step=iteration + 1)
        values = to_dict(config)
        self._writer.add_text("config", f"```json\n{json.dumps(values, indent=1)}\n```", iteration)
        # The start of a session alone: its tab then finds the metrics by itself, whichever the run has.
        _, start, _ = import_module("torch.utils.tensorboard.summary").hparams(dict(_flat(values)), {})
        self._writer.file_writer.add_summary(start)

    def write(self, iteration: int, values: dict[str, float]) -> None:
        """See `Logger.write`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, iteration)
        self._writer.flush()

    def conclude(self, iteration: int, values: dict[str, float]) -> None:
        """See `Logger.conclude`."""
        self.write(iteration, values)

    def close(self) -> None:
        """See `Logger.close`."""
        self._writer.close()


class Tracker:
    """A library with the interface of W&B: `init`, `log`, `finish`. Its own environment variables (WANDB_MODE=offline,
    TRACKIO_DIR, ...) hold.

    Args:
        library: imported module.
        options: further arguments of the library's `init`.
    """

    def __init__(self, library: Any, run_dir: Path, config: TrainConfig, **options: Any) -> None:
        self._library = library
        project = os.environ.get(f"{library.__name__.upper()}_PROJECT", PROJECT)
        self._run = library.init(project=project, config=to_dict(config), resume="allow", **options)

    def write(self, iteration: int, values: dict[str, float]) -> None:
        """See `Logger.write`."""
        self._run.log(values, step=iteration)

    def conclude(self, iteration: int, values: dict[str, float]) -> None:
        """See `Logger.conclude`."""
        self.write(iteration, values)

    def close(self) -> None:
        """See `Logger.close`."""
        self._run.finish()


class Wandb(Tracker):
    """W&B has a place for results, and takes no step of its history twice."""

    def conclude(self, iteration: int, values: dict[str, float]) -> None:
        """See `Logger.conclude`."""
        self._run.summary.update(values)

    def attach(self, name: str, paths: Sequence[Path]) -> None:
        """Hand over files as an artifact called `name`, whose versions W&B counts."""
        artifact = self._library.Artifact(name, type="evaluation")
        for path in paths:
            artifact.add_file(str(path))
        self._run.log_artifact(artifact)

    def show(self, name: str, video: bytes) -> None:
        """Hand over a video (.mp4), which is shown beside the results."""
        self._run.summary.update({name: self._library.Video(io.BytesIO(video), format="mp4")})


def _wandb(run_dir: Path, config: TrainConfig, iteration: int) -> Tracker:
    return Wandb(import_module("wandb"), run_dir, config, name=run_dir.name, id=identity(run_dir), dir=str(run_dir))


def _trackio(run_dir: Path, config: TrainConfig, iteration: int) -> Tracker:
    # trackio knows a run by its name.
    return Tracker(import_module("trackio"), run_dir, config, name=f"{run_dir.name}-{identity(run_dir)}")


@dataclass(frozen=True)
class Adapter:
    """A row of the table.

    Attributes:
        open: (run directory, config, finished iterations) -> logger.
        module: that must be installed; the extra of this project that brings it has the logger's name.
    """

    open: Callable[[Path, TrainConfig, int], Logger]
    module: str


LOGGERS: dict[str, Adapter] = {
    "tensorboard": Adapter(TensorBoard, "tensorboard"),
    "wandb": Adapter(_wandb, "wandb"),
    "trackio": Adapter(_trackio, "trackio"),
}


def check_loggers(names: Sequence[str]) -> None:
    """Refuse loggers that are not installed.

    Raises:
        ConfigError: naming the extra, or those that there are.
    """
    for name in names:
        if name not in LOGGERS:
            raise ConfigError(f"--logger: unknown {name!r}; valid: {', '.join(LOGGERS)}")
        check_installed(f"--logger: {name}", LOGGERS[name].module, name)


def open_loggers(config: TrainConfig, run_dir: Path, iteration: int) -> list[Logger]:
    """The loggers that `config` names.

    Raises:
        RunError: one cannot be opened: nobody logged in, no network, ...; the others are closed again.
    """
    opened: list[Logger] = []
    for name in config.logger:
        try:
            opened.append(LOGGERS[name].open(run_dir, config, iteration))
        except Exception as error:  # of libraries that have no base class in common
            for logger in opened:
                logger.close()
            raise RunError(f"--logger: {name} cannot be opened: {_reason(error)}") from error
    return opened


def log_evaluation(
    names: Sequence[str],
    run_dir: Path,
    config: TrainConfig,
    iteration: int,
    values: dict[str, float],
    say: Say = print,
    paths: Sequence[Path] = (),
    video: bytes | None = None,
) -> None:
    """Hand the numbers of an evaluation to loggers, in the log of the run. It has been written by then, so of a logger
    that fails a line is said.

    Args:
        iteration: of the agent that was evaluated.
        values: by ``split/name``.
        paths: files of the evaluation and its page, for loggers that keep files (W&B).
        video: of the page (.mp4), for loggers that show videos (W&B).
    """
    for name in names:
        try:
            logger = LOGGERS[name].open(run_dir, config, iteration)
            try:
                logger.conclude(iteration, values)
                if paths and isinstance(logger, Wandb):
                    logger.attach(f"evaluation-{identity(run_dir)}", paths)
                if video and isinstance(logger, Wandb):
                    logger.show("adaptation", video)
            finally:
                logger.close()
        except Exception as error:
            say(f"--logger: {name} did not get the evaluation: {_reason(error)}")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _flat(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted names; lists as text."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield path + name, " ".join(map(str, value)) if isinstance(value, list) else value


def identity(run_dir: Path) -> str:
    """A name that the run keeps even if its folder moves; made when first asked for."""
    path = run_dir / "logger-id"
    if not path.exists():
        path.write_text(uuid.uuid4().hex[:8])
    return path.read_text()
