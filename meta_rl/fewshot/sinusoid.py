"""Sinusoid regression (Finn et al. 2017, section 5.1): y = A sin(x - phase) with A ~ U[0.1, 5], phase ~ U[0, pi],
x ~ U[-5, 5]."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl.core.types import Examples, MetaBatch, from_numpy

AMPLITUDE, PHASE, INPUT = (0.1, 5.0), (0.0, np.pi), (-5.0, 5.0)


class Sinusoids:
    """See `meta_rl.fewshot.tasks.TaskSet`. Training and test tasks are draws from one distribution."""

    count: int | None = None
    observation_space = gym.spaces.Box(*INPUT, (1,), np.float32)
    action_space = gym.spaces.Box(-5, 5, (1,), np.float32)

    def sample(self, rng: np.random.Generator, tasks: int, ways: int, shots: int, query: int) -> MetaBatch:
        """Tasks of `shots` support and `query` query points."""
        amplitude, phase = (rng.uniform(*bounds, (tasks, 1)) for bounds in (AMPLITUDE, PHASE))
        x = rng.uniform(*INPUT, (tasks, shots + query))
        y = amplitude * np.sin(x - phase)
        return MetaBatch((_examples(x[:, :shots], y[:, :shots]),), _examples(x[:, shots:], y[:, shots:]))

    def test_task(self, index: int, rng: np.random.Generator, ways: int, shots: int, query: int) -> MetaBatch:
        """See `meta_rl.fewshot.tasks.TaskSet`."""
        return self.sample(rng, 1, ways, shots, query)

    def metrics(self, error: Tensor, outputs: Tensor, query: Examples) -> dict[str, Tensor]:
        """None beside the squared error."""
        return {}

    def baselines(self, batch: MetaBatch) -> dict[str, Tensor]:
        """The best sinusoid through the support."""
        return {"oracle (least squares on sine and cosine)": sinusoid_oracle(batch)}

    def fingerprint(self) -> dict[str, Any]:
        """The ranges of amplitude, phase and input."""
        return {"source": "sinusoid", "amplitude": AMPLITUDE, "phase": PHASE, "input": INPUT}


def _examples(x: NDArray[np.float64], y: NDArray[np.float64]) -> Examples:
    observation, target = (from_numpy(a.astype(np.float32)) for a in (x[..., None], y))
    return Examples(observation, target, torch.ones(target.shape))


def sinusoid_oracle(batch: MetaBatch) -> Tensor:
    """The best ``a sin x + b cos x`` on the support, at the queries; the least one where several are as good.

    Solves the normal equations, whose sums round alike wherever the numbers lie in memory; torch's `lstsq` does not.
    """
    (support,) = batch.support
    x, q = support.observation[..., 0].double(), batch.query.observation[..., 0].double()
    basis, target = torch.stack([x.sin(), x.cos()], -1), support.target.double().unsqueeze(-1)
    moments = (basis.unsqueeze(-1) * basis.unsqueeze(-2)).sum(-3)  # [task, 2, 2]
    weights = torch.linalg.solve(moments + 1e-12 * torch.eye(2).to(basis), (basis * target).sum(-2))
    prediction: Tensor = torch.stack([q.sin(), q.cos()], -1) @ weights.unsqueeze(-1)
    return prediction
