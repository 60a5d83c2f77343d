"""What an evaluation is: scores after each adaptation step, the same of each task, and how scores are said.

A policy is judged by mode actions and by sampled ones, a learner of labelled examples transductively and inductively:
those are the *ways* of judging. A score has a name (``"success"``, ``"accuracy"``) and belongs to a way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODE, SAMPLED = "mode actions", "sampled actions"
TRANSDUCTIVE, INDUCTIVE = "transductive", "inductive"
RATES = ("success", "accuracy")
"""Scores that are shares, shown in per cent."""

Values = dict[str, dict[str, NDArray[np.float64]]]
"""Numbers by way and by name, each ``[task, stage, episode]``."""


@dataclass(frozen=True)
class Score:
    """A mean with its 95 % interval.

    Attributes:
        mean: over tasks, and over seeds in a comparison.
        low: lower end of the interval.
        high: upper end of the interval.
        half: half its width, where it is a normal one around the mean; it is then shown as such.
        by_seed: the mean of each seed, in a comparison.
    """

    mean: float
    low: float
    high: float
    half: float | None = None
    by_seed: tuple[float, ...] = ()

    @classmethod
    def around(cls, mean: float, half: float, by_seed: Sequence[float] = ()) -> Score:
        """A score with a normal interval."""
        return cls(mean, mean - half, mean + half, half, tuple(by_seed))

    @classmethod
    def normal(cls, values: NDArray[np.float64]) -> Score:
        """Mean of `values` ``[n]`` and its normal interval, 1.96 sd / sqrt(n) to both sides."""
        spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        return cls.around(float(values.mean()), 1.96 * spread / len(values) ** 0.5)

    @property
    def seed_sd(self) -> float:
        """Standard deviation over seeds; 0 for one."""
        return float(np.array(self.by_seed).std(ddof=1)) if len(self.by_seed) > 1 else 0.0

    @property
    def note(self) -> str:
        """What the head of its column says of the interval."""
        return " (95 % interval)" if self.half is None else ""


Scores = dict[str, Score]
"""By name."""


@dataclass(frozen=True)
class Stage:
    """Scores after a number of adaptation steps.

    Attributes:
        steps: adaptation steps taken.
        scores: by way.
        iqm: interquartile mean of the returns, by way; only of policies.
        by_family: success of each family, by way; only in an evaluation of a policy.
        practice: adaptation episodes so far; only in a comparison of policies, and not in those of earlier versions.
    """

    steps: int
    scores: dict[str, Scores]
    iqm: dict[str, float] = field(default_factory=dict)
    by_family: dict[str, dict[str, float]] = field(default_factory=dict)
    practice: int | None = None

    @property
    def headline(self) -> str:
        """The way that counts: mode actions, or inductive."""
        return MODE if MODE in self.scores else INDUCTIVE

    def names(self, has_success: bool) -> list[str]:
        """The scores that tasks with or without success have, the most telling first."""
        return [name for name in self.scores[self.headline] if name != "success" or has_success]


@dataclass(frozen=True)
class Record:
    """An evaluation: what was judged and how, and what came of it.

    Attributes:
        run: name of the run.
        iteration: of the checkpoint.
        train_env_steps: env steps of training; 0 for few-shot tasks.
        split: whose tasks were judged.
        protocol: a `meta_rl.config.EvaluateConfig` as JSON has it; that of an earlier version has fewer keys.
        versions: of the libraries.
        task_distribution: what identifies the tasks.
        tasks: how many were judged; few-shot: episodes.
        stages: before adaptation and after each step that was scored.
        values: what the scores are means of; an episode of labelled examples is one task with one number.
        families: of each task; empty for labelled examples.
        vectors: of each task; empty for labelled examples.
        has_success: whether the tasks of a policy can be solved.
        deterministic_episodes: whether one judged episode by mode actions tells all.
        env_steps: that the evaluation took.
        practice_returns: mean of the episodes that a policy adapted on ``[step][episode]``.
        stock: what Meta-World's own evaluator found, where it was asked.
        batch_statistics: whether the network normalises over its batch, which tells transductive from inductive scores.
        baselines: scores of closed-form predictors on the same episodes, by label.
    """

    run: str
    iteration: int
    train_env_steps: int
    split: str
    protocol: dict[str, Any]
    versions: dict[str, Any]
    task_distribution: dict[str, Any]
    tasks: int
    stages: list[Stage]
    values: Values
    families: list[str] = field(default_factory=list)
    vectors: list[list[float]] = field(default_factory=list)
    has_success: bool = False
    deterministic_episodes: bool = False
    env_steps: int = 0
    practice_returns: list[list[float]] = field(default_factory=list)
    stock: dict[str, Any] | None = None
    batch_statistics: bool = False
    baselines: dict[str, Scores] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """See `Stage.headline`."""
        return self.stages[0].headline

    @property
    def names(self) -> list[str]:
        """The scores that the tasks have, the most telling first."""
        return self.stages[0].names(self.has_success)

    def scalars(self) -> dict[str, float]:
        """The scores with their intervals, as loggers name them: ``test/return/stage_1``, ``test/return/stage_1/low``,
        and ``test/return_sampled/stage_1`` by another way. Stages are numbered by the adaptation steps behind them."""
        found: dict[str, float] = {}
        for stage in self.stages:
            for way, name in ((way, name) for way in self.ways for name in self.names):
                score = stage.scores[way][name]
                called = name if way == self.headline else f"{name}_{way.partition(' ')[0]}"
                place = f"{self.split}/{called}/stage_{stage.steps}"
                found |= {place: score.mean, f"{place}/low": score.low, f"{place}/high": score.high}
        return found

    @property
    def ways(self) -> list[str]:
        """The ways that tell something: transductive scores only of a network that normalises over its batch."""
        return [way for way in every_way(self.stages) if way != TRANSDUCTIVE or self.batch_statistics]


def every_way(stages: Sequence[Stage]) -> list[str]:
    """The ways in which all of `stages` were judged."""
    return [way for way in stages[0].scores if all(way in stage.scores for stage in stages)]


def ways_in_words(ways: Sequence[str]) -> dict[str, str]:
    """What heads of tables add for each of `ways`; mode actions alone go without saying."""
    return {way: "" if list(ways) == [MODE] else f", {way}" for way in ways}


def show(name: str, score: Score) -> str:
    """A score with its interval, and with the standard deviation over several seeds where the interval is normal."""
    if score.half is None:
        form = "z.1%" if name in RATES else "z.2f"
        return f"{score.mean:{form}} ({score.low:{form}} to {score.high:{form}})"
    unit, form, sign = (100, "z.2f", " %") if name in RATES else (1, "z.3f", "")
    text = f"{unit * score.mean:{form}} +- {unit * score.half:{form}}{sign}"
    return f"{text}, sd {unit * score.seed_sd:{form}}" if len(score.by_seed) > 1 else text


def show_below(name: str, score: Score) -> str:
    """As `show`, in two lines: the mean, and below it the interval."""
    if score.half is None:
        form = "z.1%" if name in RATES else "z.2f"
        return f"{score.mean:{form}}\n{score.low:{form}} to {score.high:{form}}"
    unit, form, sign = (100, "z.2f", " %") if name in RATES else (1, "z.3f", "")
    spread = f", sd {unit * score.seed_sd:{form}}" if len(score.by_seed) > 1 else ""
    return f"{unit * score.mean:{form}}{sign}\n± {unit * score.half:{form}}{spread}"


Shower = Callable[[str, Score], str]
"""Says a score of a name: `show`, or `show_below`."""
Column = tuple[str, str]
"""Name and way of a score."""


def head_cells(stage: Stage, columns: Sequence[Column], words: Mapping[str, str], shower: Shower = show) -> list[str]:
    """Heads of `columns` of scores; `words` name the ways. Intervals are told where `shower` has them."""
    notes = [stage.scores[way][name].note for name, way in columns]
    if shower is show_below:
        notes = [f"\n{note.strip(' ()')}" if note else "" for note in notes]
    return [f"{name}{words[way]}{note}" for (name, way), note in zip(columns, notes, strict=True)]


def cells(stage: Stage, columns: Sequence[Column], shower: Shower = show) -> list[str]:
    """The scores of a stage under these heads."""
    return [shower(name, stage.scores[way][name]) for name, way in columns]


def baseline_cells(scores: Scores, columns: Sequence[Column], shower: Shower = show) -> list[str]:
    """The scores of a closed-form predictor under these heads: it answers in one way."""
    return [shower(name, scores[name]) for name, _ in columns]


def score_cells(
    record: Record, first: str, stages: Sequence[str], ways: Sequence[str], shower: Shower = show
) -> list[list[str]]:
    """A table of the scores at all stages, heads first.

    Args:
        first: the first head, that of the stages.
        stages: what each is called.
        ways: the ways of judging that are shown, side by side for every score. Of returns, the interquartile mean of
            the headline follows.
        shower: says a score.
    Returns:
        Rows of equal length; those of closed-form predictors come last.
    """
    words, start = ways_in_words(ways), record.stages[0]
    columns = [(name, way) for name in record.names for way in ways]
    middle = [way for way in (record.headline,) if way in start.iqm]
    rows = [[first, *head_cells(start, columns, words, shower), *(f"return{words[way]}, IQM" for way in middle)]]
    for called, stage in zip(stages, record.stages, strict=True):
        rows.append([called, *cells(stage, columns, shower), *(f"{stage.iqm[way]:z.2f}" for way in middle)])
    return rows + [[label, *baseline_cells(scores, columns, shower)] for label, scores in record.baselines.items()]


def family_cells(record: Record, heads: Sequence[str], last: int = -1) -> list[list[str]]:
    """A table of each family's mean scores at the first stage and at the one at `last`, heads first: success in every
    way, the return by the headline. Just one stage where nothing was adapted. Empty where there is but one family."""
    families = list(dict.fromkeys(record.families))
    if len(families) < 2:
        return []
    words = ways_in_words(record.ways)
    columns = [(name, way) for name in record.names for way in (words if name in RATES else [record.headline])]
    stages = dict(zip((0, last), heads, strict=True)) if len(record.stages) > 1 else {0: ""}
    rows = [["family", *(f"{name} {head}".strip() + words[way] for name, way in columns for head in stages.values())]]
    for family in families:
        mine = [i for i, other in enumerate(record.families) if other == family]
        row = [family]
        for name, way in columns:
            form = "z.1%" if name in RATES else "z.2f"
            row += [f"{record.values[way][name][mine, stage].mean():{form}}" for stage in stages]
        rows.append(row)
    return rows
