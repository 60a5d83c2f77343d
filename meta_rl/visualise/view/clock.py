"""What is seen when: the practice once, an episode after another, then both stages in step, again and again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

SECONDS = 6.0
"""Duration of a judged episode on the page at normal speed, whatever its number of env steps."""
PAUSE = 1.0
"""Seconds for which the end of an episode stays."""
PRACTICE_SECONDS, AT_MOST = 7.0, 0.7
"""Duration of the whole practice, and the longest of one of its episodes."""
LEARNED_SECONDS = 1.6
"""Seconds for which it is said what the practice led to."""


class Instant(NamedTuple):
    """A moment.

    Attributes:
        episode: of the practice, from 0; None: both stages are seen.
        share: of the episode that has passed, in [0, 1].
        learned: the practice is over, and it is said what it led to.
    """

    episode: int | None
    share: float
    learned: bool = False


@dataclass
class Clock:
    """Time as a visitor has it.

    Attributes:
        playing: whether time passes by itself.
        speed: 1 is normal.
        practice: episodes of practice that are shown first.
        time: seconds at normal speed since the beginning of what is shown.
    """

    playing: bool = True
    speed: float = 1.0
    practice: int = 0
    time: float = 0.0
    _last: float | None = None

    def restart(self, practice: int = 0) -> None:
        """Show something new from its beginning: the practice, if there is one."""
        self.practice, self.time = practice, 0.0

    def tick(self, now: float) -> Instant:
        """Let time pass up to `now` (seconds of a monotonic clock)."""
        passed = 0.0 if self._last is None else now - self._last
        self._last = now
        if self.playing:
            self.time += passed * self.speed
            if self.time > self.lead + SECONDS + PAUSE:
                self.time = self.lead
        return self.seen()

    def seek(self, share: float) -> None:
        """Go to a moment of the judged episodes, and stay there."""
        self.playing, self.time = False, self.lead + share * SECONDS

    def seen(self) -> Instant:
        """The present moment."""
        if self.time >= self.lead:
            return Instant(None, min(1.0, (self.time - self.lead) / SECONDS))
        episode, within = divmod(self.time, self._each)
        if episode >= self.practice:
            return Instant(self.practice - 1, 1.0, True)
        return Instant(int(episode), min(1.0, within / self._each))

    @property
    def lead(self) -> float:
        """Seconds of the practice and what it led to."""
        return self.practice * self._each + LEARNED_SECONDS if self.practice else 0.0

    @property
    def _each(self) -> float:
        return min(AT_MOST, PRACTICE_SECONDS / max(self.practice, 1))
