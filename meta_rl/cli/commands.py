"""The command line: ``meta-rl train | evaluate | compare | render | report | view | record | demonstrate | adapt |
export | runs | envs``.

Options are the fields of the config dataclasses. Whatever is wrong with them is said in one line, with exit code 2,
before torch or metaworld are imported and before anything is written.
"""

from __future__ import annotations

import ctypes
import dataclasses
import inspect
import shlex
import signal
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import envs
from meta_rl.cli.environments import ASKED_FOR, know, know_own, of_run
from meta_rl.cli.listing import runs_command
from meta_rl.cli.options import (
    COMPLETION,
    CompareConfig,
    EnvsCheckConfig,
    EnvsConfig,
    ReportConfig,
    take_option,
)
from meta_rl.cli.parsing import parse_options
from meta_rl.config import (
    RECIPES,
    EvaluateConfig,
    TrainConfig,
    check_choice,
    check_protocol,
    check_ranges,
    default_config,
    load_config,
    validate,
)
from meta_rl.config.fewshot import SPLITS, parse_name
from meta_rl.errors import ConfigError, RunError, Stopped
from meta_rl.runs.folder import (
    check_file,
    check_start,
    find_iteration,
    holds_run,
    iterations,
    numbers_in_words,
    results_dir,
)
from meta_rl.runs.loggers import check_loggers, log_evaluation

EVERY = "all"
"""``--iteration`` of all that are kept."""


