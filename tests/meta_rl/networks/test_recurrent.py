"""A recurrent policy unrolls what it steps; what it reads of the previous step."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from meta_rl.config import NetworkConfig
from meta_rl.errors import ConfigError
from meta_rl.networks.memory import CELLS
from meta_rl.networks.recurrent import make_recurrent_policy, tick, ticks

OBSERVATION = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
CONTINUOUS = gym.spaces.Box(-1, 1, (2,), np.float32)
DISCRETE = gym.spaces.Discrete(4)


@pytest.mark.parametrize("hidden", [(8,), (6, 5, 8)])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("space", [CONTINUOUS, DISCRETE])
@pytest.mark.parametrize("reward_head", ["none", "here", "everywhere"])
@pytest.mark.parametrize("heads", [(), (5,)])
def test_a_policy_unrolls_what_it_steps(
    hidden: tuple[int, ...], cell: str, space: gym.Space, reward_head: str, heads: tuple[int, ...]
) -> None:
    attention = {"attention_heads": 2, "attention_window": 5}
    config = NetworkConfig(hidden, cell=cell, head_hidden=heads, critic_hidden=heads, **attention)  # type: ignore[arg-type]
    policy = make_recurrent_policy(OBSERVATION, space, config, seed=0).double()
    if reward_head != "none":
        policy.add_reward_head(space is DISCRETE, reward_head == "everywhere")
    params = {name: p.detach() + 0.3 * torch.randn_like(p) for name, p in policy.named_parameters()}
    inputs = torch.randn(4, 9, 3 + policy.recall_size, dtype=torch.float64)
    state = torch.zeros(4, policy.state_size, dtype=torch.float64)
    distribution, value, rewards, last = policy.unroll(params, inputs, state)[:4]
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
    policy = make_recurrent_policy(
        OBSERVATION, CONTINUOUS, NetworkConfig(hidden, head_hidden=head, critic_hidden=critic), seed=0
    )
    for p in policy.recurrent.parameters():
        p.data.zero_()
    inputs = torch.randn(1, 2, 3 + policy.recall_size, generator=torch.Generator().manual_seed(0))
    distribution, value = policy(inputs, torch.zeros(1, policy.state_size))[:2]
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


def test_the_recall_of_a_step() -> None:
    def recall(space: gym.Space, action: Tensor, observation: bool = False) -> list[list[float]]:
        policy = make_recurrent_policy(
            OBSERVATION, space, NetworkConfig(hidden=(4,), recall_observation=observation), seed=0
        )
        reward, done, clock = torch.tensor([0.5, 2.0]), torch.tensor([0.0, 1.0]), torch.zeros(2, 2)
        after = policy.recall(torch.full((2, 3), 7.0), action, reward, done, clock)
        assert after.shape[-1] == policy.recall_size
        return policy.inputs(torch.zeros(2, 3), after)[:, 3:].tolist()  # type: ignore[no-any-return]

    assert recall(CONTINUOUS, torch.tensor([[3.0, 4.0], [5.0, 6.0]])) == [[3, 4, 0.5, 0], [5, 6, 2, 1]]
    assert recall(DISCRETE, torch.tensor([2, 0])) == [[0, 0, 1, 0, 0.5, 0], [1, 0, 0, 0, 2, 1]]
    assert recall(DISCRETE, torch.tensor([2, 0]), True) == [[7, 7, 7, 0, 0, 1, 0, 0.5, 0], [7, 7, 7, 1, 0, 0, 0, 2, 1]]


def test_the_clock_as_it_is_read() -> None:
    """Time in units of 50 steps; n / (n + 1) after n episodes, which the thousandth still leaves below 1."""
    policy = make_recurrent_policy(OBSERVATION, CONTINUOUS, NetworkConfig(hidden=(4,), clock_steps=50), seed=0)
    clock, zeros = torch.tensor([[0.0, 0.0], [10.0, 1.0], [75.0, 3.0], [0.0, 1000.0]]), torch.zeros(4)
    after = policy.recall(torch.zeros(4, 3), torch.zeros(4, 2), zeros, zeros, clock)
    assert after.shape[-1] == policy.recall_size == 6
    expected = torch.tensor([[0.0, 0.0], [0.2, 0.5], [1.5, 0.75], [0.0, 1000 / 1001]])
    torch.testing.assert_close(after[:, 4:], expected)


def test_the_seed_makes_the_parameters_and_torchs_generator_stays() -> None:
    config = NetworkConfig(hidden=(6, 8))
    before = torch.random.get_rng_state()
    first, again, other = (
        make_recurrent_policy(OBSERVATION, CONTINUOUS, config, seed).state_dict() for seed in (0, 0, 1)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["recurrent.weight_hh"], other["recurrent.weight_hh"])


def test_no_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match="--hidden"):
        make_recurrent_policy(OBSERVATION, CONTINUOUS, NetworkConfig(hidden=()), seed=0)
