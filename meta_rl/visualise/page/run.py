"""What the page shows of a run: numbers, curves, tables, and its episodes."""

from __future__ import annotations

from typing import Any

from meta_rl.config import RECIPES
from meta_rl.errors import Say
from meta_rl.evaluation.playing import Shown
from meta_rl.runs.log import read_rows
from meta_rl.runs.standing import Begun, read_standing
from meta_rl.visualise.page.answers import answered_episodes
from meta_rl.visualise.page.curves import adaptation_chart, diagnostics, training_charts
from meta_rl.visualise.page.downloads import evaluation_files
from meta_rl.visualise.page.examples import ExamplesPage
from meta_rl.visualise.page.policies import PolicyPage
from meta_rl.visualise.page.replay import Replays
from meta_rl.visualise.page.tables import commands_to_repeat, robustness, training_table, versions_table
from meta_rl.visualise.page.underway import gather_begun, introduction
from meta_rl.visualise.page.watch import episodes

PAGES: dict[str, PolicyPage | ExamplesPage] = {
    "rl": PolicyPage(),
    "examples": ExamplesPage(),
    "classes": ExamplesPage(),
}
"""By what recipes learn from."""


def gather(shown: Shown | Begun, replays: Replays, say: Say) -> dict[str, Any]:
    """The data of a run for `assets/page.html`.

    Args:
        replays: where its replays go.
    """
    if isinstance(shown, Begun):
        return gather_begun(shown)
    run, record, config = shown.run, shown.run.record, shown.run.config
    kind, rows = PAGES[RECIPES[config.recipe].learns], read_rows(run.folder / "metrics.jsonl")
    names, charted = kind.names(shown), kind.charted(record)
    called = [names.name(stage.steps) for stage in record.stages]
    return {
        **introduction(config),
        "status": read_standing(run.folder, config).sentence(record.iteration),
        "lede": kind.lede(run, names),
        "stats": kind.stats(run, names),
        "stage_names": called,
        "charts": [
            *(adaptation_chart(name, kind.lines(record, name, names)) for name in charted),
            *training_charts(rows, charted, names.memory),
        ],
        "diagnostics": diagnostics(rows, read_rows(run.folder / "timing.jsonl"), charted),
        "answers": answered_episodes(shown.answers, called) if shown.answers else None,
        "tables": [
            *kind.tables(run, names),
            training_table(config),
            robustness(run.folder, rows),
            versions_table(record),
        ],
        "commands": commands_to_repeat(run),
        "split": record.split,
        "files": evaluation_files(run),
        **episodes(shown, replays, say),
    }
