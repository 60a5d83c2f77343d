"""What papers report on the same few-shot tasks, and what must be said of numbers on them."""

from __future__ import annotations

from meta_rl.config.fewshot import parse_name

# Accuracy in per cent on Omniglot's random split with turned characters as classes, by N-way K-shot. Third-party
# transcriptions are Reptile and FOMAML; the Siamese column is Koch's, for the contrastive loss there is none.
_TASKS = ("5way-1shot", "5way-5shot", "20way-1shot", "20way-5shot")
PUBLISHED = {
    (recipe, f"omniglot-{tasks}"): text
    for recipe, values in {
        "maml": ("98.7 (transductive)", "99.9", "95.8", "98.9"),
        "fomaml": ("98.3 (transductive)", "99.2", "89.4", "97.9"),
        "reptile-supervised": ("95.39 / 97.68 transductive", "98.90 / 99.48", "88.14 / 89.43", "96.65 / 97.12"),
        "siamese-koch": ("97.3", "98.4", "88.2", "97.0"),
        "matching": ("98.1", "98.9", "93.8", "98.5"),
        "prototypical": ("98.8", "99.7", "96.0", "98.9"),
    }.items()
    for tasks, text in zip(_TASKS, values, strict=True)
} | {
    ("maml", "sinusoid-5shot"): "0.67 / 0.38 / 0.35 after 1 / 5 / 10 steps",
    ("pretrained", "sinusoid-5shot"): "2.41 / 2.23 / 2.19 after 1 / 5 / 10 steps",
}
"""By recipe and tasks."""

SYNTHETIC = "The ratings are synthetic: these numbers prove that the code works, and nothing about recommendation."


CAUTIONS = {"synthetic-ratings": SYNTHETIC}
"""By kind of tasks."""


def caution(env: str) -> list[str]:
    """What must stand beside numbers on these tasks: one sentence, or none."""
    name = parse_name(env)
    return [CAUTIONS[name.kind]] if name and name.kind in CAUTIONS else []
