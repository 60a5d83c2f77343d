"""Configs: all that can be asked for, and the valid values.

Nothing here imports torch or metaworld, so that the command line parses, checks and refuses within a fraction of a
second. The names below are imported when first used: the table of recipes alone needs neither tyro nor environments.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meta_rl.config.base import AlgorithmConfig as AlgorithmConfig
    from meta_rl.config.base import EnvOptions as EnvOptions
    from meta_rl.config.base import EvaluateConfig as EvaluateConfig
    from meta_rl.config.base import NetworkConfig as NetworkConfig
    from meta_rl.config.base import Recipe as Recipe
    from meta_rl.config.base import check_choice as check_choice
    from meta_rl.config.checks import check_protocol as check_protocol
    from meta_rl.config.checks import check_ranges as check_ranges
    from meta_rl.config.checks import validate as validate
    from meta_rl.config.codec import RESUMABLE_CHANGES as RESUMABLE_CHANGES
    from meta_rl.config.codec import changed_fields as changed_fields
    from meta_rl.config.codec import data_places as data_places
    from meta_rl.config.codec import dotted as dotted
    from meta_rl.config.codec import fixed_fields as fixed_fields
    from meta_rl.config.codec import from_dict as from_dict
    from meta_rl.config.codec import load_config as load_config
    from meta_rl.config.codec import settings as settings
    from meta_rl.config.codec import to_dict as to_dict
    from meta_rl.config.codec import with_plain_values as with_plain_values
    from meta_rl.config.codec import without_places as without_places
    from meta_rl.config.fewshot import EpisodesConfig as EpisodesConfig
    from meta_rl.config.recipes.maml import MamlConfig as MamlConfig
    from meta_rl.config.recipes.maml import SupervisedMamlConfig as SupervisedMamlConfig
    from meta_rl.config.recipes.meta_lstm import MetaLstmConfig as MetaLstmConfig
    from meta_rl.config.recipes.metric import MatchingConfig as MatchingConfig
    from meta_rl.config.recipes.metric import MetricConfig as MetricConfig
    from meta_rl.config.recipes.metric import SiameseConfig as SiameseConfig
    from meta_rl.config.recipes.pearl import PearlConfig as PearlConfig
    from meta_rl.config.recipes.random import RandomConfig as RandomConfig
    from meta_rl.config.recipes.reptile import ReptileConfig as ReptileConfig
    from meta_rl.config.recipes.reptile import SupervisedReptileConfig as SupervisedReptileConfig
    from meta_rl.config.recipes.rl2 import Rl2Config as Rl2Config
    from meta_rl.config.recipes.table import DEFAULTS as DEFAULTS
    from meta_rl.config.recipes.table import RECIPES as RECIPES
    from meta_rl.config.recipes.table import register_recipe as register_recipe
    from meta_rl.config.tasks import about_tasks as about_tasks
    from meta_rl.config.tasks import make_distribution as make_distribution
    from meta_rl.config.train import TrainConfig as TrainConfig
    from meta_rl.config.train import annealing_note as annealing_note
    from meta_rl.config.train import default_config as default_config
    from meta_rl.config.train import replace_paths as replace_paths
    from meta_rl.config.train import settled as settled

_NAMES = {
    "base": ("AlgorithmConfig", "EnvOptions", "EvaluateConfig", "NetworkConfig", "Recipe", "check_choice"),
    "checks": ("check_protocol", "check_ranges", "validate"),
    "codec": (
        "RESUMABLE_CHANGES",
        "changed_fields",
        "data_places",
        "dotted",
        "fixed_fields",
        "from_dict",
        "load_config",
        "settings",
        "to_dict",
        "with_plain_values",
        "without_places",
    ),
    "fewshot": ("EpisodesConfig",),
    "recipes.maml": ("MamlConfig", "SupervisedMamlConfig"),
    "recipes.meta_lstm": ("MetaLstmConfig",),
    "recipes.metric": ("MatchingConfig", "MetricConfig", "SiameseConfig"),
    "recipes.pearl": ("PearlConfig",),
    "recipes.random": ("RandomConfig",),
    "recipes.reptile": ("ReptileConfig", "SupervisedReptileConfig"),
    "recipes.rl2": ("Rl2Config",),
    "recipes.table": ("DEFAULTS", "RECIPES", "register_recipe"),
    "tasks": ("about_tasks", "make_distribution"),
    "train": ("TrainConfig", "annealing_note", "default_config", "replace_paths", "settled"),
}
"""The modules, and what they have."""
_HOME = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"meta_rl.config.{_HOME[name]}"), name)
    raise AttributeError(f"module 'meta_rl.config' has no attribute {name!r}")
