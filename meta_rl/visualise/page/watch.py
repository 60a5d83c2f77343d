"""Episodes on the page of a run: a map of every task at every stage, their replays, a video."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from envs import NoDisplayError, TaskDistribution
from meta_rl.errors import ConfigError, Say
from meta_rl.evaluation.playing import Shown
from meta_rl.evaluation.recording import Recording
from meta_rl.evaluation.words import counted
from meta_rl.runs.display import Bar, Display
from meta_rl.visualise import side_by_side, video
from meta_rl.visualise.page.heatmap import heat_map
from meta_rl.visualise.page.replay import Replays

FILMED = 4
"""Tasks in the video."""
PICTURES, LASTING = 60, 5
"""Pictures in the video and seconds that it takes, about, while episodes last. Drawing robots without a graphics card
is most of what a page costs."""


def episodes(shown: Shown, replays: Replays, say: Say) -> dict[str, Any]:
    """What `assets/page.html` shows of the episodes of a run; nothing where it has none.

    Args:
        replays: where the replays go.
    """
    if not shown.played:
        return {"parts": []}
    judged, display = shown.played[shown.run.record.split], Display.of(say)
    film, poster, note = _film(*judged, display)
    if film is None:
        display(f"no video on the page: {note}")
    with display.bar("packing replays", sum(len(played.tasks) for played, _ in shown.played.values())) as bar:
        packed = {name: _replay(replays, *both, bar) for name, both in shown.played.items()}
    return {
        "has_success": shown.run.record.has_success,
        "video": film,
        "video_poster": poster,
        "video_note": note,
        "parts": heat_map(shown.played),
        "opened": judged.recording.typical(1)[0],
        "replays": packed,
    }


def _film(played: Recording, distribution: TaskDistribution, display: Display) -> tuple[str | None, str, str]:
    """The video and its last picture in base64, and its caption; or None, nothing, and the reason."""
    families = {task.family for task in played.tasks}
    rows = played.typical(1 if len(families) > 1 else 2)[:FILMED]
    try:
        video.require_av()
        distribution.scene(played.tasks[rows[0]]).require_display()
    except (ConfigError, NoDisplayError) as error:
        return None, "", str(error)
    every = max(1, round(distribution.horizon / PICTURES))
    pictures = side_by_side.frames(played, distribution.scene, rows, every)
    last: list[side_by_side.Picture] = []

    def noted() -> Iterator[side_by_side.Picture]:
        for picture in pictures:
            last[:] = [picture]
            yield picture

    with display.bar("drawing the video", side_by_side.picture_count(played, rows, every)) as bar:
        encoded = video.encode(bar.over(noted()), max(2, round(distribution.horizon / every / LASTING)))
    film, poster = (base64.b64encode(data).decode() for data in (encoded, video.still(*last)))
    which = ", ".join(str(played.positions[row]) for row in rows)
    tasks = counted(len(rows), f"typical {played.about['split']} task")
    improvement = "its improvement is the median" if len(rows) == 1 else "their improvement is the median"
    if len(families) > 1:
        improvement += " of each family"
    stages = " and ".join(dict.fromkeys(played.stage_name(stage) for stage in (0, played.stages - 1)))
    stages += ", after the practice between them, sped up" if played.practice else ""
    return film, poster, f"{tasks} ({which}): {improvement}. Shown {stages}."


def _replay(replays: Replays, played: Recording, distribution: TaskDistribution, bar: Bar) -> list[dict[str, Any]]:
    tasks = list(bar.over(replays.tasks(played, distribution.scene)))
    for task, position in zip(tasks, played.positions, strict=True):
        task["position"] = position
    return tasks
