"""Why an agent adapts, or does not: four looks at a kept one, always on training goals.

``python scripts/adaptation.py memory RUN [--out FILE]``: does an agent with a memory know its goal? A ridge regression
on its memory, fitted on four fifths of the goals, tells the others: the share of their variance that it explains
(1: it knows, 0: it does not), for each number of the task, at several times of every episode of a trial.
``python scripts/adaptation.py step RUN [--inner-lr 0.01 0.03 0.1] [--gae-lambda 1 0.95] [--out FILE]``: how far should
an inner step go? Success before and after one step of each size, on 10 episodes of practice.
``python scripts/adaptation.py signal RUN [--gae-lambda 1 0.95] [--out FILE]``: what does a practice of 10 episodes say
about the goal? The same regression as of memories, on the policy gradient with respect to the mean action, and on how
the reward changes with the observation, which the same episodes show.
``python scripts/adaptation.py gradient RUN [--batches 8] [--out FILE]``: does training still know where to go? The
cosine between the meta-gradients of meta-batches as the run has them, each with tasks and episodes of its own: 1 where
all point the same way, 0 where each is noise. A share c of what a meta-gradient says is then common to all, and
(1 - c) / c times as many tasks would give one of which it is half.
"""

import argparse
import itertools
import json
import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import meta_rl
from meta_rl.algorithms.base import make_learner
from meta_rl.config import make_distribution, replace_paths
from meta_rl.core.files import with_ending
from meta_rl.core.seeding import Purpose
from meta_rl.core.types import Rollout
from meta_rl.core.weights import joined
from meta_rl.evaluation import markdown
from meta_rl.evaluation.episodes import evaluate
from meta_rl.maths import gradient_step, trust_region
from meta_rl.runs.problem import Environments
from meta_rl.sources.collect import Streams, rollout

TIMES = (50, 100, 200, 300, 400, 499)
"""Env steps of an episode after which the memory is looked at."""
RIDGE = (1.0, 10.0, 100.0, 1000.0)
"""Ridge coefficients. The one with the smallest error on the other goals counts, so the share is an upper bound."""


def memories(agent: Any) -> tuple[NDArray[Any], dict[tuple[int, int], NDArray[Any]], list[float]]:
    """Numbers of all training tasks ``[task, n]``, the memory ``[task, units]`` by (episode, time), and the success of
    each episode of the trial, played by sampled actions."""
    learner, distribution = agent.learner, make_distribution(agent.config)
    tasks = distribution.tasks() or distribution.sample(np.random.default_rng(0), 100)
    env = distribution.make(len(tasks), 1)
    env.set_tasks(tasks)
    adapted, streams = learner.start(agent.weights, len(tasks)), Streams(0, 0, Purpose.TEST_NOISE, Purpose.TEST_ENV)
    seen: dict[tuple[int, int], NDArray[Any]] = {}
    success = []
    for episode in range(agent.config.episodes_per_task):
        actor, step = learner.actor(adapted), itertools.count()

        def after_step(_: Any, actor: Any = actor, step: Any = step, episode: int = episode) -> None:
            time = next(step)
            if time in TIMES:
                seen[episode, time] = actor.memory().state[:, 0].numpy().copy()

        noise = streams.action_noise(episode, range(len(tasks)), env, learner.policy)
        played = rollout(env, actor, noise, streams.env_seeds(episode, range(len(tasks))), after_step=after_step)
        success.append(float(played.solved.mean()))
        adapted = learner.adapt(adapted, learner.prepare(adapted, played), actor)
    env.close()
    numbers = np.array([task.vector for task in tasks])
    return numbers[:, numbers.std(0) > 1e-6], seen, success


