"""The linear feature baseline (Duan et al. 2016b, "Benchmarking deep RL"), fitted for all tasks at once.

Features of a step: the observation clipped to [-10, 10], its square, ``t, t^2, t^3`` with ``t = step / 100``, and 1.
Fitting solves one ridge regression per task as a single batched system.
"""

from __future__ import annotations

import torch
from torch import Tensor

RIDGE = 1e-5
"""First ridge coefficient; multiplied by 10 where a task's system turns out singular."""


def features(observation: Tensor) -> Tensor:
    """``[..., time, obs]`` -> float64 ``[..., time, 2 * obs + 4]``."""
    clipped = observation.double().clamp(-10, 10)
    time = torch.arange(observation.shape[-2], dtype=torch.float64, device=observation.device) / 100
    powers = torch.stack([time, time**2, time**3, torch.ones_like(time)], -1)
    return torch.cat([clipped, clipped**2, powers.expand(*observation.shape[:-1], 4)], -1)


def fit(feature: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Ridge regression per task.

    Args:
        feature: float64 ``[task, env, time, f]``.
        target: float ``[task, env, time]``, usually discounted returns.
        valid: bool ``[task, env, time]``; other steps do not count.
    Returns:
        Coefficients float64 ``[task, f]``.
    """
    x = (feature * valid.unsqueeze(-1)).flatten(1, 2)
    gram, moment = x.mT @ x, x.mT @ target.double().flatten(1, 2).unsqueeze(-1)
    eye = torch.eye(x.shape[-1], dtype=torch.float64, device=x.device)
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
