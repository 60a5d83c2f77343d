"""The head that predicts rewards: what it says, what acts on it, and its losses."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch

from meta_rl.config import NetworkConfig
from meta_rl.networks.recurrent import make_recurrent_policy
from meta_rl.networks.reward_head import RewardHead, mean_squared_error

OBSERVATION = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
CONTINUOUS = gym.spaces.Box(-1, 1, (2,), np.float32)
DISCRETE = gym.spaces.Discrete(4)


def test_a_policy_may_act_on_the_rewards_it_expects_and_its_doubts_alone() -> None:
    """Its optimism is that of the value: 5 on average, none two standard deviations below and less."""
    policy = make_recurrent_policy(OBSERVATION, DISCRETE, NetworkConfig(hidden=(8,)), seed=0)
    inputs = torch.randn(5, 3 + policy.recall_size, generator=torch.Generator().manual_seed(0))
    state = torch.zeros(5, policy.state_size)
    policy.add_reward_head(True)
    assert policy.head is None
    assert policy.reward is not None
    assert policy.step(inputs, state)[0].logits.tolist() == [[0.0] * 4] * 5  # nothing expected yet
    weight, bias = policy.value.parameters()
    with torch.no_grad():
        policy.reward.bias.copy_(torch.tensor([3.0, 0.0, -1.0, 2.0, 0.5, 1.0, 0.0, 2.0]))
        weight.zero_()
    for value, expected in {
        0.0: [26.5, 5.0, -8.0, 26.0],
        -1.0: [25.25, 2.5, -8.0, 21.0],
        -2.5: [24.0, 0.0, -8.0, 16.0],
    }.items():
        bias.data.fill_(value)
        for logits in (policy.step(inputs, state)[0].logits, policy(inputs[:, None], state).distribution.logits[:, 0]):
            torch.testing.assert_close(logits, torch.tensor(expected).expand(5, 4))
    logits[:, 0].sum().backward()
    assert bias.grad is None
    assert policy.reward.bias.grad is not None
    assert policy.reward.bias.grad.tolist() == [5 * 8.0, *[0.0] * 7]  # what is wanted is no matter of doubt
    said, seen = policy.reward(torch.zeros(6, 8)), torch.zeros(6, 3)
    assert policy.reward.doubt(said, seen, torch.tensor([0, 1, 2, 3, 3, 0])).tolist() == [0.5, 1, 0, 2, 2, 0.5]


def test_what_is_expected_may_be_linear_in_the_observation() -> None:
    """Here in its second number alone, and for action 1 alone."""
    policy = make_recurrent_policy(OBSERVATION, DISCRETE, NetworkConfig(hidden=(8,)), seed=0)
    policy.add_reward_head(True, everywhere=True)
    assert policy.reward is not None
    table = torch.zeros(4, 8)
    table[0, :4] = torch.tensor([1.0, 2.0, 0.0, 0.0])
    table[2, 1] = -4
    policy.reward.bias.data = table.flatten()
    recall = torch.zeros(2, policy.recall_size)
    inputs = policy.inputs(torch.tensor([[0.0, 0.0, 0.0], [5.0, 0.25, 7.0]]), recall)
    logits = policy.step(inputs, torch.zeros(2, policy.state_size))[0].logits
    torch.testing.assert_close(logits, torch.tensor([[8.0, 16.0, 0.0, 0.0], [8.0, 8.0, 0.0, 0.0]]))


@pytest.mark.parametrize("space", [CONTINUOUS, DISCRETE])
def test_a_policy_that_was_not_asked_to_does_not(space: gym.Space) -> None:
    policy = make_recurrent_policy(OBSERVATION, space, NetworkConfig(hidden=(8,)), seed=0)  # type: ignore[arg-type]
    inputs, state = torch.ones(1, 3 + policy.recall_size), torch.zeros(1, policy.state_size)
    before = policy.step(inputs, state)[0]
    policy.add_reward_head()
    assert policy.reward is not None
    torch.nn.init.uniform_(policy.reward.bias)
    assert policy.head is not None
    for new, old in zip(policy.step(inputs, state)[0], before, strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=0)


def test_losses_by_hand() -> None:
    """Two actions, one number observed, doubts. All steps say: action 0 pays 1 + 2 x, action 1 pays 3; their doubts are
    0.5 and 0. The third step is padding."""
    head = RewardHead(1, 1, 2, 2, True, torch.float32)
    said = torch.tensor([[1.0, 3.0, 0.5, 0.0], [2.0, 0.0, 0.0, 0.0]]).expand(1, 3, 2, 4)  # [row, time, 1 + obs, width]
    observation, action = torch.tensor([[[1.0], [5.0], [7.0]]]), torch.tensor([[0, 1, 0]])
    earned, weight = torch.tensor([[2.0, 5.0, 9.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    # Expected 1 + 2 = 3 and 3, so the errors are 1 and -2: (1 + 4) / 2. All models are equal, and so are their errors
    # over all steps. The doubts miss the absolute errors by 0.5 - 1 and 0 - 2: (0.25 + 4) / 2.
    losses = head.losses(said, observation, action, earned, weight)
    assert [loss.item() for loss in losses] == [2.5, 2.5, 2.125]
    here = RewardHead(1, 0, 2, 2, False, torch.float32)  # neither at any observation nor with doubts
    (alone,) = here.losses(said[..., :1, :2], observation, action, earned, weight)
    assert alone.item() == 2.5  # 1 - 2 and 3 - 5: (1 + 4) / 2


def test_the_error_of_every_model_on_every_step_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    model, x, y = (torch.randn(2, 5, *n, dtype=torch.float64, generator=generator) for n in ((3,), (3,), ()))
    weight = torch.tensor([[1.0, 1, 1, 1, 0], [1, 0, 0, 0, 0]], dtype=torch.float64)
    found = mean_squared_error(model, x, y, weight)
    for row, steps in enumerate((4, 1)):
        for t in range(5):
            expected = sum((model[row, t] @ x[row, s] - y[row, s]).square() for s in range(steps)) / steps
            torch.testing.assert_close(found[row, t], expected)
