"""Seconds per meta-update at the shapes of ML10, batched over tasks and as a plain Python loop over tasks.

``python scripts/benchmark.py learner [--iterations 3] [--tasks 20] [--episodes 10] [--horizon 500] [CASE ...]``

A case is a recipe and its options in one argument. The data are random, of the shapes that Meta-World gives (39
observations, 4 actions). On a GPU the time includes the copy of the data. Also recorded: the peak of resident memory.

The floor of a recurrent learner's update on a CPU: how long its matrix products alone would take at the best rate of
this machine, that of large square ones. Those of an LSTM are small, since one time step waits for the other.
"""

from __future__ import annotations

import argparse
import math
import resource
import shlex
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measured import CORES, write_measured
from torch.utils import _pytree as pytree

import envs
from meta_rl.algorithms.base import MetaLearner, make_learner
from meta_rl.algorithms.maml import Groups, Maml, MamlBase
from meta_rl.algorithms.rl2 import Rl2
from meta_rl.cli.commands import parse_train
from meta_rl.core.types import MetaBatch, Params, Rollout, map_tensors, to_device
from meta_rl.evaluation import markdown
from meta_rl.runs.folder import versions
from meta_rl.sources.collect import envs_per_task
from meta_rl.training.train import move_state, select_device

CASES = [
    "maml-trpo --hidden 128 128", "maml-trpo --hidden 512 512", "maml-ppo --hidden 128 128", "reptile --hidden 128 128",
    "rl2", "rl2-gru",
]  # fmt: skip


class OneByOne(MamlBase):
    """The same meta-update, one task after another in one graph: the slow obvious twin."""

    def adapted_policies(self, params: Params, batch: MetaBatch, backend: str = "vmap") -> Any:
        """Every task's, put together."""
        tasks = [map_tensors(lambda x, i=i: x[i : i + 1], batch) for i in range(len(batch.query.weight))]
        each = [super(OneByOne, self).adapted_policies(params, task, backend) for task in tasks]
        return pytree.tree_map(lambda *x: torch.cat(x), *each)

    def _groups(self, params: Params, batch: MetaBatch, backend: str = "vmap") -> Groups:
        return [(batch, 1.0)]


class LoopMaml(OneByOne, Maml):
    """The twin of the learner of policies."""


def random_rollout(rng: np.random.Generator, tasks: int, envs: int, horizon: int) -> Rollout:
    """A rollout of Meta-World's shapes without Meta-World."""
    shape = (tasks, envs, horizon)
    observation = rng.uniform(-1, 1, (*shape, 39)).astype(np.float32)
    action = rng.standard_normal((*shape, 4)).astype(np.float32)
    reward = rng.uniform(0, 10, shape).astype(np.float32)
    no, yes = np.zeros(shape, bool), np.ones(shape, bool)
    return Rollout(observation, action, reward, yes, no, no[..., 0], observation[:, :, -1], reward, action)


def make(case: str, loop: bool) -> MetaLearner:
    """The learner of a case; `loop`: its slow twin."""
    config = parse_train([*case.split(), "--env", "metaworld/ml10"])
    learner = make_learner(config, envs.make(config.env))
    if loop:
        assert isinstance(learner, Maml)
        return LoopMaml(learner.config, learner.policy)
    return learner


def update(learner: MetaLearner, sizes: tuple[int, int, int], device: torch.device) -> Callable[[], float]:
    """A meta-update that can be repeated; it returns its seconds."""
    tasks, episodes, horizon = sizes
    rng = np.random.default_rng(0)
    state = learner.init()
    adapted = learner.start(state.weights, tasks)
    parallel = envs_per_task(learner, episodes)
    rollouts = [random_rollout(rng, tasks, parallel, horizon) for _ in range(learner.stages(episodes))]
    prepared = [learner.prepare(adapted, rollout) for rollout in rollouts]
    batch = MetaBatch(tuple(prepared[:-1]), prepared[-1], torch.arange(tasks))
    move_state(state, device)

    def once() -> float:
        started = time.perf_counter()
        learner.meta_update(state, to_device(batch, device))
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    return once


def measure(case: str, sizes: tuple[int, int, int], iterations: int, device: torch.device) -> dict[str, float]:
    """Median seconds of a meta-update, batched and, of MAML, as a loop, in turn; the first of each does not count."""
    updates = {"batched": update(make(case, False), sizes, device)}
    if isinstance(make(case, False), Maml):
        updates["loop"] = update(make(case, True), sizes, device)
    rounds = [{name: once() for name, once in updates.items()} for _ in range(iterations + 1)][1:]
    return {name: statistics.median(seconds[name] for seconds in rounds) for name in updates}


def floor(case: str, sizes: tuple[int, int, int], iterations: int) -> float | None:
    """Seconds that the matrix products in the meta-update of a recurrent learner take at the best rate of this CPU,
    that of large square ones; None for other learners."""
    learner = make(case, False)
    if not isinstance(learner, Rl2):
        return None
    first, *others = (w.numel() for w in learner.policy.parameters() if w.ndim == 2)
    # Forward to record; then in every epoch forward, and backward to weights and, but for the first, to inputs.
    epochs = learner.config.epochs
    operations = 2 * math.prod(sizes) * (first * (1 + 2 * epochs) + sum(others) * (1 + 3 * epochs))
    a, b = torch.rand(2, 2048, 2048).unbind()
    seconds = []
    for _ in range(10 * iterations):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return operations / (2 * 2048**3 / min(seconds))


def main(arguments: list[str]) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="benchmark.py learner", description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=CASES, metavar="CASE")
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--horizon", type=int, default=500)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("results/learner"))
    options = parser.parse_args(arguments)
    device = select_device(options.device)
    sizes = (options.tasks, options.episodes, options.horizon)
    record: dict[str, Any] = {"command": shlex.join(["scripts/benchmark.py", "learner", *arguments]), "sizes": sizes}
    where = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    record |= {"device": where, "cores": CORES, "versions": versions(), "seconds": {}}
    lines = [f"Command: `python {record['command']}`; {sizes[0]} tasks x {sizes[1]} episodes x {sizes[2]} steps, "
             f"{where}, {torch.get_num_threads()} torch threads, medians of {options.iterations}, in turn.",
             ""]  # fmt: skip
    rows = [["case", "batched, s", "loop over tasks, s", "ratio", *(["floor, s"] if device.type == "cpu" else [])]]
    for case in options.cases:
        seconds = measure(case, sizes, options.iterations, device)
        batched, loop = seconds["batched"], seconds.get("loop")
        least = floor(case, sizes, options.iterations) if device.type == "cpu" else None
        record["seconds"][case] = {"batched": batched, "loop": loop, "floor": least}
        cells = [f"{batched:.2f}", *([f"{loop:.2f}", f"{loop / batched:.2f}"] if loop else ["", ""])]
        rows.append([case, *cells, *([f"{least:.2f}" if least else ""] if device.type == "cpu" else [])])
        print(*rows[-1], sep=" | ", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    record["peak_resident_gb"] = peak
    lines += markdown.table(rows)
    if device.type == "cpu":
        lines += ["", "*floor*: a recurrent learner's matrix products alone, at the rate of large square ones."]
    lines += ["", f"Peak of resident memory over all cases: {peak:.1f} GB."]
    write_measured(options.out, record, "\n".join(lines) + "\n")
