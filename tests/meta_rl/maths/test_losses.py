"""First and second derivatives of the policy losses in exact expectation, and clipping by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from meta_rl.core.types import Batch
from meta_rl.maths import losses
from meta_rl.maths.distributions import Categorical
from tests.meta_rl.mdp import ACTIONS, HORIZON, STATES, Mdp, Tabular

INNER = {"lvc": losses.likelihood_ratio, "dice": losses.dice, "score": losses.score}
BASELINES = [None, torch.tensor([1.5, -0.7], dtype=torch.float64)]


def at(seed: int) -> tuple[Mdp, Tensor]:
    return Mdp(seed), Tabular(seed).logits.detach()


def exact_gradient(mdp: Mdp, logits: Tensor) -> Tensor:
    leaf = logits.clone().requires_grad_()
    return torch.autograd.grad(mdp.expected_return(leaf), leaf)[0]


def exact_hessian(mdp: Mdp, logits: Tensor) -> Tensor:
    """Central differences of the exact gradient."""
    flat, rows = logits.flatten(), []
    for i in range(len(flat)):
        step = torch.zeros_like(flat)
        step[i] = 1e-5
        up, down = (exact_gradient(mdp, (flat + s).view_as(logits)).flatten() for s in (step, -step))
        rows.append((up - down) / 2e-5)
    return torch.stack(rows)


def expected_loss(name: str, mdp: Mdp, acting: Tensor, baseline: Tensor | None = None) -> Callable[[Tensor], Tensor]:
    """As a function of the flat logits that are learned, over trajectories of `acting`."""
    batch = mdp.batch(acting, baseline)
    return lambda flat: INNER[name](Categorical(batch.observation @ flat.view(STATES, ACTIONS)), batch)


def expected_hessian(name: str, mdp: Mdp, logits: Tensor, baseline: Tensor | None = None) -> Tensor:
    return torch.autograd.functional.hessian(expected_loss(name, mdp, logits, baseline), logits.flatten())


def scores(mdp: Mdp, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax by hand: gradient ``[trajectory, time, 4]`` and Hessian ``[trajectory, time, 4, 4]`` of
    log pi(a_t|s_t) = theta[s, a] - log sum exp theta[s]."""
    p = torch.softmax(logits, -1)
    first = torch.zeros(len(mdp.states), HORIZON, STATES, ACTIONS, dtype=torch.float64)
    second = torch.zeros(len(mdp.states), HORIZON, STATES, ACTIONS, STATES, ACTIONS, dtype=torch.float64)
    for i, (path, choices) in enumerate(zip(mdp.states.tolist(), mdp.actions.tolist(), strict=True)):
        for t, (s, a) in enumerate(zip(path, choices, strict=True)):
            first[i, t, s] = -p[s]
            first[i, t, s, a] += 1
            second[i, t, s, :, s, :] = torch.outer(p[s], p[s]) - torch.diag(p[s])
    return first.flatten(2), second.flatten(4, 5).flatten(2, 3)


def test_probabilities_sum_to_one_and_trajectories_agree_with_dynamic_programming() -> None:
    mdp, logits = at(0)
    probability = mdp.probability(logits)
    assert len(probability) == 64
    assert float(probability.sum()) == pytest.approx(1, abs=1e-14)
    assert float(probability @ mdp.rewards_to_go[:, 0]) == pytest.approx(float(mdp.expected_return(logits)), abs=1e-13)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("baseline", BASELINES, ids=["plain", "baseline"])
