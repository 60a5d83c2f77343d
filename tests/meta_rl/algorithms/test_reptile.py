"""Reptile against closed forms and plain loops, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.algorithms.reptile import Reptile
from meta_rl.config import ReptileConfig, default_config, replace_paths
from meta_rl.core.moments import Moments
from meta_rl.core.state import GROUPS, TrainState
from meta_rl.core.types import Batch, MetaBatch, Params, map_tensors
from meta_rl.maths import losses
from meta_rl.networks.policy import make_policy
from meta_rl.sources.base import Plan
from meta_rl.sources.in_process import InProcess
from tests.meta_rl.algorithms import test_maml
from tests.meta_rl.algorithms.test_maml import CONTINUOUS, DISCRETE, NET, OBSERVATION

# -- a quadratic ---------------------------------------------------------------------------------------------------

CURVATURE = torch.tensor([[2.0, 0.3, 0.0], [0.3, 1.0, -0.2], [0.0, -0.2, 0.5]], dtype=torch.float64)
START = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


class Quadratic(Reptile):
    """The loss of a task is 0.5 (theta - c)^T A (theta - c); its "rollouts" of one step hold the centre c."""

    def _loss(self, params: Params, batch: Batch) -> Tensor:
        offset = params["theta"] - batch.observation[0, 0]
        return 0.5 * offset @ CURVATURE @ offset


def quadratic(**config: Any) -> tuple[Quadratic, TrainState]:
    policy = make_policy(OBSERVATION, CONTINUOUS, NET, 0)
    return Quadratic(ReptileConfig(**{"inner_lr": 0.1, **config}), policy), TrainState(0, 0, {"theta": START.clone()})


def centres(tasks: int, seed: int = 0) -> Tensor:
    return torch.randn(tasks, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def rollouts(learner: Quadratic, centre: Tensor) -> MetaBatch:
    unused = torch.zeros(len(centre), 1, 1)
    batch = Batch(centre[:, None, None], unused, unused, unused, unused)
    return MetaBatch((batch,) * learner.config.inner_steps, batch)


def closed_form(theta: Tensor, centre: Tensor, steps: int) -> Tensor:
    """theta_K = c + (I - inner_lr A)^K (theta - c), for every task."""
    shrink = torch.linalg.matrix_power(torch.eye(3, dtype=torch.float64) - 0.1 * CURVATURE, steps)
    return centre + (theta - centre) @ shrink.mT


@pytest.mark.parametrize("inner_epochs", [1, 4])
@pytest.mark.parametrize("inner_steps", [1, 3])
@pytest.mark.parametrize("meta_lr", [1.0, 0.3])
def test_update_on_a_quadratic_in_closed_form(meta_lr: float, inner_steps: int, inner_epochs: int) -> None:
    """The query is learned from like the support: (inner_steps + 1) * inner_epochs steps."""
    learner, state = quadratic(meta_lr=meta_lr, inner_steps=inner_steps, inner_epochs=inner_epochs)
    centre = centres(5)
    metrics = learner.meta_update(state, rollouts(learner, centre))
    moved = closed_form(START, centre, (inner_steps + 1) * inner_epochs).mean(0) - START
    torch.testing.assert_close(state.params["theta"], START + meta_lr * moved, rtol=0, atol=1e-13)
    assert metrics["update/displacement"] == pytest.approx(float(moved.norm()))
    assert metrics["update/meta_lr"] == meta_lr
    assert state.optimizer == {}


def test_many_updates_reach_the_point_from_which_tasks_are_near() -> None:
    """With one curvature for all tasks that is the mean of their centres, whatever the number of steps."""
    learner, state = quadratic(inner_steps=3)
    centre = centres(5)
    for _ in range(300):
        learner.meta_update(state, rollouts(learner, centre))
    torch.testing.assert_close(state.params["theta"], centre.mean(0), rtol=0, atol=1e-10)


def test_a_meta_batch_of_one_is_serial_reptile() -> None:
    learner, state = quadratic(meta_lr=0.4)
    theta = START
    for centre in centres(2):
        learner.meta_update(state, rollouts(learner, centre.unsqueeze(0)))
        adapted = theta
        for _ in range(4):
            adapted = adapted - 0.1 * CURVATURE @ (adapted - centre)
        theta = theta + 0.4 * (adapted - theta)
    torch.testing.assert_close(state.params["theta"], theta, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        ({}, [0.8] * 6),
        ({"final_meta_lr": 0.5}, [0.8] * 6),  # no length, no annealing
        ({"final_meta_lr": 0.0, "meta_lr_iterations": 4}, [0.8, 0.6, 0.4, 0.2, 0.0, 0.0]),
        ({"final_meta_lr": 0.5, "meta_lr_iterations": 4}, [0.8, 0.7, 0.6, 0.5, 0.4, 0.4]),
    ],
)
def test_annealing(settings: dict[str, Any], values: list[float]) -> None:
    learner, state = quadratic(meta_lr=0.8, **settings)
    theta, centre = START, centres(3)
    for value in values:
        metrics = learner.meta_update(state, rollouts(learner, centre))
        state.iteration += 1
        theta = theta + value * (closed_form(theta, centre, 4).mean(0) - theta)
        assert metrics["update/meta_lr"] == pytest.approx(value, abs=1e-15)
        torch.testing.assert_close(state.params["theta"], theta, rtol=0, atol=1e-13)


def test_adam_takes_theta_minus_the_mean_for_its_gradient() -> None:
    learner, state = quadratic(meta_optimizer="adam", meta_lr=0.05, final_meta_lr=0.2, meta_lr_iterations=4)
    leaf = START.clone().requires_grad_()
    adam = torch.optim.Adam([leaf], lr=0.05)
    for iteration, rate in enumerate([0.05, 0.04, 0.03, 0.02, 0.01]):
        centre = centres(3, seed=iteration)
        learner.meta_update(state, rollouts(learner, centre))
        state.iteration += 1
        leaf.grad = leaf.detach() - closed_form(leaf.detach(), centre, 4).mean(0)
        adam.param_groups[0]["lr"] = rate
        adam.step()
        torch.testing.assert_close(state.params["theta"], leaf.detach(), rtol=0, atol=1e-12)
    assert float(state.optimizer["step/theta"]) == 5


@pytest.mark.parametrize("meta_optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_leaves_parameters_and_optimizer_bitwise(meta_optimizer: str, bad: float) -> None:
    learner, state = quadratic(meta_optimizer=meta_optimizer)
    learner.meta_update(state, rollouts(learner, centres(3)))
    params, optimizer = state.params["theta"].clone(), {k: v.clone() for k, v in state.optimizer.items()}
    broken = centres(3)
    broken[1, 2] = bad
    metrics = learner.meta_update(state, rollouts(learner, broken))
    assert metrics["guard/non_finite_gradient"] == 1
    assert torch.equal(state.params["theta"], params)
    assert optimizer.keys() == state.optimizer.keys()
    assert all(torch.equal(optimizer[name], state.optimizer[name]) for name in optimizer)
    assert bool(optimizer) == (meta_optimizer == "adam")


# -- policies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action_space", [CONTINUOUS, DISCRETE])
@pytest.mark.parametrize("settings", [{"inner_loss": "lvc"}, {"inner_loss": "ppo", "inner_epochs": 3, "clip_eps": 0.1}])
def test_update_equals_a_loop_over_tasks(action_space: Any, settings: dict[str, Any]) -> None:
    """`torch.autograd.grad`, one task and one step after another, no vmap, no torch.func."""
    maml, params = test_maml.make(action_space, inner_steps=2)
    batch = test_maml.random_batch(maml, params)
    learner = Reptile(ReptileConfig(inner_lr=0.2, inner_steps=2, meta_lr=0.7, **settings), maml.policy)
    state = learner.init()
    mean = {name: torch.zeros_like(p) for name, p in state.params.items()}
    for task in range(3):
        adapted = map_tensors(torch.Tensor.detach, params)
        for rollout in (*batch.support, batch.query):
            mine = Batch(*(x[task] for x in rollout))
            for _ in range(learner.config.inner_epochs):
                adapted = {name: p.detach().requires_grad_() for name, p in adapted.items()}
                distribution = learner.policy.apply(adapted, mine.observation)
                if learner.config.inner_loss == "lvc":
                    loss = losses.likelihood_ratio(distribution, mine)
                else:
                    loss = losses.clipped(distribution, mine, 0.1)
                grads = torch.autograd.grad(loss, list(adapted.values()))
                adapted = {k: p.detach() - 0.2 * g for (k, p), g in zip(adapted.items(), grads, strict=True)}
        mean = {name: m + adapted[name] / 3 for name, m in mean.items()}
    learner.meta_update(state, batch)
    for name, p in params.items():
        expected = p.detach() + 0.7 * (mean[name] - p.detach())
        torch.testing.assert_close(state.params[name], expected, rtol=0, atol=1e-12)
        assert (expected - p.detach()).abs().max() > 1e-6
        assert not state.params[name].requires_grad


@pytest.mark.parametrize("inner_loss", ["lvc", "ppo"])
@pytest.mark.parametrize(("epochs", "minibatches"), [(1, 1), (3, 1), (1, 4), (2, 4)])
def test_inner_adam_on_minibatches_equals_a_loop_with_torchs(inner_loss: str, epochs: int, minibatches: int) -> None:
    """Two updates of three tasks on rollouts of 6 steps: every epoch takes steps 0 and 4, then 1 and 5, then 2, then 3.
    Adam has no momentum; each task begins with the mean of the second moments that the last update's tasks ended
    with."""
    maml, params = test_maml.make(inner_steps=2)
    settings = {"inner_loss": inner_loss, "inner_epochs": epochs, "inner_minibatches": minibatches}
    config = ReptileConfig(inner_lr=0.02, inner_steps=2, inner_optimizer="adam", meta_lr=0.7, **settings)  # type: ignore[arg-type]
    learner = Reptile(config, maml.policy)
    loss_of = losses.likelihood_ratio if inner_loss == "lvc" else lambda d, b: losses.clipped(d, b, 0.2)
    state, taken = learner.init(), 3 * epochs * minibatches  # steps of a task in an update: two supports, one query
    theta = map_tensors(torch.Tensor.detach, params)
    moments = {name: torch.zeros_like(p) for name, p in theta.items()}
    for update in range(2):
        batch = test_maml.random_batch(maml, params, seed=update)
        adapted = learner.start(state.weights, 3)
        for rollout in (*batch.support, batch.query):
            adapted = learner.adapt(adapted, rollout)
        learner.meta_update(state, batch)
        ended: list[tuple[Params, Params]] = []
        for task in range(3):
            leaves = {name: p.clone().requires_grad_() for name, p in theta.items()}
            adam = torch.optim.Adam(list(leaves.values()), lr=0.02, betas=(0.0, 0.999))
            for name, p in leaves.items():
                begun = {"step": torch.tensor(float(taken * update)), "exp_avg": torch.zeros_like(p)}
                adam.state[p] = begun | {"exp_avg_sq": moments[name].clone()}
            for rollout in (*batch.support, batch.query):
                for _ in range(epochs):
                    for first in range(minibatches):
                        mine = Batch(*(x[task][:, first::minibatches] for x in rollout))
                        adam.zero_grad()
                        loss_of(learner.policy.apply(leaves, mine.observation), mine).backward()
                        adam.step()
            ended.append(
                (
                    {n: p.detach() for n, p in leaves.items()},
                    {n: adam.state[p]["exp_avg_sq"] for n, p in leaves.items()},
                )
            )
            for name, p in leaves.items():
                torch.testing.assert_close(adapted.weights.params[name][task], p.detach(), rtol=0, atol=1e-10)
                torch.testing.assert_close(adapted.state[0][name][task], adam.state[p]["exp_avg_sq"], rtol=1e-9, atol=0)
        theta = {name: p + 0.7 * (sum(e[0][name] for e in ended) / 3 - p) for name, p in theta.items()}
        moments = {name: sum(e[1][name] for e in ended) / 3 for name in theta}
        for name, p in theta.items():
            torch.testing.assert_close(state.params[name], p, rtol=0, atol=1e-10)
            torch.testing.assert_close(state.shared[f"moment.{name}"], moments[name], rtol=1e-6, atol=1e-14)
        assert float(state.shared["steps"]) == taken * (update + 1)


def test_there_are_no_more_minibatches_than_steps() -> None:
    """Twenty of a rollout of six steps are six."""
    maml, params = test_maml.make(inner_steps=1)
    batch, results = test_maml.random_batch(maml, params), []
    for count in (6, 20):
        learner = Reptile(ReptileConfig(inner_steps=1, inner_minibatches=count), maml.policy)
        state = learner.init()
        learner.meta_update(state, batch)
        results.append(state.params)
    assert all(torch.equal(results[0][name], results[1][name]) for name in params)


def test_a_minibatch_of_nothing_but_padding_moves_nothing() -> None:
    """Episodes of four steps in six minibatches of six: the last two are empty."""
    maml, params = test_maml.make(inner_steps=1)
    batch, results = test_maml.random_batch(maml, params), []
    for part in (*batch.support, batch.query):
        part.weight[:, :, 4:] = 0
        part.advantage[:, :, 4:] = 0
    short = map_tensors(lambda x: x[:, :, :4], batch)
    for data, count in ((batch, 6), (short, 4)):
        learner = Reptile(ReptileConfig(inner_steps=1, inner_minibatches=count), maml.policy)
        state = learner.init()
        assert learner.meta_update(state, data)["guard/non_finite_gradient"] == 0
        results.append(state.params)
    for name in params:
        torch.testing.assert_close(results[0][name], results[1][name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("meta_optimizer", ["sgd", "adam"])
def test_a_nan_leaves_second_moments_alone_too(meta_optimizer: str) -> None:
    maml, params = test_maml.make(inner_steps=1)
    learner = Reptile(ReptileConfig(inner_steps=1, inner_optimizer="adam", meta_optimizer=meta_optimizer), maml.policy)  # type: ignore[arg-type]
    state, batch = learner.init(), test_maml.random_batch(maml, params)
    learner.meta_update(state, batch)
    before = state.copy()
    batch.query.advantage[1, 0, 0] = torch.nan
    assert learner.meta_update(state, batch)["guard/non_finite_gradient"] == 1
    for group in GROUPS:
        mine, theirs = getattr(state, group), getattr(before, group)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert all(bool((p > 0).any()) for p in state.shared.values())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"algorithm.inner_loss": "ppo", "algorithm.inner_epochs": 3},
        {"algorithm.inner_optimizer": "adam", "algorithm.inner_lr": 1e-2, "algorithm.inner_minibatches": 3},
        {"network.normalise_observations": True},
    ],
)
def test_learning_retraces_the_adaptation_that_sampling_made(settings: dict[str, Any]) -> None:
    """From the meta-parameters over the recorded support: the policies that recorded the query; and `adapt`, which
    evaluation calls, is the same step."""
    config = replace_paths(default_config("reptile", "navigation"), {"algorithm.inner_steps": 2, **settings})
    distribution = envs.make("navigation")
    learner = make_learner(config, distribution)
    assert isinstance(learner, Reptile)
    source = InProcess(distribution, learner, Plan(4, 3, seed=0))
    state = learner.init()
    if state.statistics:
        numbers = torch.tensor([[0.2, -0.1], [2.0, 3.0]], dtype=torch.float64)
        state.statistics = Moments(torch.tensor(10.0, dtype=torch.float64), *numbers)._asdict()
    batch = source.sample(state.weights, 0).batch
    source.close()
    assert len(batch.support) == 2
    adapted = learner.start(state.weights, 4)
    for rollout in (*batch.support, batch.query):
        policies = torch.vmap(learner.policy.apply)(adapted.weights.params, rollout.observation)
        torch.testing.assert_close(policies.log_prob(rollout.action), rollout.log_prob, rtol=0, atol=1e-4)
        adapted = learner.adapt(adapted, rollout)
    before = state.params
    learner.meta_update(state, batch)
    for name, p in state.params.items():
        torch.testing.assert_close(p, adapted.weights.params[name].mean(0), rtol=0, atol=1e-5)
        assert not torch.equal(p, before[name])


def test_the_query_counts() -> None:
    """Another query, another update."""
    maml, params = test_maml.make(inner_steps=1)
    batch = test_maml.random_batch(maml, params)
    other = batch._replace(query=batch.query._replace(advantage=-batch.query.advantage))
    results = []
    for each in (batch, other):
        learner = Reptile(ReptileConfig(inner_steps=1), maml.policy)
        state = learner.init()
        learner.meta_update(state, each)
        results.append(state.params)
    assert all(not torch.equal(results[0][name], results[1][name]) for name in params)
