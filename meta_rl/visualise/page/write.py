"""``report.html``: one file that holds everything it shows, and asks nothing of the network.

What a run has to show is handed in, judged and played; `run` arranges it, and the page itself is ``assets/page.html``
with its style sheet and scripts.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from meta_rl.config import TrainConfig
from meta_rl.errors import Say
from meta_rl.evaluation.kinds.base import Comparison
from meta_rl.evaluation.playing import Shown
from meta_rl.runs.display import Display
from meta_rl.runs.durable import replace_durably
from meta_rl.runs.standing import Begun
from meta_rl.visualise.page.replay import Replays
from meta_rl.visualise.page.run import gather
from meta_rl.visualise.page.together import together

LIMIT = 5_000_000
"""Bytes that a page may take; one that takes more goes without its videos."""
STYLE_SHEETS = ("page.css", "charts.css", "heatmap.css", "print.css")
SCRIPTS = (
    *("unpack.js", "solid.js", "plane.js", "plots.js", "practice.js", "replay.js", "moment.js"),
    *("heatmap.js", "charts.js", "answers.js", "page.js"),
)
"""What the page holds of the folder `assets`, in this order."""


class Written(NamedTuple):
    """A page: its file, and the video (.mp4) of each run on it, None where there is none."""

    path: Path
    videos: list[bytes | None]


def write_page(
    shown: Sequence[Shown | Begun], out: Path, say: Say = print, comparison: Comparison | None = None
) -> Written:
    """Write the page of runs.

    Args:
        shown: evaluated runs with their episodes, and others as far as they are; nothing is loaded or played here.
        out: the .html file.
        comparison: of the evaluated runs, where there are several.
    """
    replays, display = Replays(), Display.of(say)
    runs = [gather(one, replays, display) for one in shown]
    videos = [base64.b64decode(run["video"]) if run.get("video") else None for run in runs]
    for run, one, folder in zip(runs, shown, tabs(list(map(_folder, shown))), strict=True):
        run |= {"folder": folder, "tab": f"{_config(one).recipe}, seed {_config(one).seed}, {folder}"}
    opened = [_for_scripts(run) for run in runs]
    judged = [one.run for one in shown if isinstance(one, Shown)]
    compared = together(comparison, judged) if comparison else None
    data = replays.data() | {"runs": opened}
    page = _render(runs, compared, data).encode()
    if len(page) > LIMIT:
        for run in runs:
            run |= {"video": None, "video_note": f"no video: the page would be larger than {LIMIT / 1e6:.0f} MB"}
        page = _render(runs, compared, data).encode()
    replace_durably(out, page)
    return Written(out, videos)


def _for_scripts(run: dict[str, Any]) -> dict[str, Any]:
    """What the scripts read of a run; all else is in the page itself."""
    return {
        "parts": run.pop("replays", {}),
        "names": run["stage_names"],
        "opened": run.pop("opened", 0),
        "split": run.pop("split"),
        "tab": run["folder"],
        "files": [{key: file[key] for key in ("name", "type", "packed")} for file in run["files"]],
    }


def _folder(shown: Shown | Begun) -> Path:
    return shown.folder if isinstance(shown, Begun) else shown.run.folder


def _config(shown: Shown | Begun) -> TrainConfig:
    return shown.config if isinstance(shown, Begun) else shown.run.config


def tabs(folders: Sequence[Path]) -> list[str]:
    """What the tabs of runs are called: their folders, each with as many of the folders above it as tell them apart. A
    folder that is named twice is counted."""
    parts = [folder.resolve().parts for folder in folders]

    def called(mine: tuple[str, ...]) -> str:
        others = [other for other in parts if other != mine]
        long_enough = (n for n in range(1, len(mine) + 1) if all(other[-n:] != mine[-n:] for other in others))
        return "/".join(mine[-next(long_enough, len(mine)) :])

    names = [called(mine) for mine in parts]
    return [f"{name} ({names[:i].count(name) + 1})" if name in names[:i] else name for i, name in enumerate(names)]


def _render(runs: list[dict[str, Any]], comparison: dict[str, Any] | None, data: dict[str, Any]) -> str:
    assets = resources.files("meta_rl.visualise") / "assets"

    def asset(name: str) -> Markup:
        return Markup((assets / name).read_text(encoding="utf-8"))

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    # A script element ends at the first "</", whatever the text around it.
    text = Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"))
    return environment.from_string(asset("page.html")).render(
        page={"title": f"meta-rl: {', '.join(run['headline'] for run in runs[:1])}"},
        runs=runs,
        comparison=comparison,
        data=text,
        css=Markup("").join(map(asset, STYLE_SHEETS)),
        dark=asset("dark.css"),
        scripts=[asset(name) for name in SCRIPTS],
    )
