"""What a learner has learned keeps its home: joined and parted, taken over from earlier versions, never from others."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest
import torch

import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.config import default_config, replace_paths
from meta_rl.core.state import TrainState
from meta_rl.core.types import Params
from meta_rl.core.weights import Weights, adopt, joined, parted

# Learners with shared parameters: recipe, options, and what the names of these began with in version 1.
SHARING: list[tuple[str, dict[str, Any], str]] = [
    ("metasgd-trpo", {}, "inner_lr."),
    ("metasgd", {}, "inner_lr."),
    ("meta-lstm", {}, "rule."),
    ("siamese-koch", {}, "head."),
    ("reptile-supervised", {"algorithm.inner_optimizer": "adam"}, "inner_optimizer."),
]


class Images:
    observation_space, action_space = gym.spaces.Box(0, 1, (1, 8, 8)), gym.spaces.Discrete(3)


def fresh(recipe: str, changes: dict[str, Any]) -> TrainState:
    env = "navigation" if recipe.endswith("trpo") else "omniglot-5way-1shot"
    config = replace_paths(default_config(recipe, env), {"network.hidden": (4,), **changes})
    learner: Any = make_learner(config, envs.make(env) if env == "navigation" else Images())
    state = learner.init()
    assert state.shared
    return state  # type: ignore[no-any-return]


def learned(state: TrainState) -> Weights:
    """Other numbers than the first ones."""
    rng = torch.Generator().manual_seed(0)
    groups = [{name: torch.rand(p.shape, generator=rng).to(p) for name, p in g.items()} for g in state.weights]
    return Weights(*groups)


def same(a: Params, b: Params) -> bool:
    """In names, their order, and every bit."""
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_joined_and_parted_are_inverse() -> None:
    """Names that both have, and shared ones that begin like a group."""
    params = {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}
    shared = {"b": torch.tensor(3.0), "shared": torch.tensor(4.0)}
    together = joined(params, shared)
    assert list(together) == ["a", "b", "shared.b", "shared.shared"]
    assert parted(together) == (params, shared)
    assert joined(params, {}) == params
    assert parted(params) == (params, {})


@pytest.mark.parametrize(("recipe", "changes", "prefix"), SHARING, ids=[row[0] for row in SHARING])
def test_shared_parameters_of_earlier_versions_find_their_home(
    recipe: str, changes: dict[str, Any], prefix: str
) -> None:
    state = fresh(recipe, changes)
    now = learned(state)
    before = Weights(now.params | {f"{prefix}{name}": p for name, p in now.shared.items()})
    found = adopt(before, state.weights)
    assert same(found.params, now.params)
    assert same(found.shared, now.shared)
    assert adopt(now, state.weights) == now


@pytest.mark.parametrize(("recipe", "changes", "prefix"), SHARING[:3], ids=[row[0] for row in SHARING[:3]])
def test_so_does_what_the_optimizer_knows_of_them(recipe: str, changes: dict[str, Any], prefix: str) -> None:
    state = fresh(recipe, changes)
    keys = ("step", "exp_avg", "exp_avg_sq")
    now = {f"{key}/{name}": torch.rand(()) for name in joined(state.params, state.shared) for key in keys}
    before = {name.replace("/shared.", f"/{prefix}"): tensor for name, tensor in now.items()}
    old = TrainState(3, 4, state.params | {f"{prefix}{name}": p for name, p in state.shared.items()}, optimizer=before)
    old.adopt(state.weights)
    assert same(old.optimizer, now)
    assert same(old.shared, state.shared)
    old.adopt(state.weights)  # nothing more to do
    assert same(old.optimizer, now)
    assert old.weights == state.weights


def test_the_order_is_that_of_the_learner() -> None:
    """Sums over all parameters round differently in another order."""
    fresh = Weights({"b": torch.zeros(1), "a": torch.zeros(1)}, {"d": torch.zeros(1), "c": torch.zeros(1)})
    found = adopt(Weights({"a": torch.ones(1), "b": torch.ones(1)}, {"c": torch.ones(1), "d": torch.ones(1)}), fresh)
    assert [list(group) for group in found] == [["b", "a"], ["d", "c"], []]


MINE = Weights({"w": torch.zeros(2, 3), "b": torch.zeros(3)}, {"rate": torch.zeros(())}, {"mean": torch.zeros(4)})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"params": {"w": torch.zeros(2, 3)}}, "lacks b"),
        ({"params": MINE.params | {"c": torch.zeros(1)}}, "has c"),
        ({"params": {"w": torch.zeros(2, 3), "bias": torch.zeros(3)}}, "has bias and lacks b"),
        ({"params": MINE.params | {"w": torch.zeros(3, 2)}}, r"w is \[3, 2\], not \[2, 3\]"),
        ({"params": {k: torch.zeros(1) for k in "abcdefw"}}, "has a, c, d"),
        ({"shared": {}}, "lacks shared.rate"),
        ({"shared": MINE.shared | {"steps": torch.zeros(())}}, "has shared.steps"),
        ({"statistics": {}}, "lacks mean"),
        ({"statistics": {"mean": torch.zeros(5)}}, r"mean is \[5\], not \[4\]"),
    ],
)
def test_another_network_is_refused_in_one_line_that_says_what_differs(changes: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"^its network is another one: (it )?{said}$") as caught:
        adopt(MINE._replace(**changes), MINE)
    assert "\n" not in str(caught.value)


def test_weights_go_to_the_cpu_together() -> None:
    assert MINE.cpu() == MINE
