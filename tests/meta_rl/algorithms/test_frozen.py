"""Networks of somebody's own: frozen parameters stay, unused ones do no harm, layers that do not fit are named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import pytest
import torch
from torch import Tensor, nn

import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.algorithms.maml import Maml
from meta_rl.algorithms.reptile import displacement
from meta_rl.config import RECIPES, MamlConfig, default_config, replace_paths
from meta_rl.core.types import Batch, MetaBatch, Params, map_tensors, select_rows
from meta_rl.errors import ConfigError
from meta_rl.fewshot.tasks import FewShotSource, open_tasks
from meta_rl.maths.distributions import Categorical
from meta_rl.networks.policy import Policy, make_policy
from meta_rl.sources.base import Plan
from meta_rl.sources.in_process import InProcess
from tests.meta_rl.fewshot_data import image_batch
from tests.meta_rl.mdp import ACTIONS, STATES, Mdp, Tabular, stack

ACTING = ["maml-trpo", "fomaml-trpo", "maml-dice-trpo", "maml-vpg", "promp", "metasgd-trpo", "multitask-trpo"]
ACTING += ["multitask-ppo", "reptile", "rl2", "rl2-gru"]
PREDICTING = ["maml", "metasgd", "pretrained", "meta-lstm", "reptile-supervised"]


class Case:
    """A learner of `recipe` with a small network, whose parameters are touched before it learns two iterations."""

    def __init__(self, recipe: str) -> None:
        env = "navigation" if recipe in ACTING else "sinusoid-5shot"
        changes: dict[str, Any] = {"network.hidden": (6,), "meta_batch_size": 3, "episodes_per_task": 2}
        if recipe.startswith("reptile"):  # Adam makes a step of full size out of a rounding error
            changes["algorithm.meta_optimizer"] = "adam"
        if recipe in ("maml", "metasgd", "pretrained", "reptile-supervised"):
            changes["algorithm.task_map"] = "vmap"
        self.config = config = replace_paths(default_config(recipe, env), changes)
        distribution: Any = envs.make(env, horizon=6) if recipe in ACTING else open_tasks(config, "train")
        self.learner: Any = make_learner(config, distribution)
        self.source: Any = (
            InProcess(distribution, self.learner, Plan(3, 2, 0))
            if recipe in ACTING
            else FewShotSource(distribution, config)
        )
        self.policy: nn.Module = self.learner.policy

    def learn(self) -> tuple[Params, Params, Params]:
        """Parameters before and after, and those of three tasks adapted once from before, with a task axis."""
        state = self.learner.init()
        before, start = dict(state.params), self.learner.start(state.weights, 3)
        adapted: Params = {}
        for _ in range(2):
            batch = self.source.sample(state.weights, state.iteration).batch
            if getattr(self.learner, "episodes_at_once", True) and batch.support and not adapted:
                found = self.learner.adapt(start, batch.support[0])
                adapted = getattr(found, "weights", found).params
            self.learner.meta_update(state, batch)
            state.iteration += 1
        return before, state.params, adapted


def others_of(names: list[str], held: list[str]) -> set[str]:
    return set(names) - set(held)


@pytest.mark.parametrize("recipe", [*ACTING, *PREDICTING])
def test_frozen_parameters_stay_to_the_bit_in_inner_and_outer_steps(recipe: str) -> None:
    case = Case(recipe)
    names = [name for name, _ in case.policy.named_parameters()]
    held = [name for name in names if "0.weight" in name or name.endswith(("log_std", "weight_hh"))]
    assert held
    for name in held:
        case.policy.get_parameter(name).requires_grad_(False)
    before, after, adapted = case.learn()
    moved = {name for name in names if not torch.equal(before[name], after[name])}
    assert moved == others_of(names, held)
    stay = {name for name, p in adapted.items() if bool((p == before[name]).all())}
    assert not adapted or stay == set(held)


@pytest.mark.parametrize("recipe", [*ACTING, *PREDICTING])
def test_parameters_that_nothing_uses_do_no_harm(recipe: str) -> None:
    case = Case(recipe)
    used = [name for name, _ in case.policy.named_parameters()]
    with torch.random.fork_rng():
        case.policy.spare = nn.Linear(3, 2)  # type: ignore[assignment]
    before, after, _ = case.learn()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    # The rule of meta-lstm forgets, so it may move whatever it is given.
    assert moved - {"spare.weight", "spare.bias"} == set(used)
    assert recipe == "meta-lstm" or moved == set(used)


class Framed(Policy):
    """`Tabular` behind a frozen matrix and a scale, beside a parameter that is not used; float64.

    Args:
        parts: names of what is a parameter; the rest are constants.
    """

    noise_kind, noise_shape = "uniform", (1,)

    def __init__(self, *parts: str) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(3)
        self.frame: Tensor
        self.logits = Tabular(1).logits
        frame = torch.randn(STATES, STATES, dtype=torch.float64, generator=rng)
        if "frame" in parts:
            self.frame = nn.Parameter(frame, requires_grad=False)
        else:
            self.register_buffer("frame", frame)
        if "spare" in parts:
            self.spare = nn.Parameter(torch.ones(5, dtype=torch.float64))

    def forward(self, observation: Tensor) -> Categorical:
        return Categorical(observation @ self.frame @ self.logits)


def framed_batch(steps: int) -> MetaBatch:
    """Every trajectory of two problems, for `steps` inner steps and the query."""
    policy = Framed()
    logits = (policy.frame @ policy.logits).detach()
    one = stack([Mdp(0).batch(logits), Mdp(1).batch(logits)])
    return MetaBatch((one,) * steps, one)


@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("outer", ["trpo", "ppo", "vpg"])
@pytest.mark.parametrize("rates", [False, True])
def test_what_is_frozen_counts_as_a_constant_and_what_is_unused_as_absent(outer: str, steps: int, rates: bool) -> None:
    config = MamlConfig(
        inner_lr=0.3, outer_step=outer, inner_steps=steps, learn_inner_lr=rates and steps > 0, curvature_stride=1
    )
    batch = framed_batch(steps)
    found = []
    for parts in ((), ("frame",), ("spare",), ("frame", "spare")):
        learner = Maml(config, Framed(*parts))
        state = learner.init()
        metrics = learner.meta_update(state, batch)
        assert not torch.equal(state.params["logits"], learner.policy.logits.detach())
        if "frame" in parts:
            assert torch.equal(state.params["frame"], learner.policy.frame)
        found.append((state.params["logits"], state.shared.get("logits", torch.zeros(1)), metrics))
    for logits, rate, metrics in found[1:]:
        torch.testing.assert_close(logits, found[0][0], rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(rate, found[0][1], rtol=1e-8, atol=1e-10)
        for name, value in metrics.items():
            assert value == pytest.approx(found[0][2][name], rel=1e-6, abs=1e-9), name
    assert found[0][0].shape == (STATES, ACTIONS)


def test_an_output_that_is_a_constant_has_no_curvature() -> None:
    """A frozen standard deviation: the trust region's map has an output that no parameter moves."""
    case = Case("maml-trpo")
    case.policy.log_std.requires_grad_(False)  # type: ignore[union-attr, operator]
    before, after, adapted = case.learn()
    assert torch.equal(before["log_std"], after["log_std"])
    assert not torch.equal(before["mean.2.bias"], after["mean.2.bias"])
    assert bool((adapted["log_std"] == before["log_std"]).all())


