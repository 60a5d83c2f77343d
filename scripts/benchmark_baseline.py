"""What a baseline does to the policy gradient of few episodes.

``python scripts/benchmark.py baseline [--env navigation ...] [--iterations 0 20] [--episodes 2 5 10] [--tasks 3]``

Rollouts of MAML-TRPO's policy, before and after some training. Of every task, two thirds of the episodes, with a
baseline fitted to the others, give the gradient that few episodes are to estimate. The others are cut into batches of
as many episodes as a task has in training. For each baseline: the cosine between a batch's gradient and that gradient,
and how far the batch's gradient points its way, relative to "as it was". Horizons shorter than the environment's cut
all episodes.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measured import write_measured
from torch import Tensor
from torch.nn.functional import cosine_similarity

import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.algorithms.maml import Maml
from meta_rl.cli.commands import parse_train
from meta_rl.core.types import Params, from_numpy
from meta_rl.maths import baseline, returns
from meta_rl.maths.losses import weighted_mean
from meta_rl.maths.trust_region import ravel
from meta_rl.runs.folder import versions
from meta_rl.sources.base import Plan
from meta_rl.sources.collect import Streams, rollout
from meta_rl.sources.in_process import InProcess
from meta_rl.training.train import select_device, train_iteration

Baseline = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Values of (features, targets, valid), each ``[batch, env, time, ...]``."""
Data = dict[str, Tensor]
"""``observation, action, reward, valid``, each ``[task, env, time, ...]``."""


def fitted(shrinkage: float) -> Baseline:
    """The linear baseline."""
    return lambda x, y, valid: baseline.predict(x, baseline.fit(x, y, valid, shrinkage), valid)


def left_out(shrinkage: float) -> Baseline:
    """Every episode predicted by what was fitted to the others of its batch."""

    def values(x: Tensor, y: Tensor, valid: Tensor) -> Tensor:
        episode = torch.arange(x.shape[1]).reshape(-1, 1)
        each = [
            baseline.predict(x, baseline.fit(x, y, valid & (episode != i), shrinkage), valid)[:, i]
            for i in range(x.shape[1])
        ]
        return torch.stack(each, 1)

    return values


def chosen(x: Tensor, y: Tensor, valid: Tensor) -> Tensor:
    """The linear baseline with the shrinkage that predicts left-out episodes best, of each batch."""
    grid = [1.0, 3.0, 10.0, 30.0, 1000.0]
    errors = torch.stack([((left_out(s)(x, y, valid) - y).square() * valid).sum((1, 2)) for s in grid])
    return torch.stack([fitted(s)(x, y, valid) for s in grid])[errors.argmin(0), torch.arange(len(x))]


def per_time(x: Tensor, y: Tensor, valid: Tensor) -> Tensor:
    """The mean over the batch's episodes at each time step."""
    return (y * valid).sum(1, keepdim=True) / valid.sum(1, keepdim=True).clamp(min=1) * valid


BASELINES: dict[str, Baseline] = {
    "none": lambda x, y, valid: torch.zeros_like(y),
    "mean at each time": per_time,
    "as it was": fitted(0.0),
    **{f"shrinkage {s:g}": fitted(s) for s in (2.5, 5.0, 10.0, 20.0)},
    "shrinkage chosen": chosen,
    "left out, as it was": left_out(0.0),
    "left out, shrinkage 5": left_out(5.0),
}


def gradients(learner: Maml, params: Params, data: Data, baselines: list[Baseline]) -> list[Tensor]:
    """The policy gradient of one batch (``[1, env, time, ...]``) with each baseline."""
    x, valid = baseline.features(data["observation"]), data["valid"]
    reward, discount = data["reward"].double(), learner.config.discount
    y, end = returns.discounted_returns(reward, discount), torch.zeros(valid.shape[:2])
    log_prob = learner.policy.apply(params, data["observation"]).log_prob(data["action"])
    found = []
    for values in baselines:
        advantage = returns.gae(reward, values(x, y, valid), valid, end, discount, learner.config.gae_lambda)
        gain = weighted_mean(log_prob * returns.normalise(advantage, valid).float(), valid.float())
        found.append(ravel(torch.autograd.grad(gain, list(params.values()), retain_graph=True)))
    return found


