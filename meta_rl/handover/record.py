"""``meta-rl record``: the episodes of an evaluation for others to read."""

from __future__ import annotations

from pathlib import Path

from meta_rl.agents.agent import load
from meta_rl.errors import Say
from meta_rl.evaluation.recording import record
from meta_rl.handover.minari import check_minari, to_minari
from meta_rl.handover.options import RecordConfig
from meta_rl.runs.folder import check_file, of_iteration, results_dir


def record_run(run_dir: Path, options: RecordConfig, say: Say = print) -> Path:
    """Play the test tasks and write the .npz file, whose path is returned, and the Minari data set.

    Raises:
        ConfigError: no folder for the file, a task that is not there, no Minari.
    """
    default = of_iteration(results_dir(run_dir) / "trajectories.npz", options.iteration)
    out = Path(options.out) if options.out else default
    if options.out:
        check_file(out, "--out")
    if options.minari:
        check_minari(options.minari)
    agent = load(run_dir, options.iteration)
    recording = record(agent, options.evaluate, options.split, options.tasks or None)
    out.parent.mkdir(exist_ok=True)
    recording.save(out)
    say(f"iteration {agent.iteration}: {recording.returns.size} episodes of {len(recording.tasks)} tasks: {out}")
    if options.minari:
        say(f"Minari data set {options.minari}: {to_minari(recording, agent.interface, options.minari)}")
    return out
