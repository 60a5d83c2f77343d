"""How the lines of groups look in pictures: the same recipe looks the same in every picture.

Colours are those of Okabe and Ito (2008), which people with any kind of colour vision tell apart, without the yellow,
which is pale on white. Markers tell the same without colour. Recipes of one idea share a colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meta_rl.evaluation.grouping import UNTRAINED

BLUE, SKY, GREEN, ORANGE = "#0072b2", "#56b4e9", "#009e73", "#e69f00"
VERMILION, PURPLE, BLACK, GREY = "#d55e00", "#cc79a7", "#000000", "#8a8a8a"
LOOKS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("maml-trpo", "maml"), (BLUE, "o")),
    **dict.fromkeys(("fomaml-trpo", "fomaml"), (SKY, "v")),
    **dict.fromkeys(("metasgd-trpo", "metasgd"), (SKY, "s")),
    "maml-dice-trpo": (SKY, "^"),
    "maml-ppo": (SKY, "D"),
    "maml-vpg": (SKY, "X"),
    "promp": (SKY, "P"),
    **dict.fromkeys(("reptile", "reptile-supervised"), (PURPLE, "D")),
    "rl2": (GREEN, "^"),
    "rl2-gru": (GREEN, "v"),
    "rl2-sac": (VERMILION, "^"),
    "rma": (GREEN, "P"),
    "pearl": (VERMILION, "D"),
    "varibad": (GREEN, "p"),
    "dagger": (PURPLE, "P"),
    "bc": (PURPLE, "X"),
    "multitask-trpo": (ORANGE, "s"),
    "multitask-ppo": (VERMILION, "s"),
    "meta-lstm": (GREEN, "^"),
    "prototypical": (ORANGE, "p"),
    "matching": (VERMILION, "s"),
    "matching-fce": (VERMILION, "X"),
    **dict.fromkeys(("siamese", "siamese-koch"), (BLACK, "h")),
    "pretrained": (GREY, "*"),
    "random": (GREY, "x"),
    UNTRAINED: (GREY, "."),
}
"""Colour and marker of recipes."""
OTHER = BLACK
"""Colour of recipes of one's own, told apart by their markers."""
MARKERS = "o^sDvPXph*"
DASHES = ("-", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
"""Line styles of several groups of one recipe. Dashes alone stand for what is not adapted yet."""

Look = Mapping[str, Any]
"""Colour, marker and line style: arguments of a plot."""


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """The look of each group, by its label (a recipe, and what differs)."""
    seen: dict[str, int] = {}
    others: dict[str, str] = {}
    found: dict[str, Look] = {}
    for label in labels:
        recipe = label.partition(" ")[0]
        if recipe not in LOOKS:
            others.setdefault(recipe, MARKERS[len(others) % len(MARKERS)])
        colour, marker = LOOKS.get(recipe) or (OTHER, others[recipe])
        number = seen[recipe] = seen.get(recipe, -1) + 1
        found[label] = {"color": colour, "marker": marker, "linestyle": DASHES[number % len(DASHES)]}
    return found
