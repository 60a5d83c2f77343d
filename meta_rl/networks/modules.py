"""Networks with their weights inside: PyTorch modules to call, trace, export and save, without a learner."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from meta_rl.core import normaliser
from meta_rl.core.interface import Space, from_env, to_env
from meta_rl.core.types import Params
from meta_rl.errors import ConfigError
from meta_rl.networks.recurrent import RecurrentPolicy, tick


def fill(module: nn.Module, params: Params, normalised: bool = False) -> None:
    """Let `module` hold `params`, so that calling, tracing or saving it gives what was learned.

    Args:
        normalised: its inputs have to be normalised first. Then it refuses to be called with the parameters that it
            holds: `Reader` and the modules below know how.
    """
    with torch.no_grad():
        for name, p in module.named_parameters():
            if name in params:
                p.copy_(params[name])
    if normalised and _refuse_raw not in module._forward_pre_hooks.values():
        module.register_forward_pre_hook(_refuse_raw)


def filled(module: nn.Module, params: Params) -> Any:
    """A copy of `module` that holds `params`, for use and not for learning."""
    twin = copy.deepcopy(module).requires_grad_(False)
    for key, hook in list(twin._forward_pre_hooks.items()):
        if hook is _refuse_raw:
            del twin._forward_pre_hooks[key]
    fill(twin, params)
    return twin


def _refuse_raw(module: nn.Module, inputs: Any) -> None:
    """Refuse a call with the module's own parameters; those of `meta_rl.networks.functional.call` are plain tensors."""
    if isinstance(next(module.parameters()), nn.Parameter):
        raise ConfigError(
            f"{type(module).__name__}: it reads normalised observations; agent.module() and player.module() give a "
            "module that normalises them"
        )


class Reader(nn.Module):
    """Observations as a policy reads them: float32, normalised if there are statistics (as the buffers ``mean`` and
    ``scale``)."""

    def __init__(self, statistics: Params) -> None:
        super().__init__()
        found = normaliser.scaling(statistics)
        mean, scale = (None, None) if found is None else found
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, observation: Tensor) -> Tensor:
        """``[..., obs]`` to the same shape."""
        observation = observation.float()
        if self.mean is None or self.scale is None:
            return observation
        return normaliser.scaled(observation, self.mean, self.scale)  # type: ignore[arg-type]


class ActingModule(nn.Module):
    """A feed-forward policy: from observations as environments give them to actions as they take them.

    Args:
        params: of the policy, without a task axis.
        statistics: of observations; empty if they are not normalised.
    """

    def __init__(self, policy: nn.Module, params: Params, statistics: Params, action_space: Space) -> None:
        super().__init__()
        self.read, self.policy, self._space = Reader(statistics), filled(policy, params), action_space

    def distribution(self, observation: Tensor) -> Any:
        """The action distribution at ``[..., obs]`` (`meta_rl.maths.distributions`), whose discrete actions are counted
        from 0."""
        return self.policy(self.read(observation))

    def forward(self, observation: Tensor) -> Tensor:
        """The mode actions ``[..., action]`` at ``[..., obs]``; discrete ones are integers ``[...]``."""
        action: Tensor = to_env(self._space, self.distribution(observation).mode())
        return action


