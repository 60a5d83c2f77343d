"""The only adaptation code: K differentiable gradient steps on one task.

Sampling and learning, reinforcement learning and supervised learning call the same function; callers `vmap` it over
tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from meta_rl.core.types import Params

B = TypeVar("B")


def adapt(
    loss: Callable[[Params, B], Tensor],
    params: Params,
    batches: Sequence[B],
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
    gradient = torch.func.grad(loss)
    for batch in batches:
        grads = gradient(params, batch)
        if first_order:
            grads = {name: g.detach() for name, g in grads.items()}
        if isinstance(inner_lr, dict):
            params = {name: p - inner_lr[name] * grads[name] for name, p in params.items()}
        else:
            params = {name: p - inner_lr * grads[name] for name, p in params.items()}
    return params
