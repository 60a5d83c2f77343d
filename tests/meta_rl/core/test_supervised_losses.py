"""Supervised losses against torch's, and with padding."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from meta_rl.core.types import Examples
from meta_rl.maths import losses


def test_cross_entropy_is_torchs_and_ignores_padding() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    target, weight = torch.tensor([0, 2, 1, 1]), torch.tensor([1.0, 1.0, 1.0, 0.0])
    found = losses.cross_entropy(logits, Examples(logits, target, weight))
    torch.testing.assert_close(found, F.cross_entropy(logits[:3], target[:3]))
    uniform = losses.cross_entropy(torch.zeros(4, 3), Examples(logits, target, weight))
    torch.testing.assert_close(uniform, torch.tensor(math.log(3)))


def test_squared_error_by_hand_and_of_nothing() -> None:
    """Errors 1, 3 and (padding) 9: (1 + 9) / 2."""
    output, target = torch.tensor([[1.0], [3.0], [9.0]]), torch.zeros(3)
    examples = Examples(output, target, torch.tensor([1.0, 1.0, 0.0]))
    assert float(losses.squared_error(output, examples)) == 5
    leaf = output.clone().requires_grad_()
    nothing = losses.squared_error(leaf, examples._replace(weight=torch.zeros(3)))
    (gradient,) = torch.autograd.grad(nothing, leaf)
    assert gradient.tolist() == [[0], [0], [0]]
