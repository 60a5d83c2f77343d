"""Begin a run with what another agent has learned: multi-task -> MAML, one family -> ten, somebody's agent -> my tasks.

Taken over are the network's parameters, parameters that all tasks share (learned step sizes; the new run's own first
ones where the agent has none of their names), the statistics of observations, and those of returns, whose units the
values are in. From the folder of a run come critics and their temperature too, which an exported agent has not. The
optimizer begins anew, and so does the replay. Env steps count on from the agent's:
a budget is all that the weights have seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from meta_rl.agents.agent import Agent, load
from meta_rl.config import TrainConfig, to_dict, without_places
from meta_rl.core.interface import Interface
from meta_rl.core.state import TrainState
from meta_rl.core.weights import Weights, adopt
from meta_rl.errors import ConfigError
from meta_rl.networks.memory import CELLS
from meta_rl.runs.folder import check_start
from meta_rl.runs.recorded import differing_interfaces


def load_start(config: TrainConfig, interface: Interface, fresh: Weights) -> Agent:
    """The agent that ``--start-from`` names, with its weights as this run's learner has them.

    Args:
        interface: of this run's tasks.
        fresh: what the learner begins with otherwise.
    Raises:
        ConfigError: there is no agent, or it does not fit, in one line that says why.
        CheckpointError: it is damaged.
    """
    check_start(config)
    folder = Path(config.start_from)
    agent = load(folder)
    for what, here, there in zip(("observations", "actions"), interface.forms, agent.interface.forms, strict=True):
        if here != there:
            raise ConfigError(f"--start-from: {folder} has {what} {there}, {config.env} has {here}")
    if changed := list(differing_interfaces(agent.interface, interface)):
        raise ConfigError(f"--start-from: {folder} has learned about other items: {'; '.join(changed)}")
    if bool(agent.weights.statistics) != bool(fresh.statistics):
        theirs = agent.config.network.normalise_observations
        raise ConfigError(f"--start-from: {folder} was trained with --normalise-observations {theirs}; valid here: the "
                          "same")  # fmt: skip
    mine, its = config.network, agent.config.network
    for name in CELLS[mine.cell].meanings if mine.cell == its.cell else ():
        if getattr(mine, name) != getattr(its, name):
            option = f"--{name.replace('_', '-')} {getattr(its, name)}"
            raise ConfigError(f"--start-from: {folder} was trained with {option}; valid here: the same")
    shared = agent.weights.shared if agent.weights.shared.keys() == fresh.shared.keys() else fresh.shared
    try:
        agent.weights = adopt(agent.weights._replace(shared=shared), fresh)
    except ValueError as error:
        raise ConfigError(
            f"--start-from: {folder} ({agent.config.recipe}) does not fit {config.recipe}: {error}"
        ) from None
    agent.extras = usable_extras(agent, config)
    return agent


def begin_with(state: TrainState, agent: Agent) -> dict[str, Any]:
    """Put the agent's weights into a new `state`, and return a record of the agent (JSON-able)."""
    state.params, state.shared, state.statistics = agent.weights
    state.extras = taken_over(state.extras, agent.extras)
    state.env_steps = agent.env_steps
    about = {"recipe": agent.config.recipe, "env": agent.trained_on, "seed": agent.config.seed}
    about |= {"iteration": agent.iteration, "env_steps": agent.env_steps}
    return about | {"config": to_dict(without_places(agent.config))}


def usable_extras(agent: Agent, config: TrainConfig) -> dict[str, Tensor]:
    """Further tensors of an agent that mean the same in a run of `config`: none where its values are of returns that
    are compressed here and not there, or the other way round."""
    here, there = (getattr(each.algorithm, "compress_returns", False) for each in (config, agent.config))
    return agent.extras if here == there else {}


def taken_over(own: dict[str, Tensor], found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Further tensors of an agent, copied, where they are of the same names and shapes as a new run's `own`; else
    these."""
    shapes = [{name: x.shape for name, x in group.items()} for group in (own, found)]
    return {name: found[name].clone() for name in own} if shapes[0] == shapes[1] else own
