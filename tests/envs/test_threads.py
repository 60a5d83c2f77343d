"""How many threads an engine gets."""

from __future__ import annotations

import pytest

import envs
from envs.threads import count_threads


def test_the_limit_holds_where_no_number_is_given() -> None:
    cores = count_threads(None)
    envs.limit_threads(1)
    try:
        assert count_threads(None) == 1
        assert count_threads(3) == 3
    finally:
        envs.limit_threads(None)
    assert count_threads(None) == cores
    with pytest.raises(ValueError, match="num_threads must be at least 1, got 0"):
        envs.limit_threads(0)
