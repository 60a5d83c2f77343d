"""The table of recipes, gathered from the pages: every module of this folder is one."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from meta_rl.config.base import Recipe, Rows
from meta_rl.config.recipes import environments

_OTHERS = ("__init__", "environments", "table")
_PAGES = [
    import_module(f"meta_rl.config.recipes.{name}")
    for name in sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    if name not in _OTHERS
]

RECIPES: dict[str, Recipe] = {name: recipe for page in _PAGES for name, recipe in page.RECIPES.items()}


def _place(row: tuple[str, Recipe]) -> tuple[bool, bool]:
    """The order of recipes: first what learns from rewards, then from an expert, then few-shot learners."""
    _, recipe = row
    imitates = recipe.algorithm.taught_for is not None or recipe.algorithm.shown is not None
    return recipe.learns != "rl", imitates


RECIPES = dict(sorted(RECIPES.items(), key=_place))

DEFAULTS: Rows = [*environments.DEFAULTS, *(row for page in _PAGES for row in page.DEFAULTS)]
"""Rows for tasks under every recipe, then the rows of the recipes."""


def register_recipe(name: str, recipe: Recipe) -> None:
    """Make `recipe` known as `name`, to everything that takes the name of a recipe.

    Raises:
        ValueError: the name is taken.
    """
    if name in RECIPES:
        raise ValueError(f"{name!r} is already a recipe")
    RECIPES[name] = recipe
