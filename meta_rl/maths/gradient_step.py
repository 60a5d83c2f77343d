"""Adam on a flat dict of parameters, its state as a flat dict of tensors that a checkpoint can hold."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from meta_rl.core import parallel
from meta_rl.core.threads import part_map
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


_B = TypeVar("_B")

Loss = Callable[[Params], tuple[Tensor, Any]]
"""Maps parameters to (loss, extras): a scalar, and what was computed along with it, detached. For example
``(mean query loss, {"query/accuracy": 0.9})``."""


def group_losses(objective: Callable[[_B], Loss], groups: Sequence[tuple[_B, float]]) -> list[Loss]:
    """The objective of each group (`meta_rl.core.groups.task_groups`) times its share: their sum is the objective of
    the whole meta-batch."""

    def scaled(loss: Loss, share: float) -> Loss:
        def part(params: Params) -> tuple[Tensor, Any]:
            value, told = loss(params)
            return value * share, told

        return part

    return [scaled(objective(part), share) for part, share in groups]


class Descent(NamedTuple):
    """Result of `descend`."""

    params: Params
    optimizer: dict[str, Tensor]
    metrics: Metrics
    """Loss at the first parameters and after the last step, norm of the first gradient, one count for the guard."""
    before: Sequence[Any]
    """Extras of each part at the first parameters."""
    after: Sequence[Any]
    """Extras of each part at the returned parameters, if they were measured."""


def accumulate(params: Params, parts: Sequence[Loss]) -> tuple[Tensor, list[Tensor], list[Any]]:
    """Loss and gradient of the sum of `parts`, as means over the processes that share the update; extras of each part.

    At any time there are as many graphs as threads (`meta_rl.core.threads.part_map`). A process may have no parts.

    Args:
        params: require grad.
    """

    def gradient_of(part: Loss) -> tuple[list[Tensor], Any]:
        value, told = part(params)
        # What a network does not use, or holds, has gradient 0.
        gradient = torch.autograd.grad(value, list(params.values()), allow_unused=True, materialize_grads=True)
        return [value.detach(), *gradient], told

    zeros = [torch.zeros((), device=_device(params)), *(torch.zeros_like(p) for p in params.values())]
    results = part_map(gradient_of, parts, _device(params)) if parts else [(zeros, None)]
    found, told = zip(*results, strict=True)
    # In order, however many threads there are.
    total, *gradient = parallel.means([functools.reduce(torch.add, terms) for terms in zip(*found, strict=True)])
    return total, gradient, list(told)


@torch.no_grad()
def measure_loss(params: Params, parts: Sequence[Loss]) -> tuple[float, Sequence[Any]]:
    """Loss of the sum of `parts`, as the mean over the processes that share the update, and each part's extras."""
    values, told = zip(*part_map(lambda part: part(params), parts, _device(params)), strict=True)
    return parallel.mean_number(float(sum(values))), told


def descend(
    params: Params,
    optimizer: dict[str, Tensor],
    parts: Sequence[Loss],
    learning_rate: float,
    epochs: int,
    max_norm: float = 0.0,
    measure_after: bool = True,
    minibatches: Callable[[int], Iterable[Sequence[Loss]]] | None = None,
) -> Descent:
    """`epochs` times, an Adam step on the sum of `parts`, functions of the parameters, or on each of the `minibatches`.

    A loss or gradient that is not finite abandons the update: parameters and optimizer stay as they were, bit for bit.

    Args:
        measure_after: also compute the loss after the last step, for the metrics and the guard.
        minibatches: of an epoch (counted from 0), each the parts of an objective of its own, as many in every process;
            then `parts` serve the metrics alone.
    """
    adam = Adam(params, optimizer, learning_rate)
    losses, norms = [], []
    before: Sequence[Any] = ()
    if minibatches:
        value, before = measure_loss(adam.params, parts)
        losses.append(value)
    for epoch in range(epochs):
        for step in minibatches(epoch) if minibatches else [parts]:
            total, gradient, told = accumulate(adam.params, step)
            norms.append(adam.step(gradient, max_norm))
            losses.append(float(total))
            before = before or told
    metrics = {"update/loss_before": losses[0]}
    after: Sequence[Any] = ()
    if measure_after:
        value, after = measure_loss(adam.params, parts)
        losses.append(value)
        metrics["update/loss_after"] = value
    metrics |= {"update/gradient_norm": norms[0], "guard/non_finite_gradient": 0.0}
    if not torch.tensor(losses + norms).isfinite().all():
        return Descent(params, optimizer, metrics | {"guard/non_finite_gradient": 1.0}, before, before)
    return Descent(adam.result(), adam.state(), metrics, before, after)


def _device(params: Params) -> torch.device:
    return next(iter(params.values())).device
