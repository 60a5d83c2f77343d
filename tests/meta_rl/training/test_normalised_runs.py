"""Runs whose observations are normalised: what is measured, what it is used for, and that nothing else moves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import envs
from envs.navigation import NavigationVectorEnv
from meta_rl import load
from meta_rl.algorithms.base import make_learner
from meta_rl.algorithms.rl2 import Rl2
from meta_rl.config import TrainConfig, default_config, replace_paths
from meta_rl.core.moments import Moments
from meta_rl.core.types import Params
from meta_rl.evaluation.episodes import evaluate
from meta_rl.evaluation.report import evaluate_run
from meta_rl.handover.export import export
from meta_rl.runs.log import read_rows
from meta_rl.sources.base import Plan
from meta_rl.sources.in_process import InProcess
from meta_rl.training.train import train
from tests.meta_rl.agents.test_player import Lone
from tests.meta_rl.training.test_train import assert_same_run, final, quiet
from tests.meta_rl.untrained import untrained

ADAM = {"algorithm.inner_optimizer": "adam", "algorithm.inner_lr": 1e-2, "algorithm.inner_minibatches": 2}
RUNS: dict[str, dict[str, Any]] = {
    "maml-trpo": {},
    "reptile": {"algorithm.inner_loss": "ppo", "algorithm.inner_epochs": 2, **ADAM},
    "rl2": {"algorithm.minibatches": 2, "network.clock_steps": 50},
    "varibad": {"algorithm.epochs": 2, "algorithm.belief_epochs": 2, "algorithm.decode_states": True},
    "dagger": {"algorithm.minibatches": 2, "algorithm.learning_rate_iterations": 4},
    "pearl": {"algorithm.update_steps": 2, "algorithm.batch_size": 8},
    "rl2-sac": {"algorithm.update_steps": 2, "algorithm.update_trials": 4, "algorithm.chunk": 30},
}
STATISTICS: Params = Moments(
    torch.tensor(50.0, dtype=torch.float64), *torch.tensor([[0.3, -0.2], [20.0, 4.0]], dtype=torch.float64)
)._asdict()
"""Of navigation's two numbers, after 50 steps: deviations of 0.63 and 0.28."""


def config_of(recipe: str, **changes: Any) -> dict[str, Any]:
    """Changes that make the small run of `recipe` of maml-trpo's."""
    config = replace_paths(default_config(recipe, "navigation"), {"network.normalise_observations": True})
    config = replace_paths(config, RUNS.get(recipe, {}) | changes)
    network = replace_paths(config.network, {"hidden": (8,)})
    return {"recipe": recipe, "algorithm": config.algorithm, "network": network}


@pytest.mark.parametrize("recipe", RUNS)
def test_stop_and_resume_equals_an_uninterrupted_run(tiny: Callable[..., TrainConfig], recipe: str) -> None:
    whole = train(tiny("whole", **config_of(recipe)), quiet)
    for stop in (1, 3, 4):
        parts = train(tiny("parts", **config_of(recipe), iterations=stop), quiet)
    assert_same_run(whole, parts)
    state = final(whole)
    assert float(state.statistics["seen"]) == state.env_steps > 0
    assert bool(state.shared) == (recipe in ("reptile", "varibad"))


@pytest.mark.parametrize("recipe", RUNS)
def test_an_iteration_acts_and_learns_by_the_statistics_it_began_with(
    tiny: Callable[..., TrainConfig], recipe: str
) -> None:
    """At first there are none: the first iteration is that of a run without, the second is not."""
    plain = train(tiny("plain", **config_of(recipe, **{"network.normalise_observations": False}), iterations=2), quiet)
    normalised = train(tiny("normalised", **config_of(recipe), iterations=2), quiet)
    a, b = (read_rows(run / "metrics.jsonl") for run in (plain, normalised))
    assert a[0] == b[0]
    assert a[1] != b[1]
    assert final(plain).statistics == {}


