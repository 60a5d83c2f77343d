"""Memories of recurrent policies: one interface, and the layers that have it.

A memory keeps everything that it knows of a sequence in one flat tensor, ``state [n, state_size]``; zeros are the empty
memory, with which every trial begins. It is stepped while acting and unrolled over whole sequences while learning, and
the two must agree. Nothing outside of the layer knows what its state holds. A gated cell keeps there what its gates let
in; a transformer the keys and values of the window of steps that it attends to, and how many there are.

To add a memory, write one class below `MemoryLayer`, and give it one row in `CELLS` and that row's name in
`meta_rl.config.NetworkConfig.cell`. Then ``--cell NAME`` selects it; policy and learner stay as they are.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from meta_rl.config import NetworkConfig
from meta_rl.errors import ConfigError
from meta_rl.networks.attention import AROUND, AttentionBlock, window_of

# Parameters are tensors of their own everywhere here; cuDNN copies them together at each call, a few megabytes.
warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")


class MemoryLayer(nn.Module, ABC):
    """Interface of a layer that remembers what it has read.

    A layer is made by ``Layer(inputs, units, config)``: numbers that it reads at every step, numbers that the heads
    read of it, and the settings of the network, from which it takes those that concern it. It refuses those that do not
    fit together by a ConfigError.

    Attributes:
        units: numbers that the heads read.
        state_size: numbers of a state.
        rows_on_cpu: sequences that one thread unrolls together when gradients are taken on a CPU; the fastest number by
            measurement. Fewer keep all that one step touches in the cache; more need fewer operations.
        meanings: settings that give weights another meaning, though the same shapes. Whoever takes over the weights has
            to have the same.
    """

    units: int
    state_size: int
    rows_on_cpu: int
    meanings: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """The state ``[n, state_size]`` after reading ``[n, in]``."""

    @abstractmethod
    def unroll(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs ``[n, time, units]`` on ``[n, time, in]`` from `state`, and the state after them: the same as `step`
        and `output` one time after another."""

    @abstractmethod
    def output(self, state: Tensor) -> Tensor:
        """Features ``[n, units]`` that the heads read, from a state ``[n, state_size]``."""

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """`unroll`; so the layer is a function of its parameters by itself (`meta_rl.networks.functional.call`)."""
        return self.unroll(inputs, state)


class GatedCell(MemoryLayer):
    """A cell with gates: the weights of torch's layer of the same name, gates stacked ``[gates * units, in]``.

    Input weights are Xavier-uniform and recurrent ones orthogonal, gate by gate; biases are zero, or those of
    `NetworkConfig.memory_steps`. The output is the first `units` numbers of the state.
    """

    gates: int

    def __init__(self, inputs: int, units: int, config: NetworkConfig) -> None:
        super().__init__()
        self.units = self.state_size = units
        self.weight_ih = nn.Parameter(torch.empty(self.gates * units, inputs))
        self.weight_hh = nn.Parameter(torch.empty(self.gates * units, units))
        self.bias_ih = nn.Parameter(torch.zeros(self.gates * units))
        self.bias_hh = nn.Parameter(torch.zeros(self.gates * units))
        for gate in range(self.gates):
            rows = slice(gate * units, (gate + 1) * units)
            nn.init.xavier_uniform_(self.weight_ih.data[rows])  # [units, in]
            nn.init.orthogonal_(self.weight_hh.data[rows])  # [units, units]
        if config.memory_steps:  # in both cells the second gate keeps what is remembered
            self.bias_ih.data[units : 2 * units].uniform_(1, config.memory_steps - 1).log_()  # [units]

    @property
    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The weights in the order that torch's functions take them."""
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def output(self, state: Tensor) -> Tensor:
        """See `MemoryLayer.output`."""
        return state[..., : self.units]  # [n, units]


class Lstm(GatedCell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000): the state is ``[hidden, cell]``.

    The bias of the forget gate starts at 1, so that memories last (Jozefowicz et al. 2015). With `memory_steps` it
    starts as `GatedCell` sets it, and the bias of the input gate at minus that.
    """

    gates = 4
    rows_on_cpu = 20  # oneDNN: the whole sequence is one operation

    def __init__(self, inputs: int, units: int, config: NetworkConfig) -> None:
        super().__init__(inputs, units, config)
        self.state_size = 2 * units
        gates = self.bias_ih.data[: 2 * units].chunk(2)  # [units] each: input gate, forget gate
        if config.memory_steps:
            gates[0].copy_(-gates[1])
        else:
            gates[1].fill_(1)

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """See `MemoryLayer.step`."""
        # [n, 2 * units] -> [n, units] twice, and back.
        return torch.cat(torch.lstm_cell(inputs, state.chunk(2, -1), *self.weights), -1)

    def unroll(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `MemoryLayer.unroll`."""
        start = [part.unsqueeze(0).contiguous() for part in state.chunk(2, -1)]  # [layer, n, units] each
        outputs, hidden, cell = torch.lstm(
            inputs, start, self.weights, True, 1, 0.0, torch.is_grad_enabled(), False, True
        )
        return outputs, torch.cat([hidden, cell], -1).squeeze(0)  # [layer, n, 2 * units] -> [n, 2 * units]