def test_the_mean_of_equal_numbers_is_that_number() -> None:
    """In float32 the mean of equal numbers is often another number, whose distance Adam would make a whole step of."""
    p = torch.rand(99, generator=torch.Generator().manual_seed(0))
    assert bool((p.expand(7, 99).mean(0) != p).any())
    assert not displacement(p, p.expand(7, 99)).any()
    torch.testing.assert_close(displacement(p, torch.stack([p, p + 1, p + 2])), torch.full((99,), -1.0))


def test_embeddings_learn_beside_a_frozen_layer() -> None:
    config = default_config("prototypical", "omniglot-5way-1shot")
    config = replace_paths(config, {"network.hidden": (4, 4)})
    images = type("Images", (), {"observation_space": gym.spaces.Box(0, 1, (1, 8, 8)), "action_space": None})()
    learner: Any = make_learner(config, images)
    first = next(iter(dict(learner.policy.named_parameters())))
    learner.policy.get_parameter(first).requires_grad_(False)

    def single(x: Tensor) -> Tensor:
        return x.float() if x.is_floating_point() else x

    state = learner.init()
    before = dict(state.params)
    learner.meta_update(state, map_tensors(single, image_batch()))
    stay = {name for name in before if torch.equal(before[name], state.params[name])}
    assert stay == {first}


