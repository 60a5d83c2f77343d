"""Stepping equals unrolling equals torch's own layers."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from meta_rl.config import NetworkConfig
from meta_rl.errors import ConfigError
from meta_rl.networks.recurrent import CELLS, make_policy, tick, ticks

OBSERVATION = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
CONTINUOUS = gym.spaces.Box(-1, 1, (2,), np.float32)
DISCRETE = gym.spaces.Discrete(4)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
def test_steps_and_unrolling_equal_torchs_layer(cell: str, dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    mine = CELLS[cell](5, 32).to(dtype)
    layer = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](5, 32, batch_first=True, dtype=dtype)
    layer.load_state_dict({f"{name}_l0": p for name, p in mine.state_dict().items()})
    inputs, start = torch.randn(7, 40, 5, dtype=dtype), 0.5 * torch.randn(7, mine.state_size, dtype=dtype)
    parts = tuple(part.unsqueeze(0).contiguous() for part in start.split(32, 1))
    expected, last = layer(inputs, parts if cell == "lstm" else parts[0])
    final = torch.cat(last, -1)[0] if cell == "lstm" else last[0]
    outputs, state = mine.unroll(inputs, start)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(state, final, rtol=0, atol=tolerance)
    state, stepped = start, []
    for t in range(40):
        state = mine.step(inputs[:, t], state)
        stepped.append(mine.output(state))
    torch.testing.assert_close(torch.stack(stepped, 1), expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(state, final, rtol=0, atol=tolerance)


def test_an_lstm_begins_by_remembering() -> None:
    lstm = CELLS["lstm"](5, 8)
    assert (lstm.bias_ih + lstm.bias_hh).tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16
    for weight in lstm.weight_hh.split(8):
        torch.testing.assert_close(weight @ weight.T, torch.eye(8))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_memory_steps_are_how_long_a_cell_remembers(cell: str) -> None:
    """With no input and no other gate's say, a state fades by the forget gate alone: 1 / (1 - gate) steps."""
    torch.manual_seed(0)
    layer = CELLS[cell](5, 400, 50)
    bias = layer.bias_ih.split(400)
    steps = 1 / (1 - torch.sigmoid(bias[1]))
    assert 2 <= steps.min() < 4 < 46 < steps.max() <= 50
    assert steps.mean().item() == pytest.approx(26, abs=2)  # uniform
    others = [bias[0] + bias[1], bias[2], bias[3]] if cell == "lstm" else [bias[0], bias[2]]
    assert not any(gate.any() for gate in others)


@pytest.mark.parametrize("hidden", [(8,), (6, 5, 8)])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("space", [CONTINUOUS, DISCRETE])
@pytest.mark.parametrize("reward_head", ["none", "here", "everywhere"])
@pytest.mark.parametrize("heads", [(), (5,)])
def test_a_policy_unrolls_what_it_steps(
    hidden: tuple[int, ...], cell: str, space: gym.Space, reward_head: str, heads: tuple[int, ...]
) -> None:
    config = NetworkConfig(hidden=hidden, cell=cell, head_hidden=heads, critic_hidden=heads)  # type: ignore[arg-type]
    policy = make_policy(OBSERVATION, space, config, seed=0).double()
    if reward_head != "none":
        policy.add_reward_head(space is DISCRETE, reward_head == "everywhere")
    params = {name: p.detach() + 0.3 * torch.randn_like(p) for name, p in policy.named_parameters()}
    inputs = torch.randn(4, 9, 3 + policy.recall_size, dtype=torch.float64)
    state = torch.zeros(4, policy.state_size, dtype=torch.float64)
    distribution, value, rewards, last = policy.unroll(params, inputs, state)
    assert (rewards is None) == (reward_head == "none")
    assert value.shape == (4, 9)
    policy.load_state_dict(params)
    for t in range(9):
        one, state = policy.step(inputs[:, t], state)
        for stepped, unrolled in zip(one, distribution, strict=True):
            torch.testing.assert_close(stepped, unrolled[:, t])
    torch.testing.assert_close(state, last)


@pytest.mark.parametrize("hidden", [(8,), (6, 8)])
@pytest.mark.parametrize("head", [(), (5,)])
@pytest.mark.parametrize("critic", [(), (5,)])
def test_heads_with_layers_of_their_own_see_again_what_the_cell_reads(
    hidden: tuple[int, ...], head: tuple[int, ...], critic: tuple[int, ...]
) -> None:
    """A cell whose weights are zero tells nothing of what it reads."""
    policy = make_policy(OBSERVATION, CONTINUOUS, NetworkConfig(hidden, head_hidden=head, critic_hidden=critic), seed=0)
    for p in policy.recurrent.parameters():
        p.data.zero_()
    inputs = torch.randn(1, 2, 3 + policy.recall_size, generator=torch.Generator().manual_seed(0))
    distribution, value, _, _ = policy(inputs, torch.zeros(1, policy.state_size))
    assert torch.equal(distribution.mean[0, 0], distribution.mean[0, 1]) == (not head)
    assert torch.equal(value[0, 0], value[0, 1]) == (not critic)


