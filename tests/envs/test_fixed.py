"""One task as a distribution."""

from __future__ import annotations

import numpy as np

import envs
from envs import FixedTask, Task


def test_only_the_one_task() -> None:
    base = envs.make("navigation", "test")
    alone = FixedTask(base, Task("navigation", (0.25, -0.5)))
    envs.check(alone)
    assert alone.sample(np.random.default_rng(0), 3) == [Task("navigation", (0.25, -0.5))] * 3
    assert alone.tasks() == [Task("navigation", (0.25, -0.5))]
    assert alone.num_tasks() == 1
    assert alone.fingerprint()["fixed_task"] == {"family": "navigation", "vector": (0.25, -0.5)}
    with alone.make(1, 1) as env:
        env.set_tasks(alone.tasks())
        env.reset([0])
        step = env.step(np.zeros((1, 1, 2), np.float32))
    np.testing.assert_allclose(step.reward, -np.hypot(0.25, 0.5))
