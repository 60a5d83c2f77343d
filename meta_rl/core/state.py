"""The state of training: all that passes from one iteration to the next."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from meta_rl.core.types import Params
from meta_rl.core.weights import Weights, adopt, name_now

GROUPS = ("params", "shared", "statistics", "optimizer", "extras")
"""Names of the groups of tensors of a state that an update changes, and that processes which share it are sent."""


@dataclass
class TrainState:
    """Everything a checkpoint must hold. Environments and generators die with their iteration, and so does what was
    sampled, unless the learner keeps a replay.

    Attributes:
        iteration: finished meta-updates.
        env_steps: env steps taken in training so far.
        params: the meta-learned parameters of the network.
        shared: meta-learned parameters that adaptation leaves alone, such as step sizes.
        statistics: measured while training, moved by no gradient (see `meta_rl.core.weights`).
        optimizer: tensors of the outer optimizer, flat by name (empty for TRPO).
        extras: further tensors of the algorithm, flat by name.
        replay: steps kept to be learned from again (`meta_rl.core.replay`), flat by name, on the CPU; empty for most
            learners. Its tensors are never changed, only replaced, so copies of a state share them.
    """

    iteration: int
    env_steps: int
    params: Params
    shared: Params = field(default_factory=dict)
    statistics: Params = field(default_factory=dict)
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    extras: dict[str, Tensor] = field(default_factory=dict)
    replay: dict[str, Tensor] = field(default_factory=dict)

    @property
    def weights(self) -> Weights:
        """The part of the state that sampling, evaluation and export use."""
        return Weights(self.params, self.shared, self.statistics)

    def adopt(self, fresh: Weights) -> None:
        """Sort and name everything as `fresh` (what the learner begins with) is: see `meta_rl.core.weights.adopt`.

        Raises:
            ValueError: it is of another network.
        """
        self.params, self.shared, self.statistics = adopt(self.weights, fresh)
        parts = ((key.partition("/"), tensor) for key, tensor in self.optimizer.items())
        self.optimizer = {f"{kind}/{name_now(name, fresh)}": tensor for (kind, _, name), tensor in parts}

    def copy(self) -> TrainState:
        """The same state in tensors of its own, except those of the replay."""

        def clone(group: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor.detach().clone() for name, tensor in group.items()}

        groups = {name: clone(getattr(self, name)) for name in GROUPS}
        return TrainState(self.iteration, self.env_steps, **groups, replay=dict(self.replay))