class Gru(GatedCell):
    """Gated recurrent unit (Cho et al. 2014), in the variant of torch and cuDNN; the state is ``[hidden]``."""

    gates = 3
    rows_on_cpu = 100  # torch: several operations per step

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """See `MemoryLayer.step`."""
        return torch.gru_cell(inputs, state, *self.weights)

    def unroll(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `MemoryLayer.unroll`."""
        outputs, hidden = torch.gru(
            inputs, state.unsqueeze(0), self.weights, True, 1, 0.0, torch.is_grad_enabled(), False, True
        )
        return outputs, hidden.squeeze(0)  # [layer, n, units] -> [n, units]


class Transformer(MemoryLayer):
    """A causal transformer over the steps of the trial (`meta_rl.networks.attention`).

    The state is ``[output, position, steps known, cache]``. The cache holds the keys and values of all layers at the
    steps before the next one that it may attend to, oldest first. Slots that no step has filled yet are not attended
    to. A step costs the same at any time.

    Gradients of a sequence go to the steps in it. What the cache holds of earlier steps is attended to as it is.

    Raises:
        ConfigError: heads that do not divide the units, or leave less than a pair to each.
    """

    rows_on_cpu = 20  # with long sequences 4 do as well
    meanings = ("attention_heads", "attention_window")

    def __init__(self, inputs: int, units: int, config: NetworkConfig) -> None:
        super().__init__()
        heads, layers, self._steps = config.attention_heads, config.attention_layers, config.attention_window
        if units % heads or units < 2 * heads:
            valid = ", ".join(str(n) for n in range(1, units // 2 + 1) if units % n == 0) or "none, take more units"
            raise ConfigError(
                f"--attention-heads: {heads} heads cannot share {units} units, at least 2 each; valid: {valid}"
            )
        self.units, self._pairs, self._slots = units, units // heads // 2, max(self._steps - 1, 1)
        self.state_size = units + 2 + self._slots * layers * 2 * units
        self.read = nn.Linear(inputs, units)
        nn.init.xavier_uniform_(self.read.weight)
        nn.init.zeros_(self.read.bias)
        self.layers = nn.ModuleList(AttentionBlock(units, heads, layers) for _ in range(layers))
        self.norm = nn.LayerNorm(units)

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """See `MemoryLayer.step`."""
        return self._unroll(inputs.unsqueeze(1), state, 1)[1]  # the time as a number, for programs that are traced

    def unroll(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `MemoryLayer.unroll`. All steps at once."""
        return self._unroll(inputs, state, inputs.shape[1])

    def _unroll(self, inputs: Tensor, state: Tensor, time: int) -> tuple[Tensor, Tensor]:
        position, known = state[:, self.units], state[:, self.units + 1]  # [n] both
        window = window_of(self._steps, time, known, position, self._pairs)
        slots = torch.unflatten(state[:, self.units + 2 :], 1, (self._slots, len(self.layers), 2, self.units))
        x, read = self.read(inputs), []  # x: [n, time, units]
        for layer, kept in zip(self.layers, slots.unbind(2), strict=True):
            x, new = layer(x, kept, window)
            read.append(new)
        outputs = self.norm(x)
        counts = [(position + time) % AROUND, (known + time).clamp(max=self._slots)]
        newest = torch.stack(read, 2)[:, -self._slots :].flatten(1)  # [n, slots * layers * 2 * units], or fewer slots
        rest = slots[:, time:].flatten(1)
        return outputs, torch.cat([outputs[:, -1], torch.stack(counts, 1), rest, newest], 1)

    def output(self, state: Tensor) -> Tensor:
        """See `MemoryLayer.output`."""
        return state[..., : self.units]  # [n, units]


CELLS: dict[str, type[MemoryLayer]] = {"lstm": Lstm, "gru": Gru, "transformer": Transformer}
"""The memory of each `NetworkConfig.cell`."""
