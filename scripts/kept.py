"""Runs whose numbers stay in the repository, when the run directories are gone: results/runs/TABLE/RUN.

Each has its config, its evaluation task by task, and the curve of its training. So a table grows from machine to
machine, ``meta-rl compare results/runs/TABLE/*`` makes it again, and ``scripts/results.py TABLE --check`` plays the
agents of its rows again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meta_rl.config import EvaluateConfig, from_dict, load_config, settings, to_dict, without_places
from meta_rl.evaluation.record import Evaluated, read_evaluation
from meta_rl.evaluation.scores import Scores, Values
from meta_rl.runs.durable import json_bytes, replace_durably
from meta_rl.runs.folder import MANIFEST, began_with, has_checkpoint
from meta_rl.runs.log import Row, read_rows

KEPT = Path("results/runs")
ZOO = Path("zoo")
CURVE = ("return/stage_", "success/stage_")
"""Metrics that are kept, besides the iteration and its env steps."""
TIMING = "timing.json"
DIGITS = 5


def keep(run_dir: Path, evaluation: Path, place: Path) -> None:
    """Write to `place` what a comparison reads of a run, without what it says of this machine."""
    config = without_places(load_config(run_dir / "config.json"))
    rows = "".join(json.dumps(_curve(row)) + "\n" for row in read_rows(run_dir / "metrics.jsonl"))
    files = {
        "config.json": json_bytes(to_dict(config)),
        "evaluation.json": evaluation.read_bytes(),
        "metrics.jsonl": rows.encode(),
    }
    if timing := read_rows(run_dir / "timing.jsonl"):
        seconds = sum(row["time/iteration"] for row in timing)
        files[TIMING] = json_bytes({"minutes": round(seconds / 60, 1)})
    if start := began_with(run_dir):
        files["environment.json"] = json_bytes({"start": start})
    place.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        if data:
            replace_durably(place / name, data)


def minutes_of(place: Path) -> float | None:
    """Minutes that the training of a kept run took, on one core beside other work; None if they were not kept."""
    path = place / TIMING
    return float(json.loads(path.read_text())["minutes"]) if path.exists() else None


def _curve(row: Row) -> Row:
    """What a training curve needs of a row of metrics."""
    wanted = {name: float(f"{value:.{DIGITS}g}") for name, value in row.items() if name.startswith(CURVE)}
    return {"iteration": row["iteration"], "env_steps": row["env_steps"], **wanted}


def agent_of(run: Evaluated, run_dir: Path, zoo: Path = ZOO) -> Path | None:
    """Folder of the agent of a kept run: its run directory, or one in the zoo; None if it is in neither."""
    agents = [run_dir] if has_checkpoint(run_dir) else []
    agents += [manifest.parent for manifest in sorted(zoo.glob(f"*/{MANIFEST}"))]
    for folder in agents:
        config, record = load_config(folder / "config.json"), read_evaluation(folder)
        same = config.seed == run.config.seed and settings(config) == settings(run.config)
        if same and record.iteration == run.record.iteration and _equal(run.record.values, record.values):
            return folder
    return None


def _equal(recorded: Values, found: Values) -> bool:
    """Whether an evaluation has every number of the one recorded."""
    return all(
        np.array_equal(values, found.get(way, {}).get(name, np.nan))
        for way, mine in recorded.items()
        for name, values in mine.items()
    )


@dataclass(frozen=True)
class Check:
    """A row of a table, played again.

    Attributes:
        run: its name.
        recorded: the scores that count, fully adapted, as they are kept.
        found: their means now.
        equal: every number of every task is the same.
    """

    run: str
    recorded: Scores
    found: dict[str, float]
    equal: bool

    @property
    def fits(self) -> bool:
        """Whether every mean lies within the interval of the one recorded."""
        return all(score.low <= self.found[name] <= score.high for name, score in self.recorded.items())

    def __str__(self) -> str:
        said = "equal, task by task" if self.equal else "within the intervals" if self.fits else "NOT what was recorded"
        scores = (f"{name} {self.recorded[name].mean:.4g}, now {mean:.4g}" for name, mean in self.found.items())
        return f"{self.run}: {'; '.join(scores)}: {said}"


def check_again(run: Evaluated, agent: Path) -> Check:
    """Judge the agent again, by the protocol of the kept evaluation and on its tasks."""
    from meta_rl import load
    from meta_rl.evaluation.kinds.table import kind_of

    record = run.record
    protocol = from_dict(EvaluateConfig, record.protocol)
    judged, _ = kind_of(run.config).judge(load(agent), protocol, record.split, lambda line: None, False)
    found = judged["stages"][-1].scores[record.headline]
    recorded = {name: record.stages[-1].scores[record.headline][name] for name in record.names}
    equal = _equal(record.values, judged["values"])
    return Check(record.run, recorded, {name: found[name].mean for name in recorded}, equal)
