"""Sequences of steps, by hand."""

from __future__ import annotations

import torch

from meta_rl.maths.sequences import drawn_steps, following, last_steps, without_gaps


def test_gaps_are_closed_and_padding_follows() -> None:
    weight = torch.tensor([[1.0, 0, 0, 1, 1, 0], [1, 1, 1, 1, 0, 0]])
    index, valid = without_gaps(weight, 3)
    assert index[0, :3].tolist() == [0, 3, 4]
    assert index[1, :4].tolist() == [0, 1, 2, 3]
    assert valid.tolist() == [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0]]
    assert without_gaps(weight, 8)[1].shape == (2, 4)  # shorter than a chunk: no padding
    assert without_gaps(torch.ones(2, 6), 4)[1].tolist() == [[1] * 6 + [0] * 2] * 2


def test_last_steps_end_every_run_of_valid_ones() -> None:
    valid = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 0, 0], [1, 0, 1]]).bool()
    assert last_steps(valid).int().tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 1]]


def test_what_follows_a_step_by_hand() -> None:
    """Episodes of three, of two and of no steps; the last observations are 9 and 8, and padding repeats them."""
    observation = torch.tensor([[[1.0], [2], [3]], [[4], [5], [8]], [[7], [7], [7]]])
    last = torch.tensor([[9.0], [8], [7]])
    valid = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 0, 0]]).bool()
    after = following(observation, last, valid).squeeze(-1)
    assert after[0].tolist() == [2, 3, 9]
    assert after[1, :2].tolist() == [5, 8]
    unknown = observation.where(valid.unsqueeze(-1), torch.tensor(torch.nan))  # padding may be anything
    assert following(unknown, last, valid)[1, :2].flatten().tolist() == [5, 8]


def test_drawn_steps_are_valid_ones_whatever_the_padding() -> None:
    """Rows of 5, 2 and no valid steps: three of the first, both of the second, none of the third."""
    key = torch.tensor([[0.5, 0.1, 0.9, 0.3, 0.2, 0.0], [0.8, 0.4, 0.0, 0.0, 0.0, 0.0], [0.1] * 6])
    weight = torch.tensor([[1.0] * 5 + [0], [1, 1, 0, 0, 0, 0], [0] * 6])
    index, drawn = drawn_steps(key, weight, 3)
    assert index[0].tolist() == [1, 4, 3]
    assert index[1, :2].tolist() == [1, 0]
    assert drawn.tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]
    shorter, _ = drawn_steps(key[:, :5], weight[:, :5], 3)
    assert shorter[0].tolist() == index[0].tolist()
    everything, counted = drawn_steps(key, weight, 9)
    assert sorted(everything[0].tolist()) == list(range(6))
    assert counted.sum(1).tolist() == [5, 2, 0]
