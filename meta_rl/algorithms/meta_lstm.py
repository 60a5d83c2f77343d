"""The LSTM meta-learner (Ravi and Larochelle 2017): the update rule of a network is itself learned.

Every coordinate of the network's parameters is the cell state c of an LSTM whose candidate is minus the gradient:

    c_t = f_t c_(t-1) - i_t grad_t
    f_t = sigmoid(w_f . [h_t, c_(t-1), f_(t-1)] + b_f),    i_t = sigmoid(w_i . [h_t, c_(t-1), i_(t-1)] + b_i)
    h_t = LSTM(preprocessed gradient and loss)

With f = 1 and i = inner_lr that is gradient descent. All coordinates share the weights; c_0, the initialisation of the
network, is learned too. Gradient and loss enter by their logarithm and sign (section 3.2), because they span many
orders of magnitude. They are constants to the meta-gradient, as in the paper: no second derivatives.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from meta_rl.algorithms import supervised
from meta_rl.algorithms.base import spread_params
from meta_rl.algorithms.supervised import SUPERVISED_LOSSES
from meta_rl.config import MetaLstmConfig
from meta_rl.core.groups import task_groups
from meta_rl.core.state import TrainState
from meta_rl.core.task_map import over_tasks
from meta_rl.core.types import Examples, MetaBatch, Metrics, Params, map_tensors
from meta_rl.core.weights import Weights, joined, parted
from meta_rl.maths import gradient_step, inner_loop
from meta_rl.maths.trust_region import ravel, unravel
from meta_rl.networks import functional
from meta_rl.networks.cell import LstmCell
from meta_rl.networks.fewshot import Network
from meta_rl.networks.initial import drawn_from


class Memory(NamedTuple):
    """Memory of the update rule for each coordinate: hidden and cell state ``[coordinate, units]``, and the last forget
    and input gates ``[coordinate]``."""

    hidden: Tensor
    cell: Tensor
    forget: Tensor
    input: Tensor


class UpdateRule(nn.Module):
    """The LSTM over gradient and loss, and the gates that read it."""

    def __init__(self, units: int, p: float) -> None:
        super().__init__()
        self.reader = LstmCell(4, units, std=0.01)
        self.weight = nn.Parameter(torch.empty(2, units + 2).uniform_(-0.01, 0.01))
        # Starts by keeping nearly everything and taking small steps.
        self.forget_bias = nn.Parameter(torch.empty(()).uniform_(4, 5))
        self.input_bias = nn.Parameter(torch.empty(()).uniform_(-5, -4))
        self.p = p

    def forward(self, value: Tensor, gradient: Tensor, loss: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """New parameters ``[coordinate]`` from old ones, their gradient and the loss (a scalar)."""
        seen = torch.cat(
            [preprocess(gradient, self.p), preprocess(loss, self.p).expand(*gradient.shape, 2)], -1
        )  # [coordinate, 4]
        hidden, cell = self.reader(seen, memory.hidden, memory.cell)
        forget, take = (
            (hidden @ w[:-2] + value * w[-2] + last * w[-1] + bias).sigmoid()
            for w, last, bias in (
                (self.weight[0], memory.forget, self.forget_bias),
                (self.weight[1], memory.input, self.input_bias),
            )
        )
        return forget * value - take * gradient, Memory(hidden, cell, forget, take)

    def start(self, like: Tensor) -> Memory:
        """The memory before the first update of parameters ``[coordinate]``."""
        zeros = like.new_zeros(len(like), self.reader.units)
        return Memory(zeros, zeros, torch.ones_like(like), torch.zeros_like(like))


def preprocess(x: Tensor, p: float) -> Tensor:
    """``[...]`` -> ``[..., 2]``: ``(log|x| / p, sign x)``, or ``(-1, e^p x)`` where ``|x| < e^-p`` (Andrychowicz et al.
    2016, appendix A)."""
    large = x.abs() >= math.exp(-p)
    first = torch.where(large, x.abs().clamp(min=math.exp(-p)).log() / p, -torch.ones_like(x))
    return torch.stack([first, torch.where(large, x.sign(), math.exp(p) * x)], -1)


class MetaLstmAdapted(NamedTuple):
    """Tasks on their way: parameters and memory ``[task, ...]``, the update rule, and how many steps were taken."""

    params: Params
    memory: Memory
    rule: Params
    steps: int


class MetaLstm:
    """The learner; see `meta_rl.algorithms.supervised.FewShotLearner` for its verbs."""

    def __init__(self, config: MetaLstmConfig, network: Network) -> None:
        self.config, self.policy = config, network
        self._loss_function = SUPERVISED_LOSSES[network.kind]
        with drawn_from(network.seed, stage=1):
            self.rule = UpdateRule(config.hidden_units, config.preprocess_p)

    def init(self) -> TrainState:
        """The network as it was initialised, and the rule."""
        params, rule = ({n: p.detach().clone() for n, p in m.named_parameters()} for m in (self.policy, self.rule))
        return TrainState(0, 0, params, rule)

    def start(self, weights: Weights, num_tasks: int) -> MetaLstmAdapted:
        """The same parameters for every task (a view), nothing in memory."""
        memory = map_tensors(lambda x: x.expand(num_tasks, *x.shape), self.rule.start(ravel(weights.params.values())))
        return MetaLstmAdapted(spread_params(weights.params, num_tasks), memory, weights.shared, 0)

    @torch.no_grad()
    def adapt(self, adapted: MetaLstmAdapted, support: Examples) -> MetaLstmAdapted:
        """One update of every task."""

        def one(params: Params, memory: Memory, support: Examples) -> tuple[Params, Memory]:
            return self._updates(params, memory, adapted.rule, support, adapted.steps, 1)

        backend = supervised.test_backend(adapted.params)
        params, memory = over_tasks(backend, one, adapted.params, adapted.memory, support)
        return MetaLstmAdapted(params, memory, adapted.rule, adapted.steps + 1)

    def predict(self, adapted: MetaLstmAdapted, support: Examples, observation: Tensor, inductive: bool) -> Tensor:
        """See `FewShotLearner.predict`."""
        return supervised.predict_answers(self.policy, adapted.params, support, observation, inductive)

    def meta_update(self, state: TrainState, batch: MetaBatch) -> Metrics:
        """One Adam step on the mean query loss, through the updates of all tasks."""

        def one(params: Params, support: Examples, query: Examples) -> tuple[Tensor, Tensor]:
            network, rule = parted(params)
            memory = self.rule.start(ravel(network.values()))
            learned = self._updates(network, memory, rule, support, 0, self.config.inner_steps)[0]
            outputs = self.policy.apply(learned, query.observation)
            return self._loss_function(outputs, query), outputs

        def objective(part: MetaBatch) -> gradient_step.Loss:
            def loss(params: Params) -> tuple[Tensor, Tensor]:
                value, outputs = over_tasks("loop", one, params, part.support[0], part.query, in_dims=(None, 0, 0))
                return value.mean(), outputs.detach()

            return loss

        c = self.config
        # One task at a time: every step keeps its states of all coordinates, which for a batch would not fit.
        start = joined(state.params, state.shared)
        groups = task_groups(start, batch, batch.query.weight, "loop")
        moved, state.optimizer, metrics, seen, _ = gradient_step.descend(
            start, state.optimizer, gradient_step.group_losses(objective, groups), c.meta_lr, 1, c.max_grad_norm, False
        )
        state.params, state.shared = parted(moved)
        return metrics | supervised.scores(self.policy.kind, torch.cat(list(seen)), batch.query)

    def _updates(
        self, params: Params, memory: Memory, rule: Params, support: Examples, first: int, steps: int
    ) -> tuple[Params, Memory]:
        """`steps` updates of one task."""
        held = functional.frozen(self.policy)

        def update(params: Params, grads: Params, loss: Tensor, memory: Any) -> tuple[Params, Any]:
            flat = (ravel(params.values()), ravel(grads[name] for name in params), loss, memory)
            value, memory = functional.call(self.rule, rule, *flat)
            # The rule forgets, so it would move a frozen parameter, whose gradient is 0.
            return unravel(value, params) | {name: params[name] for name in held}, memory

        def loss(params: Params, examples: Examples) -> Tensor:
            return self._loss_function(self.policy.apply(params, examples.observation), examples)

        parts = inner_loop.minibatches(support, self.config.inner_batch, first, steps)
        return inner_loop.adapt_by(update, loss, params, memory, parts, first_order=True)
