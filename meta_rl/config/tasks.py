"""The task distribution of a config."""

from __future__ import annotations

import envs
from meta_rl.config.train import TrainConfig


def make_distribution(config: TrainConfig, split: str = "train") -> envs.TaskDistribution:
    """The distribution that a policy learns from or is judged on, with the options that its run has.

    Raises:
        UnknownNameError: no such distribution or split.
    """
    return envs.make(config.env, split, **config.env_options.given())
