"""A trained policy as one graph with named inputs and outputs, and all that its user has to know of it as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from meta_rl.agents.agent import Agent
from meta_rl.agents.player import Player
from meta_rl.config import RECIPES
from meta_rl.core.interface import Interface
from meta_rl.errors import ConfigError
from meta_rl.networks.modules import RecurrentModule, StepModule

POLICY_SCHEMA = 1
"""Version of what `Graph.about` holds."""


@dataclass(frozen=True)
class Graph:
    """A module that is traced, by the names of what goes in and comes out.

    Attributes:
        inputs: name -> an example ``[2, ...]``; the first axis may be of any size.
        outputs: names, in the order of the module's answers.
        memory: the first value of the input of that name; empty if there is none.
        about: JSON-able: what the file says of itself.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    memory: tuple[float, ...]
    about: dict[str, Any]


def graph_of(agent: Agent, player: Player | None = None) -> Graph:
    """The graph of `agent`.

    Args:
        player: of this agent, whose adapted weights or memory it has; None: as it was meta-learned.
    Raises:
        ConfigError: the agent has no network, or its answers are no function of one observation.
    """
    if RECIPES[agent.config.recipe].learns != "rl":
        return _answering(agent)
    player = player or agent.player()
    try:
        module = player.module()
    except ConfigError:
        raise ConfigError(f"--format: {agent.config.recipe} has no network to export; valid: agent") from None
    seen = {"observation": example_of(agent.interface.observation_space)}
    if not isinstance(module, RecurrentModule):
        return _graph(agent, module, seen, ("action",), practised(player))
    space = agent.interface.action_space
    discrete = isinstance(space, gym.spaces.Discrete)
    step = StepModule(module, seen["observation"].shape[-1], 0 if discrete else gym.spaces.flatdim(space))
    memory = step.begin()
    followed = {"reward": torch.zeros(2), "done": torch.zeros(2, dtype=torch.bool)}
    inputs = seen | followed | {"memory": memory.repeat(2, 1)}
    return _graph(agent, step, inputs, ("action", "next_memory"), practised(player), memory[0], step.parts)


def practised(player: Player) -> dict[str, Any]:
    """What `player` practised last, JSON-able; empty if it did not adapt."""
    return player.practice.to_dict() if player.practice else {}


def _answering(agent: Agent) -> Graph:
    """The graph of an agent that has learned from labelled examples: its network before adaptation."""
    recipe = agent.config.recipe
    if RECIPES[recipe].learns == "classes":
        raise ConfigError(f"--format: {recipe} answers by comparing embeddings with those of the examples, which no "
                          "graph of one input holds; valid: agent")  # fmt: skip
    if getattr(agent.learner.policy, "batch_statistics", False):
        raise ConfigError(f"--format: this {recipe} normalises over its batch (--norm batch), so that an answer "
                          "depends on the other inputs; valid: agent")  # fmt: skip
    return _graph(agent, agent.module(), {"observation": example_of(agent.interface.observation_space)}, ("answer",))


def example_of(space: gym.spaces.Space[Any]) -> Tensor:
    """Two observations of `space`, of zeros ``[2, ...]``: float32, or numbers of items."""
    if isinstance(space, gym.spaces.Discrete):
        return torch.zeros(2, dtype=torch.int64)
    assert space.shape is not None
    return torch.zeros(2, *space.shape)


def _graph(
    agent: Agent,
    module: nn.Module,
    inputs: dict[str, Tensor],
    outputs: tuple[str, ...],
    practice: dict[str, Any] | None = None,
    memory: Tensor | None = None,
    parts: dict[str, int] | None = None,
) -> Graph:
    first = () if memory is None else tuple(memory.tolist())
    interface: Interface = agent.interface
    about = {
        "schema": POLICY_SCHEMA,
        "recipe": agent.config.recipe,
        "env": agent.config.env,
        "tasks": agent.learned_from,
        "seed": agent.config.seed,
        "iteration": agent.iteration,
        "env_steps": agent.env_steps,
        "practice": practice or {},
        **interface.to_dict(),
        "inputs": {name: described(tensor) for name, tensor in inputs.items()},
        "outputs": list(outputs),
        "memory": list(first),
        "memory_parts": parts or {},
    }
    return Graph(module.eval(), inputs, outputs, first, about)


def described(tensor: Tensor) -> dict[str, Any]:
    """Form of an input, without its first axis."""
    return {"shape": list(tensor.shape[1:]), "dtype": str(tensor.dtype).removeprefix("torch.")}