@pytest.mark.parametrize("name", INNER)
def test_expected_gradient_is_the_policy_gradient(name: str, baseline: Tensor | None, seed: int) -> None:
    """A loss is a mean over steps: minus the return per step."""
    mdp, logits = at(seed)
    leaf = logits.flatten().requires_grad_()
    gradient = torch.autograd.grad(expected_loss(name, mdp, logits, baseline)(leaf), leaf)[0]
    exact = exact_gradient(mdp, logits).flatten()
    assert exact.norm() > 0.1
    torch.testing.assert_close(gradient, -exact / HORIZON, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("baseline", BASELINES, ids=["plain", "baseline"])
def test_expected_hessian_of_dice_is_exact(baseline: Tensor | None, seed: int) -> None:
    mdp, logits = at(seed)
    hessian = expected_hessian("dice", mdp, logits, baseline)
    torch.testing.assert_close(hessian, -exact_hessian(mdp, logits) / HORIZON, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_expected_hessian_of_score_is_biased(seed: int) -> None:
    """What is left is the second derivative of log pi alone; the bias is no detail."""
    mdp, logits = at(seed)
    _, second = scores(mdp, logits)
    weight = mdp.probability(logits).unsqueeze(-1) * mdp.rewards_to_go
    hessian = expected_hessian("score", mdp, logits)
    torch.testing.assert_close(hessian, -torch.einsum("it,itjk->jk", weight, second) / HORIZON, rtol=1e-12, atol=1e-13)
    exact = -exact_hessian(mdp, logits) / HORIZON
    assert (hessian - exact).norm() > 0.5 * exact.norm()


@pytest.mark.parametrize("seed", range(3))
def test_expected_hessian_of_lvc_drops_the_products_of_scores_of_different_steps(seed: int) -> None:
    """exact = sum_t A_t (H_t + g_t g_t^T + sum_{s<t} (g_s g_t^T + g_t g_s^T)); lvc has the first two terms."""
    mdp, logits = at(seed)
    first, second = scores(mdp, logits)
    weight = mdp.probability(logits).unsqueeze(-1) * mdp.rewards_to_go
    kept = torch.einsum("it,itjk->jk", weight, second + torch.einsum("itj,itk->itjk", first, first))
    before = first.cumsum(1) - first
    cross = torch.einsum("it,itj,itk->jk", weight, before, first)
    hessian = expected_hessian("lvc", mdp, logits)
    torch.testing.assert_close(hessian, -kept / HORIZON, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(kept + cross + cross.mT, exact_hessian(mdp, logits), rtol=1e-6, atol=1e-8)
    assert (cross + cross.mT).norm() > 0.03 * kept.norm()  # not nothing


@pytest.mark.parametrize("name", INNER)
def test_padding_counts_in_no_derivative(name: str) -> None:
    """Episodes of 2 steps padded to 3 with nonsense against the same episodes cut off."""
    mdp, logits = at(0)
    whole = mdp.batch(logits)
    weight = torch.ones_like(whole.weight)
    weight[:, 2] = 0
    padded = whole._replace(weight=weight, advantage=whole.advantage * weight)
    cut = Batch(*(x[:, :2] for x in whole))

    def derivatives(batch: Batch) -> tuple[Tensor, Tensor]:
        loss = lambda flat: INNER[name](Categorical(batch.observation @ flat.view(STATES, ACTIONS)), batch)  # noqa: E731
        return torch.func.grad(loss)(logits.flatten()), torch.func.hessian(loss)(logits.flatten())

    for a, b in zip(derivatives(padded), derivatives(cut), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


# probability ratio, advantage -> surrogate min(r A, clip(r, 0.8, 1.2) A), and whether a gradient is left
CLIPPED = [
    (1.5, 2.0, 2.4, False),  # good action, already likelier: counts up to 1.2
    (1.1, 2.0, 2.2, True),
    (0.5, 2.0, 1.0, True),  # good action made rarer: the full loss, and a gradient back
    (1.5, -2.0, -3.0, True),  # bad action made likelier: the full loss
    (0.9, -2.0, -1.8, True),
    (0.5, -2.0, -1.6, False),  # bad action, already rarer: counts down to 0.8
]


@pytest.mark.parametrize(("ratio", "advantage", "surrogate", "moves"), CLIPPED)
def test_clipping_by_hand(ratio: float, advantage: float, surrogate: float, moves: bool) -> None:
    logits = torch.tensor([[[0.3, -0.4]]], dtype=torch.float64, requires_grad=True)
    action = torch.tensor([[1]])
    log_prob = Categorical(logits).log_prob(action)
    recorded = log_prob.detach() - torch.tensor(ratio, dtype=torch.float64).log()
    one = torch.ones(1, 1, dtype=torch.float64)
    batch = Batch(logits.detach(), action, recorded, advantage * one, one)
    loss = losses.clipped(Categorical(logits), batch, 0.2)
    assert float(loss.detach()) == pytest.approx(-surrogate, rel=1e-12)
    gradient = torch.autograd.grad(loss, logits)[0]
    # d log pi(1) / d logits = (-p_0, 1 - p_1), both of size p_0
    p0 = float(torch.softmax(logits.detach(), -1)[0, 0, 0])
    size = ratio * advantage * p0 if moves else 0.0
    torch.testing.assert_close(gradient, torch.tensor([[[size, -size]]], dtype=torch.float64), rtol=1e-12, atol=1e-14)


def test_clipping_averages_over_valid_steps() -> None:
    """Rows of the table above as one episode with padding after it: the mean of the surrogates."""
    rows = torch.tensor([row[:3] for row in CLIPPED], dtype=torch.float64)
    logits = torch.zeros(1, len(rows) + 2, 2, dtype=torch.float64)
    distribution = Categorical(logits)
    action = torch.zeros(1, len(rows) + 2, dtype=torch.int64)
    pad = torch.tensor([7.0, 7.0], dtype=torch.float64)
    recorded = distribution.log_prob(action) - torch.cat([rows[:, 0], pad]).log()
    weight = torch.cat([torch.ones(len(rows)), torch.zeros(2)]).double().unsqueeze(0)
    advantage = torch.cat([rows[:, 1], pad]).unsqueeze(0)
    loss = losses.clipped(distribution, Batch(logits, action, recorded, advantage, weight), 0.2)
    assert float(loss) == pytest.approx(-float(rows[:, 2].mean()), rel=1e-12)


def test_the_divergence_from_the_policy_that_acted_by_hand() -> None:
    """Two actions, logits 0; what acted had probabilities 0.4 and 0.5 of what it did. The third step does not count."""
    ratio = torch.tensor([0.5 / 0.4, 1.0], dtype=torch.float64)
    nothing = torch.zeros(3, dtype=torch.float64)
    log_prob, weight = torch.tensor([0.4, 0.5, 0.9]).double().log(), torch.tensor([1.0, 1.0, 0.0]).double()
    batch = Batch(nothing, torch.tensor([0, 1, 0]), log_prob, nothing, weight)
    distribution = Categorical(torch.zeros(3, 2, dtype=torch.float64))
    kl, clipped = losses.divergence(distribution, batch, clip_eps=0.2)
    torch.testing.assert_close(kl, (ratio - 1 - ratio.log()).mean())
    assert clipped == 0.5  # 1.25 is more than 0.2 away from 1
    assert losses.divergence(distribution, batch, clip_eps=0.3)[1] == 0
