"""Minibatches: everything once in each pass, and the same however many processes share the update."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meta_rl.core import parallel
from meta_rl.core.minibatches import between_places, between_steps, between_tasks, used_places
from meta_rl.core.types import MetaBatch, map_tensors
from tests.meta_rl.algorithms.test_maml import identifiable


def test_minibatches_of_tasks_take_every_task_once_with_its_support() -> None:
    batch = MetaBatch((identifiable([[5, 3]] * 7, 5),), identifiable([[4, 4]] * 7, 4))
    parts = list(between_tasks(batch, 3, np.random.default_rng(0)))
    assert [weight for _, weight in parts] == [1, 1, 1]
    tasks = [(part.query.advantage[:, 0, 0] / 10_000).tolist() for part, _ in parts]
    assert [len(part) for part in tasks] == [3, 2, 2]
    seen = [task for part in tasks for task in part]
    assert sorted(seen) == list(range(7)) != seen
    for part, _ in parts:
        assert torch.equal(part.query.advantage[:, 0, 0], part.support[0].advantage[:, 0, 0])
    assert len(list(between_tasks(batch, 100, np.random.default_rng(0)))) == 7


def test_minibatches_of_tasks_of_several_processes_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the processes' weighted means give on average is the mean over the minibatch, though one has none of it."""
    whole = identifiable([[4]] * 6, 4)
    tasks = torch.arange(6)
    expected = [float(part.query.advantage[:, 0, 0].mean()) for part, _ in
                between_tasks(MetaBatch((), whole), 3, np.random.default_rng(1))]  # fmt: skip
    found = torch.zeros(3)
    monkeypatch.setattr(parallel, "size", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        mine = map_tensors(lambda x, rank=rank: x[tasks // 2 == rank], MetaBatch((), whole))
        for i, (part, weight) in enumerate(between_tasks(mine, 3, np.random.default_rng(1))):
            found[i] += float(part.query.advantage[:, 0, 0].mean()) * weight / 3 if weight else 0
    torch.testing.assert_close(found, torch.tensor(expected))


def test_minibatches_of_steps_hold_all_tasks_and_every_valid_step_once() -> None:
    query = identifiable([[10, 4], [10, 0], [1, 0]], 10)
    parts = [part.query for part, _ in between_steps(MetaBatch((), query), 4, np.random.default_rng(0))]
    assert {part.weight.shape for part in parts} == {(3, 1, 5)}
    # 14, 10 and 1 valid steps in four parts: as evenly as it goes.
    assert [part.weight.sum((1, 2)).tolist() for part in parts] == [[4, 3, 1], [4, 3, 0], [3, 2, 0], [3, 2, 0]]
    for task in range(3):
        seen = torch.cat([part.advantage[task][part.weight[task] > 0] for part in parts]).tolist()
        everything = query.advantage[task][query.weight[task] > 0].tolist()
        assert sorted(seen) == everything
        assert seen != everything or len(seen) == 1
    for part in parts:  # the fields stay together
        assert torch.equal(part.observation[..., 0], part.advantage)
        assert torch.equal(part.action[..., 0], part.log_prob)


def test_minibatches_of_places_leave_out_what_is_empty() -> None:
    used = torch.tensor([[1, 1, 0], [1, 0, 0]]).bool()
    places = used_places(used, 4)
    assert places.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]
    parts = [part.tolist() for part in between_places(places, 2, np.random.default_rng(0))]
    assert [len(part) for part in parts] == [2, 1]
    assert sorted(parts[0] + parts[1]) == [[0, 0], [0, 1], [1, 0]]
    assert len(list(between_places(places, 100, np.random.default_rng(0)))) == 3


def test_a_process_takes_its_own_places(monkeypatch: pytest.MonkeyPatch) -> None:
    places = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 2, 1]])
    monkeypatch.setattr(parallel, "size", lambda: 2)
    seen = []
    for rank in range(2):
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        parts = list(between_places(places, 3, np.random.default_rng(0)))
        assert len(parts) == 3  # one of which may be empty
        seen.append(sorted(torch.cat(parts).tolist()))
    assert seen == [[[0, 0]], [[0, 0], [2, 1]]]
