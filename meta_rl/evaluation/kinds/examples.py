"""Learners of labelled examples: judged on the same pre-drawn episodes, with normal intervals over them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from meta_rl.agents.agent import Agent
from meta_rl.agents.opening import open_examples
from meta_rl.algorithms.supervised import FewShotLearner
from meta_rl.config import EvaluateConfig
from meta_rl.errors import Say
from meta_rl.evaluation.examples import evaluate_fewshot
from meta_rl.evaluation.kinds import plots
from meta_rl.evaluation.kinds.base import Comparison, Group, Table
from meta_rl.evaluation.record import Evaluated
from meta_rl.evaluation.scores import INDUCTIVE, TRANSDUCTIVE, Column, Record, Score, Stage
from meta_rl.evaluation.words import counted
from meta_rl.fewshot.published import PUBLISHED
from meta_rl.fewshot.tasks import episode_count
from meta_rl.runs.display import Display, Part
from meta_rl.runs.log import training_seconds


class ExamplesKind:
    """See `meta_rl.evaluation.kinds.policies.PolicyKind`."""

    keys = ("episodes", "env", "tasks", "versions", "baselines", "groups")
    group_keys = ("seeds", "device", "iterations", "train_seconds", "published", "stages")
    heads = (
        ("learner", "seeds", "iterations, s per run", "steps"),
        ("published",),
    )

    def judge(self, agent: Agent, protocol: EvaluateConfig, split: str, say: Say, record: bool) -> tuple[Any, None]:
        """Score every episode; there is nothing to record."""
        tasks, learner = open_examples(agent, split), cast(FewShotLearner, agent.learner)
        with Display.of(say).bar("evaluating", episode_count(tasks, protocol)) as bar:
            evaluation = evaluate_fewshot(learner, agent.weights, tasks, agent.config, protocol, split, bar.advance)
        found = {
            "task_distribution": tasks.fingerprint(),
            "tasks": len(next(iter(evaluation.values[INDUCTIVE].values()))),
            "stages": evaluation.stages(),
            "values": evaluation.values,
            "batch_statistics": learner.policy.batch_statistics,
            "baselines": evaluation.baselines,
        }
        return found, None

    def opening(self, run: Evaluated, seconds: float) -> str:
        """Say what training took."""
        record = run.record
        return (
            f"{counted(record.iteration, 'iteration')} of {counted(run.config.meta_batch_size, 'task')} in "
            f"{seconds:,.0f} s; evaluated on {counted(record.tasks, f'{record.split} episode')}."
        )

    def remarks(self, record: Record) -> list[Part]:
        """Say where episodes and intervals come from, and how transductive and inductive scores differ."""
        how = (
            "The network normalises over its batch: transductive scores see all queries of an episode at once, "
            "inductive ones each query alone beside the support."
            if record.batch_statistics
            else "The network treats every query alone: transductive and inductive scores are the same."
        )
        seed = record.protocol["evaluation_seed"]
        same = f"Episodes depend on evaluation seed {seed} alone, the same for every learner"
        return [Part(f"{same}; +- is 1.96 sd / sqrt(episodes). {how}")]

    def judged_on(self, run: Evaluated) -> list[Any]:
        """Settings that determine the test episodes."""
        record, config = run.record, run.config
        seed, queries = record.protocol["evaluation_seed"], config.fewshot.test_query_shots
        return [config.env, record.split, record.tasks, seed, queries, record.task_distribution]

    def shared(self, comparison: Comparison) -> list[Any]:
        """What runs have in common that stand in one table."""
        return comparison.episodes

    def over_seeds(self, values: NDArray[np.float64], families: Sequence[str], stage: int) -> Score:
        """The mean over seeds of each episode, with its interval over the episodes, which all seeds share."""
        return Score.normal(values.mean(0))

    def practice(self, record: Record, stage: Stage) -> None:
        """None: a task is its support, and there are no episodes."""

    def group(self, runs: Sequence[Evaluated]) -> dict[str, Any]:
        """What training took and where, and what was published."""
        recorded = runs[0].folder / "environment.json"
        began = json.loads(recorded.read_text()) if recorded.exists() else {}
        config = runs[0].config
        return {
            "device": began.get("device", config.device),  # earlier versions did not write it
            "train_seconds": [training_seconds(run.folder, run.record.iteration) for run in runs],
            "published": PUBLISHED.get((config.recipe, config.env)),
        }

    def title(self, comparison: Comparison) -> str:
        """Name the episodes, and say what stands in the cells."""
        several = any(len(group.seeds) > 1 for group in comparison.groups.values())
        spread = ", sd the standard deviation over training seeds" if several else ""
        alone = "" if TRANSDUCTIVE in comparison.ways else "; every query is answered alone"
        return (
            f"{comparison.env}, {comparison.tasks} test episodes, the same for all; +- is the 95 % interval over "
            f"episodes{spread}{alone}"
        )

    def columns(self, comparison: Comparison) -> list[Column]:
        """All scores in every way."""
        return [(name, way) for name in comparison.names for way in comparison.ways]

    def cells(self, label: str, group: Group, stage: Stage) -> tuple[list[str], list[str]]:
        """What was learned how long; what was published."""
        cost = f"{group.iterations:,}, {np.mean(group.train_seconds):,.0f}"
        cost += " (cuda)" if group.device == "cuda" else ""
        return [label, str(len(group.seeds)), cost, str(stage.steps)], [str(group.published or "")]

    def further(self, comparison: Comparison) -> list[Table]:
        """No more tables."""
        return []

    def plot(self, comparison: Comparison, path: Path) -> None:
        """Draw adaptation, and what is reached after it."""
        plots.plot_examples(comparison, path)
