"""A comparison of runs, whose kind says what stands in it beside the scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from meta_rl.evaluation.scores import TRANSDUCTIVE, Scores, Stage, every_way

if TYPE_CHECKING:
    from meta_rl.evaluation.kinds.table import Kind


class Table(NamedTuple):
    """A part of a comparison as text."""

    title: str
    cells: list[list[str]]
    """Rows of equal length; the first is the head."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seeds alone (see `meta_rl.evaluation.grouping`).

    Attributes:
        seeds: of the runs, in the order of all lists below.
        iterations: of training.
        stages: over seeds and tasks.
        train_env_steps: of a policy; the mean over seeds, where episodes may end early.
        protocol: of a policy.
        stock_success_by_seed: what Meta-World's own evaluator found of a policy; None where it was not asked.
        training_curves: of policies ``[seed][iteration]``: env steps, the return of each stage, then the success of
            each stage.
        device: where labelled examples were learned from.
        train_seconds: that learning from labelled examples took.
        published: numbers of a paper on the same few-shot tasks.
        origin: command and versions of an earlier table that the group is taken from.
    """

    seeds: list[int]
    iterations: int
    stages: list[Stage]
    train_env_steps: int = 0
    protocol: dict[str, Any] = field(default_factory=dict)
    stock_success_by_seed: list[float | None] = field(default_factory=list)
    training_curves: list[list[list[float]]] = field(default_factory=list)
    device: str = ""
    train_seconds: list[float] = field(default_factory=list)
    published: str | None = None
    origin: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Runs of one kind that were judged on the same tasks.

    Attributes:
        headline: the way of judging that counts.
        names: the scores that the tasks have, the most telling first.
        groups: by label, see `meta_rl.evaluation.grouping.group_runs`.
        episodes: what the runs share, see `judged_on` of its kind; of few-shot runs what determines the episodes.
        baselines: scores of closed-form predictors on few-shot episodes, by label.
    """

    kind: Kind
    headline: str
    names: list[str]
    env: str
    tasks: int
    versions: dict[str, Any]
    groups: dict[str, Group]
    task_distribution: dict[str, Any] = field(default_factory=dict)
    has_success: bool = False
    episodes: list[Any] = field(default_factory=list)
    baselines: dict[str, Scores] = field(default_factory=dict)

    @property
    def stages(self) -> list[Stage]:
        """Every stage of every group."""
        return [stage for group in self.groups.values() for stage in group.stages]

    @property
    def ways(self) -> list[str]:
        """The ways of judging that tell something: transductive scores only where they are not the inductive ones."""
        differ = any(stage.scores[self.headline] != stage.scores.get(TRANSDUCTIVE) for stage in self.stages)
        return [way for way in every_way(self.stages) if way != TRANSDUCTIVE or differ]
