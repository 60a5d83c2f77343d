"""The linear feature baseline (Duan et al. 2016b, "Benchmarking deep RL"), fitted for all tasks at once and shrunk
towards one of the time alone.

Features of a step: the observation clipped to [-10, 10], its square, ``t, t^2, t^3`` with ``t = step / 100``, and 1.
Fitting solves one ridge regression per task as a single batched system.
"""

from __future__ import annotations

import torch
from torch import Tensor

RIDGE = 1e-5
"""First ridge coefficient; multiplied by 10 while a task's system is singular."""
SHRINKAGE = 5.0
"""Steps per coefficient at which the data weigh as much as the shrinkage; with more steps, the shrinkage fades by their
square. Few short episodes cannot determine coefficients of 39 numbers and their squares: without shrinkage the fit
explains their returns away, and the gradient with them. See results/baseline.md, also for leaving an episode out of its
own fit."""
TIMES = 4
"""Features of the time, the last ones. They are not shrunk."""


def features(observation: Tensor) -> Tensor:
    """``[..., time, obs]`` -> float64 ``[..., time, 2 * obs + 4]``."""
    clipped = observation.double().clamp(-10, 10)
    time = torch.arange(observation.shape[-2], dtype=torch.float64, device=observation.device) / 100
    powers = torch.stack([time, time**2, time**3, torch.ones_like(time)], -1)
    return torch.cat([clipped, clipped**2, powers.expand(*observation.shape[:-1], TIMES)], -1)


def fit(feature: Tensor, target: Tensor, valid: Tensor, shrinkage: float = SHRINKAGE) -> Tensor:
    """Ridge regression per task: added to the squared errors, of the coefficients ``c``, are ``RIDGE * c^2`` of all and
    ``(shrinkage * f / steps)^2 * S * c^2`` of every feature but those of the time, S the sum of the feature's squared
    distances from its mean.

    Args:
        feature: float64 ``[task, env, time, f]``.
        target: float ``[task, env, time]``, usually discounted returns.
        valid: bool ``[task, env, time]``; other steps do not count.
        shrinkage: see `SHRINKAGE`.
    Returns:
        Coefficients float64 ``[task, f]``.
    """
    x = (feature * valid.unsqueeze(-1)).flatten(1, 2)
    gram, moment = x.mT @ x, x.mT @ target.double().flatten(1, 2).unsqueeze(-1)
    eye = torch.eye(x.shape[-1], dtype=torch.float64, device=x.device)
    steps = valid.sum((1, 2)).clamp(min=1).unsqueeze(-1)
    spread = (gram.diagonal(dim1=-2, dim2=-1) - x.sum(1).square() / steps).clamp(min=0)  # rounding may leave less
    spread[:, -TIMES:] = 0
    gram = gram + torch.diag_embed((shrinkage * x.shape[-1] / steps).square() * spread)
    ridge = torch.full((len(x), 1, 1), RIDGE, dtype=torch.float64, device=x.device)
    for _ in range(5):
        coefficients, info = torch.linalg.solve_ex(gram + ridge * eye, moment)
        bad = (info != 0) | ~coefficients.isfinite().all((-2, -1)) if info.dim() else info.bool()
        if not bool(bad.any()):
            break
        ridge = torch.where(bad.reshape(-1, 1, 1), 10 * ridge, ridge)
    # A task that stays singular gets no baseline, which is unbiased, rather than a NaN.
    return torch.nan_to_num(coefficients.squeeze(-1), nan=0.0, posinf=0.0, neginf=0.0)


def predict(feature: Tensor, coefficients: Tensor, valid: Tensor) -> Tensor:
    """Values float64 ``[task, env, time]``, 0 where not valid."""
    return torch.einsum("kntf,kf->knt", feature, coefficients) * valid
