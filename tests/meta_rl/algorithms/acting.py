"""What actors with a memory did, step by step."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from meta_rl.networks.recurrent_actor import RecurrentActor


def watch(actor: RecurrentActor) -> list[Any]:
    """The distributions that `actor` acts by from now on, in a list that grows by one at every step."""
    step, seen = actor._policy.step, []

    def recording(*args: Tensor) -> Any:
        result = step(*args)
        seen.append(result[0])
        return result

    actor._policy.step = recording  # type: ignore[method-assign]
    return seen