def run_command(command: str, rest: list[str]) -> int:
    """Run a command with the arguments after its name; returns the exit code of `meta_rl.cli.main`."""
    warnings.showwarning = lambda message, *_: print(f"meta-rl {command}: {message}", file=sys.stderr)
    try:
        if command == COMPLETION:
            from meta_rl.cli.completion import completion_command

            return completion_command(rest)
        check_choice("command", command, COMMANDS)
        return COMMANDS[command](rest)
    except KeyboardInterrupt as stop:
        goes_on = "; the same command goes on from the last checkpoint" if command == "train" else ""
        print(f"meta-rl {command}: stopped{goes_on}", file=sys.stderr)
        return 128 + (stop.signal if isinstance(stop, Stopped) else signal.SIGINT)
    except (ConfigError, envs.UnknownNameError) as error:
        print(f"meta-rl {command}: {error}", file=sys.stderr)
        return 2
    except (RunError, envs.EnvError, envs.NonFiniteError, envs.NoDisplayError) as error:
        print(f"meta-rl {command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read what is printed has gone, which is no fault of a file
        raise
    except OSError as error:  # a file or folder that cannot be read or written
        place = f"{error.filename2 or error.filename}: " if error.filename else ""
        print(f"meta-rl {command}: {place}{error.strerror or error}", file=sys.stderr)
        return 1
    except MemoryError as error:
        said = " ".join(str(error).split())
        print(f"meta-rl {command}: out of memory{f' ({said})' if said else ''}", file=sys.stderr)
        return 1


def train_command(argv: list[str]) -> int:
    """``meta-rl train``."""
    config = parse_train(argv)
    check_loggers(config.logger)
    check_device(config.device)
    holds_run(config)  # refuses early; `train` asks again under its lock
    check_start(config)
    from meta_rl.cli.showing import evaluate_with_page, page_underway  # torch comes in here, after the checks
    from meta_rl.evaluation.report import is_evaluated, say_again
    from meta_rl.evaluation.words import command_line
    from meta_rl.runs.display import Display
    from meta_rl.training.train import train

    run_dir = train(config, page=page_underway)
    if is_evaluated(run_dir, config.evaluate):
        display = Display()
        say_again(run_dir, display)
        display(f"{run_dir} was evaluated before; once more: {command_line('evaluate', run_dir)}")
        display.place("report", run_dir / "report.html")
    else:
        record, video = evaluate_with_page(run_dir, config.evaluate)
        written = [run_dir / name for name in ("evaluation.json", "report.md", "report.html")]
        log_evaluation(config.logger, run_dir, config, record.iteration, record.scalars(), paths=written, video=video)
    return 0


def evaluate_command(argv: list[str]) -> int:
    """``meta-rl evaluate``."""
    about = (
        "Evaluate the newest checkpoint on held-out tasks. --split NAME takes other tasks. --iteration N evaluates the "
        "kept checkpoint of that iteration, and all every kept one; both write into RUN/evaluations. --data PATH tells "
        "where the data of a few-shot run lies now."
    )
    argv = of_run(argv)
    run_dir, config = take_run("evaluate", argv, EvaluateConfig(), about)
    split, rest = take_option(argv[1:], "--split", "test")
    wanted, rest = take_option(rest, "--iteration", "")
    data, rest = take_option(rest, "--data", "")
    check_data(config, data)
    protocol = parse_options(EvaluateConfig, config.evaluate, rest, "meta-rl evaluate")
    check_split(config.env, split)
    protocol = check_protocol(replace_evaluate(config, protocol)).evaluate
    if wanted == EVERY:
        iterations(run_dir)  # refuses a run without a checkpoint
        from meta_rl.evaluation.curve import evaluate_kept

        evaluate_kept(run_dir, protocol, shlex.join(["meta-rl", "evaluate", *argv]), split=split, data=data)
        return 0
    iteration = read_iteration(run_dir, wanted, EVERY)
    from meta_rl.evaluation.report import evaluate_run

    evaluate_run(run_dir, protocol, split=split, iteration=iteration, data=data)
    return 0


def take_iteration(run_dir: Path, argv: list[str]) -> tuple[int | None, list[str]]:
    """The iteration that ``--iteration`` asks for (None: it is not given), and the arguments without it.

    Raises:
        ConfigError: see `read_iteration`.
    """
    wanted, rest = take_option(argv, "--iteration", "")
    return read_iteration(run_dir, wanted), rest


def read_iteration(run_dir: Path, wanted: str, *others: str) -> int | None:
    """A kept iteration from the words of ``--iteration``; None, the newest, where it is not given.

    Args:
        others: what else the command takes.
    Raises:
        ConfigError: it is not kept, naming those that are.
    """
    if not wanted:
        return None
    if not wanted.isdecimal():
        valid = ", ".join([numbers_in_words(iterations(run_dir)), *others])
        raise ConfigError(f"--iteration: {wanted!r} is no iteration; valid: {valid}")
    find_iteration(run_dir, int(wanted))
    return int(wanted)


def take_run(
    command: str, argv: list[str], options: Any, about: str | None = None, flags: bool = False
) -> tuple[Path, TrainConfig]:
    """The run directory that comes first in `argv`, and its config; with ``--help``, the help for `options` instead.

    Args:
        about, flags: for the help, as in `parse_options`.
    Raises:
        ConfigError: there is no run.
    """
    if any(a in ("-h", "--help") for a in argv):
        about = f"{about or inspect.getdoc(type(options))} {ASKED_FOR}"
        parse_options(type(options), options, ["--help"], f"meta-rl {command} RUN", about, flags)
    if not argv or argv[0].startswith("-"):
        raise ConfigError(f"RUN: name the run directory first, as in: meta-rl {command} runs/NAME")
    run_dir = Path(argv[0])
    if not (run_dir / "config.json").exists():
        raise ConfigError(f"RUN: {run_dir} is not a run directory (it has no config.json)")
    return run_dir, load_config(run_dir / "config.json")


def take_episodes(command: str, argv: list[str], options: Any, to: str = "show") -> tuple[Path, TrainConfig]:
    """`take_run` for commands that need episodes.

    Args:
        to: what they are needed for.
    Raises:
        ConfigError: there is no run, or no episodes in it.
    """
    run_dir, config = take_run(command, argv, options)
    if RECIPES[config.recipe].learns != "rl":
        raise ConfigError(f"RUN: {run_dir} is a few-shot run, which has no episodes to {to}")
    return run_dir, config


def render_command(argv: list[str]) -> int:
    """``meta-rl render``."""
    from meta_rl.visualise.options import RenderConfig

    argv = of_run(argv)
    run_dir, _ = take_episodes("render", argv, RenderConfig())
    iteration, rest = take_iteration(run_dir, argv[1:])
    options = parse_options(RenderConfig, RenderConfig(iteration=iteration), rest, "meta-rl render")
    for name, least in (("steps", 0), ("every", 1), ("fps", 1), ("width", 32)):
        if getattr(options, name) < least:
            raise ConfigError(f"--{name}: must be at least {least}")
    from meta_rl.cli.showing import render_run

    render_run(run_dir, options)
    return 0


def record_command(argv: list[str]) -> int:
    """``meta-rl record``."""
    from meta_rl.handover.options import RecordConfig

    argv = of_run(argv)
    run_dir, config = take_episodes("record", argv, RecordConfig(), "record")
    iteration, rest = take_iteration(run_dir, argv[1:])
    default = RecordConfig(iteration=iteration, evaluate=config.evaluate)
    options = parse_options(RecordConfig, default, rest, "meta-rl record")
    check_protocol(replace_evaluate(config, options.evaluate))
    from meta_rl.handover.record import record_run

    record_run(run_dir, options)
    return 0


def demonstrate_command(argv: list[str]) -> int:
    """``meta-rl demonstrate``."""
    from meta_rl.handover.options import DemonstrateConfig

    options = parse_options(DemonstrateConfig, DemonstrateConfig(), argv, "meta-rl demonstrate")
    if len(options.names) != 1:
        raise ConfigError("ENV: name one environment, as in: meta-rl demonstrate metaworld/ml1-push-v3 --out push.npz")
    from meta_rl.cli.environments import find
    from meta_rl.handover.demonstrate import demonstrate

    demonstrate(options, find(options.names[0], options.split))
    return 0


def view_command(argv: list[str]) -> int:
    """``meta-rl view``."""
    from meta_rl.visualise.options import ViewConfig

    argv = of_run(argv)
    run_dir, _ = take_episodes("view", argv, ViewConfig())
    iteration, rest = take_iteration(run_dir, argv[1:])
    options = parse_options(ViewConfig, ViewConfig(iteration=iteration), rest, "meta-rl view")
    if options.port is not None and not 0 <= options.port < 65536:
        raise ConfigError("--port: must be from 0 to 65535")
    from meta_rl.cli.showing import view_run

    view_run(run_dir, options, partial(print, flush=True))  # whoever reads a pipe waits for the address
    return 0


def report_command(argv: list[str]) -> int:
    """``meta-rl report``."""
    options = parse_options(ReportConfig, ReportConfig(), argv, "meta-rl report", flags=True)
    if not options.runs:
        raise ConfigError(
            "RUN: name the run directories, as in: meta-rl report runs/A [runs/B ...] [--out report.html]"
        )
    found = [take_run("report", [run], EvaluateConfig()) for run in options.runs]
    for folder, config in found:
        know(folder, options.env)
        check_data(config, options.data)
    folders = [folder for folder, _ in found]
    path = Path(options.out or (results_dir(folders[0]) / "report.html" if len(folders) == 1 else "report.html"))
    if options.out:
        check_file(path, "--out")
    from meta_rl.cli.showing import report_page
    from meta_rl.evaluation.record import evaluation_path
    from meta_rl.evaluation.report import evaluate_run
    from meta_rl.runs.standing import Begun

    for folder, config in found:
        if evaluation_path(folder).exists():
            continue
        standing = Begun.read(folder).standing
        if standing.complete:
            evaluate_run(folder, config.evaluate, data=options.data)
        else:
            print(f"{folder}: {standing.words()}; not evaluated yet, so the page shows its training")
    path.parent.mkdir(exist_ok=True)
    report_page(folders, path)
    return 0


def compare_command(argv: list[str]) -> int:
    """``meta-rl compare``."""
    options = parse_options(CompareConfig, CompareConfig(), argv, "meta-rl compare", flags=True)
    runs = options.runs
    if not runs:
        raise ConfigError("RUN: name the run directories, as in: meta-rl compare runs/A runs/B [--out results/NAME]")
    tables = [Path(run) for run in runs if run.endswith(".json")]
    folders = [Path(run) for run in runs if not run.endswith(".json")]
    if not folders:
        raise ConfigError("RUN: name a run directory besides the tables that it should join")
    from meta_rl.evaluation.record import evaluated

    evaluated(folders)  # refused before anything heavy is imported
    from meta_rl.evaluation import compare, markdown
    from meta_rl.runs.display import Display

    comparison = compare.compare(folders)
    for table in tables:
        comparison = compare.join_earlier(comparison, table)
    command = shlex.join(["meta-rl", "compare", *argv])
    parts = [*compare.comparison_parts(comparison), compare.made_by(command)]
    Display().document(parts, markdown.document(parts))
    if options.out:
        compare.write_comparison(comparison, Path(options.out), command)
    return 0


def adapt_command(argv: list[str]) -> int:
    """``meta-rl adapt``."""
    from meta_rl.handover.options import AdaptConfig

    argv = of_run(argv, needed=not take_option(argv, "--gym", "")[0])
    run_dir, _ = take_episodes("adapt", argv, AdaptConfig(), "practise")
    iteration, rest = take_iteration(run_dir, argv[1:])
    options = parse_options(AdaptConfig, AdaptConfig(iteration=iteration), rest, "meta-rl adapt")
    check_ranges(options)
    from meta_rl.handover.adapt import adapt_run

    adapt_run(run_dir, options)
    return 0


def export_command(argv: list[str]) -> int:
    """``meta-rl export``."""
    from meta_rl.handover.options import ExportConfig

    argv = of_run(argv, needed=False)
    run_dir, config = take_run("export", argv, ExportConfig(), flags=True)
    iteration, rest = take_iteration(run_dir, argv[1:])
    options = parse_options(ExportConfig, ExportConfig(iteration=iteration), rest, "meta-rl export", flags=True)
    check_data(config, options.data)
    if options.format == "agent":
        from meta_rl.handover.export import export_run as exported
    else:
        from meta_rl.handover.policy import export_policy as exported
    exported(run_dir, options)
    return 0


def envs_command(argv: list[str]) -> int:
    """``meta-rl envs``: list, or check."""
    if argv[:1] == ["check"]:
        return envs_check_command(argv[1:])
    options = parse_options(EnvsConfig, EnvsConfig(), argv, "meta-rl envs", flags=True)
    names = [name for name in envs.list_names() if all(text.lower() in name.lower() for text in options.texts)]
    if not names:
        raise ConfigError(f"TEXT: no task distribution contains {' and '.join(options.texts)}; meta-rl envs lists all")
    from meta_rl.cli.environments import environment_lines

    for line in environment_lines(names, seconds=0.5 if options.speed else 0.0):
        print(line, flush=True)
    return 0


def envs_check_command(argv: list[str]) -> int:
    """``meta-rl envs check``."""
    options = parse_options(EnvsCheckConfig, EnvsCheckConfig(), argv, "meta-rl envs check", flags=True)
    if len(options.names) != 1:
        raise ConfigError("NAME: name one task distribution, as in: meta-rl envs check mymodule:MyDistribution")
    from meta_rl.cli.environments import check_environment

    check_environment(options.names[0], options.split, options.task_visible)
    print(f"{options.names[0]}: keeps the contract")
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": train_command,
    "evaluate": evaluate_command,
    "compare": compare_command,
    "render": render_command,
    "record": record_command,
    "demonstrate": demonstrate_command,
    "adapt": adapt_command,
    "export": export_command,
    "report": report_command,
    "view": view_command,
    "runs": runs_command,
    "envs": envs_command,
}


