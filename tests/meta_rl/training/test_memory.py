"""Resident memory of a training process: it stays flat, and grows in step with what is asked of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

# In a process of its own, because a process never gives its peak back.
PROGRAM = """
import resource, sys
import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.config import default_config, replace_paths
from meta_rl.sources.base import Plan
from meta_rl.sources.in_process import InProcess
from meta_rl.training.train import select_device, train_iteration

recipe, inner_steps, tasks, *counts = sys.argv[1:]
changes = {"network.hidden": (64,), "episodes_per_task": 2}
if int(inner_steps):
    changes["algorithm.inner_steps"] = int(inner_steps)
config = replace_paths(default_config(recipe, "navigation"), changes)
distribution = envs.make("navigation")
learner = make_learner(config, distribution)
source = InProcess(distribution, learner, Plan(int(tasks), 2, seed=0))
state, device = learner.init(), select_device("cpu")
for count in map(int, counts):
    while state.iteration < count:
        train_iteration(state, source, learner, device)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
MIB = 2**20


def peaks(recipe: str, inner_steps: int, tasks: int, *counts: int) -> list[int]:
    """Peak of resident bytes after each of these numbers of meta-updates."""
    command = [sys.executable, "-c", PROGRAM, recipe, *map(str, (inner_steps, tasks, *counts))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


@pytest.mark.parametrize("recipe", ["maml-trpo", "rl2"])
def test_memory_is_flat_over_fifty_meta_updates(recipe: str) -> None:
    early, late = peaks(recipe, 0, 4, 10, 50)
    assert late - early < 16 * MIB  # a graph kept by each of 40 updates would be 100 MiB and more


def test_memory_grows_no_faster_than_the_inner_steps() -> None:
    """Each inner step adds its rollout and its part of the graph, the later ones as much as the earlier ones."""
    one, three, five = (peaks("maml-trpo", steps, 100, 1)[0] for steps in (1, 3, 5))
    assert five - three < 1.5 * (three - one) + 16 * MIB
