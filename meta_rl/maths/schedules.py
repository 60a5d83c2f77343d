"""Numbers that change over the iterations.

`linear` is a function of the iteration: nothing to carry, nothing to resume. `following` reacts to what an iteration
found, so a learner carries its result in the state.
"""

from __future__ import annotations

RATE_FACTOR, LOWEST_RATE, HIGHEST_RATE = 1.5, 1e-5, 1e-2
"""Factor by which a learning rate follows the KL divergence, and the range that it stays in; see `following`."""


def linear(start: float, factor: float, iteration: int, length: int | None) -> float:
    """A number that goes from `start` to ``factor * start`` over `length` iterations, and is constant after; `length`
    0 or None: always `start`."""
    done = min(iteration / length, 1.0) if length else 0.0
    return start * (1 - done + done * factor)


def following(rate: float, kl: float, target: float) -> float:
    """The learning rate of the next iteration: divided by `RATE_FACTOR` if `kl` was above twice the target, multiplied
    by it if `kl` was below half of it, else the same.

    Args:
        rate: of this iteration.
        kl: divergence from the policy that acted, just before its last gradient step, in nats.
        target: what `kl` should be, in nats.
    """
    if kl > 2 * target:
        return max(rate / RATE_FACTOR, LOWEST_RATE)
    return min(rate * RATE_FACTOR, HIGHEST_RATE) if kl < target / 2 else rate
