"""Numbers that change over the iterations: functions of the iteration, so that nothing is carried or resumed."""

from __future__ import annotations


def linear(start: float, factor: float, iteration: int, length: int | None) -> float:
    """A number that goes from `start` to ``factor * start`` over `length` iterations, and is constant after; `length`
    0 or None: always `start`."""
    done = min(iteration / length, 1.0) if length else 0.0
    return start * (1 - done + done * factor)
