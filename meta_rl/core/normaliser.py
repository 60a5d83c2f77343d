"""Observations as policies read them: shifted and scaled, each number by its own mean and standard deviation.

The statistics are of all training steps so far. They stand still within an iteration, so that sampling remains a pure
function of what is sent down; the training loop merges those of each task in the order of the tasks, whoever sampled
them. Policies, losses and trust regions only ever see what `normalise_observation` returns.

    z = clip((x - mean) / scale, -CLIP, CLIP)        scale = max(std, FLOOR); 1 where x never changed

* A number that never changed (a constant, padding) keeps its scale. If it begins to move, it moves as much as it did
  before it was normalised, and its statistics follow from the next iteration on.
* One that hardly changes is not blown up: noise of a simulator in the fifth digit is no signal.
* One without bounds is cut off at `CLIP` deviations.
* Steps with a NaN never get here: the episode was left out (`meta_rl.sources.collect.rollout`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl.core.moments import Moments
from meta_rl.core.types import Params

FLOOR = 0.03
"""Smallest standard deviation that is divided by, in units of the observation."""
CLIP = 10.0
"""Largest absolute value, in standard deviations."""
CONSTANT = 1e-7
"""Standard deviation, relative to the largest of 1 and the absolute mean, below which a number never changed: what
rounding to float32 can make of a constant."""


def empty(dimension: int) -> Params:
    """Statistics before the first step; with them `normalise_observation` changes nothing."""
    return Moments.empty(dimension)._asdict()


def normalise_observation(statistics: Params, observation: Tensor) -> Tensor:
    """`observation` ``[..., obs]`` as policies read it, in the same dtype; itself if there are no `statistics`."""
    found = scaling(statistics)
    return observation if found is None else scaled(observation, *found)


def scaling(statistics: Params) -> tuple[Tensor, Tensor] | None:
    """Mean and scale ``[obs]`` of the formula above; None without `statistics`, or before the first step."""
    if not statistics:
        return None
    moments = Moments(**statistics)
    if not bool(moments.seen > 0):
        return None
    std = (moments.square / moments.seen).sqrt()
    constant = std <= CONSTANT * moments.mean.abs().clamp(min=1)
    scale = torch.where(constant, torch.ones_like(std), std.clamp(min=FLOOR))
    return moments.mean, scale


def scaled(observation: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """`observation` ``[..., obs]`` by the formula above, in the same dtype."""
    return ((observation.double() - mean) / scale).clamp(-CLIP, CLIP).to(observation.dtype)


def measure(rollouts: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]]) -> tuple[Moments, ...]:
    """Statistics of each task's valid steps in all `rollouts`: observations ``[task, env, time, obs]`` and which of
    their steps are valid ``[task, env, time]``."""
    by_task = zip(*(zip(observation, valid, strict=True) for observation, valid in rollouts), strict=True)
    return tuple(functools.reduce(Moments.merge, [_moments(x[valid]) for x, valid in task]) for task in by_task)


def _moments(values: NDArray[np.float32]) -> Moments:
    """Statistics of ``[step, obs]``."""
    numbers = values.astype(np.float64)
    mean = numbers.sum(0) / max(1, len(numbers))
    square = np.square(numbers - mean).sum(0)
    return Moments(torch.tensor(float(len(numbers)), dtype=torch.float64), torch.tensor(mean), torch.tensor(square))


def merged(statistics: Params, measured: Iterable[Moments]) -> Params:
    """`statistics` with all that was `measured`, one after another."""
    return functools.reduce(Moments.merge, measured, Moments(**statistics))._asdict()
