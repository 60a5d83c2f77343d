"""Episodes of labelled examples on a page: support, truth, and what is answered after each adaptation step."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from meta_rl.evaluation.answers import Answered, Answers, Labelled
from meta_rl.visualise.page.charts import SMALL_FRAME, Series, chart

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SHOWN_SUPPORT = 20
"""Support examples of an episode, at most, where they are pictures or rows of a table."""


def answered_episodes(answers: Answers, names: list[str]) -> dict[str, Any]:
    """What `assets/page.html` shows of them.

    Args:
        names: of the steps.
    """
    episodes = []
    for number, episode in enumerate(answers.episodes):
        found: dict[str, Any] = {"number": number}
        if len(episode.inputs):
            found["svg"] = _curve(episode)
        elif answers.classes and episode.query.observation.ndim == 4:
            found |= {"pictures": _pictures(episode)}
        else:
            found |= {"rows": _rows(answers, episode), "given": _given(answers, episode.support)}
        score = [_score(answers, row, episode) for row in episode.answers]
        episodes.append(found | {"score": score[-1], "scores": "|".join(score)})
    legend = (
        [("truth", "truth"), ("after", "answer"), ("support", "support")] if len(answers.episodes[0].inputs) else []
    )
    return {"episodes": episodes, "names": names, "joined": "|".join(names), "legend": legend}


def _score(answers: Answers, given: NDArray[Any], episode: Answered) -> str:
    """How good the answers of a step are."""
    truth = episode.query.label
    if answers.classes:
        return f"{int((given == truth).sum())} of {len(truth)} right"
    return f"mean error {float(np.abs(given - truth).mean()):.2f}"


def _curve(episode: Answered) -> Markup:
    """A function of one number: the truth through the queries, the support as dots, a curve for each step."""
    order = np.argsort(episode.query.observation[:, 0])
    xs, truth = episode.query.observation[order, 0].tolist(), episode.query.label[order].tolist()
    series = [Series(xs, truth, "truth plain", "truth")]
    inputs = episode.inputs.tolist()
    for step, curve in enumerate(episode.curve):
        series.append(Series(inputs, curve.tolist(), "after plain answer", "answer", step=step))
    support = Labelled(episode.support.observation[:, 0], episode.support.label)
    series.append(Series(support.observation.tolist(), support.label.tolist(), "support dots", "support"))
    return chart(series, "input", "value", frame=SMALL_FRAME)


def _pictures(episode: Answered) -> dict[str, Any]:
    """Support and queries as pictures with the letters of their classes."""
    support = zip(episode.support.observation, episode.support.label, strict=True)
    given = sorted(((int(label), picture) for picture, label in support), key=lambda pair: pair[0])[:SHOWN_SUPPORT]
    asked = []
    for i, (picture, label) in enumerate(zip(episode.query.observation, episode.query.label, strict=True)):
        letters = [_letter(answer) for answer in episode.answers[:, i]]
        said = {"answers": "|".join(letters), "answer": letters[-1]}
        asked.append({"picture": _png(picture), "truth": _letter(label), **said})
    return {"given": [{"picture": _png(picture), "truth": _letter(label)} for label, picture in given], "asked": asked}


def _rows(answers: Answers, episode: Answered) -> list[dict[str, str]]:
    """A row for every query: what it is of, the truth, and the answers."""
    rows = []
    for i, (observation, label) in enumerate(zip(*episode.query, strict=True)):
        said = [_said(answers, answer) for answer in episode.answers[:, i]]
        about = _about(answers, observation, i)
        rows.append({"about": about, "truth": _said(answers, label), "answers": "|".join(said), "answer": said[-1]})
    return rows


def _given(answers: Answers, support: Labelled) -> str:
    """The support in words."""
    pairs = [
        f"{_about(answers, o, i)}: {_said(answers, label)}" for i, (o, label) in enumerate(zip(*support, strict=True))
    ]
    return ", ".join(pairs[:SHOWN_SUPPORT]) + (", ..." if len(pairs) > SHOWN_SUPPORT else "")


def _about(answers: Answers, observation: NDArray[Any], number: int) -> str:
    """What an example is of: an item, or its numbers if they are few, or its number among the others."""
    if observation.ndim == 0:
        item = int(observation)
        return f"item {answers.ids[item] if len(answers.ids) > item else item}"
    if observation.size <= 3:
        return ", ".join(f"{value:z.2f}" for value in observation.ravel())
    return f"example {number}"


def _said(answers: Answers, value: Any) -> str:
    return _letter(value) if answers.classes else f"{float(value):z.3g}"


def _letter(label: Any) -> str:
    """A class by a letter; by its number, where there are more."""
    return LETTERS[int(label)] if int(label) < len(LETTERS) else str(int(label))


def _png(picture: NDArray[np.float32]) -> str:
    """A picture ``[channel, height, width]`` of numbers from 0 to 1, in base64."""
    values = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(values[0] if len(values) == 1 else np.moveaxis(values[:3], 0, -1))
    if max(image.size) > 64:
        image.thumbnail((64, 64))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
