"""Types that cross `vmap` and processes: plain named tuples of arrays with the axes ``[task, env, time, ...]``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Params = dict[str, Tensor]
"""Named parameters, as `torch.func.functional_call` takes them. Adapted parameters carry a leading task axis."""

Metrics = dict[str, float]
"""Numbers that an update reports; names are ``group/name``."""

Adapted = Any
"""The result of adaptation to support data; see `meta_rl.algorithms.base.MetaLearner`."""


class Rollout(NamedTuple):
    """One episode per environment, as recorded; numpy, shapes ``[task, env, time, ...]``.

    Steps after the end of an episode have ``valid == False``, reward 0 and a repeated observation.
    """

    observation: NDArray[np.float32]
    action: NDArray[Any]
    """As the policy answered: discrete actions are counted from 0, whatever the environment's space starts with (see
    `meta_rl.core.interface.to_env`)."""
    reward: NDArray[np.float32]
    valid: NDArray[np.bool_]
    success: NDArray[np.bool_]
    terminated: NDArray[np.bool_]
    """``[task, env]``: the episode ended in a terminal state (not at the horizon)."""
    last_observation: NDArray[np.float32]
    """``[task, env, obs]``: the observation after the last valid step."""
    mean_reward: NDArray[np.float32]
    """The mean of `reward` given the task and the step, where the environment knows it
    (`envs.TaskVectorEnv.mean_reward`); else `reward`."""
    label: NDArray[Any]
    """The actions that the expert takes where these were taken (`envs.TaskVectorEnv.expert_action`), counted as these
    are, where the learner asks for them; else `action`."""
    discarded: tuple[str, ...] = ()
    """Problem of each episode that was left out because of a NaN from the environment; it has no valid step. """
    missing_success: str = ""
    """Why `success` is unknown, in a sentence (see `envs.TaskVectorEnv.missing_success`); empty: it is known."""

    @property
    def returns(self) -> NDArray[np.float64]:
        """Undiscounted return of each episode ``[task, env]``; NaN for those that were left out."""
        return np.where(self.valid.any(-1), self.reward.sum(-1, dtype=np.float64), np.nan)

    @property
    def solved(self) -> NDArray[np.bool_]:
        """Success at any step of each episode ``[task, env]``."""
        return np.asarray(self.success.any(-1))

    @property
    def env_steps(self) -> int:
        """Number of valid steps."""
        return int(self.valid.sum())


def missing_in_all(sentences: Iterable[str]) -> str:
    """Why success is unknown in several rollouts: the first of `sentences`; empty as soon as one is."""
    every = list(sentences)
    return every[0] if all(every) else ""


class Batch(NamedTuple):
    """The data that a policy loss reads: tensors ``[task, env, time, ...]`` (without the task axis under `vmap`)."""

    observation: Tensor
    action: Tensor
    log_prob: Tensor
    advantage: Tensor
    weight: Tensor
    """float: 1 for valid steps, 0 for padding. After `meta_rl.algorithms.maml.thin`: the number of steps that a step
    stands for, relative to that in a whole episode."""


class Examples(NamedTuple):
    """The data that a supervised loss reads: tensors ``[task, example, ...]`` (without the task axis under `vmap`)."""

    observation: Tensor
    """Images ``[..., channel, height, width]``, vectors ``[..., in]``, or indices of items ``[...]``."""
    target: Tensor
    """Classes (integers) or numbers ``[task, example]``."""
    weight: Tensor
    """float: 1 for examples, 0 for padding."""


class MetaBatch(NamedTuple):
    """Support (one element per rollout, each collected by the policy adapted so far) and query, as the learner's
    `prepare` makes them; a `Batch` each for feed-forward policies. Supervised: one element of `Examples` and its
    query."""

    support: tuple[Any, ...]
    query: Any
    task: Any = ()
    """int64 ``[task]``: a number by which a task is found again (`task_number`), for a learner that finds tasks again;
    else nothing."""


def task_number(text: str) -> int:
    """A number that stands for a task, from all that tells it from others (`envs.Task.to_json`): 63 bits of its
    sha256, so that two tasks of a run have the same one with a probability of less than 1e-9 even if there are
    100,000."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def from_numpy(array: NDArray[Any]) -> Tensor:
    """A contiguous copy in memory that torch allocated. Matrix products may round differently for memory that is
    aligned differently, and numpy's alignment changes from run to run; equal runs need equal alignment."""
    return torch.from_numpy(array).clone(memory_format=torch.contiguous_format)


def map_tensors(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """Apply `function` to every tensor of nested tuples and dicts."""
    return torch.utils._pytree.tree_map_only(Tensor, function, tree)


def select_rows(tree: Any, index: Tensor | slice) -> Any:
    """Rows at `index` of every tensor of a tree: ``[row, ...]`` -> ``[picked, ...]``."""
    return map_tensors(lambda x: x[index], tree)


def to_device(tree: Any, device: torch.device) -> Any:
    """Move all tensors of a tree to `device`, once per iteration."""
    return map_tensors(lambda x: x.to(device, non_blocking=True), tree)
