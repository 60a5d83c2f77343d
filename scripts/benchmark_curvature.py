"""What curvature products on a part of the states cost, and what they are worth.

``python scripts/benchmark.py curvature [--env metaworld/ml10 ...] [--strides 1 2 5 10 20 50] [--iterations 0 10]``

On real meta-batches of MAML-TRPO, before and after some training: the step from every n-th state beside the step from
all of them, by the cosine between the two directions, the KL divergence of the full step (the quadratic model says
max-kl) and the decrease of the surrogate after the line search, both measured on all states.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import shlex
import time
from pathlib import Path
from typing import Any

import torch
from measured import write_measured
from torch import Tensor

import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.algorithms.maml import Maml
from meta_rl.cli.commands import parse_train
from meta_rl.core.types import MetaBatch, Params, map_tensors
from meta_rl.maths import trust_region
from meta_rl.runs.folder import versions
from meta_rl.sources.base import Plan
from meta_rl.sources.in_process import InProcess
from meta_rl.training.train import select_device, train_iteration


def step_of(learner: Maml, params: Params, batch: MetaBatch, stride: int) -> dict[str, Any]:
    """One update with curvature on every `stride`-th state: its change, seconds and metrics."""
    twin = Maml(dataclasses.replace(learner.config, curvature_stride=stride), learner.policy)
    seconds: list[float] = []
    full: list[Tensor] = []
    make, search = twin.curvature_product, trust_region.line_search

    def timed(params: Params, batch: MetaBatch) -> Any:
        product = make(params, batch)

        def one(vector: Tensor) -> Tensor:
            started = time.perf_counter()
            result = product(vector)
            seconds.append(time.perf_counter() - started)
            return result

        return one

    def spied(params: Params, evaluate: Any, step: Tensor, *rest: Any) -> Any:
        full.append(step)
        flat = trust_region.ravel(list(params.values()))
        with torch.no_grad():
            full.append(evaluate(trust_region.unravel(flat - step, params))[1])
        return search(params, evaluate, step, *rest)

    twin.curvature_product = timed  # type: ignore[method-assign]
    trust_region.line_search = spied
    state = learner.init()
    state.params = map_tensors(torch.clone, params)
    try:
        metrics = twin.meta_update(state, batch)
    finally:
        trust_region.line_search = search
    return {"step": full[0], "kl": float(full[1]), "seconds": sorted(seconds)[len(seconds) // 2],
            "gain": metrics["update/loss_before"] - metrics["update/loss_after"],
            "backtracks": metrics["update/backtracks"]}  # fmt: skip


def main(arguments: list[str]) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="benchmark.py curvature", description=__doc__.splitlines()[0])
    parser.add_argument("--env", nargs="+", default=["metaworld/ml10", "navigation"])
    parser.add_argument("--strides", type=int, nargs="+", default=[1, 2, 5, 10, 20, 50])
    parser.add_argument("--iterations", type=int, nargs="+", default=[0, 10])
    parser.add_argument("--out", type=Path, default=Path("results/curvature"))
    options = parser.parse_args(arguments)
    record: dict[str, Any] = {"command": shlex.join(["scripts/benchmark.py", "curvature", *arguments])}
    record |= {"versions": versions(), "rows": []}
    lines = [f"Command: `python {record['command']}`; MAML-TRPO with the default recipe.", "",
             "| env | iteration | stride | s per product | cosine to stride 1 | KL of the full step / max-kl "
             "| decrease / stride 1's | backtracks |", "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for env in options.env:
        config = parse_train(["maml-trpo", "--env", env])
        distribution = envs.make(env)
        learner = make_learner(config, distribution)
        assert isinstance(learner, Maml)
        state, device = learner.init(), select_device("cpu")
        source = InProcess(distribution, learner, Plan(config.meta_batch_size, config.episodes_per_task, config.seed))
        for iteration in sorted(options.iterations):
            while state.iteration < iteration:
                train_iteration(state, source, learner, device)
            batch = source.sample(state.weights, state.iteration).batch
            steps = {stride: step_of(learner, state.params, batch, stride) for stride in options.strides}
            first = steps[options.strides[0]]
            for stride, one in steps.items():
                cosine = float(torch.nn.functional.cosine_similarity(one["step"], first["step"], dim=0))
                row = {"env": env, "iteration": iteration, "stride": stride, "seconds": one["seconds"],
                       "cosine": cosine, "kl": one["kl"] / learner.config.max_kl,
                       "gain": one["gain"] / first["gain"] if first["gain"] else math.nan,
                       "backtracks": one["backtracks"]}  # fmt: skip
                record["rows"].append(row)
                lines.append("| {env} | {iteration} | {stride} | {seconds:.3f} | {cosine:.2f} | {kl:.2f} | {gain:.2f} "
                             "| {backtracks:.0f} |".format(**row))  # fmt: skip
                print(lines[-1], flush=True)
        source.close()
    write_measured(options.out, record, "\n".join(lines) + "\n")
