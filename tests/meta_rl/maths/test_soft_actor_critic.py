"""Soft actor-critic's targets and losses: numbers by hand, and gradients by finite differences."""

from __future__ import annotations

import math

import torch

from meta_rl.maths.distributions import SquashedGaussian
from meta_rl.maths.soft_actor_critic import actor_loss, critic_loss, follow, soft_target, temperature_loss

ONES = torch.ones(2, dtype=torch.float64)


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_target_is_that_worked_out_by_hand() -> None:
    # First step: 1 + 0.9 (min(4, 3) - 0.5 * -2) = 1 + 0.9 * 4 = 4.6; the second ends in a terminal state: 2.
    found = soft_target(
        numbers(1, 2), numbers(0, 1), torch.stack([numbers(4, 7), numbers(3, 9)]), numbers(-2, -2), numbers(0.5)[0], 0.9
    )
    torch.testing.assert_close(found, numbers(4.6, 2))


def test_the_critics_loss_is_that_worked_out_by_hand() -> None:
    value, target = torch.stack([numbers(1, 5), numbers(4, 5)]), numbers(2, 3)
    # (1 + 4) and (4 + 4): their mean is 6.5; without the second step, 5.
    assert float(critic_loss(value, target, ONES)) == 6.5
    assert float(critic_loss(value, target, numbers(1, 0))) == 5


def test_the_actors_loss_is_that_worked_out_by_hand() -> None:
    # 0.5 * -2 - min(1, 4) = -2 and 0.5 * 6 - min(5, 3) = 0: the mean is -1.
    value = torch.stack([numbers(1, 5), numbers(4, 3)])
    assert float(actor_loss(numbers(-2, 6), value, numbers(0.5)[0], ONES)) == -1


def test_the_temperature_rises_while_the_entropy_is_below_its_target() -> None:
    def slope(log_prob: float) -> float:
        log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
        loss = temperature_loss(log_temperature, numbers(log_prob, log_prob), -2.0, ONES)
        return float(torch.autograd.grad(loss, log_temperature)[0])

    # -exp(0) (log_prob - 2): an entropy of -3, log_prob 3, is below -2, and the step against the slope goes up.
    assert slope(3.0) == -1
    assert slope(1.0) == 1
    assert slope(2.0) == 0


def test_targets_follow_by_a_share_of_the_way() -> None:
    before = {"a": numbers(0, 8)}
    assert torch.equal(follow(before, {"a": numbers(4, 0)}, 0.25)["a"], numbers(1, 6))
    assert torch.equal(before["a"], numbers(0, 8))


def test_the_actors_gradient_is_that_of_finite_differences() -> None:
    """Through the action and its density, with critics that are quadratic in the action."""
    noise = torch.tensor([[0.3, -1.2], [2.0, 0.1]], dtype=torch.float64)
    box = numbers(0.5, -1), numbers(2, 0.1)
    start = torch.tensor([[0.2, -0.4], [-0.6, 0.3]], dtype=torch.float64)  # mean, log_std: [2, action]

    def loss(parameters: torch.Tensor) -> torch.Tensor:
        mean, log_std = (x.expand_as(noise) for x in parameters)
        action, log_prob = SquashedGaussian(mean, log_std, *box).sample_with_log_prob(noise)
        value = torch.stack([-(action - 0.3).square().sum(-1), -(action + 0.1).square().sum(-1) - 0.2])
        return actor_loss(log_prob, value, numbers(0.7)[0], ONES)

    assert torch.autograd.gradcheck(loss, start.clone().requires_grad_())


def test_a_bandits_soft_optimum_is_a_fixed_point() -> None:
    """With one state, Q(a) = a on [-1, 1] and temperature t the best density is exp(a / t) / Z. Its soft value,
    E[Q - t log pi], is t log Z, by quadrature."""
    temperature, action = 0.5, torch.linspace(-1, 1, 20_001, dtype=torch.float64)
    normaliser = float(torch.trapezoid((action / temperature).exp(), action))
    log_prob = action / temperature - math.log(normaliser)
    each = soft_target(0 * action, 0 * action, action.expand(2, -1), log_prob, torch.tensor(temperature), 1.0)
    torch.testing.assert_close(each, torch.full_like(action, temperature * math.log(normaliser)))
