"""The task distribution of a config."""

from __future__ import annotations

import envs
from meta_rl.config import fewshot
from meta_rl.config.train import TrainConfig
from meta_rl.errors import ConfigError


def make_distribution(config: TrainConfig, split: str = "train") -> envs.TaskDistribution:
    """The distribution that a policy learns from or is judged on, with the options that its run has.

    Raises:
        UnknownNameError: no such distribution or split.
        ConfigError: its tasks are to be shown, and cannot be.
    """
    try:
        return envs.make(config.env, split, **config.env_options.given())
    except envs.UnshowableError as error:
        raise ConfigError(f"--task-visible: {error}; valid here: None") from None


def about_tasks(config: TrainConfig) -> str:
    """What the tasks of a run are, in a sentence or two for people; empty for a user's own."""
    if named := fewshot.parse_name(config.env):
        return fewshot.describe_task(named)
    try:
        return envs.about(config.env, **config.env_options.given())
    except envs.UnknownNameError:  # somebody else's, or not imported here
        return ""
