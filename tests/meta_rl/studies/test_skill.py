"""Learning one task from scratch, and the comparison with an adapted agent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import envs
from meta_rl.agents.agent import Agent
from meta_rl.algorithms.base import make_learner
from meta_rl.config import replace_paths
from meta_rl.core.interface import Interface
from meta_rl.evaluation.episodes import evaluate
from meta_rl.studies.from_scratch import learn_from_scratch
from meta_rl.studies.skill import SkillConfig, compare_with_scratch, skill_table, write_skill

TINY = SkillConfig(env="navigation", goals=3, episodes=4, scratch_iterations=3)


def test_one_task_is_learned_from_scratch() -> None:
    config = replace_paths(replace(TINY, episodes=20, scratch_iterations=15).scratch, {"network.hidden": (16,)})
    points = list(learn_from_scratch(envs.make("navigation"), envs.Task("navigation", (0.3, 0.2)), config))
    assert len(points) == 16
    assert points[0].env_steps == 0
    assert 0 < points[1].env_steps <= 10 * 100  # half of the episodes, each up to the horizon
    # It starts 0.36 from the goal: a policy that stands still returns -36, and so does one that is new.
    assert points[0].mean_return < -30
    assert points[-1].mean_return > -25


def test_the_comparison_is_at_equal_env_steps(tmp_path: Path) -> None:
    distribution = envs.make("navigation")
    learner = make_learner(TINY.training, distribution)
    agent = Agent(TINY.training, learner, learner.init().weights, 0, 0, Interface.of(distribution, 100))
    summary = compare_with_scratch(agent, TINY, say=lambda _: None)
    before, adapted, equal, end = summary["rows"]
    expected = evaluate(learner, agent.weights, envs.make("navigation", "test"), TINY.training.evaluate)
    assert before["return"] == pytest.approx(expected.returns[:, 0].mean())
    assert adapted["return"] == pytest.approx(expected.returns[:, 1].mean())
    assert adapted["env_steps"] == 4 * 100
    curves = np.array(summary["curves"])
    assert curves.shape == (3, 4, 3)
    # Of each task the first point that has had as many steps: after two updates of two episodes of 100 steps, or after
    # three where an episode ended early.
    reached = np.array([curve[np.argmax(curve[:, 0] >= 400)] for curve in curves])
    assert equal["env_steps"] == round(reached[:, 0].mean()) >= 400
    assert equal["return"] == pytest.approx(reached[:, 1].mean())
    assert end["return"] == pytest.approx(curves[:, -1, 1].mean())
    assert len({tuple(curve[0]) for curve in curves.tolist()}) == 3  # another policy for every task
    assert skill_table(summary).count("\n") == 7
    write_skill(summary, tmp_path / "new" / "skill", "the command")
    assert json.loads((tmp_path / "new" / "skill.json").read_text())["command"] == "the command"
    assert (tmp_path / "new" / "skill.md").read_text().startswith("maml-trpo on navigation, 0 iterations; 3 new tasks")
