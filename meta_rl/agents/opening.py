"""The tasks of an agent, opened to judge or to show it, and refused where they are not what it has learned from."""

from __future__ import annotations

from envs import TaskDistribution
from meta_rl.agents.agent import Agent
from meta_rl.config import make_distribution
from meta_rl.core.interface import Interface
from meta_rl.fewshot.tasks import TaskSet, open_tasks
from meta_rl.runs.recorded import differing, differing_interfaces, refuse_changes


def open_distribution(agent: Agent, split: str) -> TaskDistribution:
    """The task distribution of an agent that acts.

    Raises:
        ConfigError: its training tasks are others than they were, or the agent does not fit.
        UnknownNameError: no distribution or no split of this name.
    """
    name = agent.config.env
    distribution = make_distribution(agent.config, split)
    train = distribution if split == "train" else make_distribution(agent.config) if agent.learned_from else None
    changes = list(differing(agent.learned_from, train.fingerprint())) if train else []
    changes += differing_interfaces(agent.interface, Interface.of(distribution))
    refuse_changes("--env", name, changes)
    return distribution


def open_examples(agent: Agent, split: str) -> TaskSet:
    """The few-shot tasks of an agent that has learned from labelled examples.

    Raises:
        ConfigError: data is missing, damaged or too little, or it is not the data that the agent has learned from.
    """
    tasks = open_tasks(agent.config, split)
    shared = None if split == "train" else getattr(tasks, "shared", ())
    changes = list(differing(agent.learned_from, tasks.fingerprint(), shared))
    changes += differing_interfaces(agent.interface, Interface.of(tasks))
    option, what = ("--data", agent.config.fewshot.data) if agent.config.fewshot.data else ("--env", agent.config.env)
    refuse_changes(option, what, changes)
    return tasks
