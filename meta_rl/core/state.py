"""All that crosses an iteration."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from meta_rl.core.types import Params


@dataclass
class TrainState:
    """Everything a checkpoint must hold. Environments, buffers and generators die with their iteration.

    Attributes:
        iteration: finished meta-updates.
        env_steps: environment steps taken in training so far.
        params: the meta-learned parameters.
        optimizer: tensors of the outer optimizer, flat by name (empty for TRPO).
        extras: further tensors of the algorithm, flat by name.
    """

    iteration: int
    env_steps: int
    params: Params
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    extras: dict[str, Tensor] = field(default_factory=dict)

    def copy(self) -> TrainState:
        """The same state in tensors of its own."""

        def clone(group: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor.detach().clone() for name, tensor in group.items()}

        return TrainState(self.iteration, self.env_steps, clone(self.params), clone(self.optimizer), clone(self.extras))
