"""The training loop: sample, move to the device, meta-update, log, checkpoint; then evaluate and report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch

from meta_rl.agents.agent import Agent
from meta_rl.algorithms.base import MetaLearner
from meta_rl.algorithms.supervised import FewShotLearner
from meta_rl.config import TrainConfig, annealing_note, to_dict, validate
from meta_rl.core import normaliser
from meta_rl.core.interface import INTERFACE
from meta_rl.core.state import TrainState
from meta_rl.core.types import map_tensors, to_device
from meta_rl.errors import ConfigError, RunError, Say, Stopped
from meta_rl.runs import checkpoint, durable
from meta_rl.runs.display import Display
from meta_rl.runs.durable import CheckpointError
from meta_rl.runs.folder import absolute_data, as_begun, has_checkpoint, holds_run, open_run, versions, write_json
from meta_rl.runs.log import Row, RunLog, TrainingProgress, note_resume
from meta_rl.runs.loggers import check_loggers, open_loggers
from meta_rl.runs.own import remember
from meta_rl.runs.problem import Problem, open_problem
from meta_rl.runs.recorded import FINGERPRINT, check_resumed
from meta_rl.runs.signals import BROKEN_PIPE, Stop
from meta_rl.sources import fork_server
from meta_rl.sources.base import Source
from meta_rl.training.data_parallel import Shared, shared
from meta_rl.training.warm_start import begin_with, load_start

PageWriter = Callable[[Path], None]
"""Writes a page into a run directory."""
THREADS = "threads"
"""Key of the number of torch's threads in ``environment.json``. Sums over much data round by it in the last digits."""
MAX_SKIPPED = 3
"""Updates in a row that may be skipped because their gradient is not finite; then the run stops."""


def train(config: TrainConfig, say: Say = print, page: PageWriter | None = None) -> Path:
    """Run (or resume) the training that `config` describes and return its run directory.

    Args:
        page: writes a page of the run, every ``report_every`` iterations; without one there is none while it trains.
    Raises:
        ConfigError: an impossible setting, or the run directory holds another run, or one that began with other tasks
            or other data.
        RunError: no space left, every checkpoint damaged, a worker that fails again and again,
            gradients that are not finite three times in a row, ...
        Stopped: SIGINT or SIGTERM came; a checkpoint holds all finished iterations.
    """
    fork_server.leave_if_imported_again()
    config = as_begun(absolute_data(validate(config)))
    if config.learners > 1:
        fork_server.require_processes("--learners", 1)
    check_loggers(config.logger)
    device, display = select_device(config.device), replace(Display.of(say), lasting=True)
    problem = open_problem(config)
    if holds_run(config) and has_checkpoint(config.path):
        check_resumed(config, problem.fingerprint(), problem.interface)
    with closing(problem.source()) as source:
        start = None
        if config.start_from and not has_checkpoint(config.path):  # a resumed run has its own by now
            start = load_start(config, problem.interface, problem.learner.init().weights)
        run_dir = open_run(config)
        with durable.lock(run_dir):
            try:
                _train(config, problem, source, run_dir, device, display, start, page)
            except OSError as error:
                raise RunError(f"{run_dir}: {error.strerror or error}; the last checkpoint is intact") from error
    return run_dir


def _train(
    config: TrainConfig,
    problem: Problem,
    source: Source,
    run_dir: Path,
    device: torch.device,
    display: Display,
    start: Agent | None,
    page: PageWriter | None,
) -> None:
    """`train` while the run directory is held."""
    checkpoints = run_dir / "checkpoints"
    checkpoint.remove_leftovers(checkpoints)
    learner = problem.learner
    state = checkpoint.load_newest(checkpoints, replay=True)
    if (state.iteration if state else 0) < config.iterations:
        for line in (*header(config, run_dir, device), *problem.notes):
            display(line)
    write_json(run_dir / "config.json", to_dict(config))  # before anything else: this file marks the folder as a run
    if state is None:
        state = learner.init()
        about = {FINGERPRINT: problem.fingerprint(), "device": device.type, **versions()}
        about[THREADS] = torch.get_num_threads()
        about[INTERFACE] = problem.interface.to_dict()
        if start is not None:
            about["start"] = begin_with(state, start)
        write_json(run_dir / "environment.json", about)
    else:
        try:
            state.adopt(learner.init().weights)
        except ValueError as error:
            raise CheckpointError(f"{run_dir}: {error}") from None
        display(f"resuming {run_dir} after iteration {state.iteration} of {config.iterations}")
        if state.iteration < config.iterations:
            note_resume(run_dir, state.iteration, torch.get_num_threads())
            mention_threads(run_dir, torch.get_num_threads(), display)
    remember(run_dir, config.env)
    if state.iteration < config.iterations and (note := annealing_note(config)):
        display(note)
    move_state(state, device)
    loggers = open_loggers(config, run_dir, state.iteration)
    progress = TrainingProgress(display, config.iterations, state.iteration, problem.has_success)
    with (
        Stop(show=progress.note) as stop,
        closing(RunLog(run_dir, state.iteration, loggers)) as log,
        shared(learner, config.learners, device) as updater,
    ):
        with progress:
            skipped = 0  # updates in a row, since the start or the resumption
            while state.iteration < config.iterations and stop.requested is None:
                finished = state.copy()
                try:
                    with stop.abandonable():
                        row, timing = train_iteration(state, source, updater, device, progress.tell)
                except Stopped:
                    state = finished
                    break
                log.write(row, timing)
                progress.show(row, timing)
                if display.unread and stop.requested is None:  # `| head` has seen enough
                    stop.requested = BROKEN_PIPE
                skipped = skipped + 1 if row.get("guard/non_finite_gradient") else 0
                if skipped == MAX_SKIPPED:
                    raise RunError(
                        f"the gradient was not finite in {skipped} iterations in a row, the last of them "
                        f"{state.iteration}; {dump(run_dir, row, finished)} holds its metrics and how large the "
                        "parameters were; try a smaller step size"
                    )
                if state.iteration % config.checkpoint_every == 0:
                    checkpoint.save_checkpoint(checkpoints, state, config.keep_checkpoints)
                if page and config.report_every and state.iteration % config.report_every == 0:
                    refresh_page(page, run_dir, display)
        checkpoint.save_checkpoint(checkpoints, state, config.keep_checkpoints)
    if stop.requested is not None:
        raise Stopped(stop.requested)