def parse_train(argv: list[str]) -> TrainConfig:
    """The checked config of ``meta-rl train`` arguments.

    Defaults come from ``--config FILE`` if given, else from the recipe and the environment.

    Raises:
        ConfigError: anything wrong, in one line.
    """
    file, argv = take_option(argv, "--config", "")
    if file:
        default = load_config(Path(file))
    else:
        default = default_config(find_recipe(argv), take_option(argv, "--env", TrainConfig.env)[0])
    know_own(default.env, take_option(argv, "--env", "")[0], Path(file).parent if file else None)
    about = "Train, or resume, then evaluate on held-out tasks. --config FILE takes the defaults from a dumped config."
    config = parse_options(TrainConfig, default, argv, "meta-rl train", about)
    if file and config.recipe != default.recipe:
        check_choice("recipe", config.recipe, RECIPES)
        raise ConfigError(
            f"recipe: {file} holds the settings of {default.recipe}, not of {config.recipe}; leave out one of the two, "
            "or name a file of the same recipe"
        )
    return validate(config)


def find_recipe(argv: list[str]) -> str:
    """The recipe among arguments that are not parsed yet, because their defaults depend on it."""
    if argv and not argv[0].startswith("-"):
        return argv[0]
    return next((argument for argument in argv if argument in RECIPES), TrainConfig.recipe)


