"""How biased the stock number is, as docs/evaluation.md says it."""

import numpy as np
import pytest

from tests.test_docs import ROOT

EPISODES, STEPS, GOALS = 3, 500, 10


def reads(solved: float, first: int, last: int, rounds: int = 20_000) -> float:
    """What the rule of the stock evaluator makes of the share of goals that are solved.

    It counts the first three episodes of a family that finish. An episode ends when it succeeds, at a step between
    `first` and `last`; the environments of all goals run side by side.
    """
    rng = np.random.default_rng(0)
    good = rng.random((rounds, GOALS, 1)) < solved
    lasts = np.where(good, rng.integers(first, last + 1, (rounds, GOALS, EPISODES)), STEPS)
    finished = lasts.cumsum(-1).reshape(rounds, -1)
    order = np.argsort(finished + rng.random(finished.shape), 1)[:, :EPISODES]  # those that finish together: any
    counted = np.take_along_axis(np.repeat(good[..., 0], EPISODES, 1), order, 1)
    return float(counted.mean())


@pytest.mark.parametrize(("first", "last", "share"), [(250, 450, 33), (50, 200, 65)])
def test_ten_per_cent_read_as_more(first: int, last: int, share: int) -> None:
    assert "reads as 33 to 65 %" in (ROOT / "docs" / "evaluation.md").read_text()
    assert 100 * reads(0.1, first, last) == pytest.approx(share, abs=1.5)
    assert reads(0.0, first, last) == 0
    assert reads(1.0, first, last) == 1
