"""Learning one task alone, and an agent that is taken to another world."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import envs
from meta_rl.agents.agent import Agent
from meta_rl.algorithms.base import make_learner
from meta_rl.core.interface import Interface
from meta_rl.core.moments import Moments
from meta_rl.core.weights import Weights
from meta_rl.evaluation.episodes import evaluate
from meta_rl.studies.one_task import learn_one_task
from meta_rl.studies.skill import SkillConfig, practice, skill_summary, skill_table, take_along, write_skill
from tests.test_commands import script

TINY = SkillConfig(
    env="navigation",
    world="",
    recipe="maml-trpo",
    iterations=1,
    shown_iterations=0,
    goals=3,
    episodes=4,
    tuning_iterations=3,
    hidden=(16,),
)
MEMORY = replace(TINY, recipe="rl2", episodes=1)


def made(config: SkillConfig) -> Agent:
    distribution = envs.make("navigation")
    learner = make_learner(config.training, distribution)
    return Agent(config.training, learner, learner.init().weights, 0, 0, Interface.of(distribution, 100))


def test_one_task_is_learned_from_scratch() -> None:
    config = replace(TINY, episodes=20, tuning_iterations=15)
    alone = config.alone(config.training, 0)
    points = list(learn_one_task(envs.make("navigation"), envs.Task("navigation", (0.3, 0.2)), alone))
    assert len(points) == 16
    assert points[0].env_steps == 0
    assert 0 < points[1].env_steps <= 30 * 100  # half of the episodes of three steps, each up to the horizon
    # It starts 0.36 from the goal: a policy that stands still returns -36, and so does one that is new.
    assert points[0].mean_return < -30
    assert points[-1].mean_return > -25


@pytest.mark.parametrize("config", [TINY, MEMORY], ids=["gradient", "memory"])
def test_what_an_agent_has_learned_is_where_learning_goes_on(config: SkillConfig) -> None:
    agent = made(config)
    moved = Weights({name: p + 0.01 for name, p in agent.weights.params.items()}, {}, agent.weights.statistics)
    distribution, task = envs.make("navigation"), envs.Task("navigation", (0.3, 0.2))
    alone = replace(config.alone(agent.config, 5), iterations=1)
    first = next(iter(learn_one_task(distribution, task, alone, moved)))
    protocol = replace(alone.evaluate, adaptation_steps=0, test_tasks=1, judge_sampled=False)
    fixed = envs.FixedTask(distribution, task)
    expected = evaluate(make_learner(alone, fixed), moved, fixed, protocol)
    assert first.mean_return == expected.returns.mean()
    assert first.mean_return != next(iter(learn_one_task(distribution, task, alone))).mean_return
    assert torch.equal(*(next(iter(w.params.values())) - 0.01 for w in (moved, moved)))  # nothing moved them


def test_learning_goes_on_in_the_units_that_values_were_learned_in() -> None:
    """Returns of -1000 on average: the first update takes the values of the head for such, not for about 0."""
    agent, task = made(MEMORY), envs.Task("navigation", (0.3, 0.2))
    alone = replace(MEMORY.alone(agent.config, 5), iterations=1)
    returns = Moments.empty().update(torch.tensor([-1010.0, -990.0]), torch.ones(2))
    known, unknown = (
        list(learn_one_task(envs.make("navigation"), task, alone, agent.weights, extras))
        for extras in (returns._asdict(), None)
    )
    assert known[0] == unknown[0]
    assert known[1] != unknown[1]


@pytest.mark.parametrize("config", [TINY, MEMORY], ids=["gradient", "memory"])
def test_the_comparison_is_at_equal_env_steps(config: SkillConfig, tmp_path: Path) -> None:
    agent, said = made(config), []
    taken = [take_along(agent, config, seed, said.append) for seed in range(2)]
    assert len(said) == 6
    summary = skill_summary([agent, agent], taken, config)
    before, adapted, tuned, tuned_end, equal, end = summary["rows"]
    expected = evaluate(agent.learner, agent.weights, envs.make("navigation", "test"), config.training.evaluate)
    assert before["return"] == pytest.approx(expected.returns[:, 0].mean())
    assert adapted["return"] == pytest.approx(expected.returns[:, -1].mean())
    budget = practice(agent.config.evaluate) * 100
    assert adapted["env_steps"] == budget
    for name, at, last in (("tuned", tuned, tuned_end), ("scratch", equal, end)):
        curves = np.array(summary["curves"][name])
        assert curves.shape == (6, 4, 3)  # seeds and tasks, points
        # Of each task the first point that has had as many steps, or the last one.
        reached = np.array(
            [curve[np.argmax(curve[:, 0] >= budget) if curve[-1, 0] >= budget else -1] for curve in curves]
        )
        assert at["env_steps"] == round(reached[:, 0].mean())
        assert at["return"] == pytest.approx(reached[:, 1].mean())
        assert last["return"] == pytest.approx(curves[:, -1, 1].mean())
    assert (
        len({tuple(curve[-1]) for curve in summary["curves"]["scratch"]}) == 6
    )  # another seed for every task and agent
    assert len({tuple(curve[0]) for curve in summary["curves"]["tuned"]}) == 3  # one agent, three tasks
    write_skill(summary, tmp_path / "new" / "skill", "the command")
    assert json.loads((tmp_path / "new" / "skill.json").read_text())["command"] == "the command"
    text = (tmp_path / "new" / "skill.md").read_text()
    assert text.startswith(f"{config.recipe} on navigation, 0 env steps, 2 agents; 3 new tasks of navigation")
    assert skill_table(summary).count("\n") == 9


def test_each_run_begins_with_the_one_before() -> None:
    first, second = SkillConfig(out="there").runs(1)
    assert (first.recipe, second.recipe) == ("dagger", "rl2")
    assert (first.start_from, second.start_from) == ("", first.run_dir)
    assert (first.seed, second.seed, second.run_dir) == (1, 1, "there/rl2_s1")
    assert [run.recipe for run in replace(SkillConfig(), iterations=0).runs(0)] == ["dagger"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--iterations 0 --shown-iterations 0", "--iterations: nothing is trained"),
        ("--recipe maml-trpo", "--recipe: maml-trpo has no memory and cannot begin with the expert's student"),
        ("--recipe maml", "--recipe: unknown 'maml'"),
        ("--env cheetah-vel@promp --world cheetah-vel@promp", "cheetah-vel@promp has no expert"),
        ("--env metaworld/nowhere", "nowhere"),
        ("--goals 0", "--goals: must be at least 1, got 0"),
        ("--world navigation", "--world: navigation does not fit metaworld/ml1-push-v3+dynamics: observations are"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    options: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        script("skill_adaptation").main([*options.split(), "--out", str(out)])
    line = capsys.readouterr().err
    assert (stop.value.code, line.count("\n")) == (2, 1)
    assert said in line
    assert not out.exists()
