"""What ``meta-rl runs`` lists: the runs below a folder, how far they are and what their evaluations say.

Imports nothing heavy and writes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from meta_rl.config import TrainConfig, load_config
from meta_rl.errors import ConfigError
from meta_rl.evaluation.gain import LESS_IS_BETTER
from meta_rl.evaluation.record import evaluation_path, read_record_file
from meta_rl.evaluation.scores import RATES, Record
from meta_rl.runs.display import Part
from meta_rl.runs.standing import Standing, read_standing

REMAINS = ("metrics.jsonl", "checkpoints")
"""Parts of a run that are none without its config."""
HEADS = ["run", "recipe", "tasks", "seed", "progress", "env steps", "score", "last changed"]
Order = Literal["name", "changed", "score"]


class Listed(NamedTuple):
    """A run in the list.

    Attributes:
        record: its evaluation, if it has one that this version reads.
    """

    folder: Path
    config: TrainConfig
    standing: Standing
    record: Record | None


class Unlisted(NamedTuple):
    """A folder, or an evaluation, that is left out, and why."""

    path: Path
    reason: str


def find_runs(places: Iterable[Path]) -> tuple[list[Listed], list[Unlisted]]:
    """Every run and exported agent in or below these folders, once, and what looks like one but cannot be read."""
    found: dict[Path, Listed] = {}
    problems: list[Unlisted] = []
    for folder in dict.fromkeys(folder for place in places for folder in _candidates(place, problems)):
        if not (folder / "config.json").exists():
            problems.append(Unlisted(folder, f"no config.json beside its {_remains(folder)}"))
            continue
        try:
            config = load_config(folder / "config.json")
            standing = read_standing(folder, config)
        except ConfigError as error:
            problems.append(Unlisted(folder, f"not a run: {error}"))
            continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            problems.append(Unlisted(folder, f"damaged ({type(error).__name__}: {error})"))
            continue
        record = _evaluation(folder, problems)
        found.setdefault(folder.resolve(), Listed(folder, config, standing, record))
    return list(found.values()), problems


def _candidates(place: Path, problems: list[Unlisted]) -> Iterator[Path]:
    """Folders that hold a config or the remains of a run. Hidden folders, links and what lies in a run are not."""

    def note(error: OSError) -> None:
        problems.append(Unlisted(Path(error.filename), f"cannot be read: {error.strerror}"))

    for name, folders, files in os.walk(place, onerror=note):
        folder, mine = Path(name), {*folders, *files}
        if "config.json" in mine or mine & {*REMAINS}:
            yield folder
        inside = mine & {*REMAINS, "agent.json"}
        folders[:] = [] if inside else sorted(other for other in folders if not other.startswith("."))


def _remains(folder: Path) -> str:
    return " and ".join(name for name in REMAINS if (folder / name).exists())


def _evaluation(folder: Path, problems: list[Unlisted]) -> Record | None:
    path = evaluation_path(folder)
    if not path.exists():
        return None
    try:
        record = read_record_file(path)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        problems.append(Unlisted(path, f"damaged ({type(error).__name__}: {error})"))
        return None
    if record is None:
        problems.append(Unlisted(path, "of an earlier version"))
    return record


def in_order(runs: Iterable[Listed], order: Order = "name") -> list[Listed]:
    """Runs by their folders, numbers in them as numbers; or the last changed first; or by tasks, the best of each
    first."""
    by_name = sorted(runs, key=lambda run: [(int(a or 0), b) for a, b in _parts(run.folder)])
    if order == "changed":
        return sorted(by_name, key=lambda run: -run.standing.changed)
    return sorted(by_name, key=_rank) if order == "score" else by_name


def _parts(folder: Path) -> list[tuple[str, str]]:
    return [(number, text) for number, text in re.findall(r"(\d+)|(\D+)", str(folder))]


def _rank(run: Listed) -> tuple[str, bool, str, float]:
    """Runs of the same tasks beside each other, those that were judged first."""
    if run.record is None:
        return run.config.env, True, "", 0.0
    name, _, after = _ends(run.record)
    return run.config.env, False, name, after if name in LESS_IS_BETTER else -after


def _ends(record: Record) -> tuple[str, float, float]:
    """The headline of an evaluation: the most telling score, before adaptation and after it."""
    name = record.names[0]
    before, after = (record.stages[k].scores[record.headline][name].mean for k in (0, -1))
    return name, before, after


def outcome(run: Listed) -> str:
    """What the evaluation of a run says, and of which iteration if it is not the last one."""
    if run.record is None:
        return ""
    name, *ends = _ends(run.record)
    form = "z.1%" if name in RATES else "z.2f" if max(map(abs, ends)) >= 1 else "z.3f"
    words = f"{name} {' -> '.join(f'{value:{form}}' for value in ends)}"
    if run.record.split != "test":
        words += f" ({run.record.split} tasks)"
    if run.record.iteration != run.standing.iteration:
        words += f" (after iteration {run.record.iteration:,})"
    return words


def as_table(runs: Sequence[Listed]) -> Part:
    """The list, heads first."""
    rows = []
    for run in runs:
        steps = f"{run.standing.env_steps:,}" if run.standing.env_steps else ""
        when = datetime.fromtimestamp(run.standing.changed).strftime("%Y-%m-%d %H:%M")
        progress = run.standing.words().removeprefix("iteration ")
        config = run.config
        rows.append([str(run.folder), config.recipe, config.env, str(config.seed), progress, steps, outcome(run), when])
    return Part(cells=[HEADS, *rows])


def as_json(run: Listed) -> dict[str, Any]:
    """A run of the list as JSON has it; scores in full."""
    config, standing, record = run.config, run.standing, run.record
    evaluation: dict[str, Any] | None = None
    if record is not None:
        name, before, after = _ends(record)
        evaluation = {"iteration": record.iteration, "split": record.split, "score": name, "way": record.headline}
        evaluation |= {"before": before, "after": after, "tasks": record.tasks}
    return {
        "run": str(run.folder),
        "recipe": config.recipe,
        "env": config.env,
        "seed": config.seed,
        "iteration": standing.iteration,
        "iterations": standing.iterations,
        "state": standing.state,
        "env_steps": standing.env_steps,
        "evaluation": evaluation,
        "changed": datetime.fromtimestamp(standing.changed, UTC).isoformat(timespec="seconds"),
    }
