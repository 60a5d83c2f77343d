"""How many threads torch has inside and outside."""

from __future__ import annotations

import torch

from meta_rl.core.threads import SMALL, one_thread, threads_for


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
