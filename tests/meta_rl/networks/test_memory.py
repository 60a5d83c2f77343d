"""Memories: stepping equals unrolling, the cells equal torch's own layers, and RL2 learns with one from outside."""

from __future__ import annotations

from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.config import NetworkConfig, default_config, replace_paths
from meta_rl.networks.memory import CELLS, Lstm, MemoryLayer
from meta_rl.sources.base import Plan
from meta_rl.sources.in_process import InProcess

KEEP = 0.8


class Average(MemoryLayer):
    """Exponential average of a linear map of what was read: the state is ``[average, steps so far]``, the output the
    average without the bias towards the zeros that it began with."""

    rows_on_cpu = 100

    def __init__(self, inputs: int, units: int, config: NetworkConfig) -> None:
        super().__init__()
        self.units, self.state_size = units, units + 1
        self.read = nn.Linear(inputs, units)

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        return torch.cat([KEEP * state[:, :-1] + (1 - KEEP) * self.read(inputs), state[:, -1:] + 1], -1)

    def unroll(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """All steps at once: a step counts ``KEEP ** k`` after k others."""
        time = torch.arange(inputs.shape[1], dtype=inputs.dtype)
        shares = (1 - KEEP) * torch.tril(KEEP ** (time[:, None] - time).clamp(min=0))  # [time, time]
        average = shares @ self.read(inputs) + KEEP ** (time[:, None] + 1) * state[:, None, :-1]  # [n, time, units]
        states = torch.cat([average, (state[:, -1:] + time + 1).unsqueeze(-1)], -1)  # [n, time, units + 1]
        return self.output(states), states[:, -1]

    def output(self, state: Tensor) -> Tensor:
        return state[..., :-1] / (1 - KEEP ** state[..., -1:])


MEMORIES = CELLS | {"average": Average}


def test_every_row_of_the_table_can_be_asked_for() -> None:
    assert set(get_args(get_type_hints(NetworkConfig)["cell"])) == set(CELLS)


@pytest.mark.parametrize("name", MEMORIES)
def test_a_memory_unrolls_what_it_steps(name: str) -> None:
    """From the empty memory, in one piece and in two, with the gradients of one as those of the other."""
    torch.manual_seed(0)
    memory = MEMORIES[name](5, 6, NetworkConfig()).double()
    inputs, start = torch.randn(4, 9, 5, dtype=torch.float64), torch.zeros(4, memory.state_size, dtype=torch.float64)
    outputs, last = memory.unroll(inputs, start)
    assert outputs.shape == (4, 9, memory.units)
    first, between = memory.unroll(inputs[:, :5], start)
    second, end = memory.unroll(inputs[:, 5:], between)
    torch.testing.assert_close(torch.cat([first, second], 1), outputs)
    torch.testing.assert_close(end, last)
    state, stepped = start, []
    for t in range(9):
        state = memory.step(inputs[:, t], state)
        assert state.shape == start.shape
        stepped.append(memory.output(state))
    torch.testing.assert_close(torch.stack(stepped, 1), outputs)
    torch.testing.assert_close(state, last)
    params, direction = list(memory.parameters()), torch.randn_like(outputs)
    for mine, theirs in zip(
        torch.autograd.grad((torch.stack(stepped, 1) * direction).sum(), params),
        torch.autograd.grad((outputs * direction).sum(), params),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_rl2_learns_with_a_memory_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row in the table is all that it takes; the learner finds the actor's log-probabilities again."""
    monkeypatch.setitem(CELLS, "average", Average)
    changes = {"network.cell": "average", "network.hidden": (7, 6), "algorithm.chunk": 30, "algorithm.minibatches": 2}
    config, distribution = replace_paths(default_config("rl2", "navigation"), changes), envs.make("navigation")
    learner = make_learner(config, distribution)
    state = learner.init()
    source = InProcess(distribution, learner, Plan(meta_batch_size=5, episodes_per_task=2, seed=0))
    batch = source.sample(state.weights, 0).batch
    source.close()
    before = {name: p.clone() for name, p in state.params.items()}
    metrics = learner.meta_update(state, batch)
    assert metrics["guard/non_finite_gradient"] == 0
    assert np.isfinite(list(metrics.values())).all()
    assert {name for name in before if name.startswith("recurrent.")} == {
        "recurrent.read.weight",
        "recurrent.read.bias",
    }
    assert all((state.params[name] != p).any() for name, p in before.items())
    # At the parameters that acted nothing has moved yet, so that the first step of an update finds no divergence.
    once = make_learner(replace_paths(config, {"algorithm.epochs": 1, "algorithm.minibatches": 1}), distribution)
    assert abs(once.meta_update(once.init(), batch)["update/kl"]) < 1e-6


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
def test_steps_and_unrolling_equal_torchs_layer(cell: str, dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    mine = CELLS[cell](5, 32, NetworkConfig()).to(dtype)
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
    lstm = Lstm(5, 8, NetworkConfig())
    assert (lstm.bias_ih + lstm.bias_hh).tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16
    for weight in lstm.weight_hh.split(8):
        torch.testing.assert_close(weight @ weight.T, torch.eye(8))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_memory_steps_are_how_long_a_cell_remembers(cell: str) -> None:
    """With no input and no other gate's say, a state fades by the forget gate alone: 1 / (1 - gate) steps."""
    torch.manual_seed(0)
    layer = CELLS[cell](5, 400, NetworkConfig(memory_steps=50))
    bias = layer.bias_ih.split(400)
    steps = 1 / (1 - torch.sigmoid(bias[1]))
    assert 2 <= steps.min() < 4 < 46 < steps.max() <= 50
    assert steps.mean().item() == pytest.approx(26, abs=2)  # uniform
    others = [bias[0] + bias[1], bias[2], bias[3]] if cell == "lstm" else [bias[0], bias[2]]
    assert not any(gate.any() for gate in others)