class RecurrentModule(nn.Module):
    """A recurrent policy: a step from observations and memory to actions and the next memory.

        state, recall, clock = module.begin(n)                     # what the adaptation left, for n environments
        action, state = module(observation, state, recall)
        recall, clock = module.remember(observation, action, reward, done, clock)

    Args:
        params: of the policy, in place of its own.
        statistics: of observations; empty if they are not normalised.
        memory: to begin with, ``[1, ...]`` each: recurrent state, recall of the previous step, clock.
        recall: of a step, as the next one reads it (`meta_rl.networks.recurrent_actor.Recall`).
    """

    def __init__(
        self,
        policy: RecurrentPolicy,
        params: Params,
        statistics: Params,
        memory: tuple[Tensor, Tensor, Tensor],
        recall: Any,
        action_space: Space,
    ) -> None:
        super().__init__()
        self.read, self.policy = Reader(statistics), filled(policy, params)
        for name, tensor in zip(("state", "recalled", "clock"), memory, strict=True):
            self.register_buffer(name, tensor)
        self._recall, self._space = recall, action_space

    def begin(self, count: int) -> tuple[Tensor, ...]:
        """The memory before the first step, for `count` environments: state ``[n, state_size]``, recall
        ``[n, recall_size]``, clock ``[n, 2]``."""
        return tuple(self.get_buffer(name).expand(count, -1) for name in ("state", "recalled", "clock"))

    def forward(self, observation: Tensor, state: Tensor, recall: Tensor) -> tuple[Tensor, Tensor]:
        """The mode actions ``[n, *action]`` at ``[n, obs]``, and the next state."""
        inputs = self.policy.inputs(self.read(observation).to(state.dtype), recall)
        distribution, state = self.policy.step(inputs, state)
        return self.as_sent(distribution.mode()), state

    def as_sent(self, action: Tensor) -> Tensor:
        """The policy's `action` as environments are sent it."""
        sent: Tensor = to_env(self._space, action)
        return sent

    def remember(
        self, observation: Tensor, action: Tensor, reward: Tensor, done: Tensor, clock: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The recall and the clock that the next step reads.

        Args:
            observation, action: of this step, ``[n, obs]`` and ``[n, *action]`` as the environments were sent them.
            reward, done: what followed, ``[n]``; `done` where the episode is over.
        """
        dtype = self.get_buffer("state").dtype
        over = done.to(dtype)
        clock = tick(clock, over)
        answered = from_env(self._space, action)
        seen = self.read(observation).to(dtype)
        return self._recall(seen, answered, reward.to(dtype), over, clock), clock


class StepModule(nn.Module):
    """A recurrent policy as one call per env step, with all that it remembers in one tensor.

        memory = module.begin()                                    # what the adaptation left
        action, memory = module(observation, reward, done, memory)

    Before the first step `reward` and `done` are not read. The memory is `parts` side by side, ``[n, size]``.

    Attributes:
        parts: name -> width: recurrent state; recall and clock that the last step read; its observation and its action;
            whether there was a last step, 0 or 1.
    """

    def __init__(self, module: RecurrentModule, observation_dim: int, action_dim: int) -> None:
        """Wrap `module`; `action_dim` is 0 for discrete actions."""
        super().__init__()
        self.module = module
        self._discrete = not action_dim
        widths = [module.get_buffer(name).shape[-1] for name in ("state", "recalled", "clock")]
        self.parts = dict(zip(("state", "recall", "clock"), widths, strict=True)) | {
            "observation": observation_dim,
            "action": action_dim or 1,
            "begun": 1,
        }

    def begin(self) -> Tensor:
        """The memory before the first step ``[1, size]``."""
        state, recall, clock = self.module.begin(1)
        seen, action, begun = (state.new_zeros(1, self.parts[name]) for name in ("observation", "action", "begun"))
        # The environment's number of the policy's action 0, because none may be below it.
        return torch.cat([state, recall, clock, seen, self.module.as_sent(action), begun], -1)

    def forward(self, observation: Tensor, reward: Tensor, done: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """The mode actions at ``[n, obs]``, and the next memory ``[n, size]``.

        Args:
            reward, done: what followed the last action, ``[n]`` each.
            memory: ``[n, size]``.
        """
        state, recall, clock, seen, acted, begun = torch.split(memory, list(self.parts.values()), -1)
        last = acted.squeeze(-1).round().long() if self._discrete else acted  # [n, 1] -> [n]
        recalled, ticked = self.module.remember(seen, last, reward, done, clock)
        went_on = begun > 0
        recall, clock = torch.where(went_on, recalled, recall), torch.where(went_on, ticked, clock)
        action, state = self.module(observation, state, recall)
        numbers = (action.unsqueeze(-1) if self._discrete else action).to(state.dtype)  # [n, action]
        parts = [state, recall, clock, observation.to(state.dtype), numbers, torch.ones_like(begun)]
        return action, torch.cat(parts, -1)
