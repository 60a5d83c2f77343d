"""The panel beside the scene: choices, Adapt, what is happening, the scores of all stages, time."""

from __future__ import annotations

from typing import Any

from meta_rl.evaluation.live import Live
from meta_rl.visualise.side_by_side import AFTER, BEFORE, PRACTICE

SPEEDS = {"¼": 0.25, "½": 0.5, "1": 1.0, "2": 2.0, "4": 4.0}
TIME_PLACES = 1000
"""Places of the time slider."""
LEGEND = (
    f'<span style="color:{BEFORE}">●</span> before adaptation{{ghost}} &ensp; '
    f'<span style="color:{AFTER}">●</span> after &ensp; <span style="color:{PRACTICE}">●</span> practice'
)


class Controls:
    """Handles of the panel of one visitor; what they do is up to `meta_rl.visualise.view.visitor`."""

    def __init__(self, gui: Any, live: Live, title: str) -> None:
        self._gui, self._live, families = gui, live, list(live.families)
        self._said = ""
        orange = tuple(bytes.fromhex(AFTER[1:]))
        self._orange = orange
        self.dark(False)
        gui.add_markdown(title)
        family, number = live.opened
        self.family = gui.add_dropdown("Family", families, initial_value=family, visible=len(families) > 1)
        self.number = gui.add_slider("Task", 0, max(1, self.count() - 1), 1, number, disabled=self.count() < 2)
        self._goal = gui.add_markdown("")
        self.adapt = gui.add_button("Adapt", color=orange, disabled=True)
        self.again = gui.add_button("Start over", disabled=True)
        self._status = gui.add_markdown("")
        self._scores = gui.add_markdown("")
        self._legend = gui.add_html("")
        self.play = gui.add_button("Pause")
        self.time = gui.add_slider("Time", 0, TIME_PLACES, 1, 0)
        self.speed = gui.add_dropdown("Speed", list(SPEEDS), initial_value="1")
        self.theme = gui.add_checkbox("Dark", False)

    def count(self) -> int:
        """Tasks of the chosen family."""
        return len(self._live.families[self.family.value])

    def begin_family(self) -> None:
        """Offer the tasks of another family from the first on."""
        self.number.max, self.number.disabled = max(1, self.count() - 1), self.count() < 2
        self.number.value = 0

    def chosen(self) -> tuple[str, int]:
        """The family, and the number in it."""
        return self.family.value, min(int(self.number.value), self.count() - 1)

    def busy(self, busy: bool) -> None:
        """Let Adapt be pressed, or not."""
        self.adapt.disabled = self.again.disabled = busy

    def say(self, words: str) -> None:
        """The one line that says what is happening."""
        if words != self._said:
            self._said, self._status.content = words, f"*{words}*"

    def dark(self, dark: bool) -> None:
        """The theme."""
        self._gui.configure_theme(
            control_layout="fixed",
            show_logo=False,
            show_share_button=False,
            brand_color=self._orange,
            dark_mode=dark,
        )

    def show(self, ghost: bool) -> None:
        """Everything that depends on the task or on the stages so far.

        Args:
            ghost: the stage before adaptation stands in the scene of the one after it.
        """
        live = self._live
        movable = live.movable()
        self.number.label = "Goal" if live.scene.marks().get("goal") else "Task"
        self._goal.content = live.scene.goal + (", drag it to another place" if movable else "")
        self._legend.content = f"<small>{LEGEND.format(ghost=' (ghost)' if ghost else '')}</small>"
        success = live.recording.about["has_success"]
        lines = ["| | return | success |", "|---|---|---|"] if success else ["| | return |", "|---|---|"]
        for stage in range(live.steps + 1):
            value, solved = live.score(stage)
            met = f" {'yes' if solved else 'no'} |" if success else ""
            lines.append(f"| {live.names.name(stage)} | {value:.2f} |{met}")
        self._scores.content = "\n".join(lines)

    def playing(self, playing: bool) -> None:
        """The word on the button that stops time."""
        self.play.label = "Pause" if playing else "Play"
