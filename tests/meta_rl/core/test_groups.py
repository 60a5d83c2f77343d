"""Groups of tasks: the same update however many tasks are computed at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.config import default_config, replace_paths
from meta_rl.core import groups
from meta_rl.core.groups import task_groups, tasks_at_once
from meta_rl.core.types import Params, map_tensors
from meta_rl.sources.base import Plan
from meta_rl.sources.in_process import InProcess

WIDE: Params = {"w": torch.zeros(100, 3), "b": torch.zeros(100)}


def test_groups_cover_all_tasks_in_order_and_their_shares_sum_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.ones(7, 2, 5)
    index = torch.arange(7)
    monkeypatch.setattr(groups, "CACHED_BYTES", 2.5 * 10 * 100 * 4)  # 10 states, 100 units, 4 bytes: two and a half
    assert tasks_at_once(WIDE, weight) == 2
    parts = task_groups(WIDE, (index, {"x": weight}), weight)
    assert torch.equal(torch.cat([part[0] for part, _ in parts]), index)
    assert [len(part[1]["x"]) for part, _ in parts] == [2, 2, 2, 1]
    assert [share for _, share in parts] == [2 / 7, 2 / 7, 2 / 7, 1 / 7]


def test_at_least_one_and_at_most_all_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tasks_at_once(WIDE, torch.ones(7, 2, 5)) == 7
    monkeypatch.setattr(groups, "CACHED_BYTES", 0)
    assert tasks_at_once(WIDE, torch.ones(7, 2, 5)) == 1


def test_other_devices_take_all_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "CACHED_BYTES", 0)
    assert tasks_at_once(WIDE, torch.ones(7, 2, 5, device="meta")) == 7


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("maml-trpo", {"algorithm.inner_steps": 2}),
        ("maml-trpo", {"algorithm.learn_inner_lr": True}),
        ("fomaml-trpo", {}),
        ("maml-ppo", {}),
        ("maml-vpg", {}),
        ("promp", {"algorithm.inner_kl_coef": 0.1}),
        ("reptile", {}),
        ("reptile", {"algorithm.inner_loss": "ppo", "algorithm.inner_epochs": 2}),
        ("multitask-trpo", {}),
    ],
)
@pytest.mark.parametrize("size", [1, 2])
def test_sampling_and_update_do_not_depend_on_the_size_of_groups(
    recipe: str, changes: dict[str, object], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace_paths(default_config(recipe, "navigation"), {"network.hidden": (16,), **changes})
    distribution = envs.make("navigation")
    results = []
    for limit in (groups.CACHED_BYTES, size * 4 * 100 * 16 * 4):  # 4 episodes of 100 steps, 16 units, 4 bytes
        monkeypatch.setattr(groups, "CACHED_BYTES", limit)
        learner = make_learner(config, distribution)
        source = InProcess(distribution, learner, Plan(5, 4, seed=0))
        state = learner.init()
        shard = source.sample(state.weights, 0)
        source.close()
        # In double precision: conjugate gradient amplifies the rounding of different orders of summation.
        batch = map_tensors(lambda x: x.double() if x.is_floating_point() else x, shard.batch)
        state.params = map_tensors(Tensor.double, state.params)
        at_once = tasks_at_once(state.params, shard.batch.query.weight)
        metrics = learner.meta_update(state, batch)
        results.append((state.params, metrics, shard, at_once))
    (a, metrics_a, shard_a, size_a), (b, metrics_b, shard_b, size_b) = results
    assert (size_a, size_b) == (5, size)
    for x, y in zip(torch.utils._pytree.tree_leaves(shard_a), torch.utils._pytree.tree_leaves(shard_b), strict=True):
        if isinstance(x, str):
            assert x == y
        else:
            torch.testing.assert_close(torch.as_tensor(x), torch.as_tensor(y), rtol=1e-4, atol=1e-5)
    assert metrics_a == pytest.approx(metrics_b, rel=1e-4)
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("recipe", ["maml-trpo", "maml-ppo", "maml-vpg", "promp", "reptile"])
def test_the_update_has_the_same_bits_on_any_number_of_threads(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups are computed side by side; what they hold and the order of their sums do not depend on the threads."""
    changes = {"algorithm.inner_kl_coef": 0.1} if recipe == "promp" else {}
    config = replace_paths(default_config(recipe, "navigation"), {"network.hidden": (16,), **changes})
    distribution = envs.make("navigation")
    learner = make_learner(config, distribution)
    source = InProcess(distribution, learner, Plan(5, 4, seed=0))
    batch = source.sample(learner.init().weights, 0).batch
    source.close()
    monkeypatch.setattr(groups, "CACHED_BYTES", 2 * 4 * 100 * 16 * 4)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            state = learner.init()
            results.append((learner.meta_update(state, batch), state.params))
    finally:
        torch.set_num_threads(threads)
    (metrics, params), *others = results
    for other_metrics, other_params in others:
        assert other_metrics == metrics
        assert all(torch.equal(p, other_params[name]) for name, p in params.items())
