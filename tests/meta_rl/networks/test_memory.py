"""Memories: stepping equals unrolling, cells and attention equal torch's own, and RL2 learns with one from outside."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

import envs
from meta_rl.algorithms.base import make_learner
from meta_rl.config import NetworkConfig, default_config, replace_paths
from meta_rl.errors import ConfigError
from meta_rl.networks.attention import AROUND
from meta_rl.networks.memory import CELLS, Lstm, MemoryLayer, Transformer
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
HEADS = NetworkConfig(attention_heads=2)
# Windows of one step, shorter than a part of the sequence, as long as one, longer than the sequence.
WINDOWS = [replace(HEADS, attention_window=steps) for steps in (1, 2, 3, 5, 6, 20)]
LAYERS = [(name, HEADS) for name in MEMORIES] + [("transformer", config) for config in WINDOWS]


def test_every_row_of_the_table_can_be_asked_for() -> None:
    assert set(get_args(get_type_hints(NetworkConfig)["cell"])) == set(CELLS)


@pytest.mark.parametrize(("name", "config"), LAYERS, ids=lambda x: getattr(x, "attention_window", x))
def test_a_memory_unrolls_what_it_steps(name: str, config: NetworkConfig) -> None:
    """From the empty memory, in one piece and in two, with the gradients of one as those of the other."""
    torch.manual_seed(0)
    memory = MEMORIES[name](5, 6, config).double()
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


# -- attention ---------------------------------------------------------------------------------------------------------


def written_out(memory: Transformer, inputs: Tensor, window: int, heads: int) -> Tensor:
    """A transformer on a whole sequence ``[n, time, in]`` from the empty memory: torch's attention with a mask over all
    of it, and positions that are complex numbers counted from the start."""
    p, time, units = dict(memory.named_parameters()), inputs.shape[1], memory.units
    pairs = units // heads // 2
    step = torch.arange(time)
    age = step[:, None] - step
    speed = [1 / window] if pairs == 1 else [window ** -(1 - i / (pairs - 1)) for i in range(pairs)]
    rounds = torch.tensor(
        [float(round(s * AROUND / math.tau)) for s in speed], dtype=torch.float64
    )  # of a full turn, in AROUND steps
    turn = torch.polar(torch.tensor(1.0).double(), step[:, None] * rounds * (math.tau / AROUND))  # [time, pairs]

    def norm(x: Tensor, name: str) -> Tensor:
        return layer_norm(x, (units,), p[f"{name}.weight"], p[f"{name}.bias"])

    def by_head(x: Tensor, turns: bool) -> Tensor:
        x = torch.stack(x.split(units // heads, -1), 1)  # [n, heads, time, width]
        if not turns:
            return x
        both = torch.complex(x[..., :pairs], x[..., pairs : 2 * pairs]) * turn
        return torch.cat([both.real, both.imag, x[..., 2 * pairs :]], -1)

    x = inputs @ p["read.weight"].T + p["read.bias"]
    for name in (f"layers.{i}" for i in range(len(memory.layers))):
        seen = norm(x, f"{name}.before_attention")
        q, k, v = (
            by_head(seen @ p[f"{name}.{which}.weight"].T, which != "value") for which in ("query", "key", "value")
        )
        found = scaled_dot_product_attention(q, k, v, attn_mask=(age >= 0) & (age < window))
        x = x + torch.cat(list(found.unbind(1)), -1) @ p[f"{name}.attended.weight"].T + p[f"{name}.attended.bias"]
        inner = gelu(norm(x, f"{name}.before_mlp") @ p[f"{name}.up.weight"].T + p[f"{name}.up.bias"])
        x = x + inner @ p[f"{name}.down.weight"].T + p[f"{name}.down.bias"]
    return norm(x, "norm")


def transformer(inputs: int, units: int, **options: int) -> Transformer:
    """One in double whose parameters are all away from their initial values."""
    torch.manual_seed(0)
    options = {f"attention_{name}": value for name, value in options.items()}
    memory = Transformer(inputs, units, NetworkConfig(**options)).double()  # type: ignore[arg-type]
    for p in memory.parameters():
        p.data += 0.2 * torch.randn_like(p)
    return memory


@pytest.mark.parametrize("window", [1, 2, 3, 7, 8, 40])
@pytest.mark.parametrize(("units", "heads", "layers"), [(16, 2, 3), (6, 2, 1), (4, 2, 2), (5, 1, 1)])
def test_attention_equals_torchs_on_the_whole_sequence(window: int, units: int, heads: int, layers: int) -> None:
    """In one piece and in pieces, the first shorter than the window and a later one longer."""
    memory = transformer(3, units, window=window, heads=heads, layers=layers)
    inputs, state = torch.randn(4, 31, 3, dtype=torch.float64), torch.zeros(4, memory.state_size, dtype=torch.float64)
    expected = written_out(memory, inputs, window, heads)
    torch.testing.assert_close(memory.unroll(inputs, state)[0], expected, rtol=0, atol=1e-12)
    found = []
    for piece in inputs.split([2, 1, 5, 16, 7], 1):
        outputs, state = memory.unroll(piece, state)
        torch.testing.assert_close(memory.output(state), outputs[:, -1], rtol=0, atol=0)
        found.append(outputs)
    torch.testing.assert_close(torch.cat(found, 1), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-12)])
def test_attention_is_as_exact_late_in_a_trial_as_early(dtype: torch.dtype, tolerance: float) -> None:
    """Trials in one batch that are of different ages; the outputs have unit variance."""
    memory = transformer(3, 32, window=9).to(dtype)
    old = memory.unroll(torch.randn(2, 5000, 3, dtype=dtype), torch.zeros(2, memory.state_size, dtype=dtype))[1]
    young = memory.unroll(torch.randn(2, 3, 3, dtype=dtype), torch.zeros(2, memory.state_size, dtype=dtype))[1]
    state, inputs, stepped = torch.cat([old, young]), torch.randn(4, 30, 3, dtype=dtype), []
    outputs, last = memory.unroll(inputs, state)
    for t in range(30):
        state = memory.step(inputs[:, t], state)
        stepped.append(memory.output(state))
    torch.testing.assert_close(torch.stack(stepped, 1), outputs, rtol=0, atol=tolerance)
    torch.testing.assert_close(state, last, rtol=0, atol=tolerance)


def test_positions_may_go_around() -> None:
    """A trial that began some steps before positions repeat."""
    memory = transformer(3, 8, window=6).float()
    start = torch.zeros(2, memory.state_size)
    start[1, 8] = AROUND - 7  # after the output
    outputs, last = memory.unroll(torch.randn(1, 20, 3).expand(2, 20, 3), start)
    assert last[:, 8].tolist() == [20, 13]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=2e-6)


def test_a_step_that_left_the_windows_of_all_layers_is_forgotten() -> None:
    """Two layers of windows of 4 steps: what was read is in the outputs for 1 + 2 * 3 steps, and in no later one."""
    memory = transformer(3, 8, window=4, layers=2)
    inputs, empty = torch.randn(1, 20, 3, dtype=torch.float64), torch.zeros(1, memory.state_size, dtype=torch.float64)
    other = inputs.clone()
    other[:, 5] += 1
    differs = (memory.unroll(inputs, empty)[0] != memory.unroll(other, empty)[0]).any(-1)[0]
    assert differs.nonzero().flatten().tolist() == [5, 6, 7, 8, 9, 10, 11]


def test_gradients_of_attention_are_those_of_differences() -> None:
    memory = transformer(2, 4, window=3, heads=2, layers=2)
    inputs = torch.randn(2, 5, 2, dtype=torch.float64, requires_grad=True)
    state = memory.unroll(torch.randn(2, 2, 2, dtype=torch.float64), torch.zeros(2, memory.state_size).double())[1]
    head, cache = state.detach().split([6, memory.state_size - 6], 1)  # of output and counts there is no gradient

    def unrolled(inputs: Tensor, cache: Tensor, *params: Tensor) -> Tensor:
        return memory.unroll(inputs, torch.cat([head, cache], 1))[0]  # which are changed in place

    assert torch.autograd.gradcheck(
        unrolled, (inputs, cache.clone().requires_grad_(), *memory.parameters()), fast_mode=False
    )


@pytest.mark.parametrize(("units", "heads", "valid"), [(6, 4, "1, 2, 3"), (8, 8, "1, 2, 4"), (1, 1, "none")])
def test_heads_that_do_not_share_the_units_are_refused(units: int, heads: int, valid: str) -> None:
    with pytest.raises(ConfigError, match=f"--attention-heads: {heads} heads .* {units} units, .*valid: {valid}"):
        Transformer(5, units, NetworkConfig(attention_heads=heads))
