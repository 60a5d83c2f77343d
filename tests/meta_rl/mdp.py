"""Decision problems so small that every expectation can be written out: 2 states, 2 actions, 3 steps, 64 trajectories.

A batch that holds every trajectory once, its advantages multiplied by its probability, turns the sample means of the
losses into exact expectations.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from meta_rl.core.types import Batch, Params, map_tensors
from meta_rl.maths.distributions import Categorical
from meta_rl.networks.policy import Policy

STATES, ACTIONS, HORIZON = 2, 2, 3


class Tabular(Policy):
    """Softmax over a row of logits for each state; observations are one-hot states."""

    noise_kind = "uniform"
    noise_shape = (1,)

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.logits = nn.Parameter(torch.randn(STATES, ACTIONS, dtype=torch.float64, generator=rng))

    def forward(self, observation: Tensor) -> Categorical:
        return Categorical(observation @ self.logits)


class Mdp:
    """Random dynamics and rewards; everything below is a function of the policy's logits ``[state, action]``."""

    def __init__(self, seed: int) -> None:
        rng = torch.Generator().manual_seed(100 + seed)
        draw = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=rng)  # noqa: E731
        self.start = torch.softmax(draw(STATES), -1)
        self.transition = torch.softmax(draw(STATES, ACTIONS, STATES), -1)
        self.reward = 3 * draw(STATES, ACTIONS)
        paths = itertools.product(*[range(STATES)] * HORIZON, *[range(ACTIONS)] * HORIZON)
        states_actions = torch.tensor(list(paths))
        self.states, self.actions = states_actions[:, :HORIZON], states_actions[:, HORIZON:]
        moves = self.transition[self.states[:, :-1], self.actions[:, :-1], self.states[:, 1:]]
        self.dynamics_probability = self.start[self.states[:, 0]] * moves.prod(-1)
        rewards = self.reward[self.states, self.actions]
        self.rewards_to_go = rewards.flip(-1).cumsum(-1).flip(-1)
        """``[trajectory, time]``."""

    def probability(self, logits: Tensor) -> Tensor:
        """Of every trajectory ``[64]``."""
        policy = torch.softmax(logits, -1)[self.states, self.actions]
        return self.dynamics_probability * policy.prod(-1)

    def expected_return(self, logits: Tensor) -> Tensor:
        """By dynamic programming, not by trajectories."""
        policy, value = torch.softmax(logits, -1), torch.zeros(STATES, dtype=torch.float64)
        for _ in range(HORIZON):
            value = (policy * (self.reward + self.transition @ value)).sum(-1)
        return self.start @ value

    def batch(self, logits: Tensor, baseline: Tensor | None = None) -> Batch:
        """Every trajectory once ``[env = 64, time]``; a mean over it is an expectation under `logits`.

        `baseline` ``[state]`` is subtracted from the rewards to go.
        """
        logits = logits.detach()
        probability = self.probability(logits)
        advantage = self.rewards_to_go - (0 if baseline is None else baseline[self.states])
        return Batch(
            torch.eye(STATES, dtype=torch.float64)[self.states],
            self.actions,
            torch.log_softmax(logits, -1)[self.states, self.actions],
            advantage * len(probability) * probability.unsqueeze(-1),
            torch.ones_like(advantage),
        )


def stack(batches: list[Batch]) -> Batch:
    """Several tasks as one batch ``[task, env, time]``."""
    return Batch(*(torch.stack(parts) for parts in zip(*batches, strict=True)))


def detached(params: Params) -> Params:
    """Leaves to differentiate at."""
    return map_tensors(lambda p: p.detach().clone().requires_grad_(), params)  # type: ignore[no-any-return]