def own_recipe(monkeypatch: pytest.MonkeyPatch, make: Any) -> Any:
    """A config of a recipe whose network `make` makes."""
    monkeypatch.setattr("meta_rl.networks.policy.make_own", make, raising=False)
    row = replace(RECIPES["maml-trpo"], policy="meta_rl.networks.policy:make_own")
    monkeypatch.setitem(RECIPES, "own", row)
    return replace(default_config("maml-trpo", "navigation"), recipe="own")


LAYERS: list[tuple[nn.Module, str]] = [
    (nn.Dropout(0.1), r"Dropout \(layer mean.layer\) draws random numbers"),
    (nn.AlphaDropout(), "AlphaDropout .* draws random numbers"),
    (nn.RReLU(), "RReLU .* draws random numbers"),
    (nn.TransformerEncoderLayer(4, 1, 4), "draws random numbers of its own"),
    (nn.BatchNorm1d(6), r"BatchNorm1d \(layer mean.layer\) has no second derivatives .* valid: nn.LayerNorm"),
    (nn.BatchNorm2d(6, track_running_stats=False).eval(), "BatchNorm2d .* has no second derivatives"),
]


@pytest.mark.parametrize(
    ("layer", "message"), LAYERS, ids=lambda x: type(x).__name__ if isinstance(x, nn.Module) else ""
)
def test_layers_that_do_not_fit_are_named(monkeypatch: pytest.MonkeyPatch, layer: nn.Module, message: str) -> None:
    def make(*arguments: Any) -> Policy:
        policy: Any = make_policy(*arguments)
        policy.mean.add_module("layer", layer)
        return policy  # type: ignore[no-any-return]

    with pytest.raises(ConfigError, match=f"^policy: {message}" if message[0].isupper() else message) as caught:
        make_learner(own_recipe(monkeypatch, make), envs.make("navigation"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "layer", [nn.LayerNorm(2), nn.Dropout(0.0), nn.Dropout(0.5).eval(), nn.BatchNorm1d(2).eval(), nn.Identity()]
)
def test_layers_that_fit_are_taken(monkeypatch: pytest.MonkeyPatch, layer: nn.Module) -> None:
    def make(*arguments: Any) -> Policy:
        policy: Any = make_policy(*arguments)
        policy.mean.add_module("layer", layer)
        return policy  # type: ignore[no-any-return]

    assert make_learner(own_recipe(monkeypatch, make), envs.make("navigation")).init().params


def test_a_network_that_is_frozen_altogether_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = own_recipe(monkeypatch, lambda *arguments: make_policy(*arguments).requires_grad_(False))
    with pytest.raises(ConfigError, match="policy: all parameters are frozen"):
        make_learner(config, envs.make("navigation"))


def test_rows_of_a_batch_are_adapted_alike() -> None:
    """A frozen parameter changes nothing of how tasks are cut into groups."""
    learner = Maml(MamlConfig(inner_lr=0.3), Framed("frame"))
    batch: Batch = framed_batch(1).support[0]
    start = learner.start(learner.init().weights, 2)
    both = learner.adapt(start, batch).params["logits"]
    for task in range(2):
        alone = learner.adapt(learner.start(learner.init().weights, 1), select_rows(batch, slice(task, task + 1)))
        torch.testing.assert_close(alone.params["logits"][0], both[task])
