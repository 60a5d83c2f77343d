"""How many threads torch has inside and outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from meta_rl.core.threads import SMALL, one_thread, part_map, thread_map, threads_for

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Torch has so many threads during the test."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_parts_come_back_in_order_each_on_one_thread_of_torch(threads: int) -> None:
    found = thread_map(lambda part: (part, torch.get_num_threads()), range(7))
    assert found == [(part, 1) for part in range(7)]
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("grad", [True, False])
def test_parts_find_the_grad_mode_of_the_caller(threads: int, grad: bool) -> None:
    x = torch.ones(2, requires_grad=True)
    with torch.set_grad_enabled(grad):
        found = thread_map(lambda part: (x * part).requires_grad, range(4))
    assert found == [grad] * 4
    assert thread_map(lambda part: torch.is_grad_enabled(), range(4)) == [True] * 4  # and leave nothing behind


def test_parts_may_have_parts(threads: int) -> None:
    assert thread_map(lambda i: thread_map(lambda j: i * j, range(3)), range(3)) == [[0, 0, 0], [0, 1, 2], [0, 2, 4]]


def test_the_error_of_a_part_is_raised(threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        thread_map(lambda part: 1 // part, [1, 0, 1])


def test_graphs_of_other_threads_are_differentiated_twice(threads: int) -> None:
    x = torch.tensor(3.0, requires_grad=True)
    slopes = part_map(lambda power: torch.autograd.grad(x**power, x, create_graph=True)[0], [2, 3, 4], CPU)
    assert torch.autograd.grad(sum(slopes), x)[0] == 2 + 6 * 3 + 12 * 9  # type: ignore[arg-type]


def test_a_single_part_and_parts_of_another_device_stay_in_the_calling_thread(threads: int) -> None:
    count = lambda part: torch.get_num_threads()  # noqa: E731
    assert part_map(count, [0], CPU) == [threads]
    assert part_map(count, [0, 1], torch.device("meta")) == [threads] * 2
    assert part_map(count, [0, 1], CPU) == [1, 1]


def test_one_thread_gives_the_others_back() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with one_thread(True):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        with one_thread(False):
            assert torch.get_num_threads() == 3
        with threads_for(SMALL / 2):
            assert torch.get_num_threads() == 1
        with threads_for(SMALL):
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