def refresh_page(page: PageWriter, run_dir: Path, say: Say) -> None:
    """Write a page of a run that goes on, also if that fails: then a line says so."""
    try:
        page(run_dir)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        say(f"--report-every: no page this time: {reason}")


def header(config: TrainConfig, run_dir: Path, device: torch.device) -> list[str]:
    """What is about to be trained, where it goes, and that it may be stopped."""
    places = [("worker processes", config.workers), ("learners", config.learners if config.learners > 1 else 0)]
    helpers = "".join(f", {count} {name}" for name, count in places if count)
    return [
        f"{config.recipe} on {config.env}, seed {config.seed}: {config.iterations:,} iterations of "
        f"{config.meta_batch_size} tasks",
        f"run folder {run_dir}, device {device.type}{helpers}",
        "Ctrl-C is safe: a checkpoint is written, and the same command goes on from it",
    ]


def mention_threads(run_dir: Path, threads: int, say: Say) -> None:
    """Say that a run goes on with another number of torch's threads than it began with, if its record tells."""
    try:
        began = json.loads((run_dir / "environment.json").read_bytes()).get(THREADS)
    except (OSError, ValueError, AttributeError):  # whoever needs the rest of it says so
        return
    if began is not None and began != threads:
        say(
            f"{run_dir} began with {began} threads of torch and goes on with {threads}: sums may round differently "
            f"from here on; OMP_NUM_THREADS={began} keeps to the bits that it would have had"
        )


def dump(run_dir: Path, row: Row, state: TrainState) -> Path:
    """Write what explains a gradient that is not finite; NaNs and infinities as words."""
    largest = {name: float(p.abs().max()) for name, p in state.params.items() if p.numel()}
    path = run_dir / "non_finite_gradient.json"
    words = {key: repr(value) for key, value in row.items()}
    write_json(path, {"metrics": words, "largest_parameters": {name: repr(x) for name, x in largest.items()}})
    return path


def train_iteration(
    state: TrainState,
    source: Source,
    learner: MetaLearner | FewShotLearner | Shared,
    device: torch.device,
    tell: Say = lambda sentence: None,
) -> tuple[Row, Row]:
    """One iteration; changes `state` and returns the row of metrics and the row of timings.

    Args:
        tell: is given why success is unknown, or an empty line.
    """
    started, restarts = time.perf_counter(), source.restarts
    shard = source.sample(state.weights.cpu(), state.iteration)
    sampled = time.perf_counter()
    tell(shard.missing_success)
    metrics = learner.meta_update(state, to_device(shard.batch, device))
    if shard.measured:  # of use from the next iteration on: this one acted and learned by those it began with
        state.statistics = normaliser.merged(state.statistics, shard.measured)
    state.iteration += 1
    state.env_steps += shard.env_steps
    ended = time.perf_counter()
    row = {"iteration": state.iteration, "env_steps": state.env_steps, **shard.describe(), **metrics}
    timing = {
        "iteration": state.iteration,
        "time/sample": sampled - started,
        "time/meta_update": ended - sampled,
        "time/iteration": ended - started,
        "time/env_steps_per_second": shard.env_steps / (ended - started),
        "workers/restarts": float(source.restarts - restarts),
    }
    return row, timing


def select_device(name: str) -> torch.device:
    """The learner's device for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ConfigError: CUDA was asked for and is absent.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device: cuda is not available on this machine; valid: cpu, auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def move_state(state: TrainState, device: torch.device) -> None:
    """All tensors of `state` to `device`, except statistics, which are small, and the replay, which may be large."""
    for group in ("params", "shared", "optimizer", "extras"):
        setattr(state, group, map_tensors(lambda x: x.to(device), getattr(state, group)))
