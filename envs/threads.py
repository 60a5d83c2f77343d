"""How many threads an engine may use."""

from __future__ import annotations

import os


def count_threads(wanted: int | None) -> int:
    """`wanted`, or one per core that this process may run on.

    Raises:
        ValueError: `wanted` is below 1.
    """
    if wanted is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if wanted < 1:
        raise ValueError(f"num_threads must be at least 1, got {wanted}")
    return wanted
