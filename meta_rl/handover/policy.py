"""``meta-rl export --format``: a policy as one file for machines without this software, in a folder with a card."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from meta_rl.agents.agent import Agent, load, load_player
from meta_rl.agents.player import Player
from meta_rl.config import RECIPES
from meta_rl.errors import ConfigError, RunError, Say
from meta_rl.handover.formats import POLICY_FORMATS
from meta_rl.handover.graph import graph_of
from meta_rl.handover.options import ExportConfig
from meta_rl.handover.parity import check_parity
from meta_rl.handover.policy_card import policy_card
from meta_rl.runs import durable
from meta_rl.runs.folder import check_free, of_iteration, results_dir

DESCRIPTION = "policy.json"
"""The file that only a folder of an exported policy has."""
CARD = "README.md"


def export_policy(run_dir: Path, options: ExportConfig, say: Say = print) -> Path:
    """Export the policy of a run or of an exported agent as the options say; returns the folder.

    Raises:
        ConfigError: an option has no meaning here, a library is missing, or as `write_policy`.
        RunError: as `write_policy`.
    """
    for option in ("tasks", "replay", "push_to_hub", "private"):
        if getattr(options, option):
            raise ConfigError(f"--{option.replace('_', '-')}: for --format agent; leave it out, or the format")
    POLICY_FORMATS[options.format].check()
    home = results_dir(Path(options.adapted) if options.adapted else run_dir)
    default = of_iteration(home / f"export-{options.format}", options.iteration)
    out = Path(options.out) if options.out else default
    check_policy_out(out)
    agent = load(run_dir, options.iteration, options.data)
    write_policy(agent, out, options.format, player_of(agent, run_dir, options.adapted) if options.adapted else None)
    say(f"policy: {out / POLICY_FORMATS[options.format].file}; {out / CARD} says how to run it")
    return out


def write_policy(agent: Agent, out: str | Path, format: str = "onnx", player: Player | None = None) -> Path:
    """Write the policy of `agent` as a file of `format` into the folder `out`, with a card; returns the folder. First
    the file's contents are run beside the player.

    Args:
        format: onnx or pt2.
        player: of this agent, whose adapted weights or memory are written; default: as it was meta-learned.
    Raises:
        ConfigError: another format, a missing library, a policy that is no such graph, or `out` holds something else.
        RunError: the file would not act as the player does, or cannot be written.
    """
    if format not in POLICY_FORMATS:
        raise ConfigError(f"format: unknown {format!r}; valid: {', '.join(POLICY_FORMATS)}")
    kind, out = POLICY_FORMATS[format], Path(out)
    kind.check()
    check_policy_out(out)
    if player is None and RECIPES[agent.config.recipe].learns == "rl":
        player = agent.player()
    graph = graph_of(agent, player)
    contents = kind.pack(graph)
    parity = check_parity(graph, kind.run(contents), agent, player)
    files = {kind.file: contents}
    description: dict[str, Any] = {**graph.about, "parity": asdict(parity), "files": durable.digests(files)}
    written = files | {
        CARD: policy_card(agent, graph, kind, parity, len(contents)).encode(),
        DESCRIPTION: durable.json_bytes(description),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for left in {other.file for other in POLICY_FORMATS.values()} - {kind.file}:  # by the policy that lay here
            (out / left).unlink(missing_ok=True)
        for name, data in written.items():
            durable.replace_durably(out / name, data)
    except OSError as error:
        raise RunError(f"{out}: {error.strerror or error}") from error
    return out


def player_of(agent: Agent, run_dir: Path, folder: str) -> Player:
    """The player that was saved in `folder`.

    Raises:
        ConfigError: there is none, or it is of another agent.
        RunError: it is damaged.
    """
    try:
        player = load_player(folder)
    except ConfigError as error:
        raise ConfigError(f"--adapted: {error}") from None
    if not player.is_of(agent.weights):
        raise ConfigError(f"--adapted: {folder} is of another agent than {run_dir}; valid as RUN: {folder} itself, or "
                          "the run or iteration that it came from")  # fmt: skip
    return player


def check_policy_out(out: Path) -> None:
    """Refuse a folder that holds anything but an exported policy, see `check_free`."""
    check_free(out, DESCRIPTION, "an exported policy", "--out:")
