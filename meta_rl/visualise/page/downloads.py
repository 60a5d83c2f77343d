"""The evaluation of a run as files that its page holds."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from meta_rl.evaluation.forms import write_record
from meta_rl.evaluation.record import Evaluated
from meta_rl.evaluation.scores import Record
from meta_rl.visualise.page.replay import deflated


def evaluation_files(run: Evaluated) -> list[dict[str, str]]:
    """Each with its ``label``, ``name``, media ``type``, and what is in it, ``packed``: deflated, in base64."""
    found = (
        ("CSV", "csv", "text/csv", evaluation_csv(run.record)),
        ("JSON", "json", "application/json", json.dumps(write_record(run.record), indent=1)),
    )
    stem = f"{run.folder.resolve().name}-evaluation"
    return [
        {"label": label, "name": f"{stem}.{ending}", "type": kind, "packed": deflated(text.encode())}
        for label, ending, kind, text in found
    ]


def evaluation_csv(record: Record) -> str:
    """A row for each judged episode: the way of judging, the task (with its family, if it has one), adaptation steps,
    and a column for each score."""
    names = list(dict.fromkeys(name for scores in record.values.values() for name in scores))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    family = ["family"] if record.families else []
    writer.writerow(["judged_by", "task", *family, "adaptation_steps", "episode", *names])
    for way, scores in record.values.items():
        tasks, stages, episodes = next(iter(scores.values())).shape
        for task in range(tasks):
            of = [record.families[task]] if record.families else []
            for stage in range(stages):
                for episode in range(episodes):
                    numbers: list[Any] = [_said(scores, name, (task, stage, episode)) for name in names]
                    writer.writerow([way, task, *of, record.stages[stage].steps, episode, *numbers])
    return text.getvalue()


def _said(scores: Any, name: str, index: tuple[int, int, int]) -> str:
    return repr(float(scores[name][index])) if name in scores else ""
