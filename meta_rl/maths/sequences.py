"""Sequences of steps on the time axis ``[..., time]``: where they end, what follows, and how gaps are closed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def without_gaps(weight: Tensor, multiple: int) -> tuple[Tensor, Tensor]:
    """Indices that move valid steps to the front, in order.

    Args:
        weight: ``[row, time]``, 1 for valid steps.
        multiple: the result is padded to a multiple of this, unless it is shorter.
    Returns:
        Indices into time ``[row, length]``, and the weight of the step at each index, ``[row, length]``.
    """
    count = weight.sum(1).long()  # [row]
    longest = int(count.max())
    length = longest if longest < multiple else -(-longest // multiple) * multiple
    order = torch.argsort(1 - weight, dim=1, stable=True)  # [row, time]: valid steps first, in order
    index = pad(order, (0, max(length - order.shape[1], 0)))[:, :length]  # [row, length]
    return index, (torch.arange(length, device=weight.device) < count.unsqueeze(1)).to(weight.dtype)


def drawn_steps(key: Tensor, weight: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Indices into time of some valid steps of each row, drawn without replacement.

    Args:
        key: ``[row, time]``, uniform in [0, 1): steps are drawn in its order, so which ones does not depend on padding.
        weight: ``[row, time]``, 1 for valid steps.
        count: how many; a row with fewer has all of its own.
    Returns:
        Indices ``[row, count]`` (fewer, if there is less time), and which of them are of valid steps: 1 or 0.
    """
    index = (key + 2 * (weight == 0)).argsort(1)[:, :count]  # valid steps come first
    return index, weight.gather(1, index)


def last_steps(valid: Tensor) -> Tensor:
    """Whether each step is valid and the next one is not; bool ``[..., time]``, from bool ``[..., time]``."""
    return valid & ~pad(valid[..., 1:], (0, 1))


def following(observation: Tensor, last: Tensor, valid: Tensor) -> Tensor:
    """The observation after each step ``[..., time, obs]``; of use at the valid ones.

    Args:
        observation: before each step, ``[..., time, obs]``.
        last: after the last valid step, ``[..., obs]``.
        valid: bool ``[..., time]``, a prefix.
    """
    last = last.unsqueeze(-2)  # [..., 1, obs]
    shifted = torch.cat([observation[..., 1:, :], last], -2)
    return torch.where(last_steps(valid).unsqueeze(-1), last, shifted)
