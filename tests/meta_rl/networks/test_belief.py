"""The policy that acts on a belief, and the decoder: what they read, and what teaches them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from meta_rl.config import NetworkConfig
from meta_rl.errors import ConfigError
from meta_rl.networks.belief import BeliefPolicy, Decoder, PairNetwork, make_belief_policy
from meta_rl.networks.memory import CELLS
from meta_rl.networks.mlp import mlp

OBSERVATION = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
SPACES = {"box": gym.spaces.Box(-1, 1, (2,), np.float32), "discrete": gym.spaces.Discrete(4)}


def make(space: str = "box", cell: str = "lstm", **changes: Any) -> BeliefPolicy:
    settings: dict[str, Any] = {"cell": cell, "attention_heads": 2, "attention_window": 4, "head_hidden": (5,)}
    config = NetworkConfig((7, 6), latent_size=2, **settings | changes)
    return make_belief_policy(OBSERVATION, SPACES[space], config, seed=0)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("space", SPACES)
def test_steps_agree_with_whole_sequences(space: str, cell: str) -> None:
    policy = make(space, cell)
    inputs, state = drawn(5, 6, 3 + policy.recall_size), torch.zeros(5, policy.state_size)
    whole = policy(inputs, state)
    assert whole.belief.mean.shape == whole.belief.log_std.shape == (5, 6, 2)
    assert whole.value.shape == (5, 6)
    for t in range(6):
        distribution, state = policy.step(inputs[:, t], state)
        torch.testing.assert_close(distribution[0], whole.distribution[0][:, t])
    torch.testing.assert_close(state, whole.state)


def test_the_heads_read_the_observation_and_the_belief_alone() -> None:
    """Linear heads of ones add up three numbers observed, two means and two log-variances."""
    policy = make(head_hidden=(), critic_hidden=())
    with torch.no_grad():
        for layer in (policy.value[0], policy.head.mean[0]):  # type: ignore[union-attr]
            layer.weight.fill_(1)
    inputs = drawn(4, 5, 3 + policy.recall_size)
    found = policy(inputs, torch.zeros(4, policy.state_size))
    expected = inputs[..., :3].sum(-1) + found.belief.mean.sum(-1) + found.belief.log_std.mul(2).sum(-1)
    torch.testing.assert_close(found.value, expected)
    torch.testing.assert_close(found.distribution.mean[..., 0], expected)


def test_with_a_clock_the_heads_read_the_time() -> None:
    """Half of ten steps, and the second episode: 0.5 and 1 / 2 more than the same without."""
    policy, plain = (make(head_hidden=(), critic_hidden=(), clock_steps=steps) for steps in (10, 0))
    with torch.no_grad():
        for each in (policy, plain):
            each.value[0].weight.fill_(1)
            each.belief[0].weight.zero_()
    recall = torch.zeros(1, 1, plain.recall_size)
    clock = torch.tensor([[[0.5, 0.5]]])
    seen = drawn(1, 1, 3)
    timed = policy(torch.cat([seen, recall, clock], -1), torch.zeros(1, policy.state_size)).value
    untimed = plain(torch.cat([seen, recall], -1), torch.zeros(1, plain.state_size)).value
    torch.testing.assert_close(timed, untimed + 1)


@pytest.mark.parametrize("taught", [False, True])
def test_gradients_of_the_heads_stop_at_the_belief(taught: bool) -> None:
    policy = make()
    policy.taught_by_policy = taught
    found = policy(drawn(4, 5, 3 + policy.recall_size), torch.zeros(4, policy.state_size))
    (found.value.sum() + found.distribution.mean.sum()).backward()
    of_heads = policy.heads(dict(policy.named_parameters()))
    assert len(of_heads) == 4 + 1 + 2
    for name, p in policy.named_parameters():
        reached = p.grad is not None and bool(p.grad.abs().max() > 0)
        assert reached == ((name in of_heads and name != "head.log_std") or (taught and name not in of_heads)), name


def test_a_belief_knows_nothing_of_later_steps() -> None:
    policy = make()
    inputs = drawn(4, 6, 3 + policy.recall_size)
    later = inputs.clone()
    later[:, 4:] += 1
    first, second = (policy(x, torch.zeros(4, policy.state_size)).belief for x in (inputs, later))
    for mine, theirs in zip(first, second, strict=True):
        assert torch.equal(mine[:, :4], theirs[:, :4])
        assert not torch.equal(mine[:, 4:], theirs[:, 4:])


@pytest.mark.parametrize("hidden", [(8,), (8, 5)])
def test_all_pairs_are_answered_as_one_by_one(hidden: tuple[int, ...]) -> None:
    pairs, plain = PairNetwork(2, 3, hidden, 4), mlp([5, *hidden, 4], "relu")
    plain.load_state_dict(dict(zip(plain.state_dict(), pairs.state_dict().values(), strict=True)))
    latent, step = drawn(6, 7, 2), drawn(6, 5, 3, seed=1)
    found = pairs(latent, step)
    assert found.shape == (6, 7, 5, 4)
    for row in range(6):
        for i in range(7):
            for j in range(5):
                torch.testing.assert_close(found[row, i, j], plain(torch.cat([latent[row, i], step[row, j]])))


def test_the_change_of_a_state_is_not_told_what_followed() -> None:
    decoder = Decoder(2, 3, 2, (8,), states=True)
    latent, seen, action = drawn(4, 5, 2), drawn(4, 6, 3), drawn(4, 6, 2)
    one, other = (decoder(latent, seen, action, drawn(4, 6, 3, seed=seed)) for seed in (1, 2))
    assert torch.equal(one.change, other.change)
    assert one.change.shape == (4, 5, 6, 3)
    assert not torch.equal(one.reward, other.reward)
    assert one.reward.shape == (4, 5, 6)
    assert Decoder(2, 3, 2, (8,), states=False)(latent, seen, action, seen).change is None


def test_initial_parameters_follow_from_the_seed() -> None:
    space, config = SPACES["box"], NetworkConfig((6,))
    one, other, third = (make_belief_policy(OBSERVATION, space, config, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(p, other[name]) for name, p in one.items())
    assert not all(torch.equal(p, third[name]) for name, p in one.items())
    with pytest.raises(ConfigError, match="--hidden: a recurrent policy needs at least one layer"):
        make_belief_policy(OBSERVATION, space, NetworkConfig(()), 0)
