"""Lake's within-alphabet one-shot classification of Omniglot: 20 runs of 20 trials among 20 characters of one alphabet
(Lake, Salakhutdinov and Tenenbaum 2015, 2019). The error is comparable with published ones only for models that never
saw an evaluation character."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from meta_rl.agents.agent import Agent
from meta_rl.algorithms.supervised import adapt_stepwise
from meta_rl.config import RECIPES
from meta_rl.config.fewshot import parse_name
from meta_rl.core.types import Examples
from meta_rl.errors import ConfigError
from meta_rl.evaluation import markdown
from meta_rl.evaluation.forms import write_score
from meta_rl.evaluation.scores import Score
from meta_rl.fewshot.omniglot import BACKGROUND, OneShotRun, one_shot_runs
from meta_rl.fewshot.tasks import data_folder

WAYS = 20
PUBLISHED_ERRORS: dict[str, dict[str, float]] = {
    "omniglot-background": {"humans": 4.5, "BPL (strokes)": 3.3, "deep convnet": 13.5, "VHE": 18.7,
                            "prototypical (from memory)": 13.7, "RCN (from memory)": 7.3,
                            "Siamese (own split, affine augmentation)": 8.0},
    "omniglot-small1": {"humans": 4.5, "BPL (strokes)": 4.3, "deep convnet": 24.0, "prototypical (from memory)": 30.1},
    "omniglot-small2": {"humans": 4.5, "BPL (strokes)": 4.0, "deep convnet": 22.3, "prototypical (from memory)": 30.1},
}  # fmt: skip
"""Error in per cent, by what was trained on."""


def one_shot_error(agent: Agent, folder: Path | None = None) -> dict[str, Any]:
    """Error of a trained agent on the 20 runs, after the adaptation steps of its evaluation protocol.

    Returns:
        JSON-able: mean error in per cent and its interval over runs, transductive and inductive, with published ones.
    Raises:
        ConfigError: the agent may have seen evaluation characters, tells another number of classes apart, or the data
            is missing.
    """
    config, learner = agent.config, agent.learner
    name = parse_name(config.env)
    if name is None or name.kind not in BACKGROUND:
        raise ConfigError(
            f"RUN: {config.env} trains on characters of the one-shot runs; valid: a run on {', '.join(BACKGROUND)}"
        )
    if RECIPES[config.recipe].learns == "examples" and name.ways != WAYS:
        raise ConfigError(f"RUN: {config.recipe} was trained with {name.ways} outputs, the runs have {WAYS} classes")
    runs = one_shot_runs(folder or Path(config.fewshot.data or data_folder("omniglot")))
    errors = {
        kind: np.array([_error(learner, agent.weights, run, config.evaluate.adaptation_steps, kind) for run in runs])
        for kind in ("transductive", "inductive")
    }
    return {
        "recipe": config.recipe,
        "env": config.env,
        "seed": config.seed,
        "iteration": agent.iteration,
        "error": {kind: write_score(Score.normal(values)) for kind, values in errors.items()},
        "published": PUBLISHED_ERRORS[name.kind],
    }


def error_table(found: Sequence[dict[str, Any]]) -> str:
    """Results of `one_shot_error` as a Markdown table, what was trained on in columns, published errors below."""
    columns = list(PUBLISHED_ERRORS)
    cells = [["error in %", *(f"trained on {column.partition('-')[2]}" for column in columns)]]
    for recipe in dict.fromkeys(one["recipe"] for one in found):
        mine = [[one for one in found if (one["recipe"], task_kind(one["env"])) == (recipe, c)] for c in columns]
        cells.append([recipe, *(", ".join(_shown(one["error"]) for one in those) for those in mine)])
    for name in dict.fromkeys(name for column in columns for name in PUBLISHED_ERRORS[column]):
        cells.append([f"published: {name}", *(str(PUBLISHED_ERRORS[column].get(name, "")) for column in columns)])
    head = "20-way one-shot classification within an alphabet, 20 runs of 20 trials, +- the 95 % interval over runs"
    return "\n".join([head, "", *markdown.table(cells)])


def _shown(error: dict[str, dict[str, float]]) -> str:
    inductive = f"{error['inductive']['mean']:.1f} +- {error['inductive']['interval']:.1f}"
    same = error["inductive"] == error["transductive"]
    return inductive if same else f"{inductive} (transductive {error['transductive']['mean']:.1f})"


def task_kind(env: str) -> str:
    """Kind of a few-shot name, without ways and shots."""
    name = parse_name(env)
    assert name is not None
    return name.kind


def _error(learner: Any, weights: Any, run: OneShotRun, steps: int, kind: str) -> float:
    """Error on one run, in per cent."""
    support, query = (torch.from_numpy(x).float().div(255).unsqueeze(0) for x in (run.support, run.query))
    examples = Examples(support, torch.arange(WAYS).unsqueeze(0), torch.ones(1, WAYS))
    ((_, adapted),) = adapt_stepwise(learner, weights, examples, [steps])
    answers = learner.predict(adapted, examples, query, kind == "inductive").argmax(-1)[0]
    return float((answers.numpy() != run.target).mean() * 100)
