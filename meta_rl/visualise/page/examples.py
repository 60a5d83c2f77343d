"""The page of a learner of labelled examples: scores of its episodes, in both ways."""

from __future__ import annotations

from typing import Any

from meta_rl.evaluation.playing import Shown
from meta_rl.evaluation.record import Evaluated
from meta_rl.evaluation.scores import INDUCTIVE, RATES, TRANSDUCTIVE, Record, every_way, score_cells, show
from meta_rl.fewshot.published import caution
from meta_rl.visualise.page.charts import Series
from meta_rl.visualise.page.curves import Lines
from meta_rl.visualise.page.tables import page_table, protocol_table


class ExamplesPage:
    """See `meta_rl.visualise.page.policies.PolicyPage`."""

    def stage_names(self, shown: Shown) -> list[str]:
        """Adaptation steps."""
        return [f"after {stage.steps} steps" for stage in shown.run.record.stages]

    def lede(self, run: Evaluated, stages: list[str]) -> str:
        """Say what training took and what was judged, and what to make of it."""
        record = run.record
        took = f"{record.iteration} iterations of {run.config.meta_batch_size} tasks."
        judged = f"Judged on {record.tasks} {record.split} episodes, the same for every learner."
        return " ".join([took, judged, *caution(run.config.env)])

    def stats(self, record: Record) -> list[dict[str, str]]:
        """The first two scores, inductive."""
        first, last = record.stages[0], record.stages[-1]
        stats = []
        for name in record.names[:2]:
            before, after = (stage.scores[INDUCTIVE][name] for stage in (first, last))
            form = ".1%" if name in RATES else ".3f"
            title = name.capitalize() if len(name) > 4 else name.upper()
            shown = f"{show(name, before)}, then {show(name, after)}"
            stats.append(
                {
                    "name": f"{title} after {first.steps} and {last.steps} steps",
                    "before": f"{before.mean:{form}}",
                    "after": f"{after.mean:{form}}",
                    "note": f"inductive, mean over episodes +- 95 %: {shown}",
                }
            )
        return stats

    def charted(self, record: Record) -> list[str]:
        """All scores."""
        return record.names

    def lines(self, record: Record, name: str) -> Lines:
        """A line for each way, with its interval as a band."""
        xs, styles = [stage.steps for stage in record.stages], {TRANSDUCTIVE: "before", INDUCTIVE: "after"}
        series = [
            Series.of(xs, [stage.scores[way][name] for stage in record.stages], style, f"{way} {name}")
            for way, style in styles.items()
        ]
        legend = [(style, way) for way, style in styles.items()]
        return Lines(series, legend, "test episodes, 95 % interval", len(xs) < 12)

    def tables(self, record: Record, stages: list[str]) -> list[dict[str, Any]]:
        """Scores at every stage and of baselines, and the protocol."""
        steps = [str(stage.steps) for stage in record.stages]
        numbers = page_table("Numbers", score_cells(record, "adaptation steps", steps, every_way(record.stages)))
        return [numbers, protocol_table(record)]