def told(memory: NDArray[Any], numbers: NDArray[Any], splits: int = 10) -> NDArray[Any]:
    """Share ``[n]`` of the variance of `numbers` ``[task, n]`` that a regression on `memory` ``[task, units]`` explains
    on tasks that it was not fitted on; mean over random splits."""
    rng, shares = np.random.default_rng(0), []
    for _ in range(splits):
        order = rng.permutation(len(numbers))
        fitted, others = np.split(order, [len(order) * 4 // 5])
        x = (memory - memory[fitted].mean(0)) / (memory[fitted].std(0) + 1e-6)
        mean = numbers[fitted].mean(0)
        spread = np.square(numbers[others] - mean).sum(0)
        errors = []
        for ridge in RIDGE:
            gram = x[fitted].T @ x[fitted] + ridge * np.eye(x.shape[1])
            said = x[others] @ np.linalg.solve(gram, x[fitted].T @ (numbers[fitted] - mean)) + mean
            errors.append(np.square(said - numbers[others]).sum(0))
        shares.append(1 - np.min(errors, 0) / spread)
    return np.mean(shares, 0)


def memory_table(agent: Any) -> list[list[str]]:
    """Rows: episode, time, share of each number of the task; then the success of each episode."""
    numbers, seen, success = memories(agent)
    rows = [["episode", "env step", *(f"number {n}" for n in range(numbers.shape[1])), "success of the episode"]]
    for (episode, time), memory in sorted(seen.items()):
        shares = [f"{share:.2f}" for share in told(memory, numbers)]
        rows.append([str(episode + 1), str(time), *shares, f"{success[episode]:.0%}"])
    return rows


def practice(agent: Any, episodes: int = 10) -> tuple[Any, Rollout, Tensor]:
    """All training tasks, sampled episodes of each by the agent before adaptation, and its noise in them
    ``[task, env, time, action]``."""
    learner, distribution = agent.learner, make_distribution(agent.config)
    tasks = distribution.tasks() or distribution.sample(np.random.default_rng(0), 100)
    env = distribution.make(len(tasks), episodes)
    env.set_tasks(tasks)
    streams, places = Streams(0, 0, Purpose.TEST_NOISE, Purpose.TEST_ENV), range(len(tasks))
    noise = streams.action_noise(0, places, env, learner.policy)
    played = rollout(env, learner.actor(learner.start(agent.weights, len(tasks))), noise, streams.env_seeds(0, places))
    env.close()
    return tasks, played, torch.from_numpy(noise)


def slopes(played: Rollout) -> NDArray[Any]:
    """How the reward changes with each number of the observation ``[task, obs]``: a ridge regression for every task."""
    x = played.observation.reshape(len(played.reward), -1, played.observation.shape[-1]).astype(np.float64)
    spread = x.std((0, 1))
    x = (x - x.mean(1, keepdims=True)) / np.where(spread > 1e-6, spread, np.inf)  # [task, step, obs]
    reward = played.reward.reshape(len(x), -1, 1).astype(np.float64)
    gram = x.swapaxes(1, 2) @ x + x.shape[1] * 1e-2 * np.eye(x.shape[-1])  # [task, obs, obs]
    found: NDArray[Any] = np.linalg.solve(gram, x.swapaxes(1, 2) @ (reward - reward.mean(1, keepdims=True)))[..., 0]
    return found


def signal_table(agent: Any, lambdas: list[float]) -> list[list[str]]:
    """Rows: what is read, its size in standard errors (0.8 on average where there is noise alone), and the share of
    each number of the task that it tells."""
    learner = agent.learner
    tasks, played, noise = practice(agent)
    numbers = np.array([task.vector for task in tasks])
    numbers = numbers[:, numbers.std(0) > 1e-6]
    rows = [["what is read", "size in standard errors", *(f"number {n}" for n in range(numbers.shape[1]))]]
    start = learner.start(agent.weights, len(tasks))
    for gae_lambda in lambdas:
        changes = {"algorithm.gae_lambda": gae_lambda}
        mine = make_learner(replace_paths(agent.config, changes), make_distribution(agent.config))
        pushes = (mine.prepare(start, played).advantage.unsqueeze(-1) * noise).flatten(1, 2)  # [task, step, action]
        size = pushes.mean(1) / (pushes.std(1) / pushes.shape[1] ** 0.5)  # [task, action]
        shares = [f"{share:.2f}" for share in told(pushes.mean(1).numpy().astype(np.float64), numbers)]
        rows.append([f"policy gradient, lambda {gae_lambda:g}", f"{float(size.abs().mean()):.1f}", *shares])
    shares = [f"{share:.2f}" for share in told(slopes(played), numbers)]
    return [*rows, ["slope of the reward over the observation", "", *shares]]


def gradients(agent: Any, batches: int) -> Tensor:
    """Meta-gradients ``[batch, coordinate]`` of as many meta-batches as the agent's next iterations would have."""
    learner, found = agent.learner, []
    params = joined(agent.weights.params, agent.weights.shared)
    leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
    with closing(Environments(agent.config).source()) as source:
        for iteration in range(agent.iteration, agent.iteration + batches):
            batch = source.sample(agent.weights, iteration).batch
            surrogates, _ = learner.surrogates(leaves, batch)
            found.append(trust_region.ravel(gradient_step.accumulate(leaves, surrogates)[1]))
    return torch.stack(found)


def cosines(gradients: Tensor) -> tuple[float, float]:
    """The mean cosine between any two of the rows, and its standard error, by leaving out one row at a time."""

    def mean(rows: Tensor) -> float:
        together = float(rows.sum(0).square().sum())  # of all pairs, and of each row with itself, which is 1
        return (together - len(rows)) / (len(rows) * (len(rows) - 1))

    unit = gradients.double() / gradients.double().norm(dim=1, keepdim=True)
    without = torch.tensor([mean(torch.cat([unit[:k], unit[k + 1 :]])) for k in range(len(unit))])
    error = float((without - without.mean()).square().sum() * (len(unit) - 1) / len(unit)) ** 0.5
    return mean(unit), error


def gradient_table(agent: Any, batches: int) -> list[list[str]]:
    """One row: how many tasks and episodes a meta-gradient is made of, and how alike such gradients are."""
    cosine, error = cosines(gradients(agent, batches))
    c = agent.config
    rows = [["tasks", "episodes of each, before and after the step", "meta-batches", "cosine between meta-gradients"]]
    return [*rows, [str(c.meta_batch_size), str(c.episodes_per_task), str(batches), f"{cosine:.2f} +- {error:.2f}"]]


def step_table(agent: Any, rates: list[float], lambdas: list[float], goals: int) -> list[list[str]]:
    """Rows: step size, lambda, success before and after by mode and by sampled actions, return before and after."""
    rows = [["inner lr", "gae lambda", "success, mode actions", "success, sampled actions", "return, mode actions"]]
    for rate, gae_lambda in itertools.product(rates, lambdas):
        changes = {"algorithm.inner_lr": rate, "algorithm.gae_lambda": gae_lambda, "evaluate.test_tasks": goals}
        config = replace_paths(agent.config, changes)
        distribution = make_distribution(config)
        found = evaluate(make_learner(config, distribution), agent.weights, distribution, config.evaluate)
        pairs = [(values[:, 0].mean(), values[:, -1].mean()) for values in (found.solved, found.sampled_solved)]
        row = [f"{before:.0%} -> {after:.0%}" for before, after in pairs]
        rows.append([f"{rate:g}", f"{gae_lambda:g}", *row, f"{found.returns[:, 0].mean():,.0f} -> "
                     f"{found.returns[:, -1].mean():,.0f}"])  # fmt: skip
    return rows


def main() -> None:
    """Look, print the table, and write it with its command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("memory", "step", "signal", "gradient"))
    parser.add_argument("run")
    parser.add_argument("--inner-lr", type=float, nargs="+", default=[0.01, 0.03, 0.1])
    parser.add_argument("--gae-lambda", type=float, nargs="+", default=[1.0, 0.95])
    parser.add_argument("--goals", type=int, default=20)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--out", default="")
    options = parser.parse_args()
    if options.batches < 3:
        parser.error(f"--batches: must be at least 3, got {options.batches}")
    agent = meta_rl.load(options.run)
    if options.what == "memory" and not hasattr(agent.learner.policy, "recurrent"):
        parser.error(f"memory: {agent.config.recipe} has none; valid: a run of rl2")
    if options.what != "memory" and not hasattr(agent.config.algorithm, "inner_lr"):
        parser.error(f"{options.what}: {agent.config.recipe} takes no inner step; valid: a run of MAML or multi-task "
                     "training")  # fmt: skip
    if options.what == "gradient" and not hasattr(agent.learner, "surrogates"):
        parser.error(
            f"gradient: {agent.config.recipe} has none like MAML's; valid: a run of MAML or multi-task training"
        )
    rows = {
        "memory": lambda: memory_table(agent),
        "step": lambda: step_table(agent, options.inner_lr, options.gae_lambda, options.goals),
        "signal": lambda: signal_table(agent, options.gae_lambda),
        "gradient": lambda: gradient_table(agent, options.batches),
    }[options.what]()
    title = f"{agent.config.recipe} on {agent.config.env} after {agent.env_steps:,} env steps"
    lines = [title, "", *markdown.table(rows)]
    print("\n".join(lines))
    if options.out:
        command = shlex.join(["python", *sys.argv])
        with_ending(Path(options.out), ".md").write_text("\n".join([*lines, "", f"Command: `{command}`", ""]))
        with_ending(Path(options.out), ".json").write_text(json.dumps({"command": command, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