@pytest.mark.parametrize("recipe", RUNS)
def test_statistics_are_of_every_step_of_every_stage(
    tiny: Callable[..., TrainConfig], recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All observations that were acted on in four iterations, by numpy."""
    seen: list[NDArray[np.float64]] = []
    step = NavigationVectorEnv._step

    def spy(self: Any, action: Any, active: Any) -> Any:
        seen.append(self._position[active].astype(np.float32).astype(np.float64))
        return step(self, action, active)

    monkeypatch.setattr(NavigationVectorEnv, "_step", spy)
    statistics = final(train(tiny(**config_of(recipe), shards=2), quiet)).statistics
    every = np.concatenate(seen)
    assert float(statistics["seen"]) == len(every)
    np.testing.assert_allclose(statistics["mean"], every.mean(0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(statistics["square"], len(every) * every.var(0), rtol=1e-9)


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("maml-trpo", {}),
        ("maml-ppo", {}),
        ("maml-vpg", {}),
        ("metasgd-trpo", {}),
        ("reptile", {}),
        ("reptile", {"algorithm.meta_optimizer": "adam", **ADAM}),
        ("rl2", {}),
    ],
)
def test_neither_adaptation_nor_meta_updates_move_statistics(recipe: str, changes: dict[str, Any]) -> None:
    options = {"network.normalise_observations": True, "network.hidden": (8,), **changes}
    config = replace_paths(default_config(recipe, "navigation"), options)
    distribution = envs.make("navigation", horizon=10)
    learner = make_learner(config, distribution)
    state = learner.init()
    assert state.statistics.keys() == STATISTICS.keys()
    state.statistics = {name: tensor.clone() for name, tensor in STATISTICS.items()}
    batch = InProcess(distribution, learner, Plan(3, 2, 0)).sample(state.weights, 0).batch
    adapted = learner.start(state.weights, 3)
    if not isinstance(learner, Rl2):
        adapted = learner.adapt(adapted, batch.query, learner.actor(adapted))
    weights = adapted if recipe.startswith(("maml", "metasgd")) else adapted.weights
    before = {name: p.clone() for name, p in state.params.items()}
    learner.meta_update(state, batch)
    assert any(not torch.equal(p, before[name]) for name, p in state.params.items())
    for statistics in (state.statistics, weights.statistics):
        assert statistics.keys() == STATISTICS.keys()
        assert all(torch.equal(tensor, STATISTICS[name]) for name, tensor in statistics.items())


@pytest.mark.parametrize("recipe", RUNS)
def test_an_exported_agent_does_what_its_run_does(
    tiny: Callable[..., TrainConfig], recipe: str, tmp_path: Path
) -> None:
    config = tiny(**config_of(recipe), iterations=2)
    run = train(config, quiet)
    folder = export(run, tmp_path / "agent")
    mine, original = load(folder), load(run)
    for a, b in zip(mine.weights, original.weights, strict=True):
        assert list(a) == list(b)
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert float(mine.weights.statistics["seen"]) > 0
    results = [evaluate_run(path, config.evaluate, quiet).stages for path in (folder, run)]
    assert results[0] == results[1]
    mine.weights = mine.weights._replace(statistics={})
    distribution = envs.make("navigation", "test")
    without, by_them = (
        evaluate(agent.learner, agent.weights, distribution, config.evaluate) for agent in (mine, original)
    )
    assert not np.array_equal(without.returns, by_them.returns)


@pytest.mark.parametrize("recipe", RUNS)
def test_agents_in_other_hands_read_observations_by_the_statistics_too(recipe: str) -> None:
    """As one without statistics that is shown numbers normalised by hand."""
    changes = {**RUNS[recipe], "network.hidden": (8,), "network.normalise_observations": True}
    agent = untrained(recipe, "navigation", changes)
    plain = untrained(recipe, "navigation", changes | {"network.normalise_observations": False})
    agent.weights = agent.weights._replace(statistics=STATISTICS)
    rng, mean = np.random.default_rng(0), np.array([0.3, -0.2])
    deviation = np.sqrt(np.array([20.0, 4.0]) / 50)
    player, by_hand = agent.player(), plain.player()
    for observation in rng.normal(size=(5, 2)):
        normalised = (observation.astype(np.float32).astype(np.float64) - mean) / deviation
        np.testing.assert_allclose(player.act(observation), by_hand.act(normalised), rtol=1e-5, atol=1e-7)
        player.observe(1.0, False)
        by_hand.observe(1.0, False)
    for name in ("adapt_action", "eval_action"):
        many = rng.normal(size=(3, 2)).astype(np.float32).astype(np.float64)
        found, expected = (
            getattr(each.as_metaworld_agent(seed=1), name)(shown)
            for each, shown in ((agent, many), (plain, (many - mean) / deviation))
        )
        pair = (found, expected) if name == "eval_action" else (found[0], expected[0])
        np.testing.assert_allclose(*pair, rtol=1e-5, atol=1e-7)
        other = getattr(plain.as_metaworld_agent(seed=1), name)(many)
        assert not np.allclose(other if name == "eval_action" else other[0], pair[0], rtol=1e-3)


@pytest.mark.parametrize("recipe", RUNS)
def test_a_player_earns_what_the_evaluator_found(recipe: str) -> None:
    protocol = {"evaluate.test_tasks": 1, "evaluate.tasks_at_once": 1, "evaluate.adaptation_steps": 0}
    changes = {**RUNS[recipe], "network.hidden": (8,), "network.normalise_observations": True, **protocol}
    agent = untrained(recipe, "navigation", changes)
    agent.weights = agent.weights._replace(statistics=STATISTICS)
    test = envs.make("navigation", "test")
    found = evaluate(agent.learner, agent.weights, test, agent.config.evaluate)
    played = agent.player().play(Lone(test, found.tasks[0]))
    assert played.returns[0, 0] == pytest.approx(found.returns[0, 0, 0], rel=1e-4)
