"""Causal attention to a window: every step attends to itself and to the W - 1 steps before it.

    o_t = sum over s of a_ts v_s,    a_ts = softmax over s of (R_t q_t) . (R_s k_s) / sqrt(width),    t - W < s <= t

R_t turns pairs of numbers by angles that grow with t (rotary positions, Su et al. 2021), so that a product of query and
key depends on t - s alone. There is nothing to learn for each age, so that ages which trials rarely reach are no
special case. The fastest pair turns by about 1 a step and the slowest by about 1 / W, so that it does not come round
within the window. All of them are back where they began after `AROUND` steps, modulo which t is counted. So no trial is
too long for the numbers: a step late in it costs the same as an early one, and is as exact.

Long sequences are cut into blocks as long as the window without its last step. Then all that a block attends to is in
itself and in the one before it, and the cost grows with the length of the sequence rather than with its square.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad

AROUND = 2**20
"""Steps after which positions repeat; a float32 holds every number up to it."""


class Window(NamedTuple):
    """Who attends to whom, the same in all layers."""

    time: int
    """Steps that are read."""
    block: int
    """Steps of a block."""
    hidden: Tensor
    """``[n, blocks, 1, block, cache + block]``: keys that a query does not attend to."""
    turn: Tensor
    """``[2, n, time, 1, pairs]``: cosines and sines of the angles of each step."""


def in_blocks(x: Tensor, time: int, block: int) -> Tensor:
    """``[n, time, ...]`` in blocks ``[n, blocks, block, ...]``, the last one filled up with zeros."""
    return torch.unflatten(pad(x, (0, 0) * (x.dim() - 2) + (0, -time % block)), 1, (-1, block))


def in_spans(x: Tensor, time: int, block: int) -> Tensor:
    """What each block may attend to: ``[n, cache + time, ...]`` to ``[n, blocks, cache + block, ...]``. A block is all
    there is, or as long as the cache."""
    if time == block:
        return x.unsqueeze(1)
    parts = in_blocks(x, block + time, block)
    return torch.cat([parts[:, :-1], parts[:, 1:]], 2)


def window_of(steps: int, time: int, known: Tensor, position: Tensor, pairs: int) -> Window:
    """The window of `time` steps after a cache of ``max(steps - 1, 1)`` slots.

    Args:
        steps: of the window.
        known: ``[n]``: how many slots hold a step. They are the last ones.
        position: ``[n]``: of the first of the steps, modulo `AROUND`.
        pairs: of numbers that are turned.
    """
    cache = max(steps - 1, 1)
    block, slot = min(time, cache), torch.arange(cache + time, device=known.device)
    age = slot[cache : cache + block, None] - slot[: cache + block]  # [block, cache + block]
    empty = in_spans(slot < (cache - known).unsqueeze(1), time, block)  # [n, blocks, cache + block]
    hidden = (age < 0) | (age >= steps) | empty[:, :, None, None]
    # In double: angles of single precision would be wrong by more than all other rounding.
    speed = steps ** -torch.linspace(1, 0, pairs, dtype=torch.float64, device=known.device)
    whole = (speed * (AROUND / math.tau)).round() * (math.tau / AROUND)  # radians a step
    angle = (position.unsqueeze(1) + slot[:time]).double().unsqueeze(-1) * whole  # [n, time, pairs]
    return Window(time, block, hidden, torch.stack([angle.cos(), angle.sin()]).to(known.dtype).unsqueeze(3))


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """Pairs of numbers of ``[n, time, heads, width]``, turned by the angles of `turn`; a last number without another
    stays."""
    (cos, sin), pairs = turn.unbind(), turn.shape[-1]
    first, second, rest = x[..., :pairs], x[..., pairs : 2 * pairs], x[..., 2 * pairs :]
    return torch.cat([first * cos - second * sin, first * sin + second * cos, rest], -1)


class AttentionBlock(nn.Module):
    """One layer of a transformer, normalised before each part (Xiong et al. 2020):

    ``x += attention(norm(x));  x += gelu(norm(x) U) D``.

    Weights are Xavier-uniform. Those that write into ``x`` are divided by the root of the number of parts that do.
    """

    def __init__(self, units: int, heads: int, layers: int) -> None:
        super().__init__()
        self._heads, self._scale = heads, 1 / math.sqrt(units // heads)
        self.before_attention, self.before_mlp = nn.LayerNorm(units), nn.LayerNorm(units)
        self.query, self.key, self.value = (nn.Linear(units, units, bias=False) for _ in range(3))
        self.attended = nn.Linear(units, units)
        self.up, self.down = nn.Linear(units, 2 * units), nn.Linear(2 * units, units)
        for layer in (self.query, self.key, self.value, self.attended, self.up, self.down):
            writes = layer in (self.attended, self.down)
            nn.init.xavier_uniform_(layer.weight, 1 / math.sqrt(2 * layers) if writes else 1.0)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, cache: Tensor, window: Window) -> tuple[Tensor, Tensor]:
        """Read ``[n, time, units]`` after a `cache` of keys and values ``[n, slots, 2, units]``; also gives the keys
        and values of these steps ``[n, time, 2, units]``. Keys are kept as they were turned."""
        seen = self.before_attention(x)
        # [n, time, units] -> [n, time, heads, width].
        query, key, value = (self._by_head(part(seen)) for part in (self.query, self.key, self.value))
        query = turned(query * self._scale, window.turn)
        new = torch.stack([turned(key, window.turn).flatten(2), value.flatten(2)], 2)
        spans = in_spans(torch.cat([cache, new], 1), window.time, window.block)
        # [n, blocks, cache + block, 2, units] -> [n, blocks, heads, cache + block, width] twice.
        key, value = (self._by_head(one).transpose(2, 3) for one in spans.unbind(3))
        scores = in_blocks(query, window.time, window.block).transpose(2, 3) @ key.mT
        shares = scores.masked_fill(window.hidden, -math.inf).softmax(-1)  # [n, blocks, heads, block, cache + block]
        # [n, blocks, heads, block, width] -> [n, blocks * block, units], of which the last may be filling.
        found = (shares @ value).transpose(2, 3).flatten(3).flatten(1, 2)[:, : window.time]
        x = x + self.attended(found)
        return x + self.down(gelu(self.up(self.before_mlp(x)))), new

    def _by_head(self, x: Tensor) -> Tensor:
        """``[..., units]`` to ``[..., heads, width]``."""
        return torch.unflatten(x, -1, (self._heads, -1))
