"""The page of a learner of labelled examples: scores of its episodes, in both ways."""

from __future__ import annotations

from typing import Any

from meta_rl.evaluation.gain import LESS_IS_BETTER, best, normal_gain
from meta_rl.evaluation.playing import Shown
from meta_rl.evaluation.record import Evaluated
from meta_rl.evaluation.scores import INDUCTIVE, RATES, TRANSDUCTIVE, Record, score_cells, show_below
from meta_rl.evaluation.words import StageNames, counted
from meta_rl.fewshot.published import caution
from meta_rl.visualise.page.charts import Series
from meta_rl.visualise.page.curves import Lines, titled
from meta_rl.visualise.page.headline import share, stat, with_digits_of
from meta_rl.visualise.page.pairs import Pairs
from meta_rl.visualise.page.tables import fact_table, page_table, words

STYLES = {TRANSDUCTIVE: "before", INDUCTIVE: "after"}
AGREE = "Transductive scores are the same: the network answers every query alone."


class ExamplesPage:
    """See `meta_rl.visualise.page.policies.PolicyPage`."""

    def names(self, shown: Shown) -> StageNames:
        """Adaptation steps."""
        return StageNames()

    def lede(self, run: Evaluated, names: StageNames) -> str:
        """Say what training took and what was judged, and what to make of it."""
        record = run.record
        took = f"{counted(record.iteration, 'iteration')} of {counted(run.config.meta_batch_size, 'task')}."
        judged = f"Judged on {counted(record.tasks, f'{record.split} episode')}, the same for every learner."
        return " ".join([took, judged, *caution(run.config.env)])

    def stats(self, run: Evaluated, names: StageNames) -> list[dict[str, Any]]:
        """The first two scores, inductive, at the first stage and at the last."""
        record, stats = run.record, []
        called = [names.name(stage.steps) for stage in record.stages]
        for name in record.names[:2]:
            values = record.values[INDUCTIVE][name][..., 0]  # [episode, stage]
            every = values.mean(0).tolist()
            say = share if name in RATES else with_digits_of(*every)
            gain = normal_gain(values[:, 0], values[:, -1]) if len(every) > 1 else None
            note = [f"inductive, mean over {counted(len(values), 'episode')}"]
            note.append(f"{called[0]}, then {called[-1]}" if gain else called[0])
            if name in LESS_IS_BETTER:
                note.append("less is better")
            if (top := best(every, name)) not in (0, len(every) - 1):
                note.append(f"best {called[top]}: {say(every[top])}")
            title, ends = titled(name), (every[0], every[-1])
            stats.append(stat(title[0].upper() + title[1:], name, ends, gain, say, "; ".join(note) + "."))
        return stats

    def charted(self, record: Record) -> list[str]:
        """All scores."""
        return record.names

    def lines(self, record: Record, name: str, names: StageNames) -> Lines:
        """A line for each way that tells something, with its interval as a band; of two stages and one way the episodes
        in pairs."""
        xs, ways, n = [stage.steps for stage in record.stages], record.ways, counted(record.tasks, "episode")
        scores = {way: [stage.scores[way][name] for stage in record.stages] for way in ways}
        series = [
            Series.of(xs, scores[way], style, f"{way} {name}" if len(ways) > 1 else name, n=n)
            for way, style in STYLES.items()
            if way in ways
        ]
        legend = [(style, way) for way, style in STYLES.items() if way in ways] if len(ways) > 1 else []
        pairs = None
        if len(ways) == 1 and len(xs) == 2:
            (before, after), (first, last) = record.values[ways[0]][name][..., 0].T.tolist(), scores[ways[0]]
            labels, called = [f"episode {i}" for i in range(len(before))], (names.name(xs[0]), names.name(xs[1]))
            pairs = Pairs(labels, before, after, "episode", (first, last), called, n)
        note = f"{n.replace('episode', f'{record.split} episode')}, 95 % interval"
        return Lines(series, legend, note, True, names.axis, pairs)

    def tables(self, run: Evaluated, names: StageNames) -> list[dict[str, Any]]:
        """Scores at every stage and of baselines, the protocol, the data."""
        record = run.record
        called = [names.name(stage.steps) for stage in record.stages]
        cells = score_cells(record, "stage", called, record.ways, show_below)
        note = "± is the 95 % interval over episodes."
        numbers = page_table("Numbers", cells, note if TRANSDUCTIVE in record.ways else f"{note} {AGREE}")
        protocol = fact_table("Protocol", protocol_of_examples(record))
        return [numbers, protocol, fact_table("Data", words(record.task_distribution))]


def protocol_of_examples(record: Record) -> list[list[str]]:
    """What happened at the evaluation, in words."""
    steps = [stage.steps for stage in record.stages]
    rows = [["episodes", f"{counted(record.tasks, f'{record.split} episode')}, each a task of its own"]]
    if steps[-1]:
        scored = ", ".join(map(str, steps))
        rows.append(["adaptation", f"{counted(steps[-1], 'step')} on the support; scored after {scored}"])
    if "evaluation_seed" in record.protocol:
        rows.append(["seed", f"{record.protocol['evaluation_seed']}, of the episodes; the same for every learner"])
    return rows
