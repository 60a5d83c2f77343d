"""Replay: the newest steps of the last tasks, or whole trials, kept to be learned from again.

A replay is a dict from the number of a task (`meta_rl.core.types.MetaBatch`) to its steps, a named tuple of tensors
``[step, ...]``, oldest first. Tasks are in the order in which they were last played, so that a task is found again
where there are finitely many, and where every one is new the replay is a ring of the last tasks. A learner that reads
its steps in order keeps every trial under a number of its own (`next_number`), so that none is mixed with another.

Nothing here changes a tensor: `insert` makes a replay with new tensors for one task and shares those of the others. So
the state before an iteration stays as it was at the cost of the tasks that the iteration has played, and a run that is
stopped within an iteration goes on from there. Steps lie on the CPU; what is drawn goes to the learner's device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from meta_rl.core.interface import Interface
from meta_rl.core.types import map_tensors

Replay = Mapping[int, Any]
"""Number of a task, or of a trial -> its steps."""


class Transitions(NamedTuple):
    """Env steps, ``[..., step]`` each with its own trailing axes."""

    observation: Tensor
    """As the environment gave it: what normalises it changes while it is kept."""
    action: Tensor
    reward: Tensor
    next_observation: Tensor
    terminated: Tensor
    """float: 1 where a terminal state followed. At the horizon none does, and the value goes on."""


def insert(replay: Replay, task: int, new: Any, most_steps: int, most_tasks: int) -> Replay:
    """`replay` with the steps `new` of a task, which becomes the newest.

    Args:
        new: a named tuple of tensors ``[step, ...]``, in the order in which they were made.
        most_steps: kept of each task, the newest.
        most_tasks: kept, those played last; another one goes as a whole.
    """
    added = map_tensors(lambda x: x[-most_steps:].cpu(), new)
    room = most_steps - len(added[0])
    before = replay.get(task)
    if before is None or not room:
        steps = map_tensors(Tensor.clone, added)  # not a view, which would keep the whole meta-batch
    else:
        steps = type(new)(*(torch.cat([old[-room:], x]) for old, x in zip(before, added, strict=True)))
    kept = {number: mine for number, mine in replay.items() if number != task} | {task: steps}
    return dict(list(kept.items())[-most_tasks:])


def next_number(replay: Replay) -> int:
    """A number that no entry has or had: that of the next trial, where numbers count them."""
    return max(replay, default=-1) + 1


def step_bytes(interface: Interface, observations: int) -> int:
    """Bytes of one step of an agent: observations, action, reward and whether something ended, as `Transitions` hold
    it.

    Args:
        observations: kept of each step: 2 with the next one.
    """
    observation, action = (
        int(gym.spaces.flatdim(space)) for space in (interface.observation_space, interface.action_space)
    )
    return 4 * (observations * observation + action + 2)


def count_steps(replay: Replay) -> int:
    """Number of steps of all tasks."""
    return sum(len(steps[0]) for steps in replay.values())


def draw_tasks(replay: Replay, count: int, rng: np.random.Generator) -> list[int]:
    """Numbers of `count` tasks of the replay, or of all of them if there are fewer; none twice."""
    tasks = list(replay)
    return [tasks[i] for i in rng.permutation(len(tasks))[:count]]


def sample(replay: Replay, tasks: Sequence[int], count: int, rng: np.random.Generator) -> Any:
    """`count` steps of each of `tasks`, every step as likely as any other of its task, and maybe twice:
    ``[task, count, ...]``."""
    return _gather(replay, tasks, [rng.integers(0, len(replay[task][0]), count) for task in tasks])


def sample_once(replay: Replay, tasks: Sequence[int], count: int, rng: np.random.Generator) -> tuple[Any, Tensor]:
    """`count` steps of each of `tasks`, none twice; fewer of a task that has fewer.

    Returns:
        The steps ``[task, count, ...]``, and 1 for each step, 0 for padding ``[task, count]``.
    """
    weight = torch.zeros(len(tasks), count)
    index = np.zeros((len(tasks), count), np.int64)  # padding repeats the first step
    for row, task in enumerate(tasks):
        drawn = rng.permutation(len(replay[task][0]))[:count]
        index[row, : len(drawn)], weight[row, : len(drawn)] = drawn, 1
    return _gather(replay, tasks, list(index)), weight


def _gather(replay: Replay, tasks: Sequence[int], index: Sequence[NDArray[np.int64]]) -> Any:
    """The steps at `index` ``[count]`` of each task, ``[task, count, ...]``."""
    at = [torch.from_numpy(rows) for rows in index]
    kept = [replay[task] for task in tasks]
    fields = (torch.stack([x[rows] for x, rows in zip(field, at, strict=True)]) for field in zip(*kept, strict=True))
    return type(kept[0])(*fields)


def sequences(replay: Replay, numbers: Sequence[int]) -> tuple[Any, Tensor]:
    """All steps of some entries in order, padded with zeros to the longest: ``[entry, time, ...]``.

    Returns:
        The steps, and 1 for each, 0 for padding ``[entry, time]``.
    """
    kept = [replay[number] for number in numbers]
    fields = (pad_sequence(list(field), batch_first=True) for field in zip(*kept, strict=True))
    return type(kept[0])(*fields), pad_sequence([torch.ones(len(steps[0])) for steps in kept], batch_first=True)


def flatten_replay(replay: Replay, name: str) -> dict[str, Tensor]:
    """A replay as tensors by name, ``name/task/field``, as a `meta_rl.core.state.TrainState` holds it."""
    return {
        f"{name}/{task}/{field}": tensor for task, steps in replay.items() for field, tensor in steps._asdict().items()
    }


def unflatten_replay(tensors: Mapping[str, Tensor], name: str, kind: Any = Transitions) -> Replay:
    """The inverse of `flatten_replay`, in the same order; of tensors of several replays, the one called `name`.

    Args:
        kind: the named tuple that its steps are.
    """
    found: dict[int, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        mine, task, field = path.split("/")
        if mine == name:
            found.setdefault(int(task), {})[field] = tensor
    return {task: kind(**fields) for task, fields in found.items()}