def compare(learner: Maml, params: Params, data: Data, episodes: int, batches: int) -> dict[str, list[Any]]:
    """Cosines and lengths along the reference ``[task * batch]`` for each baseline."""
    tasks, everyone = data["reward"].shape[:2]
    found: dict[str, list[Any]] = {name: [] for name in BASELINES}
    for task in range(tasks):

        def part(first: int, last: int, task: int = task) -> Data:
            return {name: x[task : task + 1, first:last] for name, x in data.items()}

        few, rest = part(0, everyone // 3), part(everyone // 3, everyone)
        y = returns.discounted_returns(few["reward"].double(), learner.config.discount)
        coefficients = baseline.fit(baseline.features(few["observation"]), y, few["valid"])
        other: Baseline = lambda x, y, valid, c=coefficients: baseline.predict(x, c, valid)  # type: ignore[misc]  # noqa: E731
        (reference,) = gradients(learner, params, rest, [other])
        for i in range(min(batches, everyone // 3 // episodes)):
            mine = gradients(learner, params, part(i * episodes, (i + 1) * episodes), list(BASELINES.values()))
            for name, gradient in zip(BASELINES, mine, strict=True):
                cosine = float(cosine_similarity(gradient, reference, 0))
                found[name].append((cosine, float(gradient @ reference)))
    return found


def sampled(learner: Maml, params: Params, distribution: envs.TaskDistribution, tasks: int, episodes: int) -> Data:
    """`episodes` episodes of each of `tasks` tasks, with sampled actions."""
    env = distribution.make(tasks, episodes)
    env.set_tasks(distribution.sample(np.random.default_rng(1), tasks))
    streams, indices = Streams(1, 0), range(tasks)
    noise = streams.action_noise(0, indices, env, learner.policy)
    actor = learner.actor(learner.start(params, tasks))
    recorded = rollout(env, actor, noise, streams.env_seeds(0, indices))
    env.close()
    names = ("observation", "action", "reward", "valid")
    return {name: from_numpy(getattr(recorded, name)) for name in names}


def summary(found: dict[str, list[Any]]) -> dict[str, dict[str, float]]:
    """Summary of what `compare` found, by name: mean cosine, the standard error of its difference from "as it was", and
    the gain, relative to "as it was"."""
    was, rows = np.array(found["as it was"]), {}
    for name, pairs in found.items():
        mine = np.array(pairs)
        off = mine[:, 0] - was[:, 0]
        rows[name] = {"cosine": float(mine[:, 0].mean()), "error": float(off.std(ddof=1) / len(off) ** 0.5),
                      "gain": float(mine[:, 1].mean() / was[:, 1].mean())}  # fmt: skip
    return rows


def main(arguments: list[str]) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="benchmark.py baseline", description=__doc__.splitlines()[0])
    parser.add_argument("--env", nargs="+", default=["navigation", "metaworld/ml1-push-v3"])
    parser.add_argument("--horizons", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--iterations", type=int, nargs="+", default=[0, 20])
    parser.add_argument("--episodes", type=int, nargs="+", default=[2, 5, 10, 20])
    parser.add_argument("--tasks", type=int, default=3)
    parser.add_argument("--samples", type=int, default=300, help="episodes of each task, a third of them for batches")
    parser.add_argument("--batches", type=int, default=8, help="the most per task")
    parser.add_argument("--out", type=Path, default=Path("results/baseline"))
    options = parser.parse_args(arguments)
    record: dict[str, Any] = {"command": shlex.join(["scripts/benchmark.py", "baseline", *arguments])}
    record |= {"versions": versions(), "rows": []}
    what = f"cosine with the gradient of {options.samples - options.samples // 3} episodes +- standard error"
    lines = [f"Command: `python {record['command']}`; {what} of its difference from \"as it was\" (how far it points "
             "that way, relative to \"as it was\").",
             "", f"| env | iteration | horizon | episodes | {' | '.join(BASELINES)} |",
             "|---" * (4 + len(BASELINES)) + "|"]  # fmt: skip
    for env in options.env:
        config = parse_train(["maml-trpo", "--env", env, "--meta-batch-size", "10", "--episodes-per-task", "5"])
        distribution = envs.make(env)
        learner = make_learner(config, distribution)
        assert isinstance(learner, Maml)
        state, source = learner.init(), InProcess(distribution, learner, Plan(10, 5, config.seed))
        for iteration in sorted(options.iterations):
            while state.iteration < iteration:
                train_iteration(state, source, learner, select_device("cpu"))
            whole = sampled(learner, state.params, distribution, options.tasks, options.samples)
            params = {name: p.detach().clone().requires_grad_() for name, p in state.params.items()}
            for horizon in (h for h in options.horizons if h <= whole["reward"].shape[2]):
                data = {name: x[:, :, :horizon] for name, x in whole.items()}
                for episodes in options.episodes:
                    found = compare(learner, params, data, episodes, options.batches)
                    place = {"env": env, "iteration": iteration, "horizon": horizon, "episodes": episodes}
                    rows = [place | {"baseline": name} | row for name, row in summary(found).items()]
                    cells = [f"{row['cosine']:.2f} +- {row['error']:.2f} ({row['gain']:.2f})" for row in rows]
                    record["rows"] += rows
                    lines.append(f"| {env} | {iteration} | {horizon} | {episodes} | {' | '.join(cells)} |")
                    print(lines[-1], flush=True)
        source.close()
    write_measured(options.out, record, "\n".join(lines) + "\n")
