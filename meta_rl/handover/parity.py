"""Whether an exported policy does what its player does, and how long a step takes."""

from __future__ import annotations

import copy
import platform
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from meta_rl.agents.agent import Agent
from meta_rl.agents.player import Player
from meta_rl.core import normaliser
from meta_rl.errors import RunError
from meta_rl.handover.formats import Runner
from meta_rl.handover.graph import Graph

RANDOM_STEPS = 300
"""Random steps of the check."""
EPISODE = 50
"""Steps between two ends of an episode in it."""
TOLERANCE = 1e-5
"""Largest difference of an action: relative to it where it is above 1."""
TIMED = 500
"""Calls whose median is the latency."""


@dataclass(frozen=True)
class Parity:
    """Result of the check.

    Attributes:
        steps: number of random steps.
        difference: the largest of an action, in units of `TOLERANCE`'s rule.
        latency_us: median microseconds of a call with one observation, one thread.
        machine: kind of processor that it was measured on.
    """

    steps: int
    difference: float
    latency_us: float
    machine: str


def check_parity(graph: Graph, run: Runner, agent: Agent, player: Player | None) -> Parity:
    """Run the graph beside the player, or beside the network of an agent of labelled examples.

    Raises:
        RunError: they differ.
    """
    rng = np.random.default_rng(0)
    pairs = _steps(graph, run, agent, player, rng) if player else _answers(run, agent, rng)
    difference = max(_differ(found, expected) for found, expected in pairs)
    if not difference <= TOLERANCE:
        raise RunError(f"--format: the exported policy differs from its player by {difference:.2g} in {RANDOM_STEPS} "
                       f"random steps, more than {TOLERANCE:g}; nothing was written")  # fmt: skip
    given = {name: tensor[:1].numpy() for name, tensor in graph.inputs.items()}
    return Parity(RANDOM_STEPS, difference, latency(lambda: run(given)), platform.machine())


def _steps(
    graph: Graph, run: Runner, agent: Agent, player: Player, rng: np.random.Generator
) -> Iterator[tuple[NDArray[Any], Any]]:
    """Actions of the graph and of a copy of `player` over episodes of random observations and rewards."""
    player = copy.copy(player)
    player.reset()
    memory, reward, done = np.array([graph.memory], np.float32), 0.0, False
    for step in range(RANDOM_STEPS):
        seen = random_observation(agent, rng)
        every = {"observation": seen[None], "reward": np.array([reward], np.float32), "done": np.array([done]),
                 "memory": memory}  # fmt: skip
        action, *memories = run({name: every[name] for name in graph.inputs})
        memory = memories[0] if memories else memory
        yield action[0], player.act(seen)
        reward, done = float(rng.normal()), step % EPISODE == EPISODE - 1
        player.observe(reward, done)


def _answers(run: Runner, agent: Agent, rng: np.random.Generator) -> Iterator[tuple[NDArray[Any], Any]]:
    """Answers of the graph and of the network to random inputs."""
    module = agent.module()
    for _ in range(RANDOM_STEPS):
        seen = random_observation(agent, rng)[None]
        with torch.no_grad():
            yield run({"observation": seen})[0], module(torch.from_numpy(seen)).numpy()


def random_observation(agent: Agent, rng: np.random.Generator) -> NDArray[Any]:
    """An observation ``[*obs]`` within its bounds: normal, around the mean of training where that was measured. An item
    is any of them."""
    space = agent.interface.observation_space
    if isinstance(space, gym.spaces.Discrete):
        return np.asarray(rng.integers(space.n), np.int64)
    assert isinstance(space, gym.spaces.Box)
    found = normaliser.scaling(agent.weights.statistics)
    mean, scale = (0.0, 1.0) if found is None else (part.numpy() for part in found)
    drawn = np.clip(mean + scale * rng.normal(size=space.shape), space.low, space.high)
    return np.asarray(drawn, np.float32)


def _differ(found: NDArray[Any], expected: Any) -> float:
    """The largest difference, relative where numbers are above 1; infinite if one is not a number."""
    expected = np.asarray(expected, np.float64)
    off = np.abs(found - expected) / np.maximum(1, np.abs(expected))
    return float(np.nan_to_num(off, nan=np.inf).max(initial=0))


def latency(call: Any) -> float:
    """Median microseconds of ``call()``."""
    took = []
    for _ in range(TIMED + TIMED // 10):
        began = time.perf_counter_ns()
        call()
        took.append(time.perf_counter_ns() - began)
    return statistics.median(took[TIMED // 10 :]) / 1000  # the first ones warm up
