"""Sinusoid regression (Finn et al. 2017, section 5.1): y = A sin(x - phase) with A ~ U[0.1, 5], phase ~ U[0, pi],
x ~ U[-5, 5]."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

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

    def fingerprint(self) -> dict[str, Any]:
        """The ranges of amplitude, phase and input."""
        return {"source": "sinusoid", "amplitude": AMPLITUDE, "phase": PHASE, "input": INPUT}


def _examples(x: NDArray[np.float64], y: NDArray[np.float64]) -> Examples:
    observation, target = (from_numpy(a.astype(np.float32)) for a in (x[..., None], y))
    return Examples(observation, target, torch.ones(target.shape))
