"""The only adaptation code: K differentiable steps on one task.

Sampling and learning, reinforcement learning and supervised learning call the same function; callers `vmap` it over
tasks, or loop. What a step does with the gradient is a rule: gradient descent, Adam, or a learned network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from meta_rl.core.types import Params

_B = TypeVar("_B")

Rule = Callable[[Params, Params, Tensor, Any], tuple[Params, Any]]
"""``(params, gradients, loss, state) -> (params, state)``, differentiable; `state` is a tree of tensors of one task."""


def adapt(
    loss: Callable[[Params, _B], Tensor],
    params: Params,
    batches: Sequence[_B],
    inner_lr: float | Params,
    *,
    first_order: bool = False,
) -> Params:
    """One gradient step per batch (Finn et al. 2017, eq. 1): ``params - inner_lr * grad loss(params, batch)``.

    Args:
        loss: scalar loss of parameters and one batch, of one task.
        batches: support data, one element per step.
        inner_lr: one step size, or one per parameter (tensors that broadcast).
        first_order: treat the inner gradients as constants (FOMAML): no second derivatives.
    Returns:
        Adapted parameters, differentiable with respect to `params` (and to `inner_lr` if it holds tensors).
    """
    return adapt_by(gradient_descent(inner_lr), loss, params, (), batches, first_order=first_order)[0]


def adapt_by(
    rule: Rule,
    loss: Callable[[Params, _B], Tensor],
    params: Params,
    state: Any,
    batches: Sequence[_B],
    *,
    first_order: bool = False,
) -> tuple[Params, Any]:
    """One step of `rule` per batch; the other arguments as for `adapt`.

    Args:
        state: of the rule before the first step.
    Returns:
        Adapted parameters and the rule's state after the last step.
    """
    gradient = torch.func.grad_and_value(loss)
    for batch in batches:
        grads, value = gradient(params, batch)
        if first_order:
            grads, value = {name: g.detach() for name, g in grads.items()}, value.detach()
        params, state = rule(params, grads, value, state)
    return params, state


def gradient_descent(inner_lr: float | Params) -> Rule:
    """Steps against the gradient, of one size or one per parameter. No state."""

    def rule(params: Params, grads: Params, loss: Tensor, state: Any) -> tuple[Params, Any]:
        if isinstance(inner_lr, dict):
            return {name: p - inner_lr[name] * grads[name] for name, p in params.items()}, state
        return {name: p - inner_lr * grads[name] for name, p in params.items()}, state

    return rule


def adam(inner_lr: float, beta: float = 0.999, eps: float = 1e-8) -> Rule:
    """Adam without momentum (beta1 = 0), as Reptile has it: ``p - inner_lr * g / (sqrt(v / (1 - beta^t)) + eps)``.

    The state is ``(second moments, t)``; see `adam_start`.
    """

    def rule(params: Params, grads: Params, loss: Tensor, state: Any) -> tuple[Params, Any]:
        moments, step = state
        step = step + 1
        moments = {name: beta * moments[name] + (1 - beta) * g.square() for name, g in grads.items()}
        correction = (1 - beta**step).to(loss.dtype)
        moved = {
            name: p - inner_lr * grads[name] / ((moments[name] / correction).sqrt() + eps) for name, p in params.items()
        }
        return moved, (moments, step)

    return rule


def adam_start(params: Params) -> tuple[Params, Tensor]:
    """State of `adam` before the first step."""
    first = next(iter(params.values()))
    return {name: torch.zeros_like(p) for name, p in params.items()}, torch.zeros(
        (), dtype=torch.float64, device=first.device
    )


def minibatches(examples: _B, size: int, first: int, steps: int) -> list[_B]:
    """`steps` parts of `size` examples in turn (all of them if `size` is 0 or there are not more), beginning with part
    number `first` and starting again at the end; `examples` is a named tuple of tensors ``[example, ...]``."""
    tensors: Any = examples
    total = len(tensors[0])
    if size == 0 or size >= total:
        return [examples] * steps
    parts = []
    for step in range(first, first + steps):
        index = [(step * size + k) % total for k in range(size)]
        parts.append(type(tensors)(*(x[index] for x in tensors)))
    return parts
