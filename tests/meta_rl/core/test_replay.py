"""The replay against a deque, uniform draws against the chi-square distribution, and that nothing is changed."""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from meta_rl.core.interface import Interface
from meta_rl.core.replay import (
    Replay,
    Transitions,
    count_steps,
    draw_tasks,
    flatten_replay,
    insert,
    sample,
    sample_once,
    step_bytes,
    unflatten_replay,
)
from meta_rl.core.seeding import Purpose, generator


def steps(*numbers: int) -> Transitions:
    """Transitions whose every number says which one it is."""
    x = torch.tensor(numbers, dtype=torch.float32)
    return Transitions(
        x.unsqueeze(1) + torch.tensor([0.0, 0.1]), -x.unsqueeze(1), x, x.unsqueeze(1) + torch.tensor([0.5, 0.6]), x % 2
    )


def names(replay: Replay, task: int) -> list[int]:
    """Which steps there are, and that each is whole."""
    found = [int(x) for x in replay[task].reward]
    for mine, expected in zip(replay[task], steps(*found), strict=True):
        torch.testing.assert_close(mine, expected)
    return found


def test_after_any_inserts_it_holds_what_a_deque_holds() -> None:
    """Pieces of up to 9 steps, so that some are longer than the replay, others end exactly where it does."""
    rng, made = np.random.default_rng(0), 0
    replay: Replay = {}
    expected: dict[int, deque[int]] = {}
    for _ in range(200):
        task, count = int(rng.integers(0, 3)), int(rng.integers(1, 10))
        new = range(made, made + count)
        made += count
        replay = insert(replay, task, steps(*new), most_steps=7, most_tasks=3)
        expected.setdefault(task, deque(maxlen=7)).extend(new)
        assert {each: names(replay, each) for each in replay} == {each: list(d) for each, d in expected.items()}
        assert count_steps(replay) == sum(map(len, expected.values()))


def test_the_task_that_was_played_longest_ago_goes_as_a_whole() -> None:
    replay: Replay = {}
    for task in (1, 2, 3, 1, 4):  # 1 is played again before 4 comes
        replay = insert(replay, task, steps(task), most_steps=5, most_tasks=3)
    assert list(replay) == [3, 1, 4]
    assert names(replay, 1) == [1, 1]


def test_a_task_without_a_step_is_kept_as_it_was() -> None:
    replay = insert({}, 1, steps(1, 2), most_steps=5, most_tasks=3)
    assert names(insert(replay, 1, steps(), most_steps=5, most_tasks=3), 1) == [1, 2]


def test_an_insert_changes_nothing_and_shares_the_other_tasks() -> None:
    before = insert(insert({}, 1, steps(1, 2), 2, 9), 2, steps(3, 4), 2, 9)
    copies = {task: [x.clone() for x in mine] for task, mine in before.items()}
    after = insert(before, 1, steps(5), 2, 9)
    assert list(before) == [1, 2]
    assert all(torch.equal(x, y) for task in before for x, y in zip(before[task], copies[task], strict=True))
    assert all(x.data_ptr() == y.data_ptr() for x, y in zip(before[2], after[2], strict=True))


def test_it_takes_no_more_memory_than_its_steps() -> None:
    """What is kept is no view into what was inserted, or into what was kept before."""
    replay = insert({}, 1, steps(*range(1000)), most_steps=10, most_tasks=2)
    replay = insert(replay, 1, steps(*range(3)), most_steps=10, most_tasks=2)
    replay = insert(replay, 2, steps(*range(5)), most_steps=10, most_tasks=2)
    for mine in replay.values():
        assert all(x.untyped_storage().nbytes() == x.numel() * x.element_size() for x in mine)
    interface = Interface(gym.spaces.Box(-1, 1, (2,)), gym.spaces.Box(-1, 1, (1,)))
    assert step_bytes(interface, 2) == sum(x.numel() * x.element_size() for x in steps(1))


@pytest.mark.parametrize("kind", ["with", "once"])
def test_draws_are_uniform(kind: str) -> None:
    """Chi-square of 12 steps over 300 draws of 4, each by the derived seed of its own gradient step: with 11 degrees of
    freedom it is below 31.3 with probability 0.999. Without repeats it is smaller still."""
    replay = insert({}, 7, steps(*range(12)), 12, 1)
    counts = np.zeros(12)
    for number in range(300):
        rng = generator(0, Purpose.REPLAY, 3, stage=number)
        drawn = sample(replay, [7], 4, rng) if kind == "with" else sample_once(replay, [7], 4, rng)[0]
        np.add.at(counts, drawn.reward[0].long().numpy(), 1)
    assert counts.sum() == 1200
    assert 0 < ((counts - 100) ** 2 / 100).sum() < 31.3


def test_draws_are_whole_steps_of_their_own_task() -> None:
    replay: Replay = {}
    for task, first in ((5, 0), (6, 100), (8, 200)):
        replay = insert(replay, task, steps(*range(first, first + 9)), 9, 3)
    drawn = sample(replay, [8, 5], 50, np.random.default_rng(0))
    assert drawn.observation.shape == (2, 50, 2)
    for row, low in enumerate((200, 0)):
        numbers = [int(x) for x in drawn.reward[row]]
        assert {low} == {number // 100 * 100 for number in numbers}
        for mine, expected in zip(drawn, steps(*numbers), strict=True):
            torch.testing.assert_close(mine[row], expected)


def test_no_step_of_a_context_comes_twice_and_a_short_one_is_padded() -> None:
    replay = insert(insert({}, 1, steps(*range(20)), 20, 2), 2, steps(30, 31, 32), 20, 2)
    drawn, weight = sample_once(replay, [1, 2], 8, np.random.default_rng(0))
    assert weight.tolist() == [[1.0] * 8, [1.0] * 3 + [0.0] * 5]
    assert len({int(x) for x in drawn.reward[0]}) == 8
    assert {int(x) for x in drawn.reward[1, :3]} == {30, 31, 32}


def test_tasks_are_drawn_without_repeats_and_all_if_they_are_few() -> None:
    replay: dict[int, Any] = dict.fromkeys(range(6), steps(1))
    drawn = draw_tasks(replay, 4, np.random.default_rng(0))
    assert len(set(drawn)) == 4
    assert sorted(draw_tasks(replay, 9, np.random.default_rng(0))) == list(range(6))


def test_flat_names_hold_the_order_of_tasks() -> None:
    replay = insert(insert({}, 2**62, steps(1), 3, 3), 5, steps(2, 3), 3, 3)
    flat = flatten_replay(replay, "replay") | flatten_replay({1: steps(9)}, "context")
    found = unflatten_replay(flat, "replay")
    assert list(found) == [2**62, 5]
    assert names(found, 5) == [2, 3]
    assert names(unflatten_replay(flat, "context"), 1) == [9]
