"""The curves that sinusoid learners draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from meta_rl.agents.agent import load
from meta_rl.cli import main
from meta_rl.core.seeding import Purpose, generator
from meta_rl.errors import ConfigError
from meta_rl.fewshot.sinusoid import AMPLITUDE, PHASE
from meta_rl.studies.sinusoid_fits import fits, plot_fits

TINY = ["--device", "cpu", "--iterations", "1", "--meta-batch-size", "2", "--hidden", "4", "--test-tasks", "4"]


def test_the_curves_are_those_of_the_networks_and_the_truth_is_the_task(tmp_path: Path) -> None:
    assert main(["train", "maml", "--env", "sinusoid-10shot", *TINY, "--run-dir", str(tmp_path / "run")]) == 0
    agent = load(tmp_path / "run")
    found = fits(agent, 2, (0, 2))
    x = torch.from_numpy(found.x).unsqueeze(-1)
    assert list(found.curves) == [0, 2]
    for episode in range(2):
        rng = generator(0, Purpose.TEST_TASKS, task=episode)
        amplitude, phase = rng.uniform(*AMPLITUDE), rng.uniform(*PHASE)
        np.testing.assert_allclose(found.truth[episode], amplitude * np.sin(found.x - phase), atol=1e-3)
        points, values = (torch.from_numpy(v[episode]).unsqueeze(-1) for v in found.support)
        np.testing.assert_allclose(values.numpy(), amplitude * np.sin(points.numpy() - phase), atol=1e-5)
        params = {name: p.clone().requires_grad_() for name, p in agent.weights.params.items()}
        for step in (0, 1, 2):
            if step:
                loss = (agent.learner.policy.apply(params, points) - values).square().mean()
                gradients = torch.autograd.grad(loss, list(params.values()))
                rate = agent.config.algorithm.inner_lr
                params = {
                    n: (p - rate * g).detach().requires_grad_()
                    for (n, p), g in zip(params.items(), gradients, strict=True)
                }
            if step in found.curves:
                drawn = agent.learner.policy.apply(params, x).squeeze(-1).detach()
                np.testing.assert_allclose(found.curves[step][episode], drawn.numpy(), atol=1e-5)
    plot_fits([agent], 2, tmp_path / "fits.png")
    assert (tmp_path / "fits.png").read_bytes().startswith(b"\x89PNG")


def test_other_tasks_are_refused(tmp_path: Path) -> None:
    env = "synthetic-ratings-5shot"
    assert main(["train", "maml", "--env", env, *TINY, "--run-dir", str(tmp_path / "run")]) == 0
    with pytest.raises(ConfigError, match="RUN: a run on sinusoid-5shot or the like is needed, not on synthetic"):
        fits(load(tmp_path / "run"), 2)
