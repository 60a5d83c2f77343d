"""Pages, videos and the live view: runs are loaded, evaluated and played here, and drawn by `meta_rl.visualise`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from envs import Task
from meta_rl.agents.agent import load
from meta_rl.agents.opening import open_distribution
from meta_rl.config import EvaluateConfig
from meta_rl.errors import ConfigError, Say
from meta_rl.evaluation.compare import compare_runs
from meta_rl.evaluation.episodes import test_tasks
from meta_rl.evaluation.live import Live
from meta_rl.evaluation.playing import Shown, opened, play
from meta_rl.evaluation.record import evaluated, evaluation_path, files
from meta_rl.evaluation.recording import Recording, record
from meta_rl.evaluation.report import evaluate_and_record
from meta_rl.evaluation.scores import Record
from meta_rl.runs.display import Display
from meta_rl.runs.folder import check_file, of_iteration, results_dir
from meta_rl.runs.standing import Begun
from meta_rl.visualise import side_by_side, video
from meta_rl.visualise.options import RenderConfig, ViewConfig
from meta_rl.visualise.page.write import Written, write_page
from meta_rl.visualise.view.server import serve, stop, viser_server
from meta_rl.visualise.view.visitor import Visitor

MOST = 4
"""Tasks shown where none are named."""


def evaluate_with_page(run_dir: Path, protocol: EvaluateConfig, say: Say = print) -> tuple[Record, bytes | None]:
    """Evaluate the newest checkpoint of a run (see `meta_rl.evaluation.report.evaluate_run`), and write the page of it
    beside its report.

    Returns:
        What was found, and the video of the page if it has one.
    """
    display = Display.of(say)
    record, played = evaluate_and_record(run_dir, protocol, display)
    written = report_page([run_dir], files(run_dir).report.with_suffix(".html"), display, played)
    return record, written.videos[0]


def report_page(run_dirs: Sequence[Path], out: Path, say: Say = print, at_hand: Recording | None = None) -> Written:
    """Write the page of runs, and say where it is. Runs without an evaluation are shown as far as they are.

    Args:
        out: the .html file.
        at_hand: a recording of the test tasks of the only run; otherwise what was kept of its evaluation is taken, or
            played again.
    Raises:
        ConfigError: runs do not compare.
        RunError: a run is damaged.
    """
    display, judged = Display.of(say), [folder for folder in run_dirs if evaluation_path(folder).exists()]
    runs = evaluated(judged, "go on one page")
    comparison = compare_runs(runs) if len(runs) > 1 else None
    waiting = iter(runs)
    shown = [
        play(next(waiting), len(run_dirs), display, at_hand) if folder in judged else Begun.read(folder)
        for folder in run_dirs
    ]
    written = write_page(shown, out, display, comparison)
    display.place("report", written.path)
    return written


def page_underway(run_dir: Path) -> None:
    """Write the page of a run that is training: its curves so far, and the numbers of its last evaluation if it has
    one. Nothing is loaded or played for it.

    Raises:
        OSError, ConfigError, RunError: it cannot be written, or a file that it is made of is damaged.
    """
    judged = evaluation_path(run_dir).exists()
    shown = Shown(evaluated([run_dir])[0], {}) if judged else Begun.read(run_dir)
    write_page([shown], files(run_dir).report.with_suffix(".html"), lambda line: None)


def render_run(run_dir: Path, options: RenderConfig, say: Say = print) -> Path:
    """Play tasks of a run, and write the video of them, whose path is returned.

    Raises:
        ConfigError: not a run that can be shown, tasks that are not there, no PyAV.
        NoDisplayError: the tasks are drawn with OpenGL, and there is none.
    """
    out = Path(options.out) if options.out else results_dir(run_dir) / render_name(options)
    video.check_suffix(out, "--out")
    if options.out:
        check_file(out, "--out")
    agent = load(run_dir, options.iteration)
    distribution = open_distribution(agent, options.split)
    protocol = agent.config.evaluate
    if options.steps:
        protocol = replace(protocol, adaptation_steps=options.steps)
    tasks = test_tasks(distribution, protocol.test_tasks, protocol.evaluation_seed)
    positions = choose(tasks, options, opened(run_dir, agent, options.split, distribution))
    distribution.scene(tasks[positions[0]]).require_display()
    shown = ", ".join(map(str, positions))
    display = Display.of(say)
    display(f"playing iteration {agent.iteration} on {agent.config.env}, {options.split} tasks {shown}")
    recording = record(agent, protocol, options.split, positions, display=display, practice=True)
    pictures = side_by_side.frames(recording, distribution.scene, range(len(positions)), options.every, options.width)
    out.parent.mkdir(exist_ok=True)
    with display.bar("drawing", side_by_side.picture_count(recording, range(len(positions)), options.every)) as bar:
        video.write_video(out, bar.over(pictures), options.fps)
    for i, task in enumerate(recording.tasks):
        before, after = (recording.score(i, stage)[0] for stage in (0, recording.stages - 1))
        display(f"{task.family}, task {recording.positions[i]}: return {before:.2f} -> {after:.2f}")
    display.place("video", out)
    return out


def render_name(options: RenderConfig) -> str:
    """The name of a video without ``--out``, another one for each thing that may be shown."""
    named = of_iteration(Path("adaptation"), options.iteration).name
    parts = [
        named,
        *(["train"] if options.split == "train" else []),
        *([f"steps{options.steps}"] if options.steps else []),
    ]
    if options.tasks:
        parts.append("tasks" + "-".join(map(str, options.tasks)))
    return "-".join([*parts, *([] if options.tasks else options.families)]) + ".mp4"


def choose(tasks: Sequence[Task], options: RenderConfig, opened: Sequence[int]) -> list[int]:
    """Positions of the tasks to show.

    Args:
        opened: those to show unless others are named, one of each family.
    Raises:
        ConfigError: a family or a task that is not there.
    """
    for position in options.tasks:
        if not 0 <= position < len(tasks):
            raise ConfigError(f"--tasks: {position} asked for; valid: 0 to {len(tasks) - 1}")
    if options.tasks:
        return list(dict.fromkeys(options.tasks))
    first = {tasks[position].family: position for position in opened}
    for family in options.families:
        if family not in first:
            raise ConfigError(f"--families: no task of {family!r} here; valid: {', '.join(first)}")
    return [first[family] for family in options.families] or list(first.values())[:MOST]


def view_run(run_dir: Path, options: ViewConfig, say: Say = print) -> None:
    """Serve the live view of a run until Ctrl-C, or a polite request to end (SIGTERM).

    Raises:
        ConfigError: viser is missing, the port is taken, or this is no run.
    """
    server = viser_server(options.port)
    try:
        agent = load(run_dir, options.iteration)
        title = f"**{agent.config.recipe}** on {agent.config.env}, {options.split} tasks, iteration {agent.iteration}"
        open_distribution(agent, options.split)  # what is wrong with it is said now

        def opened_live(wanted: Callable[[], bool], told: Say) -> Live:
            return Live(agent, options.split, run_dir, wanted, told)

        serve(server, lambda client: Visitor(client, opened_live, title), say, options.port)
    finally:
        stop(server)
