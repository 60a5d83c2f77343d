"""What learners with a memory share: they adapt by remembering, and learn by back-propagation through whole trials.

A trial is K episodes on one task, one after another, each a stage of its own. The memory lasts from the first step of
the trial to the last. Learners differ in their loss: RL^2's is PPO's (`meta_rl.algorithms.rl2`), that of imitators
the likelihood of what an expert did (`meta_rl.algorithms.dagger`). Most take passes over the trials of the iteration;
one learns from a replay of trials (`meta_rl.algorithms.rl2_sac`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from meta_rl.config.trials import MemoryConfig, TrialsConfig
from meta_rl.core import parallel
from meta_rl.core.minibatches import between_places, used_places
from meta_rl.core.moments import Moments
from meta_rl.core.seeding import Purpose, generator
from meta_rl.core.state import TrainState
from meta_rl.core.threads import thread_map
from meta_rl.core.types import MetaBatch, Metrics, Params, map_tensors, select_rows
from meta_rl.core.weights import Weights
from meta_rl.maths.gradient_step import Adam
from meta_rl.maths.schedules import linear
from meta_rl.maths.sequences import without_gaps
from meta_rl.networks.recurrent import RecurrentPolicy, ticks
from meta_rl.networks.recurrent_actor import RecurrentActor, TrialMemory

Gradient = Callable[[Params, Any], tuple[list[Tensor], Metrics]]
"""(parameters, rows) -> gradient and metrics."""


class Remembered(NamedTuple):
    """`Adapted` of a learner with a memory: weights, the same for all tasks, and the memory of each."""

    weights: Weights
    memory: TrialMemory


class Trials(NamedTuple):
    """Whole trials ``[trial, time, ...]``: valid steps without gaps, then padding up to a multiple of the chunk."""

    inputs: Tensor
    action: Tensor
    earned: Tensor
    weight: Tensor
    longest: int
    """Most steps that a trial can have: the horizons of its episodes together."""


class Taken(NamedTuple):
    """Steps of an optimizer."""

    steps: list[Metrics]
    """Metrics of each."""
    stopped: bool
    """No further steps were taken, as it was enough."""
    finite: bool
    """All numbers were finite; if not, the update is to be abandoned."""


class RecurrentLearner:
    """Base of learners with a memory; see `meta_rl.algorithms.base.MetaLearner` for the verbs. Subclasses add `prepare`
    and `meta_update`."""

    config: MemoryConfig
    episodes_at_once = False

    def __init__(self, config: MemoryConfig, policy: RecurrentPolicy) -> None:
        self.config, self.policy = config, policy

    def init(self) -> TrainState:
        """Parameters as the policy was initialised, and empty statistics of the returns."""
        params = {name: p.detach().clone() for name, p in self.policy.named_parameters()}
        return TrainState(0, 0, params, statistics=self.policy.statistics(), extras=Moments.empty()._asdict())

    def stages(self, episodes_per_task: int) -> int:
        """Every episode of a trial is a stage."""
        return episodes_per_task

    def start(self, weights: Weights, num_tasks: int) -> Remembered:
        """An empty memory for every task."""
        dtype = next(iter(weights.params.values())).dtype
        sizes = self.policy.state_size, self.policy.recall_size, 2
        return Remembered(weights, TrialMemory(*(torch.zeros(num_tasks, 1, size, dtype=dtype) for size in sizes)))

    def actor(self, adapted: Remembered) -> RecurrentActor:
        """An actor that goes on from the memory in `adapted`."""
        return RecurrentActor(self.policy, adapted.weights, adapted.memory, self.recall)

    def adapt(self, adapted: Remembered, support: Any, actor: RecurrentActor) -> Remembered:
        """The memory that the actor had after its last step: this learner adapts by remembering. Where the episode was
        left out, nobody learns from it, so the memory is the one before it."""
        memory, left_out = actor.memory(), ~support.weight.bool().flatten(1).any(1)  # [task]
        if left_out.any():
            where = left_out[:, None, None]  # [task, env, width]
            memory = TrialMemory(*(torch.where(where, *pair) for pair in zip(adapted.memory, memory, strict=True)))
        return adapted._replace(memory=memory)

    def recall(self, observation: Tensor, action: Tensor, reward: Tensor, done: Tensor, clock: Tensor) -> Tensor:
        """The recall of a step, the same while acting and learning; see `RecurrentPolicy.recall`."""
        return self.policy.recall(observation, action, reward * self.config.reward_scale, done, clock)

    def learning_rate(self, iteration: int) -> float:
        """The annealed step size."""
        c = self.config
        return linear(c.learning_rate, c.final_learning_rate, iteration, c.learning_rate_iterations)

    def join(self, batch: MetaBatch) -> tuple[Any, Tensor, int]:
        """The episodes of each trial, joined without gaps; see `without_pauses` and `read`.

        Returns:
            The steps ``[trial, time, ...]``; what the network read at each ``[trial, time, in]``; most steps that a
            trial can have.
        """
        steps, longest = self.without_pauses(batch)
        return steps, self.read(steps), longest

    def without_pauses(self, batch: MetaBatch) -> tuple[Any, int]:
        """The episodes of each trial, joined without gaps.

        Args:
            batch: what `prepare` makes of rollouts: named tuples of tensors ``[task, env, time, ...]``, with the field
                ``weight`` among them.
        Returns:
            The same named tuple ``[trial, time, ...]``, valid steps without gaps and then padding up to a multiple of
            the chunk; most steps that a trial can have.
        """
        episodes = [*batch.support, batch.query]
        kind = type(batch.query)
        # One episode after another on the time axis, then one trial per (task, env): [trial, episode * time, ...].
        joined = kind(*(torch.cat(parts, 2).flatten(0, 1) for parts in zip(*episodes, strict=True)))
        index, weight = without_gaps(joined.weight, self.config.chunk)  # [trial, time] both
        trial = torch.arange(len(index), device=index.device).unsqueeze(1)  # [trial, 1]
        steps = kind(*(x[trial, index] for x in joined))._replace(weight=weight)  # [trial, time, ...]
        return steps, joined.weight.shape[1]

    def read(self, steps: Any) -> Tensor:
        """What the network read at each step of whole trials ``[trial, time, in]``.

        Args:
            steps: a named tuple of tensors ``[trial, time, ...]``, with the fields ``observation`` (as the network
                reads it), ``action``, ``reward`` and ``done`` among them.
        """
        recall = self.recall(steps.observation, steps.action, steps.reward, steps.done, ticks(steps.done))
        # A step reads the recall of the step before it; the first step of a trial reads zeros.
        previous = torch.cat([torch.zeros_like(recall[:, :1]), recall[:, :-1]], 1)  # [trial, time, recall_size]
        return self.policy.inputs(steps.observation, previous)

    def gradient_of(
        self,
        params: Params,
        rows: Any,
        loss_of: Callable[[Params, Any], tuple[Tensor, dict[str, Tensor]]],
        names: tuple[str, ...],
    ) -> tuple[list[Tensor], Metrics]:
        """Gradient of a loss over all `rows` of all processes, and metrics: means over all valid steps.

        Args:
            params: require grad.
            rows: chunks of trials: a named tuple of tensors ``[row, ...]``, with the fields ``weight`` (a property
                will do) and ``start`` among them.
            loss_of: (parameters, rows) -> a mean over the valid steps, and metrics that are such means.
            names: of these metrics.
        """
        total = parallel.sum_of(rows.weight.sum())

        def part(index: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
            if not len(index):  # all trials of this minibatch are with other processes
                return [torch.zeros_like(p) for p in params.values()], dict.fromkeys(names, torch.zeros_like(total))
            mine = rows if len(index) == len(rows.start) else select_rows(rows, index.to(rows.start.device))
            share = mine.weight.sum() / total
            loss, terms = loss_of(params, mine)
            gradient = torch.autograd.grad(
                loss * share, list(params.values()), allow_unused=True, materialize_grads=True
            )
            return list(gradient), {name: value.detach() * share for name, value in terms.items()}

        everything = torch.arange(len(rows.start))  # [row]
        if rows.start.device.type == "cpu":
            gradients, terms = zip(*thread_map(part, torch.split(everything, self.policy.rows_on_cpu)), strict=True)
        else:
            gradients, terms = zip(part(everything), strict=True)
        # Each part was weighted by its share of the steps, so the sum is the mean: [part, *shape] -> [*shape].
        gradient = [torch.stack(parts).sum(0) for parts in zip(*gradients, strict=True)]
        metrics = [torch.stack([mine[name] for mine in terms]).sum() for name in names]  # [part] -> scalar
        summed = parallel.sums([*gradient, *metrics])
        return summed[: len(gradient)], dict(zip(names, map(float, summed[len(gradient) :]), strict=True))


class TrialLearner(RecurrentLearner):
    """Base of those that take passes over the trials of the iteration."""

    config: TrialsConfig

    def _replay(self, params: Params, trials: Trials, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log-probabilities, values and entropies ``[trial, time]``, and the recurrent states before each chunk
        ``[trial * chunk, state_size]``."""

        @torch.no_grad()
        def part(inputs: Tensor, action: Tensor) -> list[Tensor]:
            state = inputs.new_zeros(len(inputs), self.policy.state_size)
            steps, states = [], []
            for x, a in zip(torch.split(inputs, length, 1), torch.split(action, length, 1), strict=True):
                states.append(state)  # before the chunk: where its back-propagation starts
                unrolled = self.policy.unroll(params, x, state)
                distribution, state = unrolled.distribution, unrolled.state
                steps.append((distribution.log_prob(a), unrolled.value, distribution.entropy()))
            # [trial, time] each, and [trial, chunk, state_size].
            return [*(torch.cat(parts, 1) for parts in zip(*steps, strict=True)), torch.stack(states, 1)]

        size = len(trials.inputs)
        if trials.inputs.device.type == "cpu":
            # Trials are few and long, so a thread takes half as many of them as chunks for a gradient.
            size = min(size, self.policy.rows_on_cpu // 2)
        parts = zip(torch.split(trials.inputs, size), torch.split(trials.action, size), strict=True)
        results = thread_map(lambda pair: part(*pair), parts)
        # The parts are of different trials: [trial, ...] each.
        log_prob, value, entropy, states = (torch.cat(one) for one in zip(*results, strict=True))
        return log_prob, value, entropy, states.flatten(0, 1)  # states: [trial * chunk, state_size]

    def take_steps(
        self,
        adam: Adam,
        parts: Iterator[Any],
        gradient: Gradient,
        enough: Callable[[Metrics], bool] = lambda metrics: False,
    ) -> Taken:
        """A step of `adam` on each of `parts`, until one gives a number that is not finite.

        Args:
            enough: told the metrics before each step; whether to take no further ones.
        """
        steps: list[Metrics] = []
        for part in parts:
            found, metrics = gradient(adam.params, part)
            if enough(metrics):
                return Taken(steps, True, True)
            metrics["update/gradient_norm"] = adam.step(found, self.config.max_grad_norm)
            steps.append(metrics)
            if not np.isfinite(list(metrics.values())).all():
                return Taken(steps, False, False)
        return Taken(steps, False, True)

    def _minibatches(self, rows: Any, trials: Trials, iteration: int) -> Iterator[Any]:
        """For every epoch, the chunks of all trials in a new order, cut into minibatches. Chunks that are all padding
        are left out. If processes share the update, each yields its own chunks of a minibatch, maybe none."""
        count, most = len(trials.weight), -(-trials.longest // self.config.chunk)
        used = rows.weight.any(1).reshape(count, -1)  # [row] -> [trial, chunk]
        places = used_places(used, most)
        for epoch in range(self.config.epochs):
            # The order of trials that are random themselves needs no seed of its own.
            rng = generator(0, Purpose.MINIBATCHES, iteration, stage=epoch)
            for picked in between_places(places, self.config.minibatches, rng):
                trial, chunk = picked.unbind(1)  # [picked] each
                yield select_rows(rows, (trial * used.shape[1] + chunk).to(used.device))


def in_chunks(tree: Any, length: int) -> Any:
    """Every tensor of a tree in chunks of time: ``[trial, time, ...]`` -> ``[trial * chunk, length, ...]``."""
    return map_tensors(lambda x: x.reshape(-1, length, *x.shape[2:]), tree)
