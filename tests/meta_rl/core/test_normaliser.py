"""Statistics of observations against numpy on all of them at once, and what policies read by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl.core import normaliser
from meta_rl.core.types import Params

Rollout = tuple[NDArray[np.float32], NDArray[np.bool_]]


def rollout(rng: np.random.Generator, tasks: int = 3) -> Rollout:
    """Observations ``[task, 4 envs, 6 steps, 3]`` far from 0 and of different widths; episodes of 1 to 6 steps, then
    padding that would be seen from afar."""
    observation = rng.normal([1e4, -3, 0.2], [5, 0.5, 40], size=(tasks, 4, 6, 3)).astype(np.float32)
    valid = np.arange(6) < rng.integers(1, 7, size=(tasks, 4, 1))
    observation[~valid] = 1e9
    return observation, valid


def after(*iterations: list[Rollout]) -> Params:
    statistics = normaliser.empty(iterations[0][0][0].shape[-1])
    for rollouts in iterations:
        statistics = normaliser.merged(statistics, normaliser.measure(rollouts))
    return statistics


def of_values(*values: float) -> Params:
    """Statistics of one number that took these values."""
    column = np.array(values, np.float32).reshape(1, 1, -1, 1)
    return after([(column, np.ones(column.shape[:-1], bool))])


def read(statistics: Params, *values: float) -> list[float]:
    return normaliser.normalise_observation(statistics, torch.tensor(values).unsqueeze(1)).flatten().tolist()


def same_bits(a: Params, b: Params) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_statistics_are_those_of_all_valid_steps_at_once() -> None:
    """Five iterations of two stages; valid steps of all of them in one array."""
    rng = np.random.default_rng(0)
    iterations = [[rollout(rng), rollout(rng)] for _ in range(5)]
    statistics = after(*iterations)
    seen = np.concatenate([x[valid] for rollouts in iterations for x, valid in rollouts]).astype(np.float64)
    assert float(statistics["seen"]) == len(seen)
    np.testing.assert_allclose(statistics["mean"], seen.mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics["square"], len(seen) * seen.var(0), rtol=1e-9)
    observation = rollout(rng)[0][:, :, :1]
    found = normaliser.normalise_observation(statistics, torch.from_numpy(observation))
    np.testing.assert_allclose(found, (observation - seen.mean(0)) / seen.std(0), rtol=1e-6, atol=1e-6)


def test_each_task_is_measured_by_itself() -> None:
    rng = np.random.default_rng(1)
    stages = [rollout(rng), rollout(rng)]
    measured = normaliser.measure(stages)
    assert len(measured) == 3
    for task, moments in enumerate(measured):
        seen = np.concatenate([x[task][valid[task]] for x, valid in stages]).astype(np.float64)
        assert float(moments.seen) == len(seen)
        np.testing.assert_allclose(moments.mean, seen.mean(0), rtol=1e-12)
        np.testing.assert_allclose(moments.std, seen.std(0), rtol=1e-9)


@pytest.mark.parametrize("cuts", [[], [2], [1, 3], [1, 2, 3, 4]])
def test_any_cut_into_shards_gives_the_same_bits(cuts: list[int]) -> None:
    """Five tasks in one to five shards, each measured by itself and put together in order."""
    rng = np.random.default_rng(2)
    stages = [rollout(rng, tasks=5), rollout(rng, tasks=5)]
    parts = [[np.split(array, cuts) for array in stage] for stage in stages]
    shards = [[(x[i], valid[i]) for x, valid in parts] for i in range(len(cuts) + 1)]
    measured = [moments for shard in shards for moments in normaliser.measure(shard)]
    assert same_bits(normaliser.merged(normaliser.empty(3), measured), after(stages))


@pytest.mark.parametrize("statistics", [{}, normaliser.empty(3)], ids=["none", "nothing seen"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_anything_seen_observations_stay_as_they_are(statistics: Params, dtype: torch.dtype) -> None:
    observation = torch.tensor([[1e20, -7.0, 0.0]], dtype=dtype)
    assert normaliser.normalise_observation(statistics, observation) is observation


def test_a_task_without_a_valid_step_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    stages = [rollout(rng), rollout(rng)]
    lost = [(x.copy(), valid.copy()) for x, valid in stages]
    for _, valid in lost:
        valid[1] = False
    kept = [(x[[0, 2]], valid[[0, 2]]) for x, valid in stages]
    assert same_bits(after(lost), after(kept))
    nothing = after([(x, np.zeros_like(valid)) for x, valid in stages])
    assert same_bits(nothing, normaliser.empty(3))


def test_what_is_read_by_hand() -> None:
    """1, 3, 5, 7: mean 4, variance (9 + 1 + 1 + 9) / 4 = 5."""
    assert read(of_values(1, 3, 5, 7), 4, 6.5, 0) == pytest.approx([0, 2.5 / 5**0.5, -4 / 5**0.5])


def test_the_dtype_is_kept() -> None:
    statistics = of_values(1, 3)
    for dtype in (torch.float32, torch.float64):
        assert normaliser.normalise_observation(statistics, torch.ones(1, 1, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("constant", [0.0, 0.1, 1.0, -5.0, 123.456, -98765.4])
@pytest.mark.parametrize("rounded", [False, True])
def test_a_number_that_never_changed_keeps_its_scale(constant: float, rounded: bool) -> None:
    """Rounded to float32, neighbours of the same number count as the same."""
    exact = np.float32(constant)
    other = np.nextafter(exact, np.float32(np.inf)) if rounded else exact
    found = read(of_values(*[exact, other] * 50), float(exact), float(exact) + 0.5, float(exact) - 2)
    assert found == pytest.approx([0, 0.5, -2], abs=1e-5 * max(1, abs(constant)))


def test_a_number_that_begins_to_move_late_moves_as_it_did_and_then_as_numpy_says() -> None:
    """5 for a thousand steps; a policy that then reads 7 reads 2. Once the steps at 7 and 8 have been counted, mean and
    deviation are those of all."""
    still, moving = np.full(1000, 5.0, np.float32), np.tile(np.array([7, 8], np.float32), 500)
    column = [x.reshape(1, 1, -1, 1) for x in (still, moving)]
    iterations = [[(x, np.ones(x.shape[:-1], bool))] for x in column]
    assert read(after(iterations[0]), 7.0) == [2.0]
    everything = np.concatenate([still, moving]).astype(np.float64)
    expected = (7 - everything.mean()) / everything.std()
    assert read(after(*iterations), 7.0) == pytest.approx([expected], rel=1e-6)


def test_noise_in_the_last_digits_is_not_blown_up() -> None:
    """A deviation of 0.01 counts as 0.03."""
    assert read(of_values(1.99, 2.01), 2.03, 1.97) == pytest.approx([1, -1], rel=1e-3)


def test_a_number_without_bounds_is_cut_off() -> None:
    assert read(of_values(-1, 1), 9.5, 12, 3e38, -1e30) == [9.5, 10, 10, -10]
    wild = of_values(3e38, -3e38, 3e38, 1)
    assert all(bool(tensor.isfinite().all()) for tensor in wild.values())
    assert np.isfinite(read(wild, 3e38, 0, -3e38)).all()


def test_numbers_side_by_side_do_not_touch_each_other() -> None:
    """The third never moves, the first is cut off."""
    values = np.array([[0, 10, 4], [2, 30, 4]], np.float32).reshape(1, 1, 2, 3)
    statistics = after([(values, np.ones((1, 1, 2), bool))])
    found: Tensor = normaliser.normalise_observation(statistics, torch.tensor([[100.0, 25.0, 4.5]]))
    assert found.flatten().tolist() == [10, 0.5, 0.5]
