"""``meta-rl render``: a run's video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import envs
from envs import Task
from meta_rl.agents.agent import load
from meta_rl.errors import ConfigError, Say
from meta_rl.evaluation.episodes import test_tasks
from meta_rl.evaluation.recording import first_of_each, record
from meta_rl.runs.folder import of_iteration, results_dir
from meta_rl.visualise import side_by_side, video
from meta_rl.visualise.options import RenderConfig

MOST = 4
"""Tasks shown where none are named."""


def render(run_dir: Path, options: RenderConfig, say: Say = print) -> Path:
    """Play, draw, and write the file, whose path is returned.

    Raises:
        ConfigError: not a run that can be shown, tasks that are not there, no PyAV.
        NoDisplayError: the tasks are drawn with OpenGL, and there is none.
    """
    video.require_av()
    default = of_iteration(results_dir(run_dir) / "adaptation.mp4", options.iteration)
    out = Path(options.out) if options.out else default
    if options.out and not out.parent.is_dir():
        raise ConfigError(f"--out: there is no folder {out.parent}")
    agent = load(run_dir, options.iteration)
    distribution = envs.make(agent.config.env, options.split)
    protocol = agent.config.evaluate
    if options.steps:
        protocol = replace(protocol, adaptation_steps=options.steps)
    tasks = test_tasks(distribution, protocol.test_tasks, protocol.evaluation_seed)
    positions = choose(tasks, options)
    distribution.scene(tasks[positions[0]]).require_display()
    shown = ", ".join(map(str, positions))
    say(f"playing iteration {agent.iteration} on {agent.config.env}, {options.split} tasks {shown}")
    recording = record(agent, protocol, options.split, positions)
    pictures = side_by_side.frames(recording, distribution.scene, range(len(positions)), options.every, options.width)
    out.parent.mkdir(exist_ok=True)
    video.write_video(out, pictures, options.fps)
    for i, task in enumerate(recording.tasks):
        before, after = recording.returns[i, 0, 0], recording.returns[i, -1, 0]
        say(f"{task.family}, task {recording.positions[i]}: return {before:.2f} -> {after:.2f}")
    say(f"video: {out}")
    return out


def choose(tasks: Sequence[Task], options: RenderConfig) -> list[int]:
    """Positions of the tasks to show.

    Raises:
        ConfigError: a family or a task that is not there.
    """
    for position in options.tasks:
        if not 0 <= position < len(tasks):
            raise ConfigError(f"--tasks: {position} asked for; valid: 0 to {len(tasks) - 1}")
    if options.tasks:
        return list(dict.fromkeys(options.tasks))
    first = {tasks[position].family: position for position in first_of_each([task.family for task in tasks], 1)}
    for family in options.families:
        if family not in first:
            raise ConfigError(f"--families: no task of {family!r} here; valid: {', '.join(first)}")
    return [first[family] for family in options.families] or list(first.values())[:MOST]
