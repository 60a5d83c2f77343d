"""Means over all processes that share an update; `tests/meta_rl/training/test_data_parallel.py` has them for real."""

from __future__ import annotations

import pytest
import torch

from meta_rl.core import parallel


def test_the_mean_of_all_is_over_the_positions_that_count_of_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    value, weight = torch.tensor([[1.0, 2.0], [6.0, 50.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    assert parallel.mean_of_all(value, weight) == 3  # (1 + 2 + 6) / 3
    # Another process has a sum of 11 over 1 position: (9 + 11) / (3 + 1), not the mean of 3 and 11.
    monkeypatch.setattr(parallel, "sums", lambda tensors: [tensors[0] + 11, tensors[1] + 1])
    assert parallel.mean_of_all(value, weight) == 5
