"""All that a meta-learner has learned, by what changes it: the one home of parameters and statistics.

==============  ================  ============  =======================================
                inner steps       meta-updates  examples
==============  ================  ============  =======================================
`params`        adapt them        learn them    weights and biases of the network
`shared`        leave them alone  learn them    learned step sizes, a learned update rule
`statistics`    leave them alone  leave alone   mean and deviation of observations
==============  ================  ============  =======================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from meta_rl.core.types import Params

_SHARED = "shared."
_BEFORE = ("inner_lr.", "inner_optimizer.", "rule.", "head.")
"""Prefixes of shared parameters in earlier versions, which kept them among the others."""


class Weights(NamedTuple):
    """The learned numbers that are sent to samplers, exported, and started from: data, no behaviour.

    Attributes:
        params: of the network, without a task axis.
        shared: further parameters that all tasks share.
        statistics: measured while training (see `meta_rl.core.normaliser`); empty if nothing is normalised.
    """

    params: Params
    shared: Params = {}  # noqa: RUF012  (never changed in place)
    statistics: Params = {}  # noqa: RUF012

    def cpu(self) -> Weights:
        """The same on the CPU."""
        return Weights(*({name: p.cpu() for name, p in group.items()} for group in self))


def joined(params: Params, shared: Params) -> Params:
    """All that meta-updates learn under one set of names, as optimizers and trust regions take it."""
    return params | {f"{_SHARED}{name}": p for name, p in shared.items()}


def parted(together: Params) -> tuple[Params, Params]:
    """`params` and `shared`: the inverse of `joined`."""
    shared = {name.removeprefix(_SHARED): p for name, p in together.items() if name.startswith(_SHARED)}
    return {name: p for name, p in together.items() if not name.startswith(_SHARED)}, shared


def adopt(found: Weights, fresh: Weights) -> Weights:
    """`found`, sorted and named as `fresh` (what the learner begins with) is.

    Agents of earlier versions kept shared parameters among the others, behind a prefix.

    Raises:
        ValueError: names or shapes differ; in one line that says which.
    """
    together = {name_now(name, fresh): p for name, p in joined(found.params, found.shared).items()}
    expected = joined(fresh.params, fresh.shared)
    _require_equal(together, expected)
    _require_equal(found.statistics, fresh.statistics)
    return Weights(*parted({name: together[name] for name in expected}), found.statistics)


def name_now(name: str, fresh: Weights) -> str:
    """The name that `joined` gives to the parameter `name`, which may be from an earlier version."""
    short = next((name.removeprefix(prefix) for prefix in _BEFORE if name.startswith(prefix)), "")
    return f"{_SHARED}{short}" if short in fresh.shared and name not in fresh.params else name


def _require_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    unknown, missing = sorted(found.keys() - expected.keys()), sorted(expected.keys() - found.keys())
    if unknown or missing:
        words = [f"{what} {', '.join(names[:3])}" for what, names in (("has", unknown), ("lacks", missing)) if names]
        raise ValueError(f"its network is another one: it {' and '.join(words)}")
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape:
            raise ValueError(f"its network is another one: {name} is {list(tensor.shape)}, not "
                             f"{list(expected[name].shape)}")  # fmt: skip