def test_the_time_of_whole_trials_is_that_of_one_step_after_another() -> None:
    """Episodes of all lengths, those of one step too."""
    done = (torch.rand(50, 30, generator=torch.Generator().manual_seed(0)) < torch.linspace(0, 1, 50)[:, None]).double()
    clock, expected = torch.zeros(50, 2, dtype=torch.float64), []
    for t in range(30):
        clock = tick(clock, done[:, t])
        expected.append(clock)
    assert torch.equal(ticks(done), torch.stack(expected, 1))
    assert ticks(torch.tensor([[0.0, 0, 1, 1, 0]])).tolist() == [[[1, 0], [2, 0], [0, 1], [0, 2], [1, 2]]]


def test_a_policy_may_act_on_the_rewards_it_expects_and_its_doubts_alone() -> None:
    """Its optimism is that of the value: 5 on average, none two standard deviations below and less."""
    policy = make_policy(OBSERVATION, DISCRETE, NetworkConfig(hidden=(8,)), seed=0)
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
    policy = make_policy(OBSERVATION, DISCRETE, NetworkConfig(hidden=(8,)), seed=0)
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
    policy = make_policy(OBSERVATION, space, NetworkConfig(hidden=(8,)), seed=0)  # type: ignore[arg-type]
    inputs, state = torch.ones(1, 3 + policy.recall_size), torch.zeros(1, policy.state_size)
    before = policy.step(inputs, state)[0]
    policy.add_reward_head()
    assert policy.reward is not None
    torch.nn.init.uniform_(policy.reward.bias)
    assert policy.head is not None
    for new, old in zip(policy.step(inputs, state)[0], before, strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=0)


def test_the_recall_of_a_step() -> None:
    def recall(space: gym.Space, action: Tensor, observation: bool = False) -> list[list[float]]:
        policy = make_policy(OBSERVATION, space, NetworkConfig(hidden=(4,), recall_observation=observation), seed=0)
        reward, done, clock = torch.tensor([0.5, 2.0]), torch.tensor([0.0, 1.0]), torch.zeros(2, 2)
        after = policy.recall(torch.full((2, 3), 7.0), action, reward, done, clock)
        assert after.shape[-1] == policy.recall_size
        return policy.inputs(torch.zeros(2, 3), after)[:, 3:].tolist()  # type: ignore[no-any-return]

    assert recall(CONTINUOUS, torch.tensor([[3.0, 4.0], [5.0, 6.0]])) == [[3, 4, 0.5, 0], [5, 6, 2, 1]]
    assert recall(DISCRETE, torch.tensor([2, 0])) == [[0, 0, 1, 0, 0.5, 0], [1, 0, 0, 0, 2, 1]]
    assert recall(DISCRETE, torch.tensor([2, 0]), True) == [[7, 7, 7, 0, 0, 1, 0, 0.5, 0], [7, 7, 7, 1, 0, 0, 0, 2, 1]]


def test_the_clock_as_it_is_read() -> None:
    """Time in units of 50 steps; n / (n + 1) after n episodes, which the thousandth still leaves below 1."""
    policy = make_policy(OBSERVATION, CONTINUOUS, NetworkConfig(hidden=(4,), clock_steps=50), seed=0)
    clock, zeros = torch.tensor([[0.0, 0.0], [10.0, 1.0], [75.0, 3.0], [0.0, 1000.0]]), torch.zeros(4)
    after = policy.recall(torch.zeros(4, 3), torch.zeros(4, 2), zeros, zeros, clock)
    assert after.shape[-1] == policy.recall_size == 6
    expected = torch.tensor([[0.0, 0.0], [0.2, 0.5], [1.5, 0.75], [0.0, 1000 / 1001]])
    torch.testing.assert_close(after[:, 4:], expected)


def test_the_seed_makes_the_parameters_and_torchs_generator_stays() -> None:
    config = NetworkConfig(hidden=(6, 8))
    before = torch.random.get_rng_state()
    first, again, other = (make_policy(OBSERVATION, CONTINUOUS, config, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["recurrent.weight_hh"], other["recurrent.weight_hh"])


def test_no_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match="--hidden"):
        make_policy(OBSERVATION, CONTINUOUS, NetworkConfig(hidden=()), seed=0)
