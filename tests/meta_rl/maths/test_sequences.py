"""Sequences of steps, by hand."""

from __future__ import annotations

import torch

from meta_rl.maths.sequences import last_steps, without_gaps


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
