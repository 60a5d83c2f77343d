"""The trust-region step (TRPO, Schulman et al. 2015, appendix C) through any differentiable map from parameters to
action distributions, adaptation included.

Curvature products are exact and positive semi-definite: with ``f`` the map from parameters to distribution
parameters, the Hessian of ``mean KL(f(old) || f(params))`` at ``params = old`` is ``J^T F J`` (J the Jacobian of f,
F the Fisher information in distribution space), because the gradient of the KL vanishes there. ``J v`` and
``J^T w`` reuse one recorded graph, so a conjugate-gradient iteration never evaluates f again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from meta_rl.core import parallel
from meta_rl.core.types import Metrics, Params


class TrustRegion(NamedTuple):
    """Settings of the step; names and defaults of the published MAML-TRPO.

    `max_kl` in nats; `cg_damping` is added to the curvature; the line search tries ``backtrack_ratio ** i`` for
    ``i < max_backtracks``.
    """

    max_kl: float = 0.01
    cg_iters: int = 10
    cg_damping: float = 1e-5
    backtrack_ratio: float = 0.8
    max_backtracks: int = 15


def ravel(tensors: Iterable[Tensor]) -> Tensor:
    """All numbers of `tensors` as one vector ``[coordinate]``."""
    return torch.cat([t.reshape(-1) for t in tensors])


def unravel(vector: Tensor, like: Params) -> Params:
    """The inverse of ``ravel(like.values())``."""
    pieces = torch.split(vector, [p.numel() for p in like.values()])
    return {name: piece.reshape(p.shape) for (name, p), piece in zip(like.items(), pieces, strict=True)}


def conjugate_gradient(product: Callable[[Tensor], Tensor], b: Tensor, iters: int) -> tuple[Tensor, Tensor, Tensor]:
    """Solve ``A x = b`` for symmetric positive definite A; no host synchronisation inside.

    Directions of non-positive or non-finite curvature stop the progress from there on instead of corrupting it.

    Returns:
        ``x``, ``x^T A x``, and whether such a direction was met (bool tensor).
    """
    x, residual, direction = torch.zeros_like(b), b.clone(), b.clone()
    squared = residual @ residual
    stopped = torch.zeros((), dtype=torch.bool, device=b.device)
    bad = torch.zeros((), dtype=torch.bool, device=b.device)
    for _ in range(iters):
        product_direction = product(direction)
        curvature = direction @ product_direction
        converged = squared <= 1e-10 * (b @ b)
        bad = bad | (~stopped & ~converged & ~(curvature > 0))  # written so that NaN counts as bad
        stopped = stopped | converged | bad
        alpha = torch.where(stopped, torch.zeros_like(squared), squared / curvature)
        # where(), not multiplication: 0 * NaN would be NaN
        x = torch.where(stopped, x, x + alpha * direction)
        residual = torch.where(stopped, residual, residual - alpha * product_direction)
        squared_new = residual @ residual
        direction = torch.where(stopped, direction, residual + squared_new / squared * direction)
        squared = squared_new
    return x, x @ (b - residual), bad


_ZEROS: dict[str, bool] = {"allow_unused": True, "materialize_grads": True}
"""Options of `torch.autograd.grad`, by which what nothing depends on has gradient 0."""


def gauss_newton_product(
    outputs: Sequence[Tensor], params: Sequence[Tensor], metric: Callable[[Sequence[Tensor]], Sequence[Tensor]]
) -> Callable[[Tensor], Tensor]:
    """The map ``v -> J^T metric(J v)`` for ``outputs = f(params)`` recorded with a graph.

    ``J v`` is the derivative of ``u -> J^T u`` (linear in u), so only reverse-mode products are needed. Outputs that
    depend on no parameter, and parameters that no output depends on, have rows and columns of zeros in J.
    """
    moving = [i for i, o in enumerate(outputs) if o.requires_grad]
    recorded = [outputs[i] for i in moving]
    probe = [torch.zeros_like(o, requires_grad=True) for o in recorded]
    pulled = torch.autograd.grad(recorded, params, probe, create_graph=True, allow_unused=True)
    used = [i for i, g in enumerate(pulled) if g is not None and g.requires_grad]
    shapes = [p.numel() for p in params]

    def product(vector: Tensor) -> Tensor:
        pieces = [v.view_as(p) for v, p in zip(torch.split(vector, shapes), params, strict=True)]
        found = torch.autograd.grad(
            [pulled[i] for i in used], probe, [pieces[i] for i in used], retain_graph=True, **_ZEROS
        )
        pushed = [torch.zeros_like(o) for o in outputs]
        for i, tangent in zip(moving, found, strict=True):
            pushed[i] = tangent
        measured = metric(pushed)
        pushed_back = torch.autograd.grad(recorded, params, [measured[i] for i in moving], retain_graph=True, **_ZEROS)
        return ravel(pushed_back)

    return product


def step(
    params: Params,
    loss: float,
    gradient: Tensor,
    evaluate: Callable[[Params], tuple[Tensor, Tensor]],
    curvature_product: Callable[[Tensor], Tensor],
    settings: TrustRegion,
) -> tuple[Params, Metrics]:
    """Move along the natural gradient as far as the constraint and the surrogate allow.

    Args:
        params: current parameters (no graph).
        loss: at `params`.
        gradient: of the loss at `params`, flat.
        evaluate: ``params -> (loss, mean KL)`` of candidates, scalars; called without grad.
        curvature_product: Hessian-vector product of the mean KL at `params`, flat.
    Returns:
        New parameters, or `params` unchanged if no candidate lowers the loss within `max_kl`, and metrics:
        loss before and after, KL, index of the accepted step, and one count for each guard that fired.
    """
    damped: Callable[[Tensor], Tensor] = lambda v: curvature_product(v) + settings.cg_damping * v  # noqa: E731
    metrics = {
        "update/loss_before": loss,
        "update/loss_after": loss,
        "update/kl": 0.0,
        "update/gradient_norm": float(gradient.norm()),
        "update/step_norm": 0.0,
        "update/backtracks": float(settings.max_backtracks),
        "update/accepted": 0.0,
        "guard/non_finite_gradient": 0.0,
        "guard/bad_curvature": 0.0,
        "guard/line_search_failed": 0.0,
    }
    if not (bool(gradient.isfinite().all()) and math.isfinite(loss)):
        return params, metrics | {"guard/non_finite_gradient": 1.0}
    if not bool(gradient.any()):
        return params, metrics
    direction, squared_length, bad = conjugate_gradient(damped, gradient, settings.cg_iters)
    metrics["guard/bad_curvature"] = float(bad)
    quadratic = float(squared_length)
    if not (quadratic > 0 and quadratic < float("inf")):
        return params, metrics | {"guard/bad_curvature": 1.0}
    full = (2 * settings.max_kl / quadratic) ** 0.5 * direction
    chosen = line_search(params, evaluate, full, loss, settings)
    if chosen is None:
        return params, metrics | {"guard/line_search_failed": 1.0}
    index, loss_after, kl = chosen
    change = settings.backtrack_ratio**index * full
    metrics |= {
        "update/loss_after": loss_after,
        "update/kl": kl,
        "update/step_norm": float(change.norm()),
        "update/backtracks": float(index),
        "update/accepted": 1.0,
    }
    # Own memory for each tensor, as after a resume: see `types.from_numpy` for why that matters.
    new = unravel(ravel(list(params.values())) - change, params)
    return {name: p.clone() for name, p in new.items()}, metrics


CANDIDATES_AT_ONCE = {"cpu": 1}
"""Candidates of the line search that are evaluated together, by device. A CPU gains nothing from a batch, and the first
candidate is usually accepted. Elsewhere each one costs a wait for the device: default 5."""


@torch.no_grad()
def line_search(
    params: Params,
    evaluate: Callable[[Params], tuple[Tensor, Tensor]],
    full: Tensor,
    loss_before: float,
    settings: TrustRegion,
) -> tuple[int, float, float] | None:
    """The first of the candidates ``params - backtrack_ratio ** i * full`` that lowers the loss within `max_kl`.

    Returns:
        Its index, loss and KL divergence, or None if there is none (a NaN is never accepted).
    """
    flat = ravel(list(params.values()))
    size = CANDIDATES_AT_ONCE.get(flat.device.type, 5)
    for first in range(0, settings.max_backtracks, size):
        indices = range(first, min(first + size, settings.max_backtracks))
        candidates = [unravel(flat - settings.backtrack_ratio**i * full, params) for i in indices]
        if size == 1:
            losses, kls = (x.unsqueeze(0) for x in evaluate(candidates[0]))
        else:
            stacked = {name: torch.stack([c[name] for c in candidates]) for name in params}
            losses, kls = torch.vmap(evaluate)(stacked)
        losses, kls = parallel.means([losses, kls])
        for i, loss, kl in zip(indices, losses.tolist(), kls.tolist(), strict=True):
            if loss < loss_before and kl <= settings.max_kl:
                return i, loss, kl
    return None
