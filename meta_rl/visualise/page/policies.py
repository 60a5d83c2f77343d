"""The page of a policy: scores in environments, with every task's own line."""

from __future__ import annotations

from typing import Any

from meta_rl.core.seeding import Purpose, generator
from meta_rl.evaluation.playing import Shown
from meta_rl.evaluation.record import Evaluated
from meta_rl.evaluation.scores import MODE, SAMPLED, Record, every_way, family_cells, score_cells
from meta_rl.maths.statistics import bootstrap_interval, interquartile_mean
from meta_rl.visualise.page.charts import Series
from meta_rl.visualise.page.curves import Lines
from meta_rl.visualise.page.tables import page_table, protocol_table, words

PROTOCOL = (
    "Adaptation episodes have sampled actions, judged ones mode actions. Every task starts from the meta-parameters; "
    "every episode counts once."
)
BOTH = " The headline is that of mode actions; sampled ones are judged beside them, as many published tables have it."
SUCCESS = " Success is success at any step of an episode."
STOCK = "Meta-World's evaluator counts the first episodes to finish, and successes finish early: it reads too high."


class PolicyPage:
    """A kind of learner on the page: its words, charts and tables."""

    def stage_names(self, shown: Shown) -> list[str]:
        """Adaptation steps, or episodes of a trial."""
        played = shown.played[shown.run.record.split].recording
        return [played.stage_name(stage) for stage in range(played.stages)]

    def lede(self, run: Evaluated, stages: list[str]) -> str:
        """Say what training took, and what was judged when."""
        record = run.record
        return (
            f"{record.iteration} iterations, {record.train_env_steps:,} env steps of training. Judged on "
            f"{record.tasks} {record.split} tasks, each from the meta-parameters: {stages[0]}, and {stages[-1]}."
        )

    def stats(self, record: Record) -> list[dict[str, str]]:
        """Success, where the tasks have it, and the interquartile mean of the return."""
        stats, stages = [], (record.stages[0], record.stages[-1])
        if record.has_success:
            before, after = (stage.scores[MODE]["success"] for stage in stages)
            edges = [f"{score.low:.0%} to {score.high:.0%}" for score in (before, after)]
            stats.append(
                {
                    "name": "Success",
                    "before": f"{before.mean:.0%}",
                    "after": f"{after.mean:.0%}",
                    "note": f"mean over tasks; 95 % intervals {edges[0]}, then {edges[1]}" + _beside(record),
                }
            )
        edges = [f"{low:,.1f} to {high:,.1f}" for low, high in _iqm_intervals(record)]
        stats.append(
            {
                "name": "Return, interquartile mean",
                "before": brief(stages[0].iqm[MODE]),
                "after": brief(stages[1].iqm[MODE]),
                "note": f"over tasks; 95 % intervals {edges[0]}, then {edges[1]}",
            }
        )
        return stats

    def charted(self, record: Record) -> list[str]:
        """The return, which all tasks have, first."""
        return record.names[::-1]

    def lines(self, record: Record, name: str) -> Lines:
        """A thin line per task (success: per family), the mean bold, its interval as a band."""
        values, families = record.values[MODE][name].mean(-1), record.families  # [task, stage]
        xs = [stage.steps for stage in record.stages]
        if name == "success":
            groups = dict.fromkeys(families)
            thin = {f: values[[g == f for g in families]].mean(0) for f in groups} if len(groups) > 1 else {}
        else:
            thin = {f"{families[i]}, task {i}": row for i, row in enumerate(values)}
        series = [Series(xs, line.tolist(), "thin", label) for label, line in thin.items()]
        scores = [stage.scores[MODE][name] for stage in record.stages]
        series.append(Series.of(xs, scores, "after", f"mean {name}"))
        what = "family" if name == "success" else "task"
        legend = [("after", "mean over tasks, 95 % interval"), *([("thin", f"one {what}")] if thin else [])]
        return Lines(series, legend, f"{record.tasks} {record.split} tasks", True)

    def tables(self, record: Record, stages: list[str]) -> list[dict[str, Any]]:
        """Scores at every stage and by family, Meta-World's own number, the protocol."""
        found = [page_table("Numbers", score_cells(record, "stage", stages, every_way(record.stages)))]
        if families := family_cells(record, [stages[0], stages[-1]]):
            found.append(page_table("Success by family", families))
        if stock := record.stock:
            row = ["success", f"{record.stages[-1].scores[MODE]['success'].mean:.1%}", f"{stock['success']:.1%}"]
            heads = ["after adaptation", "ours", "Meta-World's own evaluator"]
            found.append(page_table("Beside the usual number", [heads, row], STOCK))
        note = PROTOCOL + BOTH * (SAMPLED in record.ways) + SUCCESS * record.has_success
        return [*found, protocol_table(record, words(record.task_distribution), note)]


def _iqm_intervals(record: Record) -> list[tuple[float, float]]:
    """Intervals of the interquartile mean of the return, at the first and the last stage."""
    returns = record.values[MODE]["return"].mean(-1)
    return [
        bootstrap_interval(
            returns[:, stage], record.families, generator(0, Purpose.BOOTSTRAP, stage=stage), interquartile_mean
        )
        for stage in (0, -1 % returns.shape[1])
    ]


def _beside(record: Record) -> str:
    """Success by sampled actions, where they were judged."""
    if SAMPLED not in record.ways:
        return ""
    before, after = (record.stages[stage].scores[SAMPLED]["success"].mean for stage in (0, -1))
    return f"; with sampled actions {before:.0%}, then {after:.0%}"


def brief(value: float) -> str:
    """A return in large type."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.1f}"
