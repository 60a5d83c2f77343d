"""Adam on a flat dict of parameters, its state as a flat dict of tensors that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from meta_rl.core import parallel
from meta_rl.core.types import Metrics, Params


class Adam:
    """`torch.optim.Adam` between two dicts: ``optimizer`` in, :meth:`state` out.

    Args:
        params: what to optimise; the tensors are copied, not changed.
        optimizer: :meth:`state` of an earlier one, or empty.
        learning_rate: step size.
    """

    def __init__(self, params: Params, optimizer: dict[str, Tensor], learning_rate: float) -> None:
        self.params = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
        # capturable=False keeps the step count on the CPU, wherever the parameters are.
        self._adam = torch.optim.Adam(self.params.values(), lr=learning_rate)
        if optimizer:
            for name, p in self.params.items():
                self._adam.state[p] = {key: optimizer[f"{key}/{name}"].clone() for key in _STATE}
                self._adam.state[p]["step"] = self._adam.state[p]["step"].cpu()

    def step(self, gradients: Iterable[Tensor], max_norm: float = 0.0) -> float:
        """One update; gradients above `max_norm` (0: none) are scaled down. Returns the norm before scaling; where it
        is not finite, nothing is changed."""
        for p, gradient in zip(self.params.values(), gradients, strict=True):
            p.grad = gradient.clone()  # scaled in place below; autograd's may be expanded or shared
        norm = torch.nn.utils.clip_grad_norm_(self.params.values(), max_norm or float("inf"))
        if bool(norm.isfinite()):
            self._adam.step()
        return float(norm)

    def result(self) -> Params:
        """The parameters now, without a graph."""
        return {name: p.detach() for name, p in self.params.items()}

    def state(self) -> dict[str, Tensor]:
        """Moments and step counts, flat by name."""
        return {
            f"{key}/{name}": self._adam.state[p][key].detach()
            for name, p in self.params.items()
            if p in self._adam.state
            for key in _STATE
        }


_STATE = ("step", "exp_avg", "exp_avg_sq")


Loss = Callable[[Params], Tensor]


def accumulate(params: Params, parts: Iterable[Loss]) -> tuple[Tensor, list[Tensor]]:
    """Value and gradient, with respect to `params` (which require grad), of the sum of `parts`, whose graphs live one
    after another; the mean over the processes that share the update."""
    total: Tensor | None = None
    gradient: list[Tensor] = []
    for part in parts:
        value = part(params)
        new = torch.autograd.grad(value, list(params.values()))
        gradient = [a + b for a, b in zip(gradient, new, strict=True)] if gradient else list(new)
        total = value.detach() if total is None else total + value.detach()
    assert total is not None, "nothing to differentiate"
    total, *gradient = parallel.means([total, *gradient])
    return total, gradient


def descend(
    params: Params,
    optimizer: dict[str, Tensor],
    parts: Sequence[Loss],
    learning_rate: float,
    epochs: int,
    max_norm: float = 0.0,
    measure_after: bool = True,
) -> tuple[Params, dict[str, Tensor], Metrics]:
    """`epochs` Adam steps on the sum of `parts`, functions of the parameters.

    A loss or gradient that is not finite abandons the update: parameters and optimizer stay as they were, bit for bit.

    Args:
        measure_after: also compute the loss after the last step, for the metrics and the guard.
    Returns:
        New parameters, new optimizer state, and metrics: loss at the first and after the last step, norm of the first
        gradient, one count for the guard.
    """
    adam = Adam(params, optimizer, learning_rate)
    losses, norms = [], []
    for _ in range(epochs):
        value, gradient = accumulate(adam.params, parts)
        norms.append(adam.step(gradient, max_norm))
        losses.append(float(value))
    metrics = {"update/loss_before": losses[0]}
    if measure_after:
        with torch.no_grad():
            losses.append(parallel.mean_number(float(sum(part(adam.params) for part in parts))))
        metrics["update/loss_after"] = losses[-1]
    metrics |= {"update/gradient_norm": norms[0], "guard/non_finite_gradient": 0.0}
    if not torch.tensor(losses + norms).isfinite().all():
        return params, optimizer, metrics | {"guard/non_finite_gradient": 1.0}
    return adam.result(), adam.state(), metrics
