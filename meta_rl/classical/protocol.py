"""The tables of Duan et al. 2016 (RL^2) for classical agents: their rows, and how to play and tune for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

import envs
from meta_rl.classical import bandits, mdps
from meta_rl.classical.base import Array, ClassicalAgent
from meta_rl.core.seeding import Purpose, generator, integer
from meta_rl.sources.collect import rollout

CHUNK = 250
"""Tasks played at once: few enough for the processor's cache."""


class StreamPurposes(NamedTuple):
    """Random streams of the tasks, of the environments and of the agents."""

    split: str
    tasks: Purpose
    env: Purpose
    agent: Purpose


TEST = StreamPurposes("test", Purpose.TEST_TASKS, Purpose.TEST_ENV, Purpose.TEST_NOISE)
TUNE = StreamPurposes("train", Purpose.TRAIN_TASKS, Purpose.TRAIN_ENV, Purpose.TRAIN_NOISE)


class TableRow(NamedTuple):
    """One line of a table.

    Attributes:
        env: name of the task distribution.
        setting: what agents are told.
        episodes: of one trial.
        agents: name -> agent.
        published: agent name -> mean total reward of a trial in the paper, over 1000 tasks.
        num_tasks: enough for a standard error below 0.4 %.
    """

    env: str
    setting: tuple[int, ...]
    episodes: int
    agents: Mapping[str, type[ClassicalAgent]]
    published: Mapping[str, float]
    num_tasks: int


def bandit(num_arms: int, num_pulls: int) -> TableRow:
    """One episode of pulls; published numbers where the paper has that size."""
    published = dict(zip(bandits.AGENTS, _BANDITS.get((num_pulls, num_arms), ()), strict=False))
    setting = bandits.BanditSetting(num_arms, num_pulls)
    return TableRow(f"bandit/k{num_arms}-n{num_pulls}", setting, 1, bandits.AGENTS, published, 20000)


def tabular(num_episodes: int) -> TableRow:
    """Episodes of 10 steps in a random MDP; published numbers where the paper has that many."""
    published = dict(zip(mdps.AGENTS, _TABULAR.get(num_episodes, ()), strict=False))
    setting = mdps.MdpSetting(num_states=10, num_actions=5, horizon=10, num_episodes=num_episodes)
    return TableRow("tabular", setting, num_episodes, mdps.AGENTS, published, 4000 if num_episodes <= 10 else 2000)


def play_trials(
    agent: type[ClassicalAgent],
    row: TableRow,
    num_tasks: int,
    seed: int,
    streams: StreamPurposes = TEST,
    constant: float | None = None,
) -> Array:
    """One trial on each of `num_tasks` freshly drawn tasks, the same ones for every agent and constant.

    Returns:
        Rewards summed up so far ``[task, step of the trial]``.
    """
    distribution = envs.make(row.env, streams.split)
    tasks = distribution.sample(generator(seed, streams.tasks), num_tasks)
    totals: list[Array] = []
    for start in range(0, num_tasks, CHUNK):
        chunk = tasks[start : start + CHUNK]
        shape = (len(chunk), 1)
        with distribution.make(*shape) as env:
            env.set_tasks(chunk)
            actor = agent(shape, row.setting, generator(seed, streams.agent, start), constant)
            rewards = []
            for episode in range(row.episodes):
                seeds = [integer(seed, streams.env, episode, start + i) for i in range(len(chunk))]
                rewards.append(rollout(env, actor, None, seeds).reward[:, 0])
        totals.append(np.concatenate(rewards, 1).cumsum(1, dtype=np.float64))
    return np.concatenate(totals)


def tune(agent: type[ClassicalAgent], rows: list[TableRow], num_tasks: int, seed: int) -> dict[tuple[int, ...], float]:
    """For every row the constant of `agent.grid` that earns most, by tasks and luck that no test uses.

    The agents act alike however long the trial will be, so one run of the longest trial, the last of `rows`, serves
    all of them. Where constants earn the same, the first wins.
    """
    steps = [_num_steps(row) for row in rows]
    earned = [
        play_trials(agent, rows[-1], num_tasks, seed, TUNE, c)[:, np.array(steps) - 1].mean(0) for c in agent.grid
    ]
    best = np.argmax(earned, axis=0)
    return {row.setting: agent.grid[i] for row, i in zip(rows, best, strict=True)}


def _num_steps(row: TableRow) -> int:
    """Env steps of a trial."""
    return row.episodes * envs.make(row.env).horizon


# In the order of `bandits.AGENTS`, by (pulls, arms): table 1 of the paper.
_BANDITS = {
    (10, 5): (5.0, 6.6, 5.7, 6.7, 6.6, 6.6),
    (10, 10): (5.0, 6.6, 5.5, 6.7, 6.6, 6.6),
    (10, 50): (5.1, 6.5, 5.2, 6.6, 6.5, 6.5),
    (100, 5): (49.9, 78.3, 74.7, 78.0, 75.4, 74.8),
    (100, 10): (49.9, 82.8, 76.7, 82.4, 77.4, 77.1),
    (100, 50): (49.8, 85.2, 64.5, 84.3, 78.3, 78.0),
    (500, 5): (249.8, 405.8, 402.0, 405.8, 388.2, 380.6),
    (500, 10): (249.0, 437.8, 429.5, 437.1, 408.0, 395.0),
    (500, 50): (249.6, 463.7, 427.2, 457.6, 413.6, 402.8),
}
# In the order of `mdps.AGENTS`, by episodes: table 2 of the paper.
_TABULAR = {
    10: (100.1, 138.1, 144.1, 146.6, 150.2, 132.8, 134.8),
    25: (250.2, 408.8, 425.2, 424.1, 427.8, 377.3, 368.8),
    50: (499.7, 904.4, 930.7, 918.9, 917.8, 823.3, 769.3),
    75: (749.9, 1417.1, 1449.2, 1427.6, 1422.6, 1293.9, 1172.9),
    100: (999.4, 1939.5, 1973.9, 1942.1, 1935.1, 1778.2, 1578.5),
}
_RL2_BANDITS = {
    (10, 5): 6.7, (10, 10): 6.7, (10, 50): 6.8, (100, 5): 78.7, (100, 10): 83.5, (100, 50): 84.9,
    (500, 5): 401.6, (500, 10): 432.5, (500, 50): 438.9,
}  # fmt: skip
_RL2_TABULAR = {10: 156.2, 25: 445.7, 50: 936.1, 75: 1428.8, 100: 1913.7}
RL2_PUBLISHED = {(f"bandit/k{arms}-n{pulls}", 1): mean for (pulls, arms), mean in _RL2_BANDITS.items()} | {
    ("tabular", episodes): mean for episodes, mean in _RL2_TABULAR.items()
}
"""(env, episodes of a trial) -> RL^2's own column of the tables: mean total reward of a trial."""
BANDIT_ROWS = [[bandit(arms, pulls) for pulls in (10, 100, 500)] for arms in (5, 10, 50)]
"""Rows of the bandits, by arms, then by pulls."""
TABULAR_ROWS = [tabular(episodes) for episodes in _TABULAR]