def check_split(env: str, split: str) -> None:
    """Refuse a split that the tasks do not have.

    Raises:
        ConfigError, UnknownNameError: naming the valid ones.
    """
    if parse_name(env) is None:
        envs.check_name(env, split)
    elif split not in SPLITS:
        raise ConfigError(f"--split: unknown split {split!r}; valid: {', '.join(SPLITS)}")


def check_data(config: TrainConfig, data: str) -> None:
    """Refuse data for a run that has learned in an environment.

    Raises:
        ConfigError: naming the option.
    """
    if data and RECIPES[config.recipe].learns == "rl":
        raise ConfigError(f"--data: for few-shot runs; {config.recipe} has learned in an environment; valid: none")


def check_device(device: str) -> None:
    """Refuse ``cuda`` at once where there is no NVIDIA driver (torch takes seconds to find out).

    Raises:
        ConfigError: no driver library.
    """
    if device == "cuda":
        try:
            ctypes.CDLL("libcuda.so.1")
        except OSError:
            raise ConfigError(
                "--device: cuda asked for, but this machine has no NVIDIA driver; valid: cpu, auto"
            ) from None


def replace_evaluate(config: TrainConfig, protocol: EvaluateConfig) -> TrainConfig:
    """`config` with another evaluation protocol."""

    return dataclasses.replace(config, evaluate=protocol)
